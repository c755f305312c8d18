/* test_kern_single.c -- the fused kernel of linear models, every variant and rule: bit for bit what dot1, the
 * slope and rule1 give one after another, and close to a model in double precision.
 *
 * Examples share rows, so an update that comes too late or is lost shows in the scores that follow. */
#define _GNU_SOURCE /* mmap */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>

enum { ROWS = 300, EXAMPLES = 40, MAX_N = 130 };

typedef struct linear_case {
    table     w, bias;
    float    *local, *bias_local;
    uint64_t  begin[EXAMPLES];
    uint32_t  len[EXAMPLES];
    uint32_t *idx;
    float    *val, *y, *weight; /* val, weight: or NULL */
    size_t    entries;
} linear_case;

/* Slots as rules leave them. */
static void fill(table *t, asgd_rule_kind kind)
{
    const asgdk_slots s = asgdk_rule_slots(kind);
    for (uint32_t r = 0; r < t->rows; r++)
        for (uint32_t m = 0; m <= s.merged; m++)
            table_row(t, r)[m] =
                m == 0 || (kind == ASGD_RULE_ftrl && m == 1) ? draw() : 0.1f + fabsf(draw());
}

static void draw_example(linear_case *x, uint32_t i, uint32_t n)
{
    x->begin[i] = x->entries;
    x->len[i]   = n;
    for (uint32_t r = 0, m = 0; r < ROWS && m < n; r++)
        if (draw_below(ROWS - r) < n - m) {
            x->idx[x->entries + m] = r;
            m++;
        }
    x->entries += n;
}

static linear_case make(asgd_rule_kind kind, uint32_t n_own, bool values, bool weights)
{
    static const uint32_t lengths[] = {0,  1,  2,  3,  4,  5,  7,  8,    9,
                                       15, 16, 17, 39, 63, 64, 65, MAX_N};
    const size_t          stride    = 1 + asgdk_rule_slots(kind).merged;
    size_t                entries   = 0;
    linear_case           x         = {.w    = make_table(ROWS, n_own, 1, stride),
                                       .bias = make_table(1, n_own ? 1 : 0, 1, stride),
                                       .y    = floats(EXAMPLES)};
    uint32_t              n[EXAMPLES];
    fill(&x.w, kind);
    fill(&x.bias, kind);
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        n[i] = lengths[draw_below(sizeof lengths / sizeof *lengths)];
        entries += n[i];
        x.y[i] = (float)draw_below(2);
    }
    x.idx = array(entries, sizeof *x.idx);
    for (uint32_t i = 0; i < EXAMPLES; i++) draw_example(&x, i, n[i]);
    if (values) x.val = floats(entries);
    if (weights) x.weight = floats(EXAMPLES); /* half of them not above zero */
    if (asgdk_rule_slots(kind).local) {
        x.local      = floats(ROWS);
        x.bias_local = floats(1);
    }
    return x;
}

static float slope_of(const asgd_kern *k, asgdk_loss loss, float s, float y)
{
    const float sign = 2 * y - 1, minus = -s;
    float       e;
    if (loss == ASGDK_SQUARED) return s - y;
    if (loss == ASGDK_HINGE) return sign * s < 1 ? -sign : 0;
    k->exp(&minus, &e, 1);
    return 1 / (1 + e) - y;
}

static double slope_in_double(asgdk_loss loss, double s, double y)
{
    const double sign = 2 * y - 1;
    return loss == ASGDK_SQUARED ? s - y
           : loss == ASGDK_HINGE ? (sign * s < 1 ? -sign : 0)
                                 : 1 / (1 + exp(-s)) - y;
}

static asgdk_single job_of(linear_case *x, int bias, asgdk_loss loss, asgdk_step step, float *score)
{
    asgdk_single j = {.w            = x->w.view,
                      .local        = x->local,
                      .local_stride = x->local ? 1 : 0,
                      .step         = step,
                      .bias_step    = step,
                      .loss         = loss,
                      .near         = draw_below(2) ? 0 : ROWS,
                      .begin        = x->begin,
                      .len          = x->len,
                      .idx          = x->idx,
                      .val          = x->val,
                      .y            = x->y,
                      .weight       = x->weight,
                      .score        = score};
    j.bias_step.l1 = j.bias_step.l2 = 0;
    if (bias) {
        j.bias       = table_row(&x->bias, 0);
        j.bias_local = x->bias_local;
    }
    return j;
}

/* The same by the kernels one by one, in place; checks the slope. */
static void one_by_one(const asgd_kern *k, asgd_rule_kind kind, const asgdk_single *j,
                       const asgd_view *bias_view, const char *what)
{
    static const uint32_t first = 0;
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        const uint32_t *idx = j->idx + j->begin[i];
        const float    *val = j->val ? j->val + j->begin[i] : NULL;
        float           s   = k->dot1(&j->w, j->len[i], idx, val);
        double          sum = j->bias ? (double)*j->bias : 0, size = fabs(sum);
        for (uint32_t e = 0; e < j->len[i]; e++) {
            const double v = (double)*asgd_row(&j->w, idx[e]) * (val ? (double)val[e] : 1);
            sum += v;
            size += fabs(v);
        }
        if (j->bias) s = *j->bias + s;
        CHECK(fabs(s - sum) <= 1e-5 * (size + 1e-30), "%s: score %g, not %g", what, (double)s, sum);
        j->score[i] = s;
        if (j->weight && !(j->weight[i] > 0)) continue;
        float        slope = slope_of(k, j->loss, s, j->y[i]);
        const double want  = slope_in_double(j->loss, (double)s, (double)j->y[i]);
        CHECK(fabs((double)slope - want) <= 1e-6 * (1 + fabs(want)), "%s: slope %g, not %g", what,
              (double)slope, want);
        if (j->weight) slope *= j->weight[i];
        k->rule1[kind](&j->w, j->local, j->local_stride, j->len[i], idx, val, slope, &j->step);
        if (j->bias)
            k->rule1[kind](bias_view, j->bias_local, j->local_stride, 1, &first, NULL, slope,
                           &j->bias_step);
    }
}

static void check_bits(const char *what, const char *of, const float *x, const float *want,
                       size_t n)
{
    CHECK(n == 0 || memcmp(x, want, n * sizeof *x) == 0, "%s: other bits in %s", what, of);
}

static void check(const asgd_kern *k, asgd_rule_kind kind, asgdk_loss loss, uint32_t n_own, int how)
{
    char        what[100];
    linear_case x = make(kind, n_own, how & 1, how & 2), u = x;
    float      *score = floats(EXAMPLES), *want = floats(EXAMPLES);
    u.w    = copy_table(&x.w);
    u.bias = copy_table(&x.bias);
    if (x.local) {
        u.local      = copy(x.local, ROWS);
        u.bias_local = copy(x.bias_local, 1);
    }
    const asgdk_step step = make_step(how / 8, 3);
    snprintf(what, sizeof what, "%s linear rule %d loss %d own %u how %d", k->name, (int)kind,
             (int)loss, n_own, how);
    asgdk_single j = job_of(&x, how & 4, loss, step, score),
                 v = job_of(&u, how & 4, loss, step, want);
    k->linear[kind](&j, EXAMPLES);
    one_by_one(k, kind, &v, &u.bias.view, what);
    check_bits(what, "scores", score, want, EXAMPLES);
    for (uint32_t r = 0; r < ROWS; r++)
        check_bits(what, "rows", table_row(&x.w, r), table_row(&u.w, r), x.w.view.stride);
    check_bits(what, "bias", table_row(&x.bias, 0), table_row(&u.bias, 0), x.w.view.stride);
    if (x.local) {
        check_bits(what, "slots", x.local, u.local, ROWS);
        check_bits(what, "bias slot", x.bias_local, u.bias_local, 1);
    }
    free_arrays();
}

static void same_bits_as_one_by_one(void **state)
{
    static const uint32_t owns[] = {0, 5, ROWS / 2, ROWS};
    (void)state;
    EACH_VARIANT(k)
    {
        assert_null(k->linear[ASGD_RULE_DEFAULT]);
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
            for (asgdk_loss loss = ASGDK_SQUARED; loss <= ASGDK_HINGE; loss++)
                for (int own = 0; own < 4; own++)
                    for (int how = 0; how < 32; how++) check(k, kind, loss, owns[own], how);
    }
}

/* A score that is no number stays one, and so do weights. */
static void nan_comes_through(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    {
        linear_case x     = make(ASGD_RULE_adagrad, 0, false, false);
        float      *score = floats(EXAMPLES);
        for (uint32_t r = 0; r < ROWS; r++) table_row(&x.w, r)[0] = NAN;
        asgdk_single j = job_of(&x, 1, ASGDK_LOGISTIC, make_step(0, 1), score);
        k->linear[ASGD_RULE_adagrad](&j, EXAMPLES);
        for (uint32_t i = 0; i < EXAMPLES; i++)
            CHECK(x.len[i] == 0 || isnan(score[i]), "%s: %g", k->name, (double)score[i]);
        assert_true(isnan(*table_row(&x.bias, 0)));
        free_arrays();
    }
}

/* Two workers on the same rows: the atomic variant leaves ThreadSanitizer nothing to find. */
enum { RACE_ROWS = 12, RACE_STRIDE = 3 };

static void *race(void *rows)
{
    static const uint32_t idx[]   = {0, 1, 3, 4, 5, 8, 9, 2, 7};
    static const uint64_t begin[] = {0, 7};
    static const uint32_t len[]   = {7, 2};
    static const float    y[]     = {0, 1};
    float                 score[2], local[RACE_ROWS] = {0}, bias_local = 0;
    for (int round = 0; round < 20; round++)
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
            asgdk_single j = {.w            = {.shared = rows, .stride = RACE_STRIDE},
                              .local        = local,
                              .local_stride = 1,
                              .bias         = (float *)rows + (RACE_ROWS - 1) * RACE_STRIDE,
                              .bias_local   = &bias_local,
                              .step         = make_step(3, 1),
                              .bias_step    = make_step(0, 1),
                              .loss         = ASGDK_LOGISTIC,
                              .begin        = begin,
                              .len          = len,
                              .idx          = idx,
                              .y            = y,
                              .score        = score};
            j.w.stride     = 1 + asgdk_rule_slots(kind).merged;
            asgdk_variant(1)->linear[kind](&j, 2);
        }
    return NULL;
}

static void atomic_races(void **state)
{
    (void)state;
    assert_string_equal(asgdk_variant(1)->name, "atomic");
    float    *rows = floats(RACE_ROWS * RACE_STRIDE);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, race, rows), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    free_arrays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_as_one_by_one),
        cmocka_unit_test(nan_comes_through),
        cmocka_unit_test(atomic_races),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
