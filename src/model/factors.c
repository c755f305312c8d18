/* factors.c -- the loop that fm and ffm share.
 *
 * With a batch of more than one example every example's slope is computed before the first emission.
 * The sums that an emission needs besides are computed once more, as they are too many to keep for
 * all examples: where emissions change rows at once, of the rows as they are by then. */
#include "model/factors.h"
#include "base/status.h"

enum { AHEAD = 2 }; /* examples between the prefetch of rows and their use */

asgd_status asgdi_factor_check(const char *model, const asgd_schema *d)
{
    if (d->dense)
        return ASGD_FAIL(
            EMISMATCH,
            "model %s needs sparse data, and these are a dense table; name its columns "
            "categorical, or use the model linear or mlp",
            model);
    return ASGD_OK;
}

size_t asgdi_factor_scratch(const asgdi_factor_ops *f, const void *self, uint32_t n)
{
    return f->bytes(self) + n * sizeof(float); /* slopes last: n differs from batch to batch */
}

static float score(const asgdi_factor_ops *f, const void *self, const asgd_sink *g,
                   const asgdi_example *x, void *scratch)
{
    return asgdi_single_linear(self, g, x) + f->score(self, g, x, scratch);
}

static void emit(const asgdi_factor_ops *f, const void *self, asgd_sink *g, const asgdi_example *x,
                 float slope, void *scratch)
{
    asgdi_single_emit(self, g, x, slope);
    f->emit(self, g, x, slope, scratch);
}

static void add(asgd_stats *st, const asgd_stats *more)
{
    st->loss += more->loss;
    st->weight += more->weight;
    st->correct += more->correct;
}

void asgdi_factor_steps(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                        asgd_sink *g, void *scratch, asgd_stats *st)
{
    asgd_stats        sum = {0};
    const asgdi_steps all = {.weight  = ASGDI_WEIGHT,
                             .bias    = ASGDI_BIAS,
                             .factors = ASGDI_FACTORS,
                             .sum     = scratch,
                             .ffm     = f->ffm ? f->ffm(self, scratch) : NULL};
    if (asgdi_single_steps(self, b, g, &all, st)) return;
    for (uint32_t i = 0; i < b->n; i++) {
        if (i + AHEAD < b->n) {
            const uint32_t *idx = b->idx + b->begin[i + AHEAD];
            asgdi_prefetch(g, ASGDI_WEIGHT, b->len[i + AHEAD], idx);
            asgdi_prefetch(g, ASGDI_FACTORS, b->len[i + AHEAD], idx);
        }
        const asgdi_example x   = asgdi_single_example(self, b, i);
        asgd_stats          one = {0};
        const float slope = asgdi_single_account(self, b, i, score(f, self, g, &x, scratch), &one);
        if (one.weight > 0) emit(f, self, g, &x, slope, scratch);
        add(&sum, &one);
    }
    add(st, &sum);
}

void asgdi_factor_step(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                       asgd_sink *g, void *scratch, asgd_stats *st)
{
    if (b->n == 1) {
        asgdi_factor_steps(f, self, b, g, scratch, st);
        return;
    }
    float     *slope = (float *)(void *)((char *)scratch + f->bytes(self));
    asgd_stats sum   = {0};
    for (uint32_t i = 0; i < b->n; i++) {
        const asgdi_example x = asgdi_single_example(self, b, i);
        slope[i] = asgdi_single_account(self, b, i, score(f, self, g, &x, scratch), &sum);
    }
    for (uint32_t i = 0; i < b->n && sum.weight > 0; i++) {
        const asgdi_example x = asgdi_single_example(self, b, i);
        f->score(self, g, &x, scratch);
        emit(f, self, g, &x, slope[i] / (float)b->n, scratch);
    }
    add(st, &sum);
}

void asgdi_factor_predict(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                          const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (i + AHEAD < b->n) {
            const uint32_t *idx = b->idx + b->begin[i + AHEAD];
            asgdi_prefetch(g, ASGDI_WEIGHT, b->len[i + AHEAD], idx);
            asgdi_prefetch(g, ASGDI_FACTORS, b->len[i + AHEAD], idx);
        }
        const asgdi_example x = asgdi_single_example(self, b, i);
        const float         s = score(f, self, g, &x, scratch);
        if (st) asgdi_single_account(self, b, i, s, st);
        out[i] = asgdi_single_output(self, s);
    }
}
