/* fixture.h -- a named model with its sink, views and scratch, without an engine. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kern/gemm.h"
#include "model/model.h"
#include "rule/sink.h"

/* Where a view's rows lie. */
typedef enum place { SHARED, PRIVATE, BOTH } place;

typedef struct fixture {
    asgd_model *m;
    asgd_view   views[ASGD_MAX_TABLES];
    float      *own[ASGD_MAX_TABLES];
    float      *local[ASGD_MAX_TABLES];
    asgd_sink   sink;
    void       *scratch;
} fixture;

static inline float *fixture_row(fixture *f, int t, uint64_t r)
{
    asgd_view *v = &f->views[t];
    return (r < v->n_own ? v->own : v->shared) + r * v->stride;
}

/* A copy of the rows is made for private ones; what must not be read there is NaN. */
static inline void fixture_views(fixture *f, place where)
{
    for (int t = 0; t < f->m->params.n_tables; t++) {
        asgdi_table *table = &f->m->params.table[t];
        uint64_t     rows  = table->info.rows;
        size_t       size  = rows * table->stride;
        f->own[t]          = asgdi_calloc(size, sizeof(float));
        assert_non_null(f->own[t]);
        f->views[t] = (asgd_view){
            .own    = f->own[t],
            .shared = table->master,
            .n_own  = where == SHARED    ? 0
                      : where == PRIVATE ? rows
                                         : (rows + 1) / 2,
            .stride = table->stride,
        };
        size_t split = f->views[t].n_own * table->stride;
        memcpy(f->own[t], table->master, size * sizeof(float));
        for (size_t i = 0; i < split; i++) table->master[i] = NAN;
        for (size_t i = split; i < size; i++) f->own[t][i] = NAN;
    }
}

static inline void fixture_sink(fixture *f, asgdi_sink_kind kind, const asgd_kern *k, uint32_t n,
                                const asgd_batch *b)
{
    const asgd_schema *d        = &f->m->schema;
    uint64_t           nonzeros = (uint64_t)n * d->features;
    assert_int_equal(asgdi_sink_init(&f->sink, kind, k, &f->m->params, f->views, f->local,
                                     d->features, n, nonzeros, b->dense != NULL),
                     ASGD_OK);
    size_t bytes = f->m->ops.scratch(f->m->self, n);
    f->scratch   = asgdi_calloc(bytes, 1);
    assert_non_null(f->scratch);
    /* a step may not count on what an earlier one left; but ffm keeps its state there, from zeros on */
    if (strcmp(f->m->ops.name, "ffm") != 0) memset(f->scratch, 0x7f, bytes);
}

static inline void fixture_free(fixture *f)
{
    for (int t = 0; t < f->m->params.n_tables; t++) asgdi_free(f->own[t]);
    asgdi_sink_free(&f->sink);
    asgdi_free(f->scratch);
    asgd_model_free(f->m);
}

/* A dense batch as a sparse one; arrays as long as x. */
static inline void to_sparse(asgd_batch *b, uint64_t *begin, uint32_t *len, uint32_t *idx,
                             float *val)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        begin[i] = used;
        for (uint32_t f = 0; f < b->features; f++) {
            if (b->dense[(size_t)i * b->features + f] == 0) continue;
            idx[used]   = f;
            val[used++] = b->dense[(size_t)i * b->features + f];
        }
        len[i] = used - (uint32_t)begin[i];
    }
    b->dense = NULL;
    b->begin = begin;
    b->len   = len;
    b->idx   = idx;
    b->val   = val;
}

#endif
