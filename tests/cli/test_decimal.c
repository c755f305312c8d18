/* Floats as text: the same as printf's, digit for digit. */
#include "test.h"

#include "../../cli/decimal.c"

static void same(float x, int digits)
{
    char want[64], got[64];
    snprintf(want, sizeof want, "%.*g", digits, (double)x);
    if (isnan(x)) strcpy(want, "nan");
    memset(got, '#', sizeof got);
    size_t n = decimal_float(got, x, digits);
    assert_true(n <= DECIMAL_BYTES);
    for (size_t i = DECIMAL_BYTES; i < sizeof got; i++) assert_int_equal(got[i], '#');
    got[n] = 0;
    if (strcmp(want, got) != 0)
        fail_msg("%a to %d digits: %s, not %s", (double)x, digits, got, want);
}

static void both(float x)
{
    for (int digits = 1; digits <= 9; digits++) {
        same(x, digits);
        same(-x, digits);
    }
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void special(void **state)
{
    (void)state;
    both(0);
    both(INFINITY);
    both(NAN);
    for (uint32_t biased = 0; biased < 256; biased++) { /* every binary exponent, denormals too */
        both(float_of(biased << 23));
        both(float_of(biased << 23 | 1));
        both(float_of(biased << 23 | 0x7fffff));
    }
}

/* Where rounding carries into one more digit, and ties. */
static void edges(void **state)
{
    (void)state;
    for (int p = -12; p <= 19; p++) {
        float x = (float)pow(10, p), up = x, down = x;
        both(x);
        for (int i = 0; i < 200; i++) {
            both(up = nextafterf(up, INFINITY));
            both(down = nextafterf(down, 0));
        }
    }
    for (int i = 0; i < 4096; i++) both((float)i / 64); /* 0.5, 2.5, 0.125, ... */
    for (int i = 0; i < 1000; i++) both(1048576 + (float)i / 8);
    for (int i = 0; i < 1000; i++) both(16777216 + 2 * (float)i);
}

/* All bit patterns are as likely, then probabilities. */
static void random_floats(void **state)
{
    (void)state;
    const uint64_t seed = 20260711;
    uint64_t       s    = seed;
    for (int i = 0; i < 2000000; i++) {
        s       = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        float x = float_of((uint32_t)(s >> 32));
        same(x, 1 + i % 9);
        float p = 1 / (1 + expf((float)((int64_t)s >> 40) * 2e-6f));
        same(p, 6);
        same(p, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special),
        cmocka_unit_test(edges),
        cmocka_unit_test(random_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
