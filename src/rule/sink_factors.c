/* sink_factors.c -- factorization machines' reads and emissions.
 *
 * Applied, they are fused kernels (kern_factors.h).  Accumulated, each row's gradient is formed here
 * from the same sums and added up like any other: the fused kernels are tested against this. */
#include "rule/sink.h"
#include "rule/target.h"

#include <string.h>

/* Of a longer row the beginning is asked for; the rest comes by itself, as the processor sees where this
 * leads, and asking for it would only fill the few places for lines that are on their way. */
enum { PREFETCHED = 16 };

static float *local_of(const asgd_sink *s, int table)
{
    return s->p->slots.local && s->local ? s->local[table] : NULL;
}

float asgdi_fm_score(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                     const float *val, float xs, float *sum)
{
    return s->k->fm_score(&s->views[table], s->p->table[table].pad, n, idx, val, xs, sum);
}

float asgdi_ffm_score(const asgd_sink *s, int table, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                      const uint16_t *field, const float *val, float xs)
{
    p->sums = s->kind == ASGDI_ACCUMULATE;
    return s->k->ffm_score(&s->views[table], p, n, idx, field, val, xs);
}

static const float *read_row(const asgd_sink *s, int table, uint32_t r, uint32_t pad)
{
    s->k->load(s->row2, asgd_row(&s->views[table], r), pad);
    return s->row2;
}

/* d score / d v = x (S - x v), S = xs sum */
static void add_fm(asgd_sink *s, int table, uint32_t n, const uint32_t *idx, const float *val,
                   float xs, float slope, const float *sum)
{
    const target t = target_sum(s, table);
    for (uint32_t e = 0; e < n; e++) {
        const float  x = val ? xs * val[e] : xs;
        const float *v = read_row(s, table, idx[e], t.pad);
        for (uint32_t i = 0; i < t.pad; i++) s->row[i] = x * (xs * sum[i] - x * v[i]);
        touch(s, table, idx[e]);
        step_row(s, &t, idx[e], slope, s->row);
    }
}

/* d score / d w = xs^2 x (S[f] - [cell f] x w) */
static void add_ffm(asgd_sink *s, int table, const asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                    const uint16_t *field, const float *val, float xs, float slope)
{
    const target t = target_sum(s, table);
    for (uint32_t e = 0; e < n; e++) {
        const float  x      = val ? val[e] : 1;
        const float *w      = read_row(s, table, idx[e], t.pad),
                    *sum    = p->sum + (size_t)field[e] * p->pad;
        const uint32_t self = field[e] * p->cell;
        memset(s->row, 0, t.pad * sizeof *s->row);
        for (uint32_t k = 0; k < p->n_present; k++)
            for (uint32_t i = p->present[k] * p->cell; i < (p->present[k] + 1u) * p->cell; i++)
                s->row[i] = x * sum[i];
        for (uint32_t i = self; p->several && i < self + p->cell; i++) s->row[i] -= x * x * w[i];
        touch(s, table, idx[e]);
        step_row(s, &t, idx[e], slope * xs * xs, s->row);
    }
}

void asgdi_emit_fm(asgd_sink *s, int table, uint32_t n, const uint32_t *idx, const float *val,
                   float xs, float slope, const float *sum)
{
    const asgdi_table *x = &s->p->table[table];
    if (s->kind == ASGDI_ACCUMULATE)
        add_fm(s, table, n, idx, val, xs, slope, sum);
    else if (s->kind == ASGDI_APPLY)
        s->k->fm[s->rule.kind](&s->views[table], local_of(s, table),
                               (size_t)x->pad * s->p->slots.local, x->pad, n, idx, val, xs, slope,
                               sum, &s->step);
}

void asgdi_emit_ffm(asgd_sink *s, int table, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                    const uint16_t *field, const float *val, float xs, float slope)
{
    const asgdi_table *x = &s->p->table[table];
    if (s->kind == ASGDI_ACCUMULATE)
        add_ffm(s, table, p, n, idx, field, val, xs, slope);
    else if (s->kind == ASGDI_APPLY)
        s->k->ffm[asgdk_rule_of(s->rule.kind, x->info.flags)](
            &s->views[table], local_of(s, table), (size_t)x->pad * s->p->slots.local, p, n, idx,
            field, val, xs, slope, &s->step);
}

void asgdi_prefetch(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx)
{
    const asgdi_table *x    = &s->p->table[table];
    const uint64_t     near = ASGDI_NEAR_FLOATS / x->stride;
    const uint32_t     most = x->stride < PREFETCHED ? (uint32_t)x->stride : PREFETCHED;
    uint32_t           m    = n;
    while (m > 0 && idx[m - 1] >= near) m--;
    if (m < n) s->k->prefetch(&s->views[table], most, n - m, idx + m);
}
