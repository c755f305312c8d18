/* test_kern.c -- the kernels of every variant this machine runs, against double precision; the bits
 * of the fused variants against a model in fmaf; nothing read or written past an array's end. */
#define _GNU_SOURCE /* mmap, setenv */
#include "fixture.h"

static bool fused(const asgd_kern *k)
{
    return strcmp(k->name, "scalar") != 0 && strcmp(k->name, "atomic") != 0;
}
static bool close_to(float x, double want, double scale)
{
    return fabs(x - want) <= 3e-6 * scale + 1e-30;
}

/* The sizes that every vector kernel sees. */
static size_t next_size(size_t n)
{
    return n < 70 ? n + 1 : n == 70 ? 1000 : n == 1000 ? 4099 : 0;
}

/* ---- private vectors ---- */

/* kern.h's order of sums, with or without fused multiply-adds. */
static float dot_model(const float *a, const float *b, size_t n, bool fma)
{
    float s[16] = {0};
    for (size_t i = 0; i < n; i++)
        s[i % 16] = fma ? fmaf(a[i], b[i], s[i % 16]) : a[i] * b[i] + s[i % 16];
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half];
    return s[0];
}

static void test_dot(void **state)
{
    (void)state;
    size_t n = 0;
    do {
        float *a = floats(n), *b = floats(n);
        double want = 0, scale = 0;
        for (size_t i = 0; i < n; i++) {
            want += (double)a[i] * b[i];
            scale += fabs((double)a[i] * b[i]);
        }
        EACH_VARIANT(k)
        {
            float x = k->dot(a, b, n), model = dot_model(a, b, n, fused(k));
            CHECK(close_to(x, want, scale), "%s n %zu: %g, not %g", k->name, n, x, want);
            if (fused(k)) CHECK(x == model, "%s n %zu: %a, not %a", k->name, n, x, model);
        }
        free_arrays();
    } while ((n = next_size(n)));
}

static void test_axpy(void **state)
{
    (void)state;
    size_t n = 0;
    do {
        float *x = floats(n), *y = floats(n), s = draw();
        EACH_VARIANT(k)
        {
            float *z = copy(y, n);
            k->axpy(s, x, z, n);
            for (size_t i = 0; i < n; i++)
                CHECK(close_to(z[i], (double)s * x[i] + y[i], 1), "%s n %zu i %zu", k->name, n, i);
        }
        free_arrays();
    } while ((n = next_size(n)));
}

static double ulp(float x)
{
    return (double)nextafterf(fabsf(x), INFINITY) - fabsf(x);
}

static void test_exp(void **state)
{
    (void)state;
    enum { N = 200001 };
    float *x = floats(N), *y = floats(N), *same = NULL;
    for (int i = 0; i < N; i++) x[i] = -87 + 175 * (float)i / (N - 1);
    for (int i = 0; i < 1000; i++) x[i * 200] = draw() * 1e-3f;
    EACH_VARIANT(k)
    {
        k->exp(x, y, N);
        for (int i = 0; i < N; i++) {
            double want = exp((double)x[i]);
            CHECK(fabs(y[i] - want) <= 2 * ulp((float)want), "%s exp %a: %a, not %a", k->name, x[i],
                  y[i], want);
        }
        if (fused(k)) {
            CHECK(!same || !memcmp(y, same, N * sizeof *y), "%s: other bits", k->name);
            same = copy(y, N);
        }
        float odd[5] = {INFINITY, -INFINITY, NAN, 1000, -1000}, out[5];
        k->exp(odd, out, 5);
        CHECK(out[0] > 1e38f && out[0] == out[3], "%s exp inf: %g %g", k->name, out[0], out[3]);
        CHECK(out[1] < 2e-38f && out[1] >= 0 && out[1] == out[4], "%s exp -inf", k->name);
        CHECK(isnan(out[2]), "%s exp nan: %g", k->name, out[2]);
    }
    free_arrays();
    size_t n = 0;
    do {
        x = floats(n);
        EACH_VARIANT(k)
        {
            y = floats(n);
            k->exp(x, y, n);
            for (size_t i = 0; i < n; i++)
                CHECK(close_to(y[i], exp((double)x[i]), 2), "%s n %zu i %zu", k->name, n, i);
        }
        free_arrays();
    } while ((n = next_size(n)));
}

static void test_bytes(void **state)
{
    (void)state;
    size_t n = 0;
    do {
        uint8_t *x = array(n, 1);
        for (size_t i = 0; i < n; i++) x[i] = (uint8_t)draw_below(256);
        EACH_VARIANT(k)
        {
            float *y = floats(n);
            k->bytes_to_float(x, 1 / 255.0f, y, n);
            for (size_t i = 0; i < n; i++)
                CHECK(y[i] == 1 / 255.0f * x[i], "%s n %zu i %zu", k->name, n, i);
        }
        free_arrays();
    } while ((n = next_size(n)));
}

static void test_merge(void **state)
{
    (void)state;
    size_t n = 0;
    do {
        float *a = floats(n), *b = floats(n), *c = floats(n), weight = n % 2 ? 1 : 0.25f;
        EACH_VARIANT(k)
        {
            float *own = copy(a, n), *seen = copy(b, n), *master = copy(c, n);
            k->merge(own, seen, master, n, weight);
            for (size_t i = 0; i < n; i++) {
                double want = c[i] + weight * ((double)a[i] - b[i]);
                CHECK(close_to(master[i], want, 2), "%s n %zu i %zu", k->name, n, i);
                CHECK(own[i] == master[i] && seen[i] == master[i], "%s n %zu i %zu", k->name, n, i);
            }
            k->load(own, a, n);
            k->store(seen, b, n);
            CHECK(!n || (!memcmp(own, a, n * 4) && !memcmp(seen, b, n * 4)), "%s copies", k->name);
            k->add(own, c, n);
            for (size_t i = 0; i < n; i++)
                CHECK(own[i] == a[i] + c[i], "%s add n %zu i %zu", k->name, n, i);
        }
        free_arrays();
    } while ((n = next_size(n)));
}

/* Workers' whole-number progress adds up exactly, whatever the order of merges. */
static void test_merge_is_exact(void **state)
{
    (void)state;
    enum { N = 37, WORKERS = 3, ROUNDS = 50 };
    EACH_VARIANT(k)
    {
        float  master[N] = {0}, own[WORKERS][N] = {{0}}, seen[WORKERS][N] = {{0}};
        double want[N] = {0};
        for (int r = 0; r < ROUNDS; r++) {
            uint32_t w = draw_below(WORKERS);
            for (int i = 0; i < N; i++) {
                float step = (float)draw_below(9) - 4;
                own[w][i] += step;
                want[i] += step;
            }
            k->merge(own[w], seen[w], master, N, 1);
        }
        for (int i = 0; i < N; i++) CHECK(master[i] == want[i], "%s row %d", k->name, i);
    }
}

/* ---- rows ---- */

/* Sparse examples: entry lists with increasing indices, some empty. */
typedef struct examples {
    uint32_t  n, entries;
    uint64_t *begin;
    uint32_t *len, *idx;
    float    *val;
} examples;

static examples make_examples(uint32_t n, uint32_t rows, uint32_t most)
{
    examples x     = {.n = n, .begin = array(n, sizeof *x.begin), .len = array(n, sizeof *x.len)};
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++) total += x.len[i] = draw_below(most + 1);
    x.entries   = total;
    x.idx       = array(total, sizeof *x.idx);
    x.val       = floats(total);
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        x.begin[i] = at;
        for (uint32_t e = 0, last = 0; e < x.len[i]; e++)
            x.idx[at++] = last += 1 + draw_below(rows / most - 1);
        CHECK(!x.len[i] || x.idx[at - 1] < rows, "test's own mistake");
    }
    return x;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Entries of one base go together, mixed ones do not; numbers are unsigned, also beyond 2^31. */
static void check_dot1(uint32_t n, uint64_t first, uint32_t rows, uint32_t n_own, bool sorted)
{
    table     t   = make_table_at(first, rows, n_own, 1, 1 + n % 4);
    uint32_t *idx = array(n, sizeof *idx);
    float    *val = floats(n), *w = floats(n), *one = floats(n);
    double    want = 0, ones = 0;
    for (uint32_t i = 0; i < n; i++) idx[i] = (uint32_t)first + draw_below(rows);
    if (sorted) qsort(idx, n, sizeof *idx, by_number);
    for (uint32_t i = 0; i < n; i++) {
        w[i]   = *asgd_row(&t.view, idx[i]);
        one[i] = 1;
        want += (double)w[i] * val[i];
        ones += w[i];
    }
    EACH_VARIANT(k)
    {
        float x = k->dot1(&t.view, n, idx, val), y = k->dot1(&t.view, n, idx, NULL);
        CHECK(close_to(x, want, n) && close_to(y, ones, n), "%s n %u", k->name, n);
        if (!fused(k)) continue;
        CHECK(x == dot_model(val, w, n, true), "%s n %u: other bits", k->name, n);
        CHECK(y == dot_model(one, w, n, true), "%s n %u ones: other bits", k->name, n);
    }
    free_arrays();
}

static void test_dot1(void **state)
{
    (void)state;
    size_t n = 0;
    do {
        const uint32_t m = (uint32_t)n, rows = 2 * m + 3, owns[4] = {0, rows / 3, rows / 2, rows};
        for (int i = 0; i < 16; i++)
            check_dot1(m, i & 4 ? (1u << 31) - rows / 2 : 0, rows, owns[i & 3], i & 8);
    } while ((n = next_size(n)));
}

/* A worker that is alone has one memory under both names; no number of rows is too large for a bound. */
static void test_dot1_one_memory(void **state)
{
    (void)state;
    enum { ROWS = 40 };
    table           t    = make_table(ROWS, 0, 1, 2);
    const asgd_view both = {t.view.shared, t.view.shared, ROWS, 2},
                    all  = {t.view.shared, NULL, UINT64_C(1) << 33, 2};
    uint32_t idx[ROWS];
    float   *val = floats(ROWS);
    for (uint32_t i = 0; i < ROWS; i++) idx[i] = ROWS - 1 - i;
    EACH_VARIANT(k)
    {
        const float want = k->dot1(&t.view, ROWS, idx, val);
        CHECK(want != 0 && k->dot1(&both, ROWS, idx, val) == want, "%s", k->name);
        CHECK(k->dot1(&all, ROWS, idx, val) == want, "%s", k->name);
    }
    free_arrays();
}

/* One example's sums in kern.h's order. */
static void forward_model(const table *t, uint32_t n, const uint32_t *idx, const float *val,
                          float *out)
{
    for (uint32_t e = 0; e < n; e++)
        for (uint32_t c = 0; c < t->pad; c++)
            out[c] = fmaf(val ? val[e] : 1, asgd_row(&t->view, idx ? idx[e] : e)[c], out[c]);
}

static void check_forward(const table *t, const examples *x, bool ones, const float *dense)
{
    const uint32_t pad   = t->pad;
    const size_t   ldo   = pad + (pad == 1 ? 0 : 8);
    const float   *val   = ones ? NULL : x->val;
    float         *start = floats(x->n * ldo), *want = copy(start, x->n * ldo);
    for (uint32_t i = 0; i < x->n; i++) {
        if (dense)
            forward_model(t, t->rows, NULL, dense + (size_t)i * t->rows, want + i * ldo);
        else
            forward_model(t, x->len[i], x->idx + x->begin[i], val ? val + x->begin[i] : NULL,
                          want + i * ldo);
    }
    EACH_VARIANT(k)
    {
        float *out = copy(start, x->n * ldo);
        if (dense)
            k->forward_dense(&t->view, pad, t->rows, x->n, dense, out, ldo);
        else
            k->forward(&t->view, pad, x->n, x->begin, x->len, x->idx, val, out, ldo);
        for (size_t i = 0; i < x->n * ldo; i++) {
            CHECK(close_to(out[i], want[i], 40), "%s pad %u at %zu: %g, not %g", k->name, pad, i,
                  out[i], want[i]);
            if (fused(k) && (pad > 1 || dense))
                CHECK(out[i] == want[i], "%s pad %u at %zu: other bits", k->name, pad, i);
        }
    }
}

static void test_forward(void **state)
{
    (void)state;
    uint32_t pad = 1;
    do {
        for (int round = 0; round < 3; round++) {
            const uint32_t rows = 120;
            table          t = make_table(rows, (uint32_t)round * 40, pad, pad * (1u + (pad & 1)));
            examples       x = make_examples(4, rows, 40);
            float         *dense = floats((size_t)x.n * rows);
            check_forward(&t, &x, false, NULL);
            check_forward(&t, &x, true, NULL);
            check_forward(&t, &x, false, dense);
            free_arrays();
        }
    } while ((pad = next_pad(pad)));
}

/* Rows far apart take the prefetching path. */
static void test_forward_far(void **state)
{
    (void)state;
    table    t = make_table(3000, 100, 104, 104);
    examples x = make_examples(9, 3000, 60);
    check_forward(&t, &x, false, NULL);
    free_arrays();
}

static void check_outer(uint32_t pad, uint32_t n_own, bool ones)
{
    enum { ROWS = 30, EXAMPLES = 7, ENTRIES = 90 };
    table        t   = make_table(ROWS, n_own, pad, pad * 2);
    const size_t ldv = pad + (pad == 1 ? 0 : 8);
    float       *v = floats(EXAMPLES * ldv), *val = floats(ENTRIES), *sum = floats(pad);
    uint32_t *ex = array(ENTRIES, 4), *start = array(ROWS / 2 + 1, 4), *rows = array(ROWS / 2, 4);
    asgdk_columns c     = {ROWS / 2, rows, start, ex, ones ? NULL : val};
    const float   alpha = -0.3f;
    for (uint32_t e = 0; e < ENTRIES; e++) ex[e] = draw_below(EXAMPLES);
    for (uint32_t r = 0; r < c.n; r++) {
        rows[r]  = r * 2 + 1;
        start[r] = r * 6;
    }
    start[1]   = 0; /* the first has none */
    start[c.n] = ENTRIES;
    EACH_VARIANT(k)
    {
        table u = copy_table(&t);
        k->outer_sgd(&u.view, pad, &c, alpha, v, ldv);
        for (uint32_t r = 0, j = 0; r < ROWS; r++) {
            const float *was = asgd_row(&t.view, r), *is = asgd_row(&u.view, r);
            bool         hit = r % 2 == 1;
            if (hit)
                k->outer_row(pad, start[j + 1] - start[j], ex + start[j],
                             ones ? NULL : val + start[j], v, ldv, sum);
            for (size_t i = 0; i < t.view.stride; i++) {
                float s = 0;
                for (uint32_t e = start[j]; hit && i < pad && e < start[j + 1]; e++)
                    s = fmaf(ones ? 1 : val[e], v[ex[e] * ldv + i], s);
                float want = hit && i < pad ? fmaf(alpha, s, was[i]) : was[i];
                CHECK(close_to(is[i], want, 10) && (!fused(k) || is[i] == want),
                      "%s outer_sgd pad %u row %u at %zu: %a, not %a", k->name, pad, r, i, is[i],
                      want);
                if (hit && i < pad)
                    CHECK(close_to(sum[i], s, 10) && (!fused(k) || sum[i] == s),
                          "%s outer_row pad %u row %u", k->name, pad, r);
            }
            j += hit;
        }
    }
    free_arrays();
}

static void test_outer(void **state)
{
    (void)state;
    uint32_t pad = 1;
    do {
        check_outer(pad, 0, false);
        check_outer(pad, 13, true);
        check_outer(pad, 30, false);
    } while ((pad = next_pad(pad)));
}

/* ---- what is not a number comes through ---- */

static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[2] = {NAN, INFINITY};
    EACH_VARIANT(k)
    for (int b = 0; b < 2; b++)
        for (uint32_t at = 0; at < 21; at++) {
            float    a[24], one[24], y[24] = {0}, own[24], seen[24] = {0};
            uint32_t idx[24];
            uint64_t begin = 0;
            for (uint32_t i = 0; i < 24; i++) {
                a[i]   = i == at ? bad[b] : 1;
                own[i] = a[i];
                one[i] = 1;
                idx[i] = i;
            }
            const uint32_t   n = 21;
            const asgd_view  t = {.shared = a, .stride = 1};
            const asgdk_step p = make_step(3, 1);
            CHECK(!isfinite(k->dot(a, one, n)), "%s dot", k->name);
            CHECK(b == 0 || k->dot(a, one, n) == INFINITY, "%s dot inf", k->name);
            CHECK(!isfinite(k->dot1(&t, n, idx, one)), "%s dot1", k->name);
            CHECK(b == 0 || k->dot1(&t, n, idx, NULL) == INFINITY, "%s dot1 inf", k->name);
            k->axpy(2, a, y, n);
            CHECK(!isfinite(y[at]) && y[20 - at + (at == 10)] == 2, "%s axpy", k->name);
            float           out[8] = {0}, rows[24 * 8];
            const asgd_view wide   = {.shared = rows, .stride = 8};
            for (uint32_t i = 0; i < 24 * 8; i++) rows[i] = a[i / 8];
            k->forward(&wide, 8, 1, &begin, &n, idx, one, out, 8);
            CHECK(!isfinite(out[0]) && !isfinite(out[7]), "%s forward", k->name);
            k->merge(own, seen, y, n, 1);
            CHECK(!isfinite(own[at]) && isfinite(own[20 - at + (at == 10)]), "%s merge", k->name);
            for (asgd_rule_kind kind = ASGD_RULE_sgd; kind < ASGD_RULES; kind++) {
                float row[72] = {0}, local[24] = {0};
                k->rule[kind](row, local, a, 24, 1, &p);
                if (b == 0) CHECK(isnan(row[at]), "%s rule %d: %g", k->name, (int)kind, row[at]);
                CHECK(isfinite(row[20 - at + (at == 10)]), "%s rule %d", k->name, (int)kind);
            }
        }
}

/* ---- choice ---- */

static void test_choice(void **state)
{
    (void)state;
    unsetenv("ASGD_ISA");
    const asgd_kern *best = asgdk_best();
    assert_non_null(best);
    assert_string_not_equal(best->name, "atomic");
    assert_string_equal(asgd_isa(), best->name);
    assert_string_equal(asgdk_variant(0)->name, "scalar");
    EACH_VARIANT(k)
    {
        setenv("ASGD_ISA", k->name, 1);
        assert_ptr_equal(asgdk_best(), k);
        assert_string_equal(asgd_isa(), k->name);
        assert_non_null(strstr(asgdk_names(), k->name));
    }
    setenv("ASGD_ISA", "mmx", 1);
    assert_null(asgdk_best());
    assert_string_equal(asgd_isa(), "unsupported");
    setenv("ASGD_ISA", "", 1);
    assert_ptr_equal(asgdk_best(), best);
    unsetenv("ASGD_ISA");
    assert_null(asgdk_variant(99));
    assert_int_equal(asgdk_pad(1), 1);
    assert_int_equal(asgdk_pad(2), 8);
    assert_int_equal(asgdk_pad(104), 104);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot),     cmocka_unit_test(test_axpy),
        cmocka_unit_test(test_exp),     cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_merge),   cmocka_unit_test(test_merge_is_exact),
        cmocka_unit_test(test_dot1),    cmocka_unit_test(test_dot1_one_memory),
        cmocka_unit_test(test_forward), cmocka_unit_test(test_forward_far),
        cmocka_unit_test(test_outer),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
