/* fixture.h -- what the kernels' tests share: fixed random numbers, and arrays that end where a page
 * begins that may not be touched. */
#ifndef KERNEL_FIXTURE_H
#define KERNEL_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kern/kern.h"

#define CHECK(condition, ...)                    \
    do {                                         \
        if (!(condition)) fail_msg(__VA_ARGS__); \
    } while (0)
#define EACH_VARIANT(k)             \
    for (int v_ = 0; v_ < 99; v_++) \
        for (const asgd_kern *k = asgdk_variant(v_); k; k = NULL)

enum { SEED = 20240607, MAX_BLOCKS = 64 };

static uint64_t drawn;

static inline float draw(void) /* [-1, 1) */
{
    return 2 * asgdi_uniform(asgdi_random(SEED, 0, drawn++)) - 1;
}
static inline uint32_t draw_below(uint32_t n)
{
    return (uint32_t)(asgdi_random(SEED, 1, drawn++) % n);
}

/* ---- arrays that end where a page begins that may not be touched ---- */

static struct {
    void  *base;
    size_t bytes;
} blocks[MAX_BLOCKS];
static int n_blocks;

static inline void *array(size_t n, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (n * size + page - 1) / page * page;
    char  *base =
        mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED && n_blocks < MAX_BLOCKS, "no memory");
    assert_int_equal(mprotect(base + used, page, PROT_NONE), 0);
    blocks[n_blocks].base    = base;
    blocks[n_blocks++].bytes = used + page;
    return base + used - n * size;
}
static inline float *floats(size_t n)
{
    float *x = array(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = draw();
    return x;
}
static inline float *copy(const float *x, size_t n)
{
    float *y = array(n, sizeof *y);
    if (n) memcpy(y, x, n * sizeof *y);
    return y;
}
/* All but the first `keep`. */
static inline void free_arrays_beyond(int keep)
{
    while (n_blocks > keep) {
        n_blocks--;
        munmap(blocks[n_blocks].base, blocks[n_blocks].bytes);
    }
}
static inline void free_arrays(void)
{
    free_arrays_beyond(0);
}

/* All tile widths, and tables cut into several tiles. */
static inline uint32_t next_pad(uint32_t pad)
{
    return pad == 1 ? 8 : pad < 240 ? pad + 8 : pad < 1000 ? 1000 : 0;
}

/* A table of `rows` rows whose first n_own are private: two arrays, each holding only its rows. */
typedef struct table {
    asgd_view view;
    uint64_t  first;
    uint32_t  rows, pad;
} table;

static inline float *table_row(const table *t, uint64_t r) /* row t->first + r */
{
    return (float *)(uintptr_t)asgd_row(&t->view, t->first + r);
}

/* Its rows are numbered from `first` on. */
static inline table make_table_at(uint64_t first, uint32_t rows, uint32_t n_own, uint32_t pad,
                                  size_t stride)
{
    float *own = floats(n_own * stride), *shared = floats((rows - n_own) * stride);
    return (table){
        .view  = {.own = n_own ? (float *)((uintptr_t)own - first * stride * sizeof(float)) : NULL,
                  .shared = (float *)((uintptr_t)shared - (first + n_own) * stride * sizeof(float)),
                  .n_own  = n_own ? first + n_own : 0,
                  .stride = stride},
        .first = first,
        .rows  = rows,
        .pad   = pad,
    };
}
static inline table make_table(uint32_t rows, uint32_t n_own, uint32_t pad, size_t stride)
{
    return make_table_at(0, rows, n_own, pad, stride);
}
static inline table copy_table(const table *t)
{
    const uint32_t n_own = t->view.n_own ? (uint32_t)(t->view.n_own - t->first) : 0;
    table          c     = make_table_at(t->first, t->rows, n_own, t->pad, t->view.stride);
    for (uint32_t r = 0; r < t->rows; r++)
        memcpy(table_row(&c, r), table_row(t, r), t->view.stride * 4);
    return c;
}

/* Constants of step t; bit 0: with l2, bit 1: with l1. */
static inline asgdk_step make_step(int penalties, int t)
{
    asgdk_step p = {.lr = 0.05f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-6f};
    if (penalties & 1) p.l2 = 0.1f;
    if (penalties & 2) p.l1 = 0.05f;
    p.correct1 = (float)(1 / (1 - pow(p.beta1, t)));
    p.correct2 = (float)(1 / (1 - pow(p.beta2, t)));
    return p;
}

#endif
