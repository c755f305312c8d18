/* sink.c -- where gradients go.
 *
 * Every emission is carried out against a target: a view of rows, a rule and its constants.
 *   APPLY       the model's rows by the rule in force
 *   ACCUMULATE  the sum of gradients as rows of its own, by sgd with rate -1: row += gradient
 * so both kinds are one code, and a sum that is flushed is what would have been applied.
 *
 * Shared rows are written by kernels alone (kern.h).  All loops here are over private memory. */
#include "rule/sink.h"
#include "rule/target.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/sys.h"
#include "kern/gemm.h"

enum {
    RUN          = 256,   /* rows of a table with dim 1 that are handled in one go */
    DENSE_FLOATS = 65536, /* of a dense layer's gradient at a time: what a core's cache holds */
    /* multiply-adds from which a library's product beats the plain loop.  It is above what
     * asgdk_gemm() does itself, by code for private memory: its operand here may be shared rows */
    GEMM_MIN = 65536,
};

/* n scattered rows with dim 1. */
static void step_rows1(const asgd_sink *s, const target *t, uint32_t n, const uint32_t *idx,
                       const float *coef, float scale)
{
    s->k->rule1[t->rule](&t->view, t->local, t->local_stride, n, idx, coef, scale, &t->step);
}

/* Rows row..row+n-1 with dim 1, as scattered rows of a view that begins there. */
static void step_run1(const asgd_sink *s, const target *t, uint64_t row, uint32_t n,
                      const float *coef, float scale)
{
    target       here = *t;
    const size_t at   = (size_t)row * t->view.stride;
    here.view.shared += at;
    here.view.n_own = row < t->view.n_own ? t->view.n_own - row : 0;
    here.view.own   = here.view.n_own ? here.view.own + at : NULL;
    if (here.local) here.local += row * t->local_stride;
    step_rows1(s, &here, n, s->count, coef, scale);
}

static void touch_run(asgd_sink *s, int table, uint64_t row, uint64_t n)
{
    if (s->kind == ASGDI_ACCUMULATE)
        for (uint64_t i = 0; i < n; i++) touch(s, table, row + i);
}

static void touch_list(asgd_sink *s, int table, uint32_t n, const uint32_t *idx)
{
    if (s->kind == ASGDI_ACCUMULATE)
        for (uint32_t j = 0; j < n; j++) touch(s, table, idx[j]);
}

/* ---- rows ---- */

/* g[0..dim) where kernels may read up to pad: itself, or a copy in s->row. */
static const float *padded(const asgd_sink *s, const target *t, const float *g)
{
    if (t->dim == t->pad) return g;
    memcpy(s->row, g, t->dim * sizeof(float));
    memset(s->row + t->dim, 0, (t->pad - t->dim) * sizeof(float));
    return s->row;
}

static void emit_rows(const asgd_sink *s, const target *t, uint64_t row, uint64_t n, float scale,
                      const float *g, size_t ldg)
{
    if (t->dim > 1) {
        for (uint64_t i = 0; i < n; i++) step_row(s, t, row + i, scale, padded(s, t, g + i * ldg));
        return;
    }
    for (uint64_t i = 0; i < n; i += RUN) {
        const uint32_t m = (uint32_t)(n - i < RUN ? n - i : RUN);
        float          coef[RUN];
        for (uint32_t j = 0; j < m; j++) coef[j] = g[(i + j) * ldg];
        step_run1(s, t, row + i, m, coef, scale);
    }
}

void asgd_emit_rows(asgd_sink *s, int table, uint64_t row, uint64_t n, float scale, const float *g,
                    size_t ldg)
{
    if (s->kind == ASGDI_DISCARD) return;
    const target t = target_of(s, table);
    touch_run(s, table, row, n);
    emit_rows(s, &t, row, n, scale, g, ldg);
}

static void emit_scattered(const asgd_sink *s, const target *t, uint32_t n, const uint32_t *idx,
                           const float *coef, float scale, const float *v)
{
    if (t->dim == 1) {
        step_rows1(s, t, n, idx, coef, v ? scale * v[0] : scale);
        return;
    }
    const float *g = padded(s, t, v);
    for (uint32_t j = 0; j < n; j++) step_row(s, t, idx[j], coef ? scale * coef[j] : scale, g);
}

void asgd_emit_scattered(asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                         const float *coef, float scale, const float *v)
{
    if (s->kind == ASGDI_DISCARD) return;
    if (s->kind == ASGDI_APPLY &&
        s->p->table[table].info.dim == 1) { /* the hot path of sparse models */
        const asgdi_table *x     = &s->p->table[table];
        const uint32_t     slots = s->p->slots.local;
        asgdk_step         plain;
        s->k->rule1[s->rule.kind](&s->views[table], slots && s->local ? s->local[table] : NULL,
                                  slots, n, idx, coef, v ? scale * v[0] : scale,
                                  step_of(s, x, &plain));
        return;
    }
    const target t = target_of(s, table);
    touch_list(s, table, n, idx);
    emit_scattered(s, &t, n, idx, coef, scale, v);
}

/* ---- whole layers ---- */

/* Example by example: each changes its rows on its own. */
static void outer_examples(asgd_sink *s, const target *t, int table, const asgd_batch *x,
                           float scale, const float *v, size_t ldv)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const uint64_t at = x->begin[i];
        touch_list(s, table, x->len[i], x->idx + at);
        emit_scattered(s, t, x->len[i], x->idx + at, x->val ? x->val + at : NULL, scale,
                       v + i * ldv);
    }
}

static void outer_sparse(asgd_sink *s, const target *t, int table, const asgd_batch *x, float scale,
                         const float *v, size_t ldv)
{
    asgdk_columns c;
    /* additions to single floats gain nothing from being sorted */
    const bool as_they_come = t->dim == 1 && (t->plain || x->n == 1);
    if (as_they_come || !asgdi_transpose(&s->columns, x, &c)) {
        outer_examples(s, t, table, x, scale, v, ldv);
        return;
    }
    touch_list(s, table, c.n, c.rows);
    if (t->plain) {
        s->k->outer_sgd(&t->view, t->pad, &c, -t->step.lr * scale, v, ldv);
        return;
    }
    for (uint32_t j = 0; j < c.n; j++) {
        const uint32_t at = c.start[j], n = c.start[j + 1] - at;
        if (t->dim == 1) {
            float sum = 0;
            for (uint32_t i = at; i < at + n; i++) sum += c.val[i] * v[c.ex[i] * ldv];
            s->columns.coef[j] = sum;
        } else {
            s->k->outer_row(t->pad, n, c.ex + at, c.val + at, v, ldv, s->row);
            step_row(s, t, c.rows[j], scale, s->row);
        }
    }
    if (t->dim == 1) step_rows1(s, t, c.n, c.rows, s->columns.coef, scale);
}

static void outer_dense(const asgd_sink *s, const target *t, const asgd_batch *x, float scale,
                        const float *v, size_t ldv)
{
    const uint64_t rows = x->features < t->rows ? x->features : t->rows;
    if (t->plain && rows <= t->view.n_own && x->n > 1) {
        asgdk_gemm(s->k, true, false, (size_t)rows, t->dim, x->n, -t->step.lr * scale, x->dense,
                   x->features, v, ldv, 1, t->view.own, t->view.stride);
        return;
    }
    if (x->n == 1 && t->dim > 1) {
        for (uint64_t r = 0; r < rows; r++) step_row(s, t, r, scale * x->dense[r], v);
        return;
    }
    const uint64_t run = t->pad < DENSE_FLOATS ? DENSE_FLOATS / t->pad : 1;
    for (uint64_t r = 0; r < rows; r += run) {
        const uint64_t m = rows - r < run ? rows - r : run;
        asgdk_gemm(s->k, true, false, (size_t)m, t->pad, x->n, 1, x->dense + r, x->features, v, ldv,
                   0, s->dense, t->pad);
        if (t->dim == 1)
            emit_rows(s, t, r, m, scale, s->dense, 1);
        else
            for (uint64_t i = 0; i < m; i++) step_row(s, t, r + i, scale, s->dense + i * t->pad);
    }
}

static void outer(asgd_sink *s, const target *t, int table, const asgd_batch *x, float scale,
                  const float *v, size_t ldv)
{
    if (x->dense) {
        touch_run(s, table, 0, x->features < t->rows ? x->features : t->rows);
        outer_dense(s, t, x, scale, v, ldv);
    } else {
        outer_sparse(s, t, table, x, scale, v, ldv);
    }
}

/* Examples at..at+n-1 of a batch. */
static asgd_batch part_of(const asgd_batch *x, uint32_t at, uint32_t n)
{
    asgd_batch b = *x;
    b.n          = n;
    if (x->dense) {
        b.dense = x->dense + (size_t)at * x->features;
    } else {
        b.begin = x->begin + at;
        b.len   = x->len + at;
    }
    return b;
}

/* Copies n vectors of `dim` floats between rows of different length; the rest of `to` is zeroed up
 * to `pad`. */
static void copy_rows(uint32_t n, uint32_t dim, uint32_t pad, const float *from, size_t ldf,
                      float *to, size_t ldt)
{
    for (uint32_t i = 0; i < n; i++) {
        memcpy(to + i * ldt, from + i * ldf, dim * sizeof(float));
        memset(to + i * ldt + dim, 0, (pad - dim) * sizeof(float));
    }
}

void asgd_emit_outer(asgd_sink *s, int table, const asgd_batch *x, float scale, const float *v,
                     size_t ldv)
{
    if (s->kind == ASGDI_DISCARD || x->n == 0) return;
    const target t = target_of(s, table);
    if (ldv >= t.pad) {
        outer(s, &t, table, x, scale, v, ldv);
        return;
    }
    for (uint32_t at = 0; at < x->n; at += s->max_n) {
        const uint32_t   n = x->n - at < s->max_n ? x->n - at : s->max_n;
        const asgd_batch b = part_of(x, at, n);
        copy_rows(n, t.dim, t.pad, v + at * ldv, ldv, s->packed, t.pad);
        outer(s, &t, table, &b, scale, s->packed, t.pad);
    }
}

/* ---- reading ---- */

static void forward(const asgd_sink *s, const asgd_view *t, const asgdi_table *info,
                    const asgd_batch *x, float *out, size_t ldo)
{
    const uint64_t rows = x->features < info->info.rows ? x->features : info->info.rows;
    if (!x->dense) {
        s->k->forward(t, info->pad, x->n, x->begin, x->len, x->idx, x->val, out, ldo);
    } else if ((uint64_t)x->n * info->pad * rows < GEMM_MIN || (t->n_own > 0 && t->n_own < rows)) {
        s->k->forward_dense(t, info->pad, (uint32_t)rows, x->n, x->dense, out, ldo);
    } else {
        asgdk_gemm(s->k, false, false, x->n, info->info.dim, (size_t)rows, 1, x->dense, x->features,
                   t->n_own ? t->own : t->shared, t->stride, 1, out, ldo);
    }
}

void asgd_forward(const asgd_sink *s, int table, const asgd_batch *x, float *out, size_t ldo)
{
    const asgd_view   *t    = &s->views[table];
    const asgdi_table *info = &s->p->table[table];
    const uint32_t     dim = info->info.dim, pad = info->pad;
    if (ldo >= pad) {
        forward(s, t, info, x, out, ldo);
        return;
    }
    for (uint32_t at = 0; at < x->n; at += s->max_n) {
        const uint32_t   n = x->n - at < s->max_n ? x->n - at : s->max_n;
        const asgd_batch b = part_of(x, at, n);
        copy_rows(n, dim, pad, out + at * ldo, ldo, s->packed, pad);
        forward(s, t, info, &b, s->packed, pad);
        copy_rows(n, dim, dim, s->packed, pad, out + at * ldo, ldo);
    }
}

float asgd_dot_sparse(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                      const float *val)
{
    return s->k->dot1(&s->views[table], n, idx, val);
}

/* ---- sums of gradients ---- */

/* Applies the sum, where `scale` is not NULL, and zeroes what was touched. */
static void empty(asgd_sink *s, int table, const float *scale)
{
    const target    t   = target_apply(s, table);
    const uint32_t *idx = s->touched[table];
    float          *sum = s->grad[table];
    for (uint64_t i = 0; i < s->n_touched[table]; i += RUN) {
        const uint64_t left = s->n_touched[table] - i;
        const uint32_t n    = (uint32_t)(left < RUN ? left : RUN);
        if (scale && t.dim == 1) {
            float coef[RUN];
            for (uint32_t j = 0; j < n; j++) coef[j] = sum[idx[i + j]];
            step_rows1(s, &t, n, idx + i, coef, *scale);
        }
        for (uint32_t j = 0; j < n; j++) {
            const uint64_t r = idx[i + j];
            if (scale && t.dim > 1) step_row(s, &t, r, *scale, sum + r * t.pad);
            memset(sum + r * t.pad, 0, t.pad * sizeof(float));
            s->mark[table][r] = 0;
        }
    }
    s->n_touched[table] = 0;
}

void asgdi_sink_flush(asgd_sink *s, float scale)
{
    if (s->kind == ASGDI_ACCUMULATE)
        for (int t = 0; t < s->p->n_tables; t++) empty(s, t, &scale);
}

void asgdi_sink_forget(asgd_sink *s)
{
    if (s->kind == ASGDI_ACCUMULATE)
        for (int t = 0; t < s->p->n_tables; t++) empty(s, t, NULL);
}

void asgdi_sink_take(asgd_sink *s, asgd_sink *from)
{
    if (s->kind != ASGDI_ACCUMULATE || from->kind != ASGDI_ACCUMULATE) return;
    for (int t = 0; t < s->p->n_tables; t++) {
        const size_t pad = s->p->table[t].pad;
        touch_list(s, t, (uint32_t)from->n_touched[t], from->touched[t]);
        for (uint64_t i = 0; i < from->n_touched[t]; i++) {
            const size_t at = from->touched[t][i] * pad;
            s->k->axpy(1, from->grad[t] + at, s->grad[t] + at, pad);
        }
    }
    asgdi_sink_forget(from);
}

/* Row r of all parts from number i on, added to that one's. */
static void add_parts(asgd_sink *const *parts, uint32_t i, uint32_t n, int table, uint64_t r,
                      uint32_t pad)
{
    for (uint32_t j = i + 1; j < n; j++) {
        if (!parts[j]->mark[table][r]) continue;
        parts[i]->k->axpy(1, parts[j]->grad[table] + r * pad, parts[i]->grad[table] + r * pad, pad);
        parts[j]->mark[table][r] = 0; /* done: not to be met again in its own list */
    }
}

void asgdi_sink_apply_parts(asgd_sink *s, asgd_sink *const *parts, uint32_t n, uint32_t mine,
                            float *const *local)
{
    enum { TOGETHER = 16 }; /* neighbouring rows go to one thread: they may share a cache line */
    for (int table = 0; table < s->p->n_tables; table++) {
        target t = target_apply(s, table);
        t.local  = t.local_stride && local ? local[table] : NULL;
        for (uint32_t i = 0; i < n; i++) {
            asgd_sink *part = parts[i];
            for (uint64_t j = 0; j < part->n_touched[table]; j++) {
                const uint32_t r = part->touched[table][j];
                if (r / TOGETHER % n != mine || !part->mark[table][r]) continue;
                add_parts(parts, i, n, table, r, t.pad);
                part->mark[table][r] = 0;
                const float *sum     = part->grad[table] + (size_t)r * t.pad;
                if (t.dim == 1)
                    step_rows1(s, &t, 1, &r, sum, 1 / (float)n);
                else
                    step_row(s, &t, r, 1 / (float)n, sum);
            }
        }
    }
}

/* ---- memory: all of it is taken before the first step ---- */

static bool new_sums(asgd_sink *s, int table)
{
    const asgdi_table *x = &s->p->table[table];
    if (x->info.rows > SIZE_MAX / sizeof(float) / x->pad) return false;
    s->grad[table]    = asgdi_calloc((size_t)x->info.rows * x->pad, sizeof(float));
    s->mark[table]    = asgdi_calloc((size_t)x->info.rows, sizeof(uint8_t));
    s->touched[table] = asgdi_calloc((size_t)x->info.rows, sizeof(uint32_t));
    return s->grad[table] && s->mark[table] && s->touched[table];
}

asgd_status asgdi_sink_init(asgd_sink *s, asgdi_sink_kind kind, const asgd_kern *k,
                            const asgdi_params *p, const asgd_view *views, float *const *local,
                            uint32_t features, uint32_t n, uint64_t nonzeros, bool dense_input)
{
    *s           = (asgd_sink){.kind       = kind,
                               .k          = k,
                               .p          = p,
                               .views      = views,
                               .local      = local,
                               .rule       = {.kind = p->rule},
                               .max_n      = n ? n : 1,
                               .far_floats = 2 * asgdi_core_cache() / sizeof(float)};
    uint32_t pad = 1, unpadded = 0;
    size_t   dense = 0;
    for (int t = 0; t < p->n_tables; t++) {
        const asgdi_table *x   = &p->table[t];
        const size_t       run = x->pad < DENSE_FLOATS ? DENSE_FLOATS / x->pad : 1;
        const size_t       m = x->info.rows < run ? (size_t)x->info.rows : run, floats = m * x->pad;
        if (x->pad > pad) pad = x->pad;
        if (x->pad != x->info.dim && x->pad > unpadded) unpadded = x->pad;
        if (floats > dense) dense = floats;
    }
    bool ok   = (size_t)s->max_n <= SIZE_MAX / sizeof(float) / pad;
    s->row    = asgdi_calloc(2 * (size_t)pad, sizeof(float));
    s->row2   = s->row ? s->row + pad : NULL;
    s->packed = ok ? asgdi_calloc((size_t)s->max_n * unpadded, sizeof(float)) : NULL;
    ok        = ok && s->row && s->packed;
    if (kind != ASGDI_DISCARD) {
        s->dense = asgdi_calloc(dense, sizeof(float));
        s->count = asgdi_calloc(RUN, sizeof(uint32_t));
        ok       = ok && s->dense && s->count;
        for (uint32_t i = 0; ok && i < RUN; i++) s->count[i] = i;
    }
    if (kind == ASGDI_ACCUMULATE)
        for (int t = 0; ok && t < p->n_tables; t++) ok = new_sums(s, t);
    asgd_status status = ok ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory for gradients");
    if (ok && kind != ASGDI_DISCARD && !dense_input)
        status = asgdi_columns_init(&s->columns, features, nonzeros);
    if (status != ASGD_OK) asgdi_sink_free(s);
    return status;
}

void asgdi_sink_free(asgd_sink *s)
{
    for (int t = 0; t < ASGD_MAX_TABLES; t++) {
        asgdi_free(s->grad[t]);
        asgdi_free(s->mark[t]);
        asgdi_free(s->touched[t]);
    }
    asgdi_columns_free(&s->columns);
    asgdi_free(s->row);
    asgdi_free(s->packed);
    asgdi_free(s->dense);
    asgdi_free(s->count);
    *s = (asgd_sink){0};
}
