/* count_model.h -- a model whose result is known exactly: every example adds 1 to the row of each of its
 * features, so after a run row f holds how often feature f was seen.  Rule sgd, lr 1, integers below
 * 2^24: float sums are exact, and what is missing was lost. */
#ifndef TESTS_COUNT_MODEL_H
#define TESTS_COUNT_MODEL_H

#include "test.h"

#include <sys/prctl.h>
#include <time.h>

/* Sleeps as exactly as the kernel can; it would else add up to 50 us. */
static inline void test_sleep(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    if (!(seconds > 0)) return;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    nanosleep(&t, NULL);
}

typedef struct count_model {
    double step_seconds; /* a step sleeps so long; negative: exponential with that mean */
} count_model;

static asgd_status count_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                               asgd_task *task, uint32_t *outputs)
{
    (void)self;
    tables[0] = (asgd_table){
        .name = "count", .rows = d->features, .dim = 1, .flags = ASGD_TABLE_BY_FEATURE};
    *n       = 1;
    *task    = ASGD_TASK_REGRESSION;
    *outputs = 1;
    return ASGD_OK;
}

static void count_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                       void *scratch, uint64_t random, asgd_stats *st)
{
    (void)w;
    (void)scratch;
    double s = ((const count_model *)self)->step_seconds;
    if (s < 0) s *= log(((double)(random >> 11) + 0.5) * 0x1p-53);
    test_sleep(s);
    for (uint32_t i = 0; i < b->n; i++)
        asgd_emit_scattered(g, 0, b->len[i], b->idx + b->begin[i], NULL, -1, NULL);
    st->loss += b->n;
    st->weight += b->n;
}

static void count_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                          const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    (void)self;
    (void)g;
    (void)scratch;
    for (uint32_t i = 0; i < b->n; i++) {
        out[i] = asgd_row(w, b->idx[b->begin[i]])[0];
        if (st) st->loss += 1 / (1 + (double)out[i]);
        if (st) st->weight += 1;
    }
}

static const asgd_model_ops count_ops = {.name       = "count",
                                         .self_bytes = sizeof(count_model),
                                         .shape      = count_shape,
                                         .step       = count_step,
                                         .predict    = count_predict};

/* n examples of one entry each: example i has feature i % features. */
typedef struct count_data {
    uint64_t    *start;
    uint32_t    *idx;
    float       *y;
    asgd_source *source;
    asgd_model  *model;
} count_data;

static inline void count_setup(count_data *d, uint64_t n, uint32_t features, double step_seconds)
{
    *d       = (count_data){0};
    d->start = calloc(n + 1, sizeof *d->start);
    d->idx   = calloc(n, sizeof *d->idx);
    d->y     = calloc(n, sizeof *d->y);
    assert_true(d->start && d->idx && d->y);
    for (uint64_t i = 0; i < n; i++) {
        d->start[i + 1] = i + 1;
        d->idx[i]       = (uint32_t)(i % features);
    }
    ok(asgd_source_sparse(&d->source, d->start, d->idx, NULL, d->y, n, features, 0));
    count_model self = {step_seconds};
    ok(asgd_model_new(&d->model, &count_ops, &self, asgd_source_schema(d->source)));
}

static inline void count_free(count_data *d)
{
    asgd_model_free(d->model);
    asgd_source_close(d->source);
    free(d->start);
    free(d->idx);
    free(d->y);
}

static inline double count_sum(const count_data *d, uint32_t features)
{
    double sum = 0;
    for (uint32_t f = 0; f < features; f++) sum += (double)asgd_model_row(d->model, 0, f)[0];
    return sum;
}

#endif
