/* rows.h -- loops over many rows of few floats.
 *
 * A table of weights has rows of two or three floats, and hundreds of thousands of them: what is done once a row is then
 * what a round costs.  The loops are written for any length of rows, and made by the compiler for the usual ones. */
#ifndef ASGD_EXCHANGE_ROWS_H
#define ASGD_EXCHANGE_ROWS_H

#include <stdint.h>

#define ASGDI_INLINE static inline __attribute__((always_inline))

/* result = f(stride, ...), f ASGDI_INLINE, with a stride that is known when it is compiled, if it is a usual one: linear's
 * weights with one, two slots, factors of 8 with one. */
#define ASGDI_BY_STRIDE(result, stride, f, ...)    \
    switch (stride) {                              \
    case 2: result f(2, __VA_ARGS__); break;       \
    case 3: result f(3, __VA_ARGS__); break;       \
    case 16: result f(16, __VA_ARGS__); break;     \
    default: result f(stride, __VA_ARGS__); break; \
    }

/* w, was [rows][stride].  Which rows differ by more than dust * |was|, or are not finite, to row [n <= rows], and
 * factor * (w - was) of them to d [n][stride]; both have room for all rows.  Returns n. */
uint32_t asgdi_rows_differ(uint32_t stride, uint32_t rows, const float *w, const float *was,
                           float factor, float dust, uint32_t *row, float *d);

/* Of rows after[r] > count, but not those with unlisted[r] == mark, their numbers to row and floats of `from` to `to`, one
 * after another.  unlisted: NULL for none.  Returns how many. */
uint32_t asgdi_rows_gather(uint32_t stride, uint32_t rows, const float *from, const uint64_t *after,
                           uint64_t count, const uint64_t *unlisted, uint64_t mark, uint32_t *row,
                           float *to);

#endif
