/* Every rule, emitted in every way, against a reference in double precision written from the
 * papers; sums of gradients against what they sum; by the reference kernels and by the fastest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/status.h"
#include "rule/sink.h"

enum { ROWS = 264, N = 5, MAX_DIM = 36, FEATURES = ROWS };

static uint64_t draws;
/* Sixteenths in [-1, 1]: sums of products are exact, and no rule blows up what rounding left of a
 * gradient that should be 0. */
static float draw(void)
{
    return (float)((int)(asgdi_random(7, 1, draws++) % 33) - 16) / 16;
}
static uint32_t draw_below(uint32_t n)
{
    return (uint32_t)(asgdi_random(7, 2, draws++) % n);
}

/* ---- the reference: rows of doubles, [w][a][b][local] ---- */

typedef struct ref {
    double w[ROWS][MAX_DIM], a[ROWS][MAX_DIM], b[ROWS][MAX_DIM], l[ROWS][MAX_DIM];
    double grad[ROWS][MAX_DIM];
    bool   touched[ROWS];
} ref;

static double soft(double x, double by)
{
    return x > by ? x - by : x < -by ? x + by : 0;
}

static void ref_one(const asgd_rule *r, const asgdk_step *p, double g, double *w, double *a,
                    double *b, double *l)
{
    double step = p->lr, direction;
    if (r->kind == ASGD_RULE_ftrl) {
        double sigma = (sqrt(*b + g * g) - sqrt(*b)) / p->lr;
        *a += g - sigma * *w;
        *b += g * g;
        *w = -soft(*a, p->l1) / ((p->beta2 + sqrt(*b)) / p->lr + p->l2);
        return;
    }
    g += p->l2 * *w;
    direction = g;
    switch (r->kind) {
    case ASGD_RULE_momentum:
        *l        = p->beta1 * *l + g;
        direction = p->beta1 * *l + g;
        break;
    case ASGD_RULE_adagrad:
        *a += g * g;
        step /= sqrt(*a + p->eps);
        break;
    case ASGD_RULE_rmsprop:
        *a = p->beta1 * *a + (1 - p->beta1) * g * g;
        step /= sqrt(*a + p->eps);
        break;
    case ASGD_RULE_adam:
        *l        = p->beta1 * *l + (1 - p->beta1) * g;
        *a        = p->beta2 * *a + (1 - p->beta2) * g * g;
        direction = *l * p->correct1;
        step /= sqrt(*a * p->correct2) + p->eps;
        break;
    default: break;
    }
    *w = soft(*w - step * direction, step * p->l1);
}

static void ref_apply(ref *f, const asgd_rule *r, const asgdk_step *p, uint32_t dim)
{
    for (int i = 0; i < ROWS; i++) {
        for (uint32_t c = 0; f->touched[i] && c < dim; c++)
            ref_one(r, p, f->grad[i][c], &f->w[i][c], &f->a[i][c], &f->b[i][c], &f->l[i][c]);
        f->touched[i] = false;
        memset(f->grad[i], 0, sizeof f->grad[i]);
    }
}

/* ---- one world: tables, a worker, a batch ---- */

typedef struct world {
    asgdi_params  p;
    asgdi_private w;
    asgd_view     views[2];
    asgd_sink     s;
    ref           f;
    uint32_t      dim;
    asgd_batch    x;
    float         dense[N * FEATURES], val[N * 40], v[N * 128];
    uint64_t      begin[N];
    uint32_t      len[N], idx[N * 40];
    size_t        ldv;
} world;

static world *W;

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Increasing, distinct; half of them from a few hot ones, so that examples share rows. */
static uint32_t draw_indices(uint32_t *to)
{
    uint32_t n = 0;
    for (int i = 0; i < 30; i++) to[n++] = i & 1 ? draw_below(FEATURES) : draw_below(12);
    qsort(to, n, sizeof *to, by_number);
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++)
        if (m == 0 || to[m - 1] != to[i]) to[m++] = to[i];
    return m;
}

static void new_batch(world *o, uint32_t n, bool dense, bool values, size_t ldv)
{
    uint32_t at = 0;
    o->x        = (asgd_batch){.n = n, .features = FEATURES};
    for (uint32_t i = 0; i < n && dense; i++)
        for (uint32_t f = 0; f < FEATURES; f++) o->dense[i * FEATURES + f] = draw();
    for (uint32_t i = 0; i < n && !dense; i++) {
        o->begin[i] = at;
        o->len[i]   = draw_indices(o->idx + at);
        at += o->len[i];
    }
    for (uint32_t e = 0; e < at; e++) o->val[e] = draw();
    if (dense) {
        o->x.dense = o->dense;
    } else {
        o->x.begin = o->begin;
        o->x.len   = o->len;
        o->x.idx   = o->idx;
        o->x.val   = values ? o->val : NULL;
    }
    o->ldv = ldv;
    memset(o->v, 0, sizeof o->v);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t c = 0; c < o->dim; c++) o->v[i * ldv + c] = draw();
}

static void open_world(world *o, const asgd_kern *k, asgd_rule rule, uint32_t dim, uint32_t flags,
                       uint64_t own, asgdi_sink_kind kind, bool dense_input)
{
    const asgd_table tables[2] = {
        {.name = "other", .rows = 3, .dim = 20},
        {.name  = "t",
         .rows  = ROWS,
         .dim   = dim,
         .flags = flags,
         .init  = rule.kind == ASGD_RULE_ftrl ? ASGD_INIT_ZERO : ASGD_INIT_UNIFORM,
         .scale = 0.5f}};
    const uint64_t n_own[2] = {3, own};
    memset(o, 0, sizeof *o);
    o->dim = dim;
    assert_int_equal(asgdi_params_init(&o->p, tables, 2, 5), ASGD_OK);
    assert_int_equal(asgdi_params_set_rule(&o->p, rule.kind), ASGD_OK);
    assert_int_equal(asgdi_private_init(&o->w, &o->p, n_own), ASGD_OK);
    asgdi_private_views(&o->w, &o->p, o->views);
    assert_int_equal(asgdi_sink_init(&o->s, kind, k, &o->p, o->views, o->w.local, FEATURES, N,
                                     N * 30, dense_input),
                     ASGD_OK);
    assert_int_equal(asgdi_rule_defaults(&rule), ASGD_OK);
    o->s.rule = rule;
    for (uint64_t r = 0; r < ROWS; r++)
        for (uint32_t c = 0; c < dim; c++) o->f.w[r][c] = asgd_row(&o->views[1], r)[c];
}

static void close_world(world *o)
{
    asgdi_sink_free(&o->s);
    asgdi_private_free(&o->w);
    asgdi_params_free(&o->p);
}

static asgdk_step step_of(const world *o, uint64_t t)
{
    asgdk_step step;
    asgdi_rule_step(&o->s.rule, 0.05, t, &step);
    return step;
}

static void ref_step(world *o, asgdk_step step)
{
    if (o->p.table[1].info.flags & ASGD_TABLE_NO_DECAY) step.l1 = step.l2 = 0;
    ref_apply(&o->f, &o->s.rule, &step, o->dim);
}

static void add_outer(world *o, double scale)
{
    for (uint32_t i = 0; i < o->x.n; i++) {
        const uint32_t n = o->x.dense ? FEATURES : o->len[i];
        for (uint32_t j = 0; j < n; j++) {
            const uint32_t r = o->x.dense ? j : o->idx[o->begin[i] + j];
            const double   x = o->x.dense ? o->dense[i * FEATURES + j]
                               : o->x.val ? o->val[o->begin[i] + j]
                                          : 1;
            o->f.touched[r]  = true;
            for (uint32_t c = 0; c < o->dim; c++)
                o->f.grad[r][c] += scale * x * o->v[i * o->ldv + c];
        }
    }
}

static void check(const world *o, const char *what)
{
    const asgdi_table *t = &o->p.table[1];
    for (uint64_t r = 0; r < ROWS; r++) {
        const float *row = asgd_row(&o->views[1], r);
        for (uint32_t c = 0; c < o->dim; c++) {
            const double d = fabs(row[c] - o->f.w[r][c]);
            if (!(d <= 2e-5 * (1 + fabs(o->f.w[r][c]))))
                fail_msg("%s: %s, %s, dim %u, n %u, own %lu, row %lu column %u: %.8g, not %.8g",
                         what, o->s.k->name, asgd_rule_name(o->s.rule.kind), o->dim, o->x.n,
                         (unsigned long)o->views[1].n_own, (unsigned long)r, c, (double)row[c],
                         o->f.w[r][c]);
        }
        for (size_t c = 0; c < t->stride; c++)
            if (c % t->pad >= o->dim && row[c] != 0)
                fail_msg("%s: padding of row %lu is %g", what, (unsigned long)r, (double)row[c]);
    }
    /* the other table is nobody's business */
    for (uint64_t r = 0; r < 3; r++)
        for (uint32_t c = 0; c < 20; c++) assert_true(asgd_row(&o->views[0], r)[c] == 0);
}

static size_t ld_of(uint32_t dim, int way)
{
    return way == 0 ? asgdk_pad(dim) : way == 1 ? dim : asgdk_pad(dim) + 8;
}

static const uint32_t dims[] = {1, 7, 8, MAX_DIM};
static const uint64_t owns[] = {0, 150, ROWS};

static const asgd_kern *kernels(int v)
{
    return v ? asgdk_best() : asgdk_variant(0);
}

/* ---- tests ---- */

static void run_outer(const asgd_kern *k, asgd_rule rule, uint32_t dim, uint64_t own, int i)
{
    const bool     dense = i & 1;
    const uint32_t n     = i & 2 ? N : 1;
    const uint32_t flags = i & 4 ? ASGD_TABLE_NO_DECAY : 0;
    for (int kind = ASGDI_APPLY; kind <= ASGDI_ACCUMULATE; kind++) {
        open_world(W, k, rule, dim, flags, own, (asgdi_sink_kind)kind, dense);
        for (uint64_t t = 1; t <= 3; t++) {
            W->s.step = step_of(W, t);
            new_batch(W, n, dense, t != 2, ld_of(dim, (int)t - 1));
            asgd_emit_outer(&W->s, 1, &W->x, 0.25f, W->v, W->ldv);
            add_outer(W, kind == ASGDI_APPLY ? 0.25 : 0.125);
            asgdi_sink_flush(&W->s, 0.5f);
            ref_step(W, W->s.step);
            check(W, kind == ASGDI_APPLY ? "outer" : "summed outer");
        }
        close_world(W);
    }
}

static void test_outer(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++)
        for (int kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
            for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
                for (size_t o = 0; o < sizeof owns / sizeof owns[0]; o++)
                    for (int i = 0; i < 8; i++) {
                        const bool penalties = (i & 4) || o == 1;
                        asgd_rule  rule      = {.kind = (asgd_rule_kind)kind,
                                                .l1   = penalties ? 0.01f : 0,
                                                .l2   = penalties ? 0.1f : 0};
                        run_outer(kernels(v), rule, dims[d], owns[o], i);
                    }
}

/* A dense layer of more rows than are worked on at a time. */
static void test_tall(void **state)
{
    (void)state;
    enum { TALL = 1500, WIDE = 100, PAD = 104, EXAMPLES = 3 };
    const asgd_table table = {.name = "t", .rows = TALL, .dim = WIDE};
    const uint64_t   none  = 0;
    asgdi_params     p;
    asgdi_private    w;
    asgd_view        view;
    asgd_sink        s;
    float           *x                 = test_calloc(EXAMPLES * TALL, sizeof *x);
    float            v[EXAMPLES * PAD] = {0};
    for (int i = 0; i < EXAMPLES * TALL; i++) x[i] = draw();
    for (int i = 0; i < EXAMPLES; i++)
        for (int c = 0; c < WIDE; c++) v[i * PAD + c] = draw();
    assert_int_equal(asgdi_params_init(&p, &table, 1, 1), ASGD_OK);
    assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_adagrad), ASGD_OK);
    assert_int_equal(asgdi_private_init(&w, &p, &none), ASGD_OK);
    asgdi_private_views(&w, &p, &view);
    assert_int_equal(
        asgdi_sink_init(&s, ASGDI_APPLY, asgdk_best(), &p, &view, w.local, TALL, EXAMPLES, 0, true),
        ASGD_OK);
    assert_int_equal(asgdi_rule_defaults(&s.rule), ASGD_OK);
    asgdi_rule_step(&s.rule, 0.5, 1, &s.step);
    const asgd_batch b = {.n = EXAMPLES, .features = TALL, .dense = x};
    asgd_emit_outer(&s, 0, &b, 1, v, PAD);
    for (int r = 0; r < TALL; r++) {
        for (int c = 0; c < WIDE; c++) {
            float g = 0;
            for (int i = 0; i < EXAMPLES; i++) g += x[i * TALL + r] * v[i * PAD + c];
            const float want = g > 0 ? -0.5f : g < 0 ? 0.5f : 0; /* adagrad's first step */
            if (fabsf(asgd_row(&view, (uint64_t)r)[c] - want) > 1e-5f)
                fail_msg("row %d column %d: %g, not %g", r, c,
                         (double)asgd_row(&view, (uint64_t)r)[c], (double)want);
        }
    }
    asgdi_sink_free(&s);
    asgdi_private_free(&w);
    asgdi_params_free(&p);
    test_free(x);
}

static void run_lists(const asgd_kern *k, asgd_rule rule, uint32_t dim, uint64_t own, int kind)
{
    float    g[ROWS * (MAX_DIM + 16)], coef[40];
    uint32_t idx[40];
    open_world(W, k, rule, dim, 0, own, (asgdi_sink_kind)kind, true);
    const double factor = kind == ASGDI_APPLY ? 1 : 0.5;
    for (uint64_t t = 1; t <= 3; t++) {
        W->s.step = step_of(W, t);
        /* rows that straddle the private ones; a table with dim 1 in more than one run */
        const size_t   ld    = ld_of(dim, (int)t - 1);
        const uint64_t first = t == 1 ? 0 : 20, n = ROWS - first;
        for (size_t i = 0; i < n * ld; i++) g[i] = draw(); /* what follows dim is not padding */
        asgd_emit_rows(&W->s, 1, first, n, 0.5f, g, ld);
        for (uint64_t r = 0; r < n; r++) {
            W->f.touched[first + r] = true;
            for (uint32_t c = 0; c < dim; c++)
                W->f.grad[first + r][c] += factor * 0.5 * g[r * ld + c];
        }
        asgdi_sink_flush(&W->s, 0.5f);
        ref_step(W, W->s.step);
        check(W, "rows");

        const uint32_t m = draw_indices(idx);
        float         *v = g; /* g[dim..] is not zero */
        for (uint32_t j = 0; j < m; j++) coef[j] = draw();
        asgd_emit_scattered(&W->s, 1, m, idx, t == 2 ? NULL : coef, 0.5f,
                            dim == 1 && t == 3 ? NULL : v);
        for (uint32_t j = 0; j < m; j++) {
            W->f.touched[idx[j]] = true;
            for (uint32_t c = 0; c < dim; c++)
                W->f.grad[idx[j]][c] +=
                    factor * 0.5 * (t == 2 ? 1 : coef[j]) * (dim == 1 && t == 3 ? 1 : v[c]);
        }
        asgdi_sink_flush(&W->s, 0.5f);
        ref_step(W, W->s.step);
        check(W, "scattered");
    }
    close_world(W);
}

static void test_lists(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++)
        for (int kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
            for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
                for (size_t o = 0; o < sizeof owns / sizeof owns[0]; o++)
                    for (int sink = ASGDI_APPLY; sink <= ASGDI_ACCUMULATE; sink++) {
                        asgd_rule rule = {.kind = (asgd_rule_kind)kind, .l1 = 0.01f, .l2 = 0.1f};
                        run_lists(kernels(v), rule, dims[d], owns[o], sink);
                    }
}

/* Two workers' sums, one taken by the other, are one sum; forgotten sums leave nothing. */
static void test_take(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        asgd_sink other;
        asgd_rule rule = {.kind = ASGD_RULE_adagrad, .l2 = 0.1f};
        open_world(W, asgdk_best(), rule, dims[d], 0, 0, ASGDI_ACCUMULATE, false);
        assert_int_equal(asgdi_sink_init(&other, ASGDI_ACCUMULATE, asgdk_best(), &W->p, W->views,
                                         W->w.local, FEATURES, N, N * 30, false),
                         ASGD_OK);
        W->s.step = step_of(W, 1);
        for (int round = 0; round < 3; round++) {
            new_batch(W, N, false, true, asgdk_pad(dims[d]));
            asgd_emit_outer(&W->s, 1, &W->x, 1, W->v, W->ldv);
            asgdi_sink_forget(&W->s);
            asgd_emit_outer(&W->s, 1, &W->x, 1, W->v, W->ldv);
            add_outer(W, 0.5);
            new_batch(W, N, round == 1, true, asgdk_pad(dims[d]));
            asgd_emit_outer(&other, 1, &W->x, 1, W->v, W->ldv);
            add_outer(W, 0.5);
            asgdi_sink_take(&W->s, &other);
            assert_int_equal(other.n_touched[1], 0);
            asgdi_sink_flush(&W->s, 0.5f);
            asgdi_sink_flush(&W->s, 0.5f); /* nothing is left */
            ref_step(W, W->s.step);
            check(W, "taken");
        }
        asgdi_sink_free(&other);
        close_world(W);
    }
}

/* A batch larger than what was reserved is slower, not wrong. */
static void test_overfull(void **state)
{
    (void)state;
    asgd_rule rule = {.kind = ASGD_RULE_sgd};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        open_world(W, asgdk_best(), rule, dims[d], 0, 0, ASGDI_APPLY, false);
        asgdi_sink_free(&W->s);
        assert_int_equal(asgdi_sink_init(&W->s, ASGDI_APPLY, asgdk_best(), &W->p, W->views,
                                         W->w.local, FEATURES, 2, 20, false),
                         ASGD_OK);
        W->s.step = step_of(W, 1);
        new_batch(W, N, false, true, dims[d]);
        asgd_emit_outer(&W->s, 1, &W->x, 1, W->v, W->ldv);
        add_outer(W, 1);
        ref_step(W, W->s.step);
        check(W, "overfull");
        close_world(W);
    }
}

static void run_forward(const asgd_kern *k, uint32_t dim, uint64_t own, int i)
{
    asgd_rule rule = {.kind = ASGD_RULE_adagrad};
    float     out[N * 128];
    double    want[N * 128];
    open_world(W, k, rule, dim, 0, own, ASGDI_DISCARD, i & 1);
    for (int way = 0; way < 3; way++) {
        const size_t ld = ld_of(dim, way);
        new_batch(W, i & 2 ? N : 1, i & 1, i & 4, ld);
        memset(out, 0, sizeof out);
        memset(want, 0, sizeof want);
        for (uint32_t e = 0; e < W->x.n; e++) {
            const uint32_t n = W->x.dense ? FEATURES : W->len[e];
            for (uint32_t c = 0; c < dim; c++) want[e * ld + c] = out[e * ld + c] = draw();
            for (uint32_t j = 0; j < n; j++) {
                const uint32_t r = W->x.dense ? j : W->idx[W->begin[e] + j];
                const double   x = W->x.dense ? W->dense[e * FEATURES + j]
                                   : W->x.val ? W->val[W->begin[e] + j]
                                              : 1;
                for (uint32_t c = 0; c < dim; c++)
                    want[e * ld + c] += x * asgd_row(&W->views[1], r)[c];
            }
        }
        asgd_forward(&W->s, 1, &W->x, out, ld);
        for (size_t c = 0; c < N * 128; c++)
            if (!(fabs(out[c] - want[c]) < 3e-5))
                fail_msg("%s, dim %u, own %lu, case %d, ld %zu: out %zu is %g, not %g", k->name,
                         dim, (unsigned long)own, i, ld, c, (double)out[c], want[c]);
    }
    if (dim == 1 && !W->x.dense) {
        double sum = 0;
        for (uint32_t j = 0; j < W->len[0]; j++)
            sum += (W->x.val ? W->val[j] : 1) * asgd_row(&W->views[1], W->idx[j])[0];
        assert_true(fabs(sum - asgd_dot_sparse(&W->s, 1, W->len[0], W->idx, W->x.val)) < 1e-5);
    }
    close_world(W);
}

static void test_forward(void **state)
{
    (void)state;
    for (int v = 0; v < 2; v++)
        for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
            for (size_t o = 0; o < sizeof owns / sizeof owns[0]; o++)
                for (int i = 0; i < 8; i++) run_forward(kernels(v), dims[d], owns[o], i);
}

/* Nothing is emitted: nothing changes, and no room is needed for it. */
static void test_discard(void **state)
{
    (void)state;
    const float    g[8]  = {1, 2, 3, 4, 5, 6, 7, 8};
    const uint32_t idx[] = {0, 3};
    asgd_rule      rule  = {.kind = ASGD_RULE_momentum};
    open_world(W, asgdk_best(), rule, 8, 0, 0, ASGDI_DISCARD, false);
    new_batch(W, N, false, true, 8);
    asgd_emit_outer(&W->s, 1, &W->x, 1, W->v, W->ldv);
    asgd_emit_rows(&W->s, 1, 0, 1, 1, g, 8);
    asgd_emit_scattered(&W->s, 1, 2, idx, NULL, 1, g);
    asgdi_sink_flush(&W->s, 1);
    check(W, "discard");
    close_world(W);
}

/* Emissions of nothing touch nothing: no penalty either. */
static void test_empty(void **state)
{
    (void)state;
    asgd_rule rule = {.kind = ASGD_RULE_adam, .l2 = 0.1f};
    for (int kind = ASGDI_APPLY; kind <= ASGDI_ACCUMULATE; kind++) {
        open_world(W, asgdk_best(), rule, 8, 0, ROWS, (asgdi_sink_kind)kind, false);
        W->s.step = step_of(W, 1);
        new_batch(W, N, false, true, 8);
        for (uint32_t i = 0; i < N; i++) W->len[i] = 0;
        asgd_emit_outer(&W->s, 1, &W->x, 1, W->v, 8);
        asgd_emit_rows(&W->s, 1, 5, 0, 1, W->v, 8);
        asgd_emit_scattered(&W->s, 1, 0, W->idx, NULL, 1, W->v);
        asgdi_sink_flush(&W->s, 1);
        check(W, "empty");
        close_world(W);
    }
}

int main(void)
{
    W = calloc(1, sizeof *W);
    if (!W) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outer),    cmocka_unit_test(test_tall),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_take),
        cmocka_unit_test(test_overfull), cmocka_unit_test(test_forward),
        cmocka_unit_test(test_discard),  cmocka_unit_test(test_empty),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(W);
    return failed;
}
