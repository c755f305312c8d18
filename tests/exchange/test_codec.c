/* Rows as bytes and back: what rounding keeps, what is kept of the largest, the same bytes everywhere, room
 * that suffices, and bodies that are none.  ASGD_SEED=<n> draws other cases. */
#include "test.h"

#include <float.h>

#include "base/rng.h"
#include "exchange/codec.h"

enum { GUARD = 64, CASES = 2000, HOSTILE = 100000 };

/* ---- random cases: a failure says which ---- */

static uint64_t seed = 20250301, number, drawn;

#define holds(what)                                                                \
    do {                                                                           \
        if (!(what))                                                               \
            fail_msg("seed %llu, case %llu: not so: %s", (unsigned long long)seed, \
                     (unsigned long long)number, #what);                           \
    } while (0)

static void begin(uint64_t i)
{
    number = i;
    drawn  = 0;
}

static uint64_t bits(void)
{
    return asgdi_random(seed, number, drawn++);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)((bits() >> 32) * n >> 32);
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float uniform(void)
{
    return asgdi_uniform(bits()) * 2 - 1;
}

/* Of all magnitudes, with many equal ones and zeros; seldom, where it may, no number. */
static float any_float(bool finite)
{
    static const float some[] = {0, -0.0f, 1, -1, 1, 0x1p-149f, -0x1p-126f, FLT_MAX, -0.5f, 65520};
    float              x;
    switch (below(8)) {
    case 0: return some[below(sizeof some / sizeof some[0])];
    case 1:
        do x = float_of((uint32_t)bits());
        while (finite && !isfinite(x));
        return x;
    case 2: return finite || below(8) ? 0 : below(2) ? NAN : -INFINITY;
    case 3: return (float)(int)below(7) - 3;
    default: return uniform();
    }
}

static void *room(size_t bytes)
{
    uint8_t *p = malloc(bytes + GUARD);
    assert_non_null(p);
    memset(p, 0xa5, bytes + GUARD);
    return p;
}

static bool guarded(const void *p, size_t bytes)
{
    const uint8_t *b = (const uint8_t *)p + bytes;
    for (int i = 0; i < GUARD; i++)
        if (b[i] != 0xa5) return false;
    return true;
}

/* Rows, their floats, their bytes and what they say. */
typedef struct body {
    asgdi_shape s;
    uint32_t    n, *row;
    float      *x;
    size_t      bound, bytes;
    uint8_t    *to;
    uint32_t    got_n, *got_row;
    float      *got;
} body;

static void draw(body *b, bool finite)
{
    static const uint32_t pads[] = {1, 1, 3, 8, 8, 16, 24, 40};
    b->s.pad                     = pads[below(8)];
    b->s.stride                  = b->s.pad * (1 + below(3));
    b->s.rows                    = below(4) ? below(40) : below(600);
    const uint32_t every         = below(3) ? 1 : 1 + below(50);
    b->n                         = 0;
    b->row                       = malloc(b->s.rows * sizeof *b->row + 1);
    b->x                         = malloc((size_t)b->s.rows * b->s.stride * sizeof *b->x + 1);
    assert_true(b->row && b->x);
    for (uint32_t i = 0; i < b->s.rows; i++)
        if (below(every) == 0) b->row[b->n++] = i;
    const bool zeros = below(8) == 0;
    for (size_t i = 0; i < (size_t)b->n * b->s.stride; i++) b->x[i] = zeros ? 0 : any_float(finite);
}

static size_t floats(const body *b)
{
    return (size_t)b->n * b->s.stride;
}

static void send(asgdi_coding c, body *b)
{
    const size_t rows = b->s.rows * sizeof *b->got_row, all = rows * b->s.stride;
    b->bound = asgdi_encode_bound(c, &b->s, b->n);
    b->to    = room(b->bound);
    b->bytes = asgdi_encode(c, &b->s, b->n, b->row, b->x, b->to);
    holds(b->bytes <= b->bound && guarded(b->to, b->bound));
    uint8_t *sent = malloc(b->bytes); /* so long exactly, for sanitizers */
    assert_non_null(sent);
    memcpy(sent, b->to, b->bytes);
    b->got_row = room(rows);
    b->got     = room(all);
    holds(asgdi_decode(c, &b->s, sent, b->bytes, &b->got_n, b->got_row, b->got));
    holds(guarded(b->got_row, rows) && guarded(b->got, all));
    free(sent);
}

static void drop_sent(body *b)
{
    free(b->to);
    free(b->got_row);
    free(b->got);
}

static void drop(body *b)
{
    free(b->row);
    free(b->x);
}

static bool same_rows(const body *b)
{
    return b->got_n == b->n && memcmp(b->got_row, b->row, b->n * sizeof *b->row) == 0;
}

/* All rows of one long row. */
static void send_row(asgdi_coding c, size_t n, const float *x, uint8_t *to, float *got)
{
    const asgdi_shape s   = {.rows = 1, .stride = (uint32_t)n, .pad = (uint32_t)n};
    const uint32_t    row = 0;
    uint32_t          got_n, got_row;
    size_t            bytes = asgdi_encode(c, &s, 1, &row, x, to);
    assert_true(asgdi_decode(c, &s, to, bytes, &got_n, &got_row, got));
    assert_true(c == ASGDI_TOPK || (got_n == 1 && got_row == 0));
}

/* ---- exact ---- */

static void test_float32(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        begin((uint64_t)i);
        body b;
        draw(&b, false);
        send(ASGDI_FLOAT32, &b);
        holds(same_rows(&b));
        holds(memcmp(b.got, b.x, floats(&b) * sizeof *b.x) == 0);
        holds(b.n < b.s.rows || b.bytes == 1 + floats(&b) * sizeof *b.x);
        drop_sent(&b);
        drop(&b);
    }
}

/* Rows far apart: their numbers take all lengths there are. */
static void test_far_rows(void **state)
{
    (void)state;
    static const uint32_t row[] = {0,      1,       129,       130,       20000,         36384,
                                   100000, 3000000, 300000000, 600000000, UINT32_MAX - 1};
    enum { N = sizeof row / sizeof row[0] };
    const asgdi_shape s = {.rows = UINT32_MAX, .stride = 2, .pad = 1};
    float             x[2 * N], got[2 * N];
    uint32_t          got_n, got_row[N];
    uint8_t           to[400];
    for (uint32_t i = 0; i < 2 * N; i++) x[i] = i ? 1 / (float)i : 2;
    size_t bytes = asgdi_encode(ASGDI_FLOAT32, &s, N, row, x, to);
    assert_true(bytes <= asgdi_encode_bound(ASGDI_FLOAT32, &s, N));
    assert_true(asgdi_decode(ASGDI_FLOAT32, &s, to, bytes, &got_n, got_row, got));
    assert_int_equal(got_n, N);
    assert_memory_equal(got_row, row, sizeof row);
    assert_memory_equal(got, x, sizeof x);
    bytes = asgdi_encode(ASGDI_TOPK, &s, N, row, x, to); /* 2 of 22 */
    assert_true(bytes <= asgdi_encode_bound(ASGDI_TOPK, &s, N));
    assert_true(asgdi_decode(ASGDI_TOPK, &s, to, bytes, &got_n, got_row, got));
    assert_int_equal(got_n, 1);
    assert_int_equal(got_row[0], 0);
    assert_true(got[0] == 2 && got[1] == 1);
    x[2 * N - 1] = 3;
    bytes        = asgdi_encode(ASGDI_TOPK, &s, N, row, x, to);
    assert_true(bytes <= asgdi_encode_bound(ASGDI_TOPK, &s, N));
    assert_true(asgdi_decode(ASGDI_TOPK, &s, to, bytes, &got_n, got_row, got));
    assert_int_equal(got_n, 2);
    assert_int_equal(got_row[1], UINT32_MAX - 1);
    assert_true(got[0] == 2 && got[1] == 0 && got[2] == 0 && got[3] == 3);
}

/* ---- halves ---- */

/* The upper half, and one more where the lower is more than a half of what that is worth, or just as much and the
 * upper one odd. */
static uint32_t reference_bf16(uint32_t u)
{
    uint32_t up = u >> 16, low = u & 0xffff;
    if (low > 0x8000 || (low == 0x8000 && up % 2)) up++;
    return up;
}

static void test_bf16(void **state)
{
    (void)state;
    static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { N = 65536 };
    float   *x = malloc(N * sizeof *x), *got = malloc(N * sizeof *x);
    uint8_t *to = malloc(2 * N + 8);
    assert_true(x && got && to);
    for (size_t k = 0; k < sizeof low / sizeof low[0]; k++) {
        for (uint32_t i = 0; i < N; i++) x[i] = float_of(i << 16 | low[k]);
        send_row(ASGDI_BF16, N, x, to, got);
        for (uint32_t i = 0; i < N; i++) {
            uint32_t u = i << 16 | low[k], g = bits_of(got[i]);
            if ((u & 0x7fffffff) > 0x7f800000) { /* no number stays none */
                assert_true(isnan(got[i]));
                assert_int_equal(g, (i | 0x40) << 16);
            } else {
                assert_int_equal(g, reference_bf16(u) << 16);
            }
            if (i % 0x8000 == 0x7f80 && low[k] == 0) assert_int_equal(g, u); /* infinite */
        }
    }
    free(x);
    free(got);
    free(to);
}

static double half_value(uint32_t h)
{
    int    e = (int)(h >> 10 & 31);
    double m = h & 0x3ff;
    return (h & 0x8000 ? -1 : 1) * (e ? ldexp(1024 + m, e - 25) : ldexp(m, -24));
}

/* Of all finite halves, by arithmetic of doubles, which is exact here. */
static double reference_fp16(float x)
{
    int    e;
    double m = fabs((double)x);
    frexp(m, &e);
    double unit = ldexp(1, (e < -13 ? -13 : e) - 11), q = floor(m / unit), rest = m / unit - q;
    if (rest > 0.5 || (rest == 0.5 && fmod(q, 2) != 0)) q++;
    q *= unit;
    return q > 65504 ? 65504 : q;
}

static void check_fp16(size_t n, const float *x)
{
    uint8_t *to  = malloc(2 * n + 8);
    float   *got = malloc(n * sizeof *got);
    assert_true(to && got);
    send_row(ASGDI_FP16, n, x, to, got);
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]))
            assert_true(isnan(got[i]));
        else if (isinf(x[i]))
            assert_true(got[i] == x[i]);
        else if (fabs((double)got[i]) != reference_fp16(x[i]))
            fail_msg("%a became %a, not %a", (double)x[i], (double)got[i], reference_fp16(x[i]));
        assert_int_equal(!!signbit(got[i]), !!signbit(x[i]));
    }
    free(to);
    free(got);
}

static void test_fp16(void **state)
{
    (void)state;
    enum { N = 65536 };
    const asgdi_shape s   = {.rows = 1, .stride = N, .pad = N};
    const uint32_t    row = 0;
    float            *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    uint8_t          *from = malloc(2 * N + 1), *to = malloc(2 * N + 1);
    uint32_t          n, got_row;
    assert_true(x && y && from && to);
    from[0] = 0;
    for (uint32_t h = 0; h < N; h++) {
        from[1 + 2 * h] = (uint8_t)h;
        from[2 + 2 * h] = (uint8_t)(h >> 8);
    }
    assert_true(asgdi_decode(ASGDI_FP16, &s, from, 2 * N + 1, &n, &got_row, x));
    for (uint32_t h = 0; h < N; h++) {
        if ((h & 0x7fff) > 0x7c00)
            assert_true(isnan(x[h]));
        else if ((h & 0x7fff) == 0x7c00)
            assert_true(isinf(x[h]));
        else
            assert_true((double)x[h] == half_value(h));
        assert_int_equal(!!signbit(x[h]), h >> 15);
        if ((h & 0x7c00) == 0x7c00 && (h & 0x3ff)) from[2 + 2 * h] |= 2; /* quiet */
    }
    assert_int_equal(asgdi_encode(ASGDI_FP16, &s, 1, &row, x, to), 2 * N + 1);
    assert_memory_equal(to, from, 2 * N + 1);

    /* between each and the next, and a little to either side; infinity counts as 65536 there */
    for (int32_t off = -1; off <= 1; off++) {
        for (uint32_t h = 0; h < N; h++) {
            double a = half_value(h & 0x7fff), b = half_value((h & 0x7fff) + 1);
            float  m = (float)((a + b) / 2);
            y[h]     = (h & 0x7fff) > 0x7bff ? x[h] : float_of(bits_of(m) + (uint32_t)off);
            if (h >> 15) y[h] = -y[h];
        }
        check_fp16(N, y);
    }
    begin(0);
    for (uint32_t i = 0; i < N; i++) y[i] = any_float(false);
    check_fp16(N, y);
    for (uint32_t i = 0; i < N; i++) y[i] = float_of((uint32_t)bits());
    check_fp16(N, y);
    free(x);
    free(y);
    free(from);
    free(to);
}

/* Several rows and parts: the same as each float alone. */
static void test_halves_of_rows(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        begin((uint64_t)i);
        body b;
        draw(&b, false);
        for (int c = ASGDI_BF16; c <= ASGDI_FP16; c++) {
            send((asgdi_coding)c, &b);
            holds(same_rows(&b));
            for (size_t k = 0; k < floats(&b); k++) {
                uint8_t to[8];
                float   alone;
                send_row((asgdi_coding)c, 1, &b.x[k], to, &alone);
                holds(bits_of(b.got[k]) == bits_of(alone));
            }
            drop_sent(&b);
        }
        drop(&b);
    }
}

/* ---- a byte and a scale ---- */

static void check_part(const float *x, const float *got, uint32_t pad)
{
    float most   = 0;
    bool  finite = true;
    for (uint32_t i = 0; i < pad; i++) {
        finite = finite && isfinite(x[i]);
        most   = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    const double scale = (double)most / 127;
    for (uint32_t i = 0; i < pad; i++)
        if (pad == 1)
            holds(bits_of(got[i]) == bits_of(x[i]));
        else if (!finite)
            holds(isnan(got[i])); /* all of the part: its owner must not take it */
        else if (scale < 0x1p-100)
            holds(got[i] == 0);
        else
            holds(fabs((double)got[i] - (double)x[i]) <= 0.5001 * scale);
}

static void test_int8(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        begin((uint64_t)i);
        body b;
        draw(&b, i % 2);
        const float unit = ldexpf(1, (int)below(200) - 100);
        if (below(2))
            for (size_t k = 0; k < floats(&b); k++) b.x[k] = uniform() * unit;
        send(ASGDI_INT8, &b);
        holds(same_rows(&b));
        for (size_t k = 0; k < floats(&b); k += b.s.pad) check_part(b.x + k, b.got + k, b.s.pad);
        drop_sent(&b);
        drop(&b);
    }
    /* the ends of what there is */
    static const float ends[][4] = {{FLT_MAX, -FLT_MAX, 1, FLT_MAX / 2},
                                    {0x1p-149f, 0, 0, 0},
                                    {127 * 0x1p-100f, 0x1p-100f, -0x1p-126f, 0},
                                    {FLT_MIN, FLT_MIN, 0x1p-149f, -FLT_MIN},
                                    {1e38f, 1e-38f, 0, -1e38f},
                                    {127, 0.5f, 1.5f, -126.5f}};
    begin(CASES);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        uint8_t to[16];
        float   got[4];
        send_row(ASGDI_INT8, 4, ends[i], to, got);
        check_part(ends[i], got, 4);
        for (int k = 0; k < 4; k++) assert_true(isfinite(got[k]));
    }
}

/* ---- the largest ---- */

static void check_kept(const body *b)
{
    const size_t n = floats(b), want = n < 10 ? n > 0 : n / 10;
    size_t       kept = 0, nonzero = 0;
    uint32_t     least = UINT32_MAX, most = 0; /* of those kept, of those left out */
    uint32_t     j = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const float *x = b->x + (size_t)i * b->s.stride, *got = b->got + (size_t)j * b->s.stride;
        const bool   here   = j < b->got_n && b->got_row[j] == b->row[i];
        size_t       before = kept;
        for (uint32_t k = 0; k < b->s.stride; k++) {
            uint32_t m = bits_of(x[k]) & 0x7fffffff;
            nonzero += m > 0;
            if (here && bits_of(got[k])) {
                holds(bits_of(got[k]) == bits_of(x[k]));
                least = m < least ? m : least;
                kept++;
            } else {
                most = m > most ? m : most;
            }
        }
        holds(!here || kept > before); /* rows that keep nothing are left out */
        j += here;
    }
    holds(j == b->got_n);
    holds(kept == (want < nonzero ? want : nonzero));
    holds(kept == 0 || least >= most);
}

static void test_topk(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        begin((uint64_t)i);
        body b;
        draw(&b, i % 2);
        switch (below(4)) {
        case 0: /* differ in their last bits alone, or not at all */
            for (size_t k = 0; k < floats(&b); k++)
                b.x[k] = float_of(0x3f800000 + below(1 + below(40)));
            break;
        case 1:
            for (size_t k = 0; k < floats(&b); k++) b.x[k] = uniform();
            break;
        case 2: /* fewer than a tenth, the smallest there are among them */
            for (size_t k = 0; k < floats(&b); k++)
                b.x[k] = below(20) ? 0 : below(2) ? 0x1p-149f : any_float(true);
            break;
        }
        send(ASGDI_TOPK, &b);
        check_kept(&b);
        drop_sent(&b);
        drop(&b);
    }
}

/* Longer than what is worked on at a time. */
static void test_long(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        begin((uint64_t)i);
        body b = {.s = {.rows = 20, .stride = 1400, .pad = 700}, .n = 20};
        b.row  = malloc(b.n * sizeof *b.row);
        b.x    = malloc(floats(&b) * sizeof *b.x);
        assert_true(b.row && b.x);
        for (uint32_t k = 0; k < b.n; k++) b.row[k] = k;
        for (size_t k = 0; k < floats(&b); k++)
            b.x[k] = i % 3 == 0   ? uniform()
                     : i % 3 == 1 ? float_of(0x3f800000 + below(1 + below(100000)))
                                  : (float)below(3);
        if (i >= 10) b.x[below((uint32_t)floats(&b))] = i % 2 ? NAN : -INFINITY;
        send(ASGDI_INT8, &b);
        for (size_t k = 0; k < floats(&b); k += b.s.pad) check_part(b.x + k, b.got + k, b.s.pad);
        drop_sent(&b);
        send(ASGDI_TOPK, &b);
        check_kept(&b);
        drop_sent(&b);
        drop(&b);
    }
}

/* ---- what is left out is only late ---- */

enum { LONG = 640, ROWS = 10, TIMES = 300 };

static const asgdi_shape feedback = {.rows = ROWS, .stride = LONG / ROWS, .pad = 16};

/* rest -= what arrives of it, which is added to sum. */
static void send_rest(asgdi_coding c, float *rest, double *sum)
{
    static uint8_t to[8 * LONG];
    uint32_t       all[ROWS], n, row[ROWS];
    float          got[LONG];
    for (uint32_t i = 0; i < ROWS; i++) all[i] = i;
    size_t bytes = asgdi_encode(c, &feedback, ROWS, all, rest, to);
    assert_true(asgdi_decode(c, &feedback, to, bytes, &n, row, got));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < feedback.stride; k++) {
            size_t at = (size_t)row[i] * feedback.stride + k;
            rest[at] -= got[i * feedback.stride + k];
            sum[at] += (double)got[i * feedback.stride + k];
        }
}

static double norm(const float *x)
{
    double sum = 0;
    for (int i = 0; i < LONG; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void test_feedback(void **state)
{
    (void)state;
    /* What a kind leaves of a vector is at the most a factor f < 1 of its norm: f of the halves' and the bytes'
     * rounding; sqrt(1 - 1/10) of the tenth.  So the rest is never more than f / (1 - f) of a gradient. */
    static const double f[] = {0, 0x1p-8, 0x1p-10, 0.5 / 127 * 4, 0.948684};
    const double least[] = {0, 0, sqrt(LONG) * 0x1p-25, 0, 0}; /* halves have a smallest number */
    for (int c = 0; c < ASGDI_CODINGS; c++) {
        float  v[LONG], rest[LONG] = {0};
        double sum[LONG] = {0};
        begin((uint64_t)c);
        for (int i = 0; i < LONG; i++) v[i] = uniform() * (i % 7 ? 0.1f : 1);

        /* the same gradient again and again: their sum arrives, but for a rest that does not grow */
        for (int t = 0; t < TIMES; t++) {
            for (int i = 0; i < LONG; i++) rest[i] += v[i];
            send_rest((asgdi_coding)c, rest, sum);
            holds(norm(rest) <= f[c] / (1 - f[c]) * norm(v) + least[c]);
        }
        for (int i = 0; i < LONG; i++)
            holds(fabs(sum[i] + (double)rest[i] - TIMES * (double)v[i]) < 1e-3);

        /* no more gradients: the rest arrives, too */
        double begun = norm(rest);
        for (int t = 0; t < 20; t++) send_rest((asgdi_coding)c, rest, sum);
        holds(norm(rest) <= 1e-9 * begun + least[c]);
        for (int i = 0; i < LONG; i++) holds(fabs(sum[i] - TIMES * (double)v[i]) < 1e-3);
    }
}

/* ---- the same bytes everywhere ---- */

static void test_same_bytes(void **state)
{
    (void)state;
    static const uint64_t want[] = {0x2a9df604cd8bbb43, 0x64d5dcb3f5642f07, 0x4b012005ba9b9eb6,
                                    0x3e28a99df985a274, 0xde8c395850a11939};
    enum { N = 500, STRIDE = 24 };
    const asgdi_shape s  = {.rows = 3 * N, .stride = STRIDE, .pad = 8};
    float            *x  = malloc(N * STRIDE * sizeof *x);
    uint8_t          *to = malloc(8 * N * STRIDE);
    uint32_t          row[N];
    assert_true(x && to);
    for (uint32_t i = 0; i < N; i++) row[i] = 3 * i + i % 3;
    for (uint32_t i = 0; i < N * STRIDE; i++) {
        uint64_t u =
            asgdi_random(7, 0, i); /* signs and mantissas; exponents -31..32, few of a part */
        x[i] = float_of((uint32_t)(u & 0x807fffff) | (96 + i / 8 % 61 + (uint32_t)(u >> 62)) << 23);
    }
    for (int c = 0; c < ASGDI_CODINGS; c++) {
        size_t   bytes = asgdi_encode((asgdi_coding)c, &s, N, row, x, to);
        uint64_t h     = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
        for (size_t i = 0; i < bytes; i++) h = (h ^ to[i]) * UINT64_C(0x100000001b3);
        if (h != want[c])
            fail_msg("%s: %#llx", asgdi_coding_name((asgdi_coding)c), (unsigned long long)h);
    }
    free(x);
    free(to);
}

/* ---- room ---- */

static void test_bound(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        begin((uint64_t)i);
        body b;
        draw(&b, false);
        const uint32_t factor = 1 + below(UINT32_MAX / (b.s.rows + 1));
        for (uint32_t k = 0; k < b.n; k++) b.row[k] *= factor; /* far apart */
        b.s.rows *= factor;
        for (int c = 0; c < ASGDI_CODINGS; c++) {
            size_t   bound = asgdi_encode_bound((asgdi_coding)c, &b.s, b.n);
            uint8_t *to    = room(bound);
            holds(asgdi_encode((asgdi_coding)c, &b.s, b.n, b.row, b.x, to) <= bound);
            holds(guarded(to, bound));
            free(to);
        }
        drop(&b);
    }
    /* as large as it gets */
    const asgdi_shape   s       = {.rows = UINT32_MAX, .stride = 1u << 28, .pad = 1};
    const double        n       = (double)s.rows * s.stride;
    static const double least[] = {4, 2, 2, 4, 0.5}, most[] = {4.01, 2.01, 2.01, 4.01, 0.6};
    for (int c = 0; c < ASGDI_CODINGS; c++) {
        double bound = (double)asgdi_encode_bound((asgdi_coding)c, &s, s.rows);
        assert_true(bound >= least[c] * n - 1 && bound <= most[c] * n);
    }
}

/* ---- bodies that are none ---- */

static void test_refused(void **state)
{
    (void)state;
    /* rows 5, stride 1 */
    static const struct {
        asgdi_coding c;
        size_t       bytes;
        uint8_t      from[20];
        bool         right;
    } some[] = {
        {ASGDI_FLOAT32, 0, {0}, false},
        {ASGDI_FLOAT32, 1, {5}, true},                                 /* no row */
        {ASGDI_FLOAT32, 2, {5, 0}, false},                             /* and a byte */
        {ASGDI_FLOAT32, 2, {0x85, 0}, false},                          /* 5 in two bytes */
        {ASGDI_FLOAT32, 1, {6}, false},                                /* -1 rows */
        {ASGDI_FLOAT32, 6, {4, 4, 0, 0, 0x80, 0x3f}, true},            /* row 4 */
        {ASGDI_FLOAT32, 6, {4, 5, 0, 0, 0x80, 0x3f}, false},           /* row 5 */
        {ASGDI_FLOAT32, 7, {4, 4, 0, 0, 0x80, 0x3f, 0}, false},        /* and a byte */
        {ASGDI_FLOAT32, 5, {4, 4, 0, 0, 0x80}, false},                 /* less */
        {ASGDI_FLOAT32, 7, {4, 0x84, 0, 0, 0, 0x80, 0x3f}, false},     /* 4 in two bytes */
        {ASGDI_FLOAT32, 11, {3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, true},  /* rows 3, 4 */
        {ASGDI_FLOAT32, 11, {3, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0}, false}, /* rows 3, 5 */
        {ASGDI_FLOAT32, 11, {0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0, 0, 0}, false}, /* 2^32 */
        {ASGDI_FLOAT32, 11, {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1}, false},
        {ASGDI_FLOAT32, 11, {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, false},
        {ASGDI_FLOAT32, 19, {0}, false},
        {ASGDI_BF16, 4, {4, 0, 0x80, 0x3f}, true},
        {ASGDI_BF16, 5, {4, 0, 0x80, 0x3f, 0}, false},
        {ASGDI_BF16, 3, {4, 0, 0x80}, false},
        {ASGDI_INT8, 6, {4, 0, 0, 0, 0x80, 0x3f}, true},
        {ASGDI_INT8, 5, {4, 0, 0, 0, 0x80}, false},
        {ASGDI_INT8, 7, {4, 0, 0, 0, 0x80, 0x3f, 5}, false},
        {ASGDI_TOPK, 0, {0}, false},
        {ASGDI_TOPK, 1, {0}, true}, /* nothing */
        {ASGDI_TOPK, 2, {0, 0}, false},
        {ASGDI_TOPK, 10, {128, 128, 128, 128, 128, 128, 128, 128, 128, 2}, false}, /* 2^64 */
        {ASGDI_TOPK, 6, {1, 0, 0, 0x80, 0x3f, 4}, true},
        {ASGDI_TOPK, 6, {1, 0, 0, 0x80, 0x3f, 5}, false},       /* row 5 */
        {ASGDI_TOPK, 7, {1, 0, 0, 0x80, 0x3f, 0x84, 0}, false}, /* 4 in two bytes */
        {ASGDI_TOPK, 7, {1, 0, 0, 0x80, 0x3f, 4, 0}, false},
        {ASGDI_TOPK, 5, {1, 0, 0, 0x80, 0x3f}, false},
        {ASGDI_TOPK, 6, {2, 0, 0, 0x80, 0x3f, 0}, false},
        {ASGDI_TOPK, 11, {2, 0, 0, 0x80, 0x3f, 0, 0, 0, 0, 4, 0}, false},
        {ASGDI_TOPK, 14, {1, 1, 1, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 127}, false},
        {ASGDI_TOPK, 15, {1, 1, 1, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, false},
        {ASGDI_TOPK, 14, {255, 255, 255, 255, 255, 255, 255, 255, 127, 1, 1, 1, 1, 0}, false},
    };
    const asgdi_shape s = {.rows = 5, .stride = 1, .pad = 1};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        uint32_t n, row[5];
        float    x[5];
        if (asgdi_decode(some[i].c, &s, some[i].from, some[i].bytes, &n, row, x) != some[i].right)
            fail_msg("body %zu", i);
    }
    /* few bytes do not make it write the many rows they speak of */
    const asgdi_shape huge  = {.rows = UINT32_MAX, .stride = 1u << 28, .pad = 8};
    const uint8_t     all[] = {0, 1, 2, 3, 4, 5};
    uint32_t          n;
    for (int c = 0; c < ASGDI_TOPK; c++)
        assert_false(asgdi_decode((asgdi_coding)c, &huge, all, sizeof all, &n, NULL, NULL));
}

/* Less than all of a body is none, and so is more. */
static void test_cut(void **state)
{
    (void)state;
    for (int i = 0; i < CASES / 10; i++) {
        begin((uint64_t)i);
        body b;
        do draw(&b, false);
        while (floats(&b) > 300 && (drop(&b), true));
        for (int c = 0; c < ASGDI_CODINGS; c++) {
            send((asgdi_coding)c, &b);
            uint8_t *more = calloc(b.bytes + 1, 1);
            assert_non_null(more);
            memcpy(more, b.to, b.bytes);
            for (size_t k = 0; k <= b.bytes + 1; k++)
                holds(asgdi_decode((asgdi_coding)c, &b.s, more, k, &b.got_n, b.got_row, b.got) ==
                      (k == b.bytes));
            free(more);
            drop_sent(&b);
        }
        drop(&b);
    }
}

static size_t damage(uint8_t *to, size_t bytes, size_t most)
{
    static const uint8_t some[] = {0, 1, 0x7f, 0x80, 0xff};
    uint32_t             times  = 1 + below(4);
    if (below(4) == 0) { /* all of it chance */
        bytes = below(64);
        bytes = bytes < most ? bytes : most;
        for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(below(2) ? below(8) : below(256));
        return bytes;
    }
    for (; times > 0; times--) {
        size_t at = bytes > 0 ? below(below(2) ? (uint32_t)bytes : 1 + below((uint32_t)bytes)) : 0;
        switch (below(5)) {
        case 0: bytes = at; break;
        case 1:
            if (bytes < most) to[bytes++] = (uint8_t)below(256);
            break;
        case 2:
            if (bytes > 0) to[at] = some[below(sizeof some)];
            break;
        case 3:
            if (bytes > 0) to[at] ^= (uint8_t)(1 << below(8));
            break;
        case 4:
            if (bytes == most) break;
            memmove(to + at + 1, to + at, bytes++ - at);
            to[at] = some[below(sizeof some)];
            break;
        }
    }
    return bytes;
}

static void test_hostile(void **state)
{
    (void)state;
    int right = 0;
    for (int i = 0; i < HOSTILE; i++) {
        begin((uint64_t)i);
        body b;
        b.s.pad              = 1 + below(3) * 4;
        b.s.stride           = b.s.pad * (1 + below(3));
        b.s.rows             = below(9) ? below(12) : below(300);
        const size_t all     = (size_t)b.s.rows * b.s.stride;
        b.row                = room(b.s.rows * sizeof *b.row);
        b.x                  = room(all * sizeof *b.x);
        b.n                  = 0;
        const asgdi_coding c = (asgdi_coding)below(ASGDI_CODINGS);
        for (uint32_t k = 0; k < b.s.rows; k++)
            if (below(2)) b.row[b.n++] = k;
        for (size_t k = 0; k < floats(&b); k++) b.x[k] = uniform();
        const size_t most = asgdi_encode_bound(c, &b.s, b.n) + 64;
        uint8_t     *to   = malloc(most);
        assert_non_null(to);
        size_t bytes = damage(to, asgdi_encode(c, &b.s, b.n, b.row, b.x, to), most);
        to           = realloc(to, bytes ? bytes : 1); /* so long exactly, for sanitizers */
        assert_non_null(to);
        if (asgdi_decode(c, &b.s, bytes ? to : NULL, bytes, &b.n, b.row, b.x)) {
            right++;
            holds(b.n <= b.s.rows);
            for (uint32_t k = 0; k < b.n; k++)
                holds(b.row[k] < b.s.rows && (k == 0 || b.row[k] > b.row[k - 1]));
        }
        holds(guarded(b.row, b.s.rows * sizeof *b.row) && guarded(b.x, all * sizeof *b.x));
        free(to);
        drop(&b);
    }
    assert_in_range(right, HOSTILE / 20, HOSTILE / 2); /* both ways were taken */
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    asgdi_coding c;
    for (int i = 0; i < ASGDI_CODINGS; i++) {
        assert_true(asgdi_coding_parse(asgdi_coding_name((asgdi_coding)i), &c));
        assert_int_equal(c, i);
    }
    assert_string_equal(asgdi_coding_name(ASGDI_FLOAT32), "none");
    assert_null(asgdi_coding_name(ASGDI_CODINGS));
    c = ASGDI_INT8;
    assert_false(asgdi_coding_parse("float32", &c));
    assert_false(asgdi_coding_parse("", &c));
    assert_int_equal(c, ASGDI_INT8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),
        cmocka_unit_test(test_far_rows),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_fp16),
        cmocka_unit_test(test_halves_of_rows),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_topk),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_names),
    };
    const char *text = getenv("ASGD_SEED");
    if (text) seed = strtoull(text, NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
