/* gemm.h -- dense matrix products on one core: oneDNN, or our own loops where its call costs more
 * than the work.  All matrices row-major; ld in floats. */
#ifndef ASGDI_GEMM_H
#define ASGDI_GEMM_H

#include "kern/kern.h"

/* c[m][n] = beta * c + alpha * op(a) op(b), op(a) [m][k], op(b) [k][n]; ta: a is stored [k][m].
 * Called with one OpenMP thread by every worker: see asgdk_gemm_thread(). */
void asgdk_gemm(const asgd_kern *k, bool ta, bool tb, size_t m, size_t n, size_t kk, float alpha,
                const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);
/* To be called once by each thread before its first asgdk_gemm(). */
void asgdk_gemm_thread(void);

#endif
