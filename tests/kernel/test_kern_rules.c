/* test_kern_rules.c -- the update rules of every variant this machine runs, against double
 * precision. */
#define _GNU_SOURCE /* mmap, setenv */
#include "fixture.h"

#include <float.h>
#include <pthread.h>

static double shrink(double x, double by)
{
    return x > by ? x - by : x < -by ? x + by : 0;
}

/* One parameter, in double precision: x[0] w, x[1] and x[2] merged slots, x[3] the local one. */
static void rule_model(asgd_rule_kind kind, double x[4], double g, const asgdk_step *p)
{
    double step = p->lr, direction;
    if (kind == ASGD_RULE_ftrl) {
        double n = x[2] + g * g, sigma = (sqrt(n) - sqrt(x[2])) / p->lr;
        x[1] += g - sigma * x[0];
        x[2] = n;
        x[0] = -shrink(x[1], p->l1) / ((p->beta2 + sqrt(n)) / p->lr + p->l2);
        return;
    }
    direction = g += p->l2 * x[0];
    if (kind == ASGD_RULE_momentum) {
        x[3]      = p->beta1 * x[3] + g;
        direction = p->beta1 * x[3] + g;
    } else if (kind == ASGD_RULE_adagrad) {
        x[1] += g * g;
        step /= sqrt(x[1] + p->eps);
    } else if (kind == ASGD_RULE_rmsprop) {
        x[1] = p->beta1 * x[1] + (1 - (double)p->beta1) * g * g;
        step /= sqrt(x[1] + p->eps);
    } else if (kind == ASGD_RULE_adam) {
        x[3] = p->beta1 * x[3] + (1 - (double)p->beta1) * g;
        x[1] = p->beta2 * x[1] + (1 - (double)p->beta2) * g * g;
        step /= sqrt(x[1] * p->correct2) + p->eps;
        direction = x[3] * p->correct1;
    }
    x[0] = shrink(x[0] - step * direction, step * p->l1);
}

static void check_rule(const asgd_kern *k, asgd_rule_kind kind, uint32_t pad, int variant)
{
    const asgdk_slots s     = asgdk_rule_slots(kind);
    const uint32_t    dim   = pad == 1 ? 1 : pad - 3;
    const float       scale = 0.5f;
    float            *row = floats((size_t)pad * (1 + s.merged)), *g = floats(pad);
    float            *local = s.local ? floats(pad) : NULL;
    double(*want)[4]        = calloc(pad, sizeof *want);
    CHECK(want, "no memory");
    for (uint32_t i = 0; i < pad; i++) {
        for (uint32_t m = 0; m <= s.merged; m++)
            if (m || i >= dim || kind == ASGD_RULE_ftrl) row[m * pad + i] = 0;
        if (local) local[i] = 0;
        want[i][0] = row[i];
    }
    for (int t = 1; t <= 8; t++) {
        asgdk_step p = make_step(variant, t);
        for (uint32_t i = 0; i < pad; i++) {
            g[i] = i < dim ? draw() : 0;
            if (i < dim) rule_model(kind, want[i], (double)scale * g[i], &p);
        }
        k->rule[kind](row, local, g, pad, scale, &p);
        for (uint32_t i = 0; i < pad; i++) {
            const char *name = k->name;
            CHECK(fabs(row[i] - want[i][0]) < 2e-5, "%s rule %d pad %u step %d at %u: %g, not %g",
                  name, (int)kind, pad, t, i, row[i], want[i][0]);
            for (uint32_t m = 1; m <= s.merged; m++)
                CHECK(fabs(row[m * pad + i] - want[i][m]) < 2e-5 * (1 + fabs(want[i][m])),
                      "%s rule %d slot %u pad %u step %d at %u", name, (int)kind, m, pad, t, i);
            if (local) CHECK(fabs(local[i] - want[i][3]) < 2e-5, "%s rule %d local", name, kind);
        }
    }
    free(want);
    free_arrays();
}

static void test_rules(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    {
        assert_null(k->rule[ASGD_RULE_DEFAULT]);
        assert_null(k->rule1[ASGD_RULE_DEFAULT]);
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
            for (int variant = 0; variant < 4; variant++)
                for (uint32_t pad = 1; pad; pad = next_pad(pad)) check_rule(k, kind, pad, variant);
    }
}

/* One sum for every four weights, against double precision: the mean of the four squares is added, padding stays
 * zero, and no sum but the row's own is touched. */
static void check_quads(const asgd_kern *k, uint32_t pad, int variant)
{
    const uint32_t dim = pad - 4, slot = asgdk_slot_pad(ASGDK_adagrad_quads, pad);
    const float    scale = 0.5f;
    float         *row = floats((size_t)pad + slot + 4), *g = floats(pad);
    double        *want = calloc(2 * (size_t)pad, sizeof *want), *sum = want + pad;
    CHECK(want && (pad + slot) % 16 == 0 && slot >= pad / 4, "%u floats of %u sums", pad, slot);
    for (uint32_t i = 0; i < pad; i++) want[i] = row[i] = i < dim ? row[i] : 0;
    for (uint32_t i = 0; i < slot; i++) row[pad + i] = 0;
    for (uint32_t i = 0; i < dim / 4; i++) sum[i] = row[pad + i] = fabsf(draw());
    for (uint32_t i = 0; i < 4; i++) row[pad + slot + i] = 7;
    for (int t = 1; t <= 8; t++) {
        const asgdk_step p = make_step(variant, t);
        for (uint32_t i = 0; i < pad; i++) g[i] = i < dim ? draw() : 0;
        for (uint32_t q = 0; q < dim / 4; q++) {
            double h[4], squares = 0;
            for (uint32_t i = 0; i < 4; i++) {
                h[i] = (double)scale * g[4 * q + i] + p.l2 * want[4 * q + i];
                squares += h[i] * h[i];
            }
            sum[q] += squares / 4;
            for (uint32_t i = 0; i < 4; i++) {
                const double step = p.lr / sqrt(sum[q] + p.eps);
                want[4 * q + i]   = shrink(want[4 * q + i] - step * h[i], step * p.l1);
            }
        }
        k->rule[ASGDK_adagrad_quads](row, NULL, g, pad, scale, &p);
        for (uint32_t i = 0; i < pad; i++)
            CHECK(fabs(row[i] - want[i]) < 2e-5, "%s quads pad %u step %d at %u: %g, not %g",
                  k->name, pad, t, i, row[i], want[i]);
        for (uint32_t i = 0; i < slot; i++)
            CHECK(fabs(row[pad + i] - (i < dim / 4 ? sum[i] : 0)) < 2e-5 * (1 + row[pad + i]),
                  "%s quads pad %u step %d sum %u: %g", k->name, pad, t, i, row[pad + i]);
        for (uint32_t i = 0; i < 4; i++)
            CHECK(row[pad + slot + i] == 7, "%s: the next row", k->name);
    }
    free(want);
    free_arrays();
}

static void test_quads(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    for (int variant = 0; variant < 4; variant++)
        for (uint32_t pad = 8; pad <= 320; pad += 8) check_quads(k, pad, variant);
}

/* The rules made of exact operations have the same bits in every variant that fuses multiply-adds. */
static void test_same_bits(void **state)
{
    (void)state;
    enum { PAD = 40, FLOATS = 3 * PAD };
    static const asgd_rule_kind exact[] = {ASGD_RULE_sgd, ASGD_RULE_momentum, ASGD_RULE_adam,
                                           ASGD_RULE_ftrl};
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++)
        for (int variant = 0; variant < 4; variant++) {
            float     *row = floats(FLOATS), *local = floats(PAD), *g = floats(PAD), *first = NULL;
            asgdk_step p = make_step(variant, 2);
            for (uint32_t c = PAD; c < FLOATS; c++) row[c] = fabsf(row[c]);
            EACH_VARIANT(k)
            {
                if (!strcmp(k->name, "scalar") || !strcmp(k->name, "atomic")) continue;
                float *x = floats(FLOATS + PAD);
                memcpy(x, row, FLOATS * sizeof *x);
                memcpy(x + FLOATS, local, PAD * sizeof *x);
                k->rule[exact[i]](x, x + FLOATS, g, PAD, 0.3f, &p);
                CHECK(!first || !memcmp(first, x, (FLOATS + PAD) * sizeof *x), "%s rule %d",
                      k->name, (int)exact[i]);
                first = x;
            }
            free_arrays();
        }
}

/* One step of adagrad from zero is -lr g / sqrt(n + g^2 + eps): what the processor estimates is refined
 * to nearly all digits of a float, at every magnitude. */
static void test_reciprocal_root(void **state)
{
    (void)state;
    enum { PAD = 8 };
    const asgdk_step p = {.lr = 1, .eps = FLT_MIN};
    EACH_VARIANT(k)
    for (int exponent = -118; exponent <= 124; exponent++)
        for (int round = 0; round < 20; round++) {
            float row[2 * PAD], g[PAD], was[PAD];
            for (int i = 0; i < PAD; i++) {
                row[i]       = 0;
                row[PAD + i] = was[i] = ldexpf(1.5f + draw() / 2, exponent);
                g[i]                  = draw() < 0 ? -ldexpf(1, exponent / 2) : 0.25f;
            }
            k->rule[ASGD_RULE_adagrad](row, NULL, g, PAD, 1, &p);
            for (int i = 0; i < PAD; i++) {
                const double n = was[i] + (double)g[i] * g[i] + p.eps, want = -g[i] / sqrt(n);
                CHECK(fabs(row[i] - want) <= 5e-7 * fabs(want), "%s: sum %a, %a is %g, not %g",
                      k->name, was[i], g[i], row[i], want);
            }
        }
}

/* Rows first.. of width 1, all of whose floats but w are not negative. */
static table make_narrow(uint64_t first, uint32_t rows, asgd_rule_kind kind)
{
    const asgdk_slots s = asgdk_rule_slots(kind);
    table             t = make_table_at(first, rows, rows / 2, 1, 1 + s.merged);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t m = 1; m <= s.merged; m++) table_row(&t, r)[m] = fabsf(table_row(&t, r)[m]);
    return t;
}

/* Any order with rows that come twice; increasing; increasing with repetitions; dense runs, a vector of
 * which may lie in one memory or in both; a run that begins again with the first row. */
enum { ANY, INCREASING, REPEATED, RUN, AROUND, ORDERS };
static uint32_t row_number(int order, uint32_t j, uint32_t n, uint32_t rows)
{
    switch (order) {
    case ANY: return draw_below(j % 2 ? 4 : rows);
    case INCREASING: return 2 * j + 1;
    case REPEATED: return j - j % 11 / 10;
    case RUN: return j + rows / 5;
    default: return (j + rows - n / 2) % rows;
    }
}

/* Scattered rows of width 1 change as one row after another would, to the bit.  Rows are numbered from
 * `first` on: beyond 2^31 too. */
static void check_rule1(const asgd_kern *k, asgd_rule_kind kind, uint32_t n, int order,
                        uint64_t first, bool coefs, int variant)
{
    const asgdk_slots s    = asgdk_rule_slots(kind);
    const uint32_t    rows = 2 * n + 5;
    const asgdk_step  p    = make_step(variant, 3);
    table             t = make_narrow(first, rows, kind), u = copy_table(&t);
    float            *lt = floats((size_t)rows * 2), *lu = copy(lt, (size_t)rows * 2);
    float            *local = (float *)((uintptr_t)lt - first * 2 * sizeof(float));
    uint32_t         *idx   = array(n, 4);
    float            *coef  = floats(n);
    for (uint32_t j = 0; j < n; j++) idx[j] = (uint32_t)first + row_number(order, j, n, rows);
    k->rule1[kind](&t.view, s.local ? local : NULL, 2, n, idx, coefs ? coef : NULL, 0.5f, &p);
    for (uint32_t j = 0; j < n; j++) {
        const uint32_t r = idx[j] - (uint32_t)first;
        k->rule[kind](table_row(&u, r), s.local ? lu + 2 * r : NULL, coefs ? coef + j : &(float){1},
                      1, 0.5f, &p);
    }
    for (uint32_t r = 0; r < rows; r++)
        CHECK(!memcmp(table_row(&t, r), table_row(&u, r), t.view.stride * 4),
              "%s rule1 %d n %u order %d row %u", k->name, (int)kind, n, order, r);
    CHECK(!memcmp(lt, lu, (size_t)rows * 8), "%s rule1 %d n %u: local slots", k->name, kind, n);
    free_arrays();
}

static void test_rule1(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++)
        for (uint32_t n = 0; n <= 70; n++)
            for (int how = 0; how < 4 * ORDERS; how++)
                check_rule1(k, kind, n, how / 4, how % 2 ? (UINT64_C(1) << 31) - n : 0, how / 2 % 2,
                            (int)n % 4);
}

/* Padding stays zero with the worst of constants that asgdi_rule_step() makes, and derived weights have
 * ftrl's own bits. */
static void test_padding_and_derive(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    {
        const asgdk_step none = {.lr = 0.1f, .eps = FLT_MIN};
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
            float row[24] = {0}, local[8] = {0}, g[8] = {0};
            k->rule[kind](row, local, g, 8, 1, &none);
            for (int i = 0; i < 24; i++) CHECK(row[i] == 0, "%s rule %d", k->name, (int)kind);
        }
        asgdk_step p           = make_step(3, 1);
        float      row[3 * 16] = {0}, g[16], kept[16];
        for (int t = 0; t < 5; t++) {
            for (int i = 0; i < 16; i++) g[i] = draw();
            k->rule[ASGD_RULE_ftrl](row, NULL, g, 16, 1, &p);
        }
        memcpy(kept, row, sizeof kept);
        memset(row, 0x55, sizeof kept);
        asgdk_rule_derive(ASGD_RULE_adam, row, 16, &p);
        CHECK(memcmp(kept, row, sizeof kept) != 0, "adam derives nothing");
        asgdk_rule_derive(ASGD_RULE_ftrl, row, 16, &p);
        for (int i = 0; i < 16; i++)
            CHECK(row[i] == kept[i], "%s at %d: %a, not %a", k->name, i, row[i], kept[i]);
    }
}

static void test_slots(void **state)
{
    (void)state;
    static const asgdk_slots want[ASGD_RULES] = {
        [ASGD_RULE_momentum] = {0, 1, ASGDK_SUM, {ASGDK_SUM}, 0},
        [ASGD_RULE_adagrad]  = {1, 0, ASGDK_SUM, {ASGDK_SUM}, 1},
        [ASGD_RULE_rmsprop]  = {1, 0, ASGDK_SUM, {ASGDK_MEAN}, 0},
        [ASGD_RULE_adam]     = {1, 1, ASGDK_SUM, {ASGDK_MEAN}, 0},
        [ASGD_RULE_ftrl]     = {2, 0, ASGDK_DERIVED, {ASGDK_SUM, ASGDK_SUM}, 0},
    };
    for (asgd_rule_kind kind = ASGD_RULE_DEFAULT; kind < ASGD_RULES; kind++) {
        asgdk_slots s = asgdk_rule_slots(kind);
        assert_memory_equal(&s, &want[kind], sizeof s);
    }
}

/* Two workers on the same rows through every kernel that touches them: the atomic variant leaves
 * ThreadSanitizer nothing to find. */
enum { RACE_ROWS = 40, RACE_PAD = 24, RACE_STRIDE = 3 * RACE_PAD };

static void *race(void *rows)
{
    const asgd_kern *k    = asgdk_variant(1);
    const asgd_view  wide = {.shared = rows, .stride = RACE_STRIDE}, narrow = wide;
    uint32_t         idx[RACE_ROWS], start[RACE_ROWS + 1], ex[RACE_ROWS] = {0}, len = RACE_ROWS;
    uint64_t         begin         = 0;
    float            out[RACE_PAD] = {0}, g[RACE_PAD] = {0}, local[RACE_ROWS * RACE_PAD] = {0};
    float            own[RACE_STRIDE] = {0}, seen[RACE_STRIDE] = {0}, x[RACE_ROWS] = {0};
    for (uint32_t i = 0; i <= RACE_ROWS; i++) {
        start[i] = i;
        if (i < RACE_ROWS) idx[i] = i;
    }
    const asgdk_columns c = {RACE_ROWS, idx, start, ex, NULL};
    const asgdk_step    p = make_step(3, 1);
    for (int round = 0; round < 20; round++) {
        k->forward(&wide, RACE_PAD, 1, &begin, &len, idx, NULL, out, RACE_PAD);
        k->forward(&narrow, 1, 1, &begin, &len, idx, NULL, out, 1);
        k->forward_dense(&wide, RACE_PAD, RACE_ROWS, 1, x, out, RACE_PAD);
        k->forward_dense(&narrow, 1, RACE_ROWS, 1, x, out, 1);
        out[0] += k->dot1(&narrow, RACE_ROWS, idx, NULL);
        k->outer_sgd(&wide, RACE_PAD, &c, 0.1f, g, RACE_PAD);
        k->outer_sgd(&narrow, 1, &c, 0.1f, g, 1);
        for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
            k->rule[kind](rows, local, g, RACE_PAD, 1, &p);
            k->rule1[kind](&narrow, local, 1, RACE_ROWS, idx, NULL, 0, &p);
        }
        k->rule[ASGDK_adagrad_quads](rows, NULL, g, RACE_PAD, 1, &p);
        k->load(own, rows, RACE_STRIDE);
        k->store(rows, own, RACE_STRIDE);
        k->add(rows, seen, RACE_STRIDE);
        k->merge(own, seen, rows, RACE_STRIDE, 0);
    }
    return NULL;
}

static void test_atomic_races(void **state)
{
    (void)state;
    assert_string_equal(asgdk_variant(1)->name, "atomic");
    float    *rows = floats((size_t)RACE_ROWS * RACE_STRIDE);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, race, rows), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    free_arrays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),     cmocka_unit_test(test_quads),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_reciprocal_root),
        cmocka_unit_test(test_rule1),     cmocka_unit_test(test_padding_and_derive),
        cmocka_unit_test(test_slots),     cmocka_unit_test(test_atomic_races),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
