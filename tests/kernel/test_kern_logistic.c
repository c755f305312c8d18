/* test_kern_logistic.c -- many logistic functions and their losses at once, against doubles. */
#include "test.h"

#include "base/rng.h"
#include "kern/kern.h"

enum { MOST = 3000, GUARD = 20 };

static float score(uint32_t round, uint32_t i)
{
    uint64_t bits = asgdi_random(3, round, i);
    switch (bits % 8) {
    case 0: return 0;
    case 1: return 1e-35f * asgdi_normal(bits);
    case 2: return 100 * asgdi_normal(bits);
    case 3: return 1e30f * asgdi_normal(bits);
    default: return 4 * asgdi_normal(bits);
    }
}

static void check(const asgd_kern *k, uint32_t n, uint32_t round)
{
    static float z[MOST + GUARD];
    const float  scale = round % 3 ? 0.1f * (float)round : 1;
    double       sum = 0, above = 0;
    for (uint32_t i = 0; i < n + GUARD; i++) z[i] = i < n ? score(round, i) : 77;
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)z[i];
        above += x > 0 ? x : 0;
        sum += log1p(exp(-fabs(x)));
    }
    double is = k->logistic(z, n, scale);
    if (!(fabs(is - above - sum) <= 1e-7 * n + 1e-5 * sum + 1e-6 * above))
        fail_msg("%s, n %u: loss %.9g, not %.9g", k->name, n, is, above + sum);
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)score(round, i), e = exp(-fabs(x));
        double want = (double)scale * (x < 0 ? e : 1) / (1 + e), tiny = (double)scale * 2e-38;
        if (!(fabs((double)z[i] - want) <= 6e-7 * want + tiny))
            fail_msg("%s, n %u: of %g number %u is %g, not %g", k->name, n, x, i, (double)z[i],
                     want);
    }
    for (uint32_t i = n; i < n + GUARD; i++) assert_true(z[i] == 77);
}

static void agrees_with_doubles(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++) {
        const asgd_kern *k = asgdk_variant(v);
        for (uint32_t n = 0; n < 80; n++) check(k, n, n);
        check(k, 983, 1);
        check(k, 16 * 32 * 2, 2);
        check(k, MOST, 3);
    }
}

/* However many factors of 2 there are, their product stays finite; NaN comes through. */
static void extremes(void **state)
{
    (void)state;
    static float z[MOST];
    for (int v = 0; asgdk_variant(v); v++) {
        const asgd_kern *k = asgdk_variant(v);
        memset(z, 0, sizeof z);
        double is = k->logistic(z, MOST, 1);
        if (!(fabs(is - MOST * log(2)) < 1e-3)) fail_msg("%s: %.9g", k->name, is);
        for (uint32_t i = 0; i < 40; i++) {
            for (uint32_t j = 0; j < 40; j++) z[j] = j == i ? NAN : 1;
            assert_true(isnan(k->logistic(z, 40, 1)));
            for (uint32_t j = 0; j < 40; j++) assert_int_equal(isnan(z[j]) != 0, j == i);
        }
        z[0] = INFINITY;
        z[1] = -INFINITY;
        assert_true(k->logistic(z, 2, 1) > 1e38);
        assert_true(z[0] == 1 && z[1] >= 0 && z[1] < 2e-38f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_doubles),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
