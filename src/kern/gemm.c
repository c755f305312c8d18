/* gemm.c -- dense products by oneDNN's sgemm.  A call costs 0.2 to 0.4 microseconds more than its
 * arithmetic, so products of a few hundred multiply-adds are done here in plain loops.
 *
 * Debian builds oneDNN with OpenMP.  A worker is one thread and wants no team: OpenMP's thread count
 * is a per-thread setting, and each worker sets its own to 1.
 *
 * oneDNN 2.6 with AVX2 allocates and frees one copy buffer of about 16 KiB a call where `a` is not
 * transposed and neither m nor n is 1.  The allocator takes that from the thread's own arena: no
 * system call, no lock that another worker wants. */
#include "kern/gemm.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

enum { SMALL = 512 }; /* multiply-adds up to which our loops are faster: bench_kern shows it */

static void scale_row(float *c, size_t n, float beta)
{
    if (beta == 0)
        for (size_t j = 0; j < n; j++) c[j] = 0; /* not 0 * c: c may hold NaN */
    else if (beta != 1)
        for (size_t j = 0; j < n; j++) c[j] *= beta;
}

static void small(const asgd_kern *k, bool ta, bool tb, size_t m, size_t n, size_t kk, float alpha,
                  const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        if (tb && !ta) {
            for (size_t j = 0; j < n; j++) row[j] += alpha * k->dot(a + i * lda, b + j * ldb, kk);
        } else if (tb) {
            for (size_t j = 0; j < n; j++) {
                float sum = 0;
                for (size_t p = 0; p < kk; p++) sum += a[p * lda + i] * b[j * ldb + p];
                row[j] += alpha * sum;
            }
        } else {
            for (size_t p = 0; p < kk; p++)
                k->axpy(alpha * (ta ? a[p * lda + i] : a[i * lda + p]), b + p * ldb, row, n);
        }
    }
}

void asgdk_gemm(const asgd_kern *k, bool ta, bool tb, size_t m, size_t n, size_t kk, float alpha,
                const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc)
{
    if (m == 0 || n == 0) return;
    /* oneDNN can fail only for want of memory or on arguments it refuses: our loops always work. */
    if (kk > 0 && m * n * kk > SMALL &&
        dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)kk,
                   alpha, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, beta, c,
                   (dnnl_dim_t)ldc) == dnnl_success)
        return;
    for (size_t i = 0; i < m; i++) scale_row(c + i * ldc, n, beta);
    if (alpha != 0) small(k, ta, tb, m, n, kk, alpha, a, lda, b, ldb, c, ldc);
}

void asgdk_gemm_thread(void)
{
    omp_set_num_threads(1);
}
