/* test_kern_factors.c -- the kernels of factorization machines, every variant, against double precision:
 * scores against sums over pairs, emissions against the rule's kernel on a gradient formed pair by pair.
 *
 * Factors and values are small fractions of powers of two where sums have to be exact; a missing or a
 * stale term is then far above what rounding leaves. */
#define _GNU_SOURCE /* mmap */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_N = 200, ROWS = 460, MAX_PAD = 136, MAX_ROW = 3 * 1024 };

static float sixteenth(void)
{
    return (float)((int)draw_below(33) - 16) / 16;
}

/* Rules here are those of asgdk_rule_of(). */
static asgdk_slots slots_of(uint32_t kind)
{
    return asgdk_rule_slots(kind == ASGDK_adagrad_quads ? ASGD_RULE_adagrad : (asgd_rule_kind)kind);
}

static uint32_t stride_of(uint32_t kind, uint32_t pad)
{
    return pad + slots_of(kind).merged * asgdk_slot_pad(kind, pad);
}

/* Which weight float c of a row is, or is a slot of. */
static uint32_t weight_of(uint32_t kind, uint32_t pad, size_t c)
{
    if (kind == ASGDK_adagrad_quads && c >= pad) return (uint32_t)(c - pad) * 4;
    return (uint32_t)c % pad;
}

/* w: sixteenths, zero between dim and pad; slots as rules leave them. */
static void fill_row(float *row, float *local, uint32_t dim, uint32_t pad, uint32_t kind)
{
    const asgdk_slots s = slots_of(kind);
    for (uint32_t c = 0; c < stride_of(kind, pad); c++)
        row[c] = weight_of(kind, pad, c) >= dim                      ? 0
                 : c < pad                                           ? sixteenth()
                 : kind == ASGD_RULE_ftrl && c >= pad && c < 2 * pad ? 4 * draw()
                                                                     : 0.1f + fabsf(draw());
    for (uint32_t c = 0; c < pad; c++) local[c] = c >= dim || !s.local ? 0 : draw();
}

/* n of the rows, increasing. */
static void draw_rows(uint32_t n, uint32_t rows, uint32_t *idx)
{
    for (uint32_t r = 0, m = 0; r < rows && m < n; r++)
        if (draw_below(rows - r) < n - m) idx[m++] = r;
}

static float quarter(void)
{
    return (float)(1 + draw_below(8)) / 4 * (draw_below(2) ? 1 : -1);
}

/* rough: what the processor's estimate of a reciprocal root, 12 bits of it, makes of a step of rmsprop. */
static bool close_to(double x, double want, double scale, bool rough)
{
    return fabs(x - want) <= 2e-5 * scale + (rough ? 6e-5 : 1e-30);
}

static bool has_rough_steps(uint32_t kind)
{
    return kind == ASGD_RULE_adagrad || kind == ASGD_RULE_rmsprop || kind == ASGDK_adagrad_quads;
}

/* The rows of two tables, and the local slots that go with them, after an emission. */
static void compare(const char *what, const table *t, const float *lt, const table *u,
                    const float *lu, bool rough)
{
    for (uint32_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->view.stride; c++) {
            const double x = table_row(t, r)[c], want = table_row(u, r)[c];
            CHECK(close_to(x, want, 1 + fabs(want), rough && c < t->pad),
                  "%s: row %u at %zu: %g, not %g", what, r, c, x, want);
        }
        for (uint32_t c = 0; c < t->pad; c++) {
            const double x = lt[r * t->pad + c], want = lu[r * t->pad + c];
            CHECK(close_to(x, want, 1 + fabs(want), false), "%s: row %u local %u", what, r, c);
        }
    }
}

/* ---- fm ---- */

typedef struct fm_case {
    table     t;
    float    *local; /* [rows][pad] */
    uint32_t  dim, n;
    uint32_t *idx;
    float    *val; /* or NULL */
    float     xs;
} fm_case;

static fm_case make_fm(asgd_rule_kind kind, uint32_t pad, uint32_t n, uint32_t n_own, bool values)
{
    fm_case x = {.t     = make_table(ROWS, n_own, pad, pad * (1 + asgdk_rule_slots(kind).merged)),
                 .local = floats((size_t)ROWS * pad),
                 .dim   = pad - draw_below(8),
                 .n     = n,
                 .idx   = array(n, sizeof *x.idx),
                 .val   = values ? floats(n) : NULL,
                 .xs    = draw_below(2) ? 1 : 0.375f};
    for (uint32_t r = 0; r < ROWS; r++)
        fill_row(table_row(&x.t, r), x.local + (size_t)r * pad, x.dim, pad, kind);
    draw_rows(n, ROWS, x.idx);
    for (uint32_t e = 0; values && e < n; e++) x.val[e] = quarter();
    return x;
}

static double fm_value(const fm_case *x, uint32_t e)
{
    return x->val ? x->val[e] : 1;
}

/* Sums without xs, which are exact, and the score; returns what the score's rounding is a part of. */
static double fm_model(const fm_case *x, double sum[MAX_PAD], double *score)
{
    double squares = 0, all = 0;
    for (uint32_t c = 0; c < x->t.pad; c++) {
        sum[c] = 0;
        for (uint32_t e = 0; e < x->n; e++) {
            const double v = fm_value(x, e) * (double)table_row(&x->t, x->idx[e])[c];
            sum[c] += v;
            squares += v * v;
        }
        all += sum[c] * sum[c];
    }
    *score = (double)x->xs * (double)x->xs * (all - squares) / 2;
    return all + squares;
}

static void check_fm_score(uint32_t pad, uint32_t n, uint32_t n_own, bool values)
{
    fm_case      x   = make_fm(ASGD_RULE_adagrad, pad, n, n_own, values);
    float       *sum = floats(pad);
    double       want, sums[MAX_PAD];
    const double scale = fm_model(&x, sums, &want);
    EACH_VARIANT(k)
    {
        const float s = k->fm_score(&x.t.view, pad, n, x.idx, x.val, x.xs, sum);
        CHECK(fabs(s - want) <= 1e-5 * scale, "%s fm pad %u n %u own %u: %g, not %g", k->name, pad,
              n, n_own, (double)s, want);
        for (uint32_t c = 0; c < pad; c++)
            CHECK((double)sum[c] == sums[c], "%s fm pad %u n %u sum %u: %g, not %g", k->name, pad,
                  n, c, (double)sum[c], sums[c]);
    }
    free_arrays();
}

static const uint32_t fm_pads[]  = {8, 16, 24, 32, 40, MAX_PAD};
static const uint32_t fm_sizes[] = {0, 1, 7, 39, MAX_N};
enum { FM_PADS = sizeof fm_pads / sizeof *fm_pads, FM_SIZES = sizeof fm_sizes / sizeof *fm_sizes };

static void test_fm_score(void **state)
{
    (void)state;
    static const uint32_t owns[] = {0, ROWS / 3, ROWS};
    for (int i = 0; i < FM_PADS; i++)
        for (int j = 0; j < FM_SIZES; j++)
            for (int how = 0; how < 6; how++)
                check_fm_score(fm_pads[i], fm_sizes[j], owns[how / 2], how % 2);
}

static void check_fm(const asgd_kern *k, asgd_rule_kind kind, uint32_t pad, uint32_t n,
                     uint32_t n_own, bool values, float slope)
{
    const asgdk_step p      = make_step((int)draw_below(4), 3);
    const bool       locals = asgdk_rule_slots(kind).local > 0;
    fm_case          x      = make_fm(kind, pad, n, n_own, values);
    table            u      = copy_table(&x.t);
    float           *lu = copy(x.local, (size_t)ROWS * pad), *sum = floats(pad), *g = floats(pad);
    double           score, sums[MAX_PAD];
    char             what[100];
    fm_model(&x, sums, &score);
    k->fm_score(&x.t.view, pad, n, x.idx, x.val, x.xs, sum);
    k->fm[kind](&x.t.view, locals ? x.local : NULL, pad, pad, n, x.idx, x.val, x.xs, slope, sum,
                &p);
    for (uint32_t e = 0; e < n; e++) {
        const uint32_t r = x.idx[e];
        float         *w = table_row(&u, r);
        const double   v = (double)x.xs * fm_value(&x, e);
        for (uint32_t c = 0; c < pad; c++)
            g[c] = (float)(v * ((double)x.xs * sums[c] - v * (double)w[c]));
        k->rule[kind](w, locals ? lu + (size_t)r * pad : NULL, g, pad, slope, &p);
    }
    snprintf(what, sizeof what, "%s fm rule %d pad %u n %u own %u", k->name, (int)kind, pad, n,
             n_own);
    compare(what, &x.t, x.local, &u, lu, has_rough_steps(kind));
    for (uint32_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < x.t.view.stride; c++)
            CHECK(c % pad < x.dim || table_row(&x.t, r)[c] == 0, "%s: padding", what);
    free_arrays();
}

static void test_fm(void **state)
{
    (void)state;
    static const uint32_t owns[]   = {0, ROWS / 2, ROWS};
    static const float    slopes[] = {0.5f, -0.03125f, 0};
    int                   how      = 0;
    EACH_VARIANT(k)
    {
        assert_null(k->fm[ASGD_RULE_DEFAULT]);
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
            for (int i = 0; i < FM_PADS; i++)
                for (int j = 0; j < FM_SIZES; j++, how++)
                    for (int values = 0; values < 2; values++)
                        check_fm(k, kind, fm_pads[i], fm_sizes[j], owns[how % 3], values,
                                 slopes[how / 3 % 3]);
    }
}

/* ---- ffm ---- */

enum { FFM_ROWS = 120, FFM_MAX_N = 70 };

typedef struct ffm_case {
    table      t;
    float     *local; /* [rows][pad] */
    uint32_t   fields, cell, dim;
    asgdk_ffm *state; /* lives from example to example, as a worker's does */
    /* the example */
    uint32_t n, idx[FFM_MAX_N];
    uint16_t field[FFM_MAX_N];
    float    val[FFM_MAX_N], xs;
    bool     values;
} ffm_case;

static void *zeros(size_t n, size_t size)
{
    void *x = array(n, size);
    memset(x, 0, n * size);
    return x;
}

static void open_ffm(ffm_case *x, uint32_t kind, uint32_t fields, uint32_t cell, uint32_t n_own)
{
    const uint32_t pad = asgdk_pad(fields * cell);
    *x                 = (ffm_case){
                        .t      = make_table(FFM_ROWS, n_own, pad, stride_of(kind, pad)),
                        .local  = floats((size_t)FFM_ROWS * pad),
                        .fields = fields,
                        .cell   = cell,
                        .dim    = fields * cell,
    };
    x->state = asgdk_ffm_lay_out(zeros(1, asgdk_ffm_bytes(fields, cell)), fields, cell);
    for (uint32_t r = 0; r < FFM_ROWS; r++)
        fill_row(table_row(&x->t, r), x->local + (size_t)r * pad, x->dim, pad, kind);
}

/* Each field there or not, and rarely more than once; entries in no order of fields. */
static void next_example(ffm_case *x)
{
    const uint32_t often = draw_below(5), many = draw_below(3);
    x->n = 0;
    for (uint32_t f = 0; f < x->fields; f++) {
        uint32_t times = draw_below(4) < often ? 1 : 0;
        if (times && many == 0 && draw_below(4) == 0) times += 1 + draw_below(2);
        for (; times && x->n < FFM_MAX_N; times--) x->field[x->n++] = (uint16_t)f;
    }
    for (uint32_t e = x->n; e > 1; e--) {
        const uint32_t other = draw_below(e);
        const uint16_t f     = x->field[e - 1];
        x->field[e - 1]      = x->field[other];
        x->field[other]      = f;
    }
    draw_rows(x->n, FFM_ROWS, x->idx);
    x->values = draw_below(2);
    x->xs     = draw_below(2) ? 1 : 0.375f;
    for (uint32_t e = 0; e < x->n; e++) x->val[e] = x->values ? quarter() : 1;
}

static float *ffm_cell(const ffm_case *x, const table *t, uint32_t entry, uint32_t towards)
{
    return table_row(t, x->idx[entry]) + towards * x->cell;
}

/* Pair by pair.  *scale: what rounding is a part of, the terms without their signs; an entry with itself,
 * too, for kernels may add that and take it away again. */
static double ffm_model(const ffm_case *x, double *scale)
{
    double sum = *scale = 0;
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t j = i; j < x->n; j++) {
            const float *v = ffm_cell(x, &x->t, i, x->field[j]),
                        *w = ffm_cell(x, &x->t, j, x->field[i]);
            for (uint32_t c = 0; c < x->cell; c++) {
                const double term =
                    (double)(x->xs * x->xs * x->val[i] * x->val[j]) * ((double)v[c] * (double)w[c]);
                if (i != j) sum += term;
                *scale += fabs(term);
            }
        }
    return sum;
}

static void check_ffm_score(const asgd_kern *k, ffm_case *x)
{
    double       scale, want = ffm_model(x, &scale);
    const double s = k->ffm_score(&x->t.view, x->state, x->n, x->idx, x->field,
                                  x->values ? x->val : NULL, x->xs);
    CHECK(fabs(s - want) <= 3e-6 * scale, "%s ffm %u fields of %u, n %u, own %u: %g, not %g",
          k->name, x->fields, x->cell, x->n, (unsigned)x->t.view.n_own, s, want);
}

/* d score / d row of an entry. */
static void ffm_gradient(const ffm_case *x, const table *before, uint32_t j, float *g)
{
    double sum[MAX_ROW] = {0};
    for (uint32_t i = 0; i < x->n; i++) {
        const float *v = ffm_cell(x, before, i, x->field[j]);
        for (uint32_t c = 0; i != j && c < x->cell; c++)
            sum[x->field[i] * x->cell + c] +=
                (double)(x->xs * x->xs * x->val[i] * x->val[j]) * (double)v[c];
    }
    for (uint32_t c = 0; c < x->t.pad; c++) g[c] = (float)sum[c];
}

/* The floats of a row that an example changes: the cells of its fields, in units of 8. */
static bool ffm_concerns(const ffm_case *x, uint32_t c)
{
    for (uint32_t e = 0; e < x->n; e++) {
        const uint32_t from = x->field[e] * x->cell / 8, to = (x->field[e] + 1u) * x->cell - 1;
        if (c / 8 >= from && c / 8 <= to / 8) return true;
    }
    return false;
}

static void ffm_change(const asgd_kern *k, uint32_t kind, const ffm_case *x, const table *was,
                       const table *u, float *lu, float slope, const asgdk_step *p)
{
    float g[MAX_ROW], row[3 * MAX_ROW], local[MAX_ROW];
    for (uint32_t e = 0; e < x->n; e++) {
        const uint32_t r  = x->idx[e];
        float         *to = table_row(u, r), *l = lu + (size_t)r * x->t.pad;
        memcpy(row, to, u->view.stride * sizeof *row);
        memcpy(local, l, x->t.pad * sizeof *local);
        ffm_gradient(x, was, e, g);
        k->rule[kind](row, slots_of(kind).local ? local : NULL, g, x->t.pad, slope, p);
        for (size_t c = 0; c < u->view.stride; c++)
            if (ffm_concerns(x, weight_of(kind, x->t.pad, c))) to[c] = row[c];
        for (uint32_t c = 0; c < x->t.pad; c++)
            if (ffm_concerns(x, c)) l[c] = local[c];
    }
}

static void check_ffm(const asgd_kern *k, uint32_t kind, ffm_case *x, float slope)
{
    const int        kept = n_blocks;
    const asgdk_step p    = make_step((int)draw_below(4), 3);
    const uint32_t   pad  = x->t.pad;
    table            was = copy_table(&x->t), u = copy_table(&x->t);
    float           *lu = copy(x->local, (size_t)FFM_ROWS * pad);
    char             what[100];
    check_ffm_score(k, x);
    k->ffm[kind](&x->t.view, slots_of(kind).local ? x->local : NULL, pad, x->state, x->n, x->idx,
                 x->field, x->values ? x->val : NULL, x->xs, slope, &p);
    ffm_change(k, kind, x, &was, &u, lu, slope, &p);
    snprintf(what, sizeof what, "%s ffm rule %d, %u fields of %u, n %u", k->name, (int)kind,
             x->fields, x->cell, x->n);
    compare(what, &x->t, x->local, &u, lu, has_rough_steps(kind));
    for (uint32_t r = 0; r < FFM_ROWS; r++)
        for (size_t c = 0; c < x->t.view.stride; c++)
            CHECK(weight_of(kind, pad, c) < x->dim || table_row(&x->t, r)[c] == 0, "%s: padding",
                  what);
    free_arrays_beyond(kept);
}

/* Examples one after another, as a worker has them: what one leaves in the state must not show in the
 * next, whatever fields it lacks. */
static void run_ffm(const asgd_kern *k, uint32_t kind, uint32_t fields, uint32_t cell,
                    uint32_t n_own, int scores, int changes)
{
    ffm_case x;
    open_ffm(&x, kind, fields, cell, n_own);
    for (int i = 0; i < scores; i++) {
        next_example(&x);
        check_ffm_score(k, &x);
    }
    for (int i = 0; i < changes; i++) {
        next_example(&x);
        check_ffm(k, kind, &x, i % 3 == 2 ? 0 : draw());
    }
    free_arrays();
}

static void test_ffm(void **state)
{
    (void)state;
    static const uint32_t cells[] = {4, 8, 16};
    static const uint32_t owns[]  = {0, FFM_ROWS / 2, FFM_ROWS};
    int                   how     = 0;
    EACH_VARIANT(k)
    {
        assert_null(k->ffm[ASGD_RULE_DEFAULT]);
        for (uint32_t fields = 1; fields <= 45; fields++)
            for (int i = 0; i < 3; i++, how++) {
                const uint32_t kind = ASGD_RULE_sgd + (uint32_t)how % (ASGDK_RULES - ASGD_RULE_sgd);
                run_ffm(k, kind, fields, cells[i], owns[how / 7 % 3], 12, 3);
                run_ffm(k, ASGDK_adagrad_quads, fields, cells[i], owns[how / 7 % 3], 1, 3);
            }
        run_ffm(k, ASGD_RULE_adagrad, 5, 24, 60, 20, 5);
        run_ffm(k, ASGD_RULE_ftrl, 7, ASGDK_CELL_MAX, 60, 20, 5);
        for (uint32_t kind = ASGD_RULE_sgd; kind < ASGDK_RULES; kind++)
            run_ffm(k, kind, 9, 4, 60, 20, 20);
    }
}

/* ---- both ---- */

/* What is not a number comes through, and only where it belongs to the example. */
static void test_not_finite(void **state)
{
    (void)state;
    enum { FIELDS = 5, CELL = 8, PAD = FIELDS * CELL };
    static const uint32_t idx[3]   = {1, 4, 6};
    static const uint16_t field[3] = {3, 0, 1};
    EACH_VARIANT(k)
    for (uint32_t r = 0; r < 8; r++)
        for (uint32_t c = 0; c < PAD; c++) {
            ffm_case x;
            float    sum[PAD];
            open_ffm(&x, ASGD_RULE_sgd, FIELDS, CELL, 5);
            table_row(&x.t, r)[c] = NAN;
            const bool mine = r == 1 || r == 4 || r == 6, pair = c / CELL <= 3 && c / CELL != 2;
            const bool self =
                (r == 1 && c / CELL == 3) || (r == 4 && c / CELL == 0) || (r == 6 && c / CELL == 1);
            const float fm  = k->fm_score(&x.t.view, PAD, 3, idx, NULL, 1, sum);
            const float ffm = k->ffm_score(&x.t.view, x.state, 3, idx, field, NULL, 1);
            CHECK(isnan(fm) == mine, "%s fm row %u column %u", k->name, r, c);
            CHECK(self || isnan(ffm) == (mine && pair), "%s ffm row %u column %u", k->name, r, c);
            free_arrays();
        }
}

/* A prefetch reads nothing: neither rows that are not there nor any number of them change a thing. */
static void test_prefetch(void **state)
{
    (void)state;
    table          t = make_table(9, 4, 8, 16), u = copy_table(&t);
    const uint32_t idx[6] = {0, 3, 4, 8, 100000, UINT32_MAX};
    EACH_VARIANT(k)
    for (uint32_t n = 0; n <= 6; n++)
        for (uint32_t width = 1; width <= 3000; width = 3 * width + 1)
            k->prefetch(&t.view, width, n, idx);
    for (uint32_t r = 0; r < 9; r++) assert_memory_equal(table_row(&t, r), table_row(&u, r), 64);
    free_arrays();
}

/* Two workers on the same rows: the atomic variant leaves ThreadSanitizer nothing to find. */
enum { RACE_FIELDS = 6, RACE_PAD = 24, RACE_STRIDE = 3 * RACE_PAD };

static void *race(void *rows)
{
    static const uint32_t idx[]   = {0, 1, 3, 4, 5, 8, 9};
    static const uint16_t field[] = {5, 2, 2, 0, 1, 3, 4};
    const asgd_kern      *k       = asgdk_variant(1);
    const asgd_view       t       = {.shared = rows, .stride = RACE_STRIDE};
    const asgdk_step      p       = make_step(3, 1);
    float                 sum[RACE_PAD], local[10 * RACE_PAD] = {0}, xs = 0.25f;
    void                 *memory = calloc(1, asgdk_ffm_bytes(RACE_FIELDS, 4));
    asgdk_ffm            *x      = memory ? asgdk_ffm_lay_out(memory, RACE_FIELDS, 4) : NULL;
    if (!x) return rows; /* the test sees that */
    for (int round = 0; round < 20; round++)
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
            const uint32_t from = (uint32_t)round % 3,
                           n    = 7 - from; /* from 2 on a field has one entry */
            k->prefetch(&t, RACE_STRIDE, n, idx + from);
            float slope = k->fm_score(&t, RACE_PAD, n, idx + from, NULL, xs, sum);
            k->fm[kind](&t, local, RACE_PAD, RACE_PAD, n, idx + from, NULL, xs, slope * 1e-3f, sum,
                        &p);
            slope = k->ffm_score(&t, x, n, idx + from, field + from, NULL, xs);
            k->ffm[kind](&t, local, RACE_PAD, x, n, idx + from, field + from, NULL, xs,
                         slope * 1e-3f, &p);
        }
    free(memory);
    return NULL;
}

static void test_atomic_races(void **state)
{
    (void)state;
    assert_string_equal(asgdk_variant(1)->name, "atomic");
    float    *rows = floats(10 * RACE_STRIDE);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, race, rows), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    free_arrays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fm_score), cmocka_unit_test(test_fm),
        cmocka_unit_test(test_ffm),      cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_prefetch), cmocka_unit_test(test_atomic_races),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
