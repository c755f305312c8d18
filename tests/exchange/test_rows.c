/* Loops over many rows, against the plainest ones, for all kinds of lengths. */
#include "test.h"

#include "base/rng.h"
#include "exchange/rows.h"

#include <math.h>

enum { MOST_ROWS = 300, MOST_STRIDE = 300, CASES = 400 };

static const uint32_t strides[] = {1, 2, 3, 4, 5, 8, 16, 17, 63, 127, 128, 129, MOST_STRIDE};

static float w[MOST_ROWS * MOST_STRIDE], was[MOST_ROWS * MOST_STRIDE];
static float got[MOST_ROWS * MOST_STRIDE], want[MOST_ROWS * MOST_STRIDE];

static uint64_t draw(uint64_t seed, uint64_t *n)
{
    return asgdi_random(seed, 7, (*n)++);
}

static bool differs(uint32_t stride, const float *a, const float *b, float dust)
{
    for (uint32_t c = 0; c < stride; c++)
        if (!(fabsf(a[c] - b[c]) <= dust * fabsf(b[c]))) return true;
    return false;
}

/* From none to all rows changed, by much, by dust, and to what is no number. */
static void differences(uint64_t seed)
{
    uint64_t       n      = 0;
    const uint32_t stride = strides[draw(seed, &n) % (sizeof strides / sizeof *strides)];
    const uint32_t rows   = 1 + (uint32_t)(draw(seed, &n) % MOST_ROWS);
    const uint64_t often  = draw(seed, &n) % 5;
    const float factor = draw(seed, &n) % 2 ? 1 : 0.25f, dust = draw(seed, &n) % 2 ? 0x1p-22f : 0;
    for (uint32_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < stride; c++)
            w[r * stride + c] = was[r * stride + c] = (float)(draw(seed, &n) % 1000) / 8 - 60;
        if (draw(seed, &n) % 4 >= often) continue;
        float *at = &w[r * stride + draw(seed, &n) % stride];
        switch (draw(seed, &n) % 4) {
        case 0: /* dust, or a little more */
            for (uint64_t i = draw(seed, &n) % 10; i > 0; i--) *at = nextafterf(*at, 1e9f);
            break;
        case 1: *at = NAN; break;
        default: *at += 1; break;
        }
    }
    uint32_t row[MOST_ROWS], m = 0;
    uint32_t k = asgdi_rows_differ(stride, rows, w, was, factor, dust, row, got);
    for (uint32_t r = 0; r < rows; r++) {
        if (!differs(stride, w + r * stride, was + r * stride, dust)) continue;
        if (m >= k || row[m] != r)
            fail_msg("seed %llu: row %u is missing", (unsigned long long)seed, r);
        for (uint32_t c = 0; c < stride; c++)
            want[m * stride + c] = factor * (w[r * stride + c] - was[r * stride + c]);
        m++;
    }
    if (m != k || memcmp(got, want, (size_t)m * stride * sizeof *got) != 0)
        fail_msg("seed %llu: %u rows instead of %u, or others", (unsigned long long)seed, k, m);
}

static void gathered(uint64_t seed)
{
    uint64_t       n      = 0;
    const uint32_t stride = strides[draw(seed, &n) % (sizeof strides / sizeof *strides)];
    const uint32_t rows   = 1 + (uint32_t)(draw(seed, &n) % MOST_ROWS);
    const bool     some   = draw(seed, &n) % 2;
    uint64_t       after[MOST_ROWS], mark[MOST_ROWS];
    for (uint32_t r = 0; r < rows; r++) {
        after[r] = draw(seed, &n) % 8;
        mark[r]  = draw(seed, &n) % 3;
    }
    for (uint32_t i = 0; i < rows * stride; i++) w[i] = (float)i;
    uint32_t row[MOST_ROWS], m = 0;
    uint32_t k = asgdi_rows_gather(stride, rows, w, after, 4, some ? mark : NULL, 2, row, got);
    for (uint32_t r = 0; r < rows; r++) {
        if (after[r] <= 4 || (some && mark[r] == 2)) continue;
        if (m >= k || row[m] != r ||
            memcmp(got + m * stride, w + r * stride, stride * sizeof *w) != 0)
            fail_msg("seed %llu: row %u is missing", (unsigned long long)seed, r);
        m++;
    }
    assert_int_equal(m, k);
}

static void rows_that_differ(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) differences(seed);
}

static void rows_that_have_changed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) gathered(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_differ),
        cmocka_unit_test(rows_that_have_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
