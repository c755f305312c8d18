/* test_sink_factors.c -- emissions of factorization machines: scores against their definition, sums of
 * gradients against its differences, what is applied against those sums, penalties on what an example
 * touches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/status.h"
#include "rule/sink.h"

enum { ROWS = 60, OWN = 25, FIELDS = 5, MAX_N = 12, MAX_PAD = 48 };

static uint64_t draws;
static float    draw(void) /* [-1, 1) */
{
    return 2 * asgdi_uniform(asgdi_random(11, 0, draws++)) - 1;
}
static uint32_t draw_below(uint32_t n)
{
    return (uint32_t)(asgdi_random(11, 1, draws++) % n);
}

/* fm with dim factors, or, where cell is not 0, ffm with FIELDS cells. */
typedef struct machine {
    const char *name;
    uint32_t    dim, cell;
} machine;
static const machine machines[] = {
    {"fm", 5, 0}, {"fm", 8, 0}, {"fm", 19, 0}, {"ffm", FIELDS * 4, 4}, {"ffm", FIELDS * 8, 8}};
enum { MACHINES = sizeof machines / sizeof machines[0] };

typedef struct world {
    machine       m;
    asgdi_params  p;
    asgdi_private w;
    asgd_view     views[2];
    asgd_sink     s;
    float         sum[(FIELDS + 1) * MAX_PAD];
    asgdk_ffm    *ffm;
} world;

typedef struct example {
    uint32_t n, idx[MAX_N];
    uint16_t field[MAX_N];
    float    val[MAX_N], xs;
    bool     values;
} example;

/* Two workers' worlds with the same draws have the same rows. */
static world *open_world(machine m, const asgd_kern *k, asgd_rule rule, asgdi_sink_kind kind)
{
    const asgd_table tables[2] = {{.name = "other", .rows = 3, .dim = 1},
                                  {.name = "factors", .rows = ROWS, .dim = m.dim}};
    const uint64_t   own[2]    = {3, OWN};
    world           *o         = asgdi_calloc(1, sizeof *o);
    assert_non_null(o);
    o->m = m;
    assert_int_equal(asgdi_rule_defaults(&rule), ASGD_OK);
    assert_int_equal(asgdi_params_init(&o->p, tables, 2, 5), ASGD_OK);
    for (uint64_t r = 0; r < ROWS; r++)
        for (uint32_t c = 0; c < m.dim; c++)
            o->p.table[1].master[r * o->p.table[1].stride + c] =
                asgdi_normal(asgdi_random(3, r, c));
    assert_int_equal(asgdi_params_set_rule(&o->p, rule.kind), ASGD_OK);
    asgdi_rule_start(&rule, 0.25, &o->p);
    assert_int_equal(asgdi_private_init(&o->w, &o->p, own), ASGD_OK);
    asgdi_private_views(&o->w, &o->p, o->views);
    assert_int_equal(
        asgdi_sink_init(&o->s, kind, k, &o->p, o->views, o->w.local, ROWS, 1, MAX_N, false),
        ASGD_OK);
    o->s.rule = rule;
    asgdi_rule_step(&rule, 0.25, 1, &o->s.step);
    const uint32_t pad = o->p.table[1].pad;
    assert_true(pad <= MAX_PAD);
    if (m.cell) {
        void *memory = asgdi_calloc(1, asgdk_ffm_bytes(FIELDS, m.cell));
        assert_non_null(memory);
        o->ffm = asgdk_ffm_lay_out(memory, FIELDS, m.cell);
    }
    return o;
}

static void close_world(world *o)
{
    asgdi_sink_free(&o->s);
    asgdi_private_free(&o->w);
    asgdi_params_free(&o->p);
    asgdi_free(o->ffm);
    asgdi_free(o);
}

static float *row(const world *o, uint64_t r)
{
    const asgd_view *v = &o->views[1];
    return (r < v->n_own ? v->own : v->shared) + r * v->stride;
}

/* crowded: a field may have several entries. */
static example make_example(bool crowded)
{
    example  x    = {.xs = draw_below(2) ? 1 : 0.5f, .values = draw_below(2)};
    uint32_t free = FIELDS, fields[FIELDS], last = 0;
    for (uint32_t f = 0; f < FIELDS; f++) fields[f] = f;
    x.n = crowded ? 3 + draw_below(MAX_N - 2) : draw_below(FIELDS + 1);
    for (uint32_t e = 0; e < x.n; e++) {
        const uint32_t at = draw_below(crowded ? FIELDS : free);
        x.idx[e] = last = last + (e > 0) + draw_below((ROWS - 1) / MAX_N - 1);
        x.field[e]      = (uint16_t)fields[at];
        x.val[e]        = x.values ? 0.25f + draw() : 1;
        if (!crowded) fields[at] = fields[--free];
    }
    assert_true(last < ROWS);
    return x;
}

static double score(world *o, const example *x)
{
    const float *val = x->values ? x->val : NULL;
    return o->m.cell ? asgdi_ffm_score(&o->s, 1, o->ffm, x->n, x->idx, x->field, val, x->xs)
                     : asgdi_fm_score(&o->s, 1, x->n, x->idx, val, x->xs, o->sum);
}

static void emit(world *o, const example *x, float slope)
{
    const float *val = x->values ? x->val : NULL;
    score(o, x);
    if (o->m.cell)
        asgdi_emit_ffm(&o->s, 1, o->ffm, x->n, x->idx, x->field, val, x->xs, slope);
    else
        asgdi_emit_fm(&o->s, 1, x->n, x->idx, val, x->xs, slope, o->sum);
}

static bool has(const example *x, uint32_t r)
{
    for (uint32_t e = 0; e < x->n; e++)
        if (x->idx[e] == r) return true;
    return false;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 2e-5 * (1 + fabs(b));
}

/* ---- sums of gradients ---- */

/* By the definition, all pairs of entries (Rendle 2010; Juan et al. 2016), in double precision. */
static double exact_score(const world *o, const example *x)
{
    const uint32_t cell = o->m.cell;
    double         sum  = 0;
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t j = 0; j < i; j++) {
            const float *v       = row(o, x->idx[i]) + x->field[j] * cell;
            const float *w       = row(o, x->idx[j]) + x->field[i] * cell;
            double       product = 0;
            for (uint32_t c = 0; c < (cell ? cell : o->m.dim); c++)
                product += (double)v[c] * (double)w[c];
            sum += product * (double)x->val[i] * (double)x->val[j];
        }
    return sum * (double)x->xs * (double)x->xs;
}

/* The score is linear in each single parameter: a difference is the derivative, however long it is. */
static double slope_of(const world *o, const example *x, float *w)
{
    const float was = *w;
    *w              = was + 1;
    const double up = exact_score(o, x), to = *w;
    *w                = was - 1;
    const double down = exact_score(o, x), from = *w;
    *w = was;
    return (up - down) / (to - from);
}

static void check_sums(machine m, const asgd_kern *k, bool crowded)
{
    world        *o    = open_world(m, k, (asgd_rule){.kind = ASGD_RULE_sgd}, ASGDI_ACCUMULATE);
    const example x[2] = {make_example(crowded), make_example(!crowded)};
    emit(o, &x[0], 0.5f);
    emit(o, &x[1], -2);
    /* A float's score of fm is the difference of sums of squares, of some hundreds here. */
    for (int i = 0; i < 2; i++) assert_true(fabs(score(o, &x[i]) - exact_score(o, &x[i])) < 2e-4);
    uint32_t touched = 0;
    for (uint32_t r = 0; r < ROWS; r++) {
        const float *g = o->s.grad[1] + (size_t)r * o->p.table[1].pad;
        touched += has(&x[0], r) || has(&x[1], r);
        for (uint32_t c = 0; c < m.dim; c++) {
            const double want =
                0.5 * slope_of(o, &x[0], row(o, r) + c) - 2 * slope_of(o, &x[1], row(o, r) + c);
            if (!near(g[c], want))
                fail_msg("%s %u, %s: row %u column %u: %g, not %g", m.name, m.dim, k->name, r, c,
                         (double)g[c], want);
        }
        for (uint32_t c = m.dim; c < o->p.table[1].pad; c++) assert_true(g[c] == 0);
    }
    assert_int_equal(o->s.n_touched[1], touched);
    assert_int_equal(o->s.n_touched[0], 0);
    close_world(o);
}

static void test_sums_are_derivatives(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < MACHINES; i++)
            for (int round = 0; round < 20; round++)
                check_sums(machines[i], asgdk_variant(v), round % 2);
}

/* ---- what is applied ---- */

/* By sgd a row moves by -lr times the gradient that is summed elsewhere; others stay. */
static void test_sgd_moves_by_the_sum(void **state)
{
    (void)state;
    const asgd_rule sgd = {.kind = ASGD_RULE_sgd};
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < MACHINES; i++)
            for (int round = 0; round < 20; round++) {
                const asgd_kern *k = asgdk_variant(v);
                world           *a = open_world(machines[i], k, sgd, ASGDI_APPLY),
                      *b           = open_world(machines[i], k, sgd, ASGDI_ACCUMULATE);
                const example x    = make_example(round % 2);
                emit(a, &x, 0.5f);
                emit(b, &x, 0.5f);
                for (uint32_t r = 0; r < ROWS; r++)
                    for (uint32_t c = 0; c < a->p.table[1].stride; c++) {
                        const float g = b->s.grad[1][(size_t)r * b->p.table[1].pad + c];
                        if (!near(row(a, r)[c], (double)row(b, r)[c] - 0.25 * (double)g))
                            fail_msg("%s %u, %s: row %u column %u", machines[i].name,
                                     machines[i].dim, k->name, r, c);
                        if (!has(&x, r)) assert_true(row(a, r)[c] == row(b, r)[c]);
                    }
                close_world(a);
                close_world(b);
            }
}

/* A sum that is flushed is what would have been applied, whatever the rule, the slots and the penalties;
 * an example that has all fields, for ffm. */
static void check_flush(machine m, const asgd_kern *k, asgd_rule rule)
{
    world  *a = open_world(m, k, rule, ASGDI_APPLY), *b = open_world(m, k, rule, ASGDI_ACCUMULATE);
    example x = make_example(true);
    for (uint32_t e = 0; e < x.n && e < FIELDS; e++) x.field[e] = (uint16_t)e;
    if (x.n < FIELDS) x.n = 0;
    for (uint64_t t = 1; t <= 3; t++) {
        asgdi_rule_step(&a->s.rule, 0.25, t, &a->s.step);
        b->s.step = a->s.step;
        emit(a, &x, 0.5f);
        emit(b, &x, 0.25f);
        emit(b, &x, 0.25f);
        asgdi_sink_flush(&b->s, 1);
        assert_int_equal(b->s.n_touched[1], 0);
    }
    /* three long steps; where applied at once, roots are estimates of 12 bits */
    const bool         rough = rule.kind == ASGD_RULE_adagrad || rule.kind == ASGD_RULE_rmsprop;
    const asgdi_table *t     = &a->p.table[1];
    for (uint32_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < t->stride; c++)
            if (fabs((double)row(a, r)[c] - (double)row(b, r)[c]) >
                2e-5 * (1 + fabs((double)row(b, r)[c])) + (rough ? 2e-3 : 0))
                fail_msg("%s %u, %s, %s: row %u at %zu: %g, not %g", m.name, m.dim, k->name,
                         asgd_rule_name(rule.kind), r, c, (double)row(a, r)[c],
                         (double)row(b, r)[c]);
        for (size_t c = 0; a->p.slots.local && c < t->pad; c++)
            assert_true(near(a->w.local[1][r * t->pad + c], b->w.local[1][r * t->pad + c]));
    }
    close_world(a);
    close_world(b);
}

/* eps is large: where entries cancel, rules would else make steps of what rounding leaves. */
static void test_flushed_is_applied(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < MACHINES; i++)
            for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
                for (int how = 0; how < 8; how++) {
                    const bool eps = kind == ASGD_RULE_adagrad || kind == ASGD_RULE_rmsprop ||
                                     kind == ASGD_RULE_adam;
                    check_flush(machines[i], asgdk_variant(v),
                                (asgd_rule){.kind = kind,
                                            .eps  = eps ? 0.01f : 0,
                                            .l1   = how & 1 ? 0.125f : 0,
                                            .l2   = how & 2 ? 0.25f : 0});
                }
}

/* ---- penalties ---- */

/* Also where the gradient is zero, a row that the example has shrinks; of ffm the cells towards the
 * fields it has, and what else lies in the same 8 floats. */
static void test_penalties(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++)
        for (int i = 0; i < MACHINES; i++) {
            const machine  m    = machines[i];
            const example  x    = {3, {2, 30, 59}, {1, 4, 1}, {1, 2, 3}, 1, true};
            world         *o    = open_world(m, asgdk_variant(v),
                                             (asgd_rule){.kind = ASGD_RULE_sgd, .l2 = 0.5f}, ASGDI_APPLY);
            const uint32_t unit = m.cell < 8 ? 8 : m.cell;
            emit(o, &x, 0);
            for (uint32_t r = 0; r < ROWS; r++)
                for (uint32_t c = 0; c < m.dim; c++) {
                    const float was  = asgdi_normal(asgdi_random(3, r, c));
                    const bool  mine = has(&x, r) && (!m.cell || c / unit == 1 * m.cell / unit ||
                                                     c / unit == 4 * m.cell / unit);
                    if (fabsf(row(o, r)[c] - (mine ? 0.875f : 1) * was) > 1e-6f)
                        fail_msg("%s %u: row %u column %u: %g from %g", m.name, m.dim, r, c,
                                 (double)row(o, r)[c], (double)was);
                }
            close_world(o);
        }
}

/* ---- nothing ---- */

static void test_discard(void **state)
{
    (void)state;
    for (int i = 0; i < MACHINES; i++) {
        const asgd_rule sgd = {.kind = ASGD_RULE_sgd, .l2 = 0.5f};
        world          *o   = open_world(machines[i], asgdk_best(), sgd, ASGDI_DISCARD);
        const example   x   = make_example(true);
        emit(o, &x, 1);
        for (uint32_t r = 0; r < ROWS; r++)
            for (uint32_t c = 0; c < machines[i].dim; c++)
                assert_true(row(o, r)[c] == asgdi_normal(asgdi_random(3, r, c)));
        close_world(o);
    }
}

/* Of a table beyond the caches rows are asked for; nothing changes. */
static void test_prefetch(void **state)
{
    (void)state;
    const asgd_table table = {.name = "t", .rows = 40000, .dim = 4};
    const uint32_t   idx[] = {0, 7, 39999};
    asgdi_params     p;
    asgd_sink        s;
    assert_int_equal(asgdi_params_init(&p, &table, 1, 0), ASGD_OK);
    const asgd_view view = {p.table[0].master, p.table[0].master, 20000, p.table[0].stride};
    assert_int_equal(
        asgdi_sink_init(&s, ASGDI_DISCARD, asgdk_best(), &p, &view, NULL, 40000, 1, 3, false),
        ASGD_OK);
    for (uint32_t n = 0; n <= 3; n++) asgdi_prefetch(&s, 0, n, idx);
    for (size_t i = 0; i < 40000 * p.table[0].stride; i++) assert_true(p.table[0].master[i] == 0);
    asgdi_sink_free(&s);
    asgdi_params_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_derivatives),
        cmocka_unit_test(test_sgd_moves_by_the_sum),
        cmocka_unit_test(test_flushed_is_applied),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_prefetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
