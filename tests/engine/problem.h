/* problem.h -- small learnable problems made in memory. */
#ifndef TESTS_PROBLEM_H
#define TESTS_PROBLEM_H

#include "test.h"

/* n dense examples of `classes` Gaussian clouds in `features` dimensions, distance chosen so that a
 * linear model gets most right. */
typedef struct problem {
    float       *x, *y;
    asgd_source *source;
} problem;

static inline uint64_t problem_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static inline float problem_uniform(uint64_t *s)
{
    return (float)(problem_random(s) >> 40) * 0x1p-24f;
}

static inline void problem_make(problem *p, uint64_t n, uint32_t features, uint32_t classes,
                                uint64_t seed)
{
    uint64_t centre_seed = 77, s = seed * 2654435761u + 88172645463325252u;
    float    centre[64][64];
    for (uint32_t c = 0; c < classes; c++)
        for (uint32_t f = 0; f < features; f++)
            centre[c][f] = problem_uniform(&centre_seed) * 2 - 1;
    p->x = calloc(n * features, sizeof *p->x);
    p->y = calloc(n, sizeof *p->y);
    assert_true(p->x && p->y && features <= 64 && classes <= 64);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t c = (uint32_t)(problem_random(&s) % classes);
        p->y[i]    = (float)c;
        for (uint32_t f = 0; f < features; f++) {
            float noise = 0;
            for (int k = 0; k < 4; k++) noise += problem_uniform(&s) - 0.5f;
            p->x[i * features + f] = centre[c][f] + 1.5f * noise;
        }
    }
    ok(asgd_source_dense(&p->source, p->x, p->y, n, features, classes));
}

static inline void problem_free(problem *p)
{
    asgd_source_close(p->source);
    free(p->x);
    free(p->y);
}

/* All w of a model in one array; the caller frees it. */
static inline float *problem_weights(asgd_model *m, size_t *n)
{
    *n = 0;
    for (int t = 0; t < asgd_model_tables(m); t++)
        *n += (size_t)asgd_model_table(m, t)->rows * asgd_model_table(m, t)->dim;
    float *w = calloc(*n, sizeof *w), *to = w;
    assert_non_null(w);
    for (int t = 0; t < asgd_model_tables(m); t++) {
        const asgd_table *table = asgd_model_table(m, t);
        for (uint64_t r = 0; r < table->rows; r++, to += table->dim)
            memcpy(to, asgd_model_row(m, t, r), table->dim * sizeof *to);
    }
    return w;
}

#endif
