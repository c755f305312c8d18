/* codec.c -- rows of floats as bytes, in five kinds, and back.
 *
 * All but the largest tenth:  missing  gap*  floats
 *     missing   rows of the block that are not here; 0: all are here, and no gaps follow
 *     gap       of each row: how many were left out between it and the one before
 *     floats    n * stride of 4 or 2 bytes; or a scale for each part of each row, then n * stride bytes
 * The largest tenth:          kept  float*  gap*
 *     gap       of each float: how many of the block's rows * stride were left out before it
 *
 * missing, kept and gaps are numbers in groups of seven bits, lowest first, the top bit set in all but the
 * last group, which is not zero where there are several: one way only to write a number.  Floats are as
 * they lie in the memory of a little-endian machine.
 *
 * Whatever the bytes are, decoding reads those alone, and writes the first s->rows rows at the most: counts
 * are held against what is left to read before they are used, row numbers against s->rows.
 *
 * The same floats give the same bytes on every machine: numbers are rounded by integer arithmetic, or by
 * one addition, multiplication or division of floats that no compiler may join with another, and nothing
 * depends on how a processor treats denormal floats.  Loops are plain so that compilers make vectors of
 * them for any x86-64.
 *
 * Quantising with error feedback: Seide, Fu, Droppo, Li, Yu, "1-bit stochastic gradient descent", 2014;
 * Karimireddy, Rebjock, Stich, Jaggi, "Error feedback fixes SignSGD", 2019.  Rounding to half precision as
 * in Giesen, "Float->half variants", 2012. */
#include "exchange/codec.h"

#include <float.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bodies hold floats as little-endian machines have them: this one has to swap their bytes"
#endif
_Static_assert(sizeof(float) == 4 && FLT_MANT_DIG == 24 && FLT_MAX_EXP == 128, "IEEE 754 floats");

#define SIGN UINT32_C(0x80000000)
#define INFINITE 0x7f800000

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* As integers, magnitudes are in the order of what they mean, infinity and then NaN above all. */
static inline uint32_t magnitude(float x)
{
    return bits_of(x) & ~SIGN;
}

/* a where it holds, else b, in a way that no compiler makes a jump of, which would keep it from vectors. */
static inline uint32_t either(bool holds, uint32_t a, uint32_t b)
{
    return b ^ ((a ^ b) & -(uint32_t)holds);
}

/* ---- numbers of few bytes ---- */

static uint8_t *put(uint8_t *to, uint64_t number)
{
    for (; number > 127; number >>= 7) *to++ = (uint8_t)(number | 128);
    *to++ = (uint8_t)number;
    return to;
}

typedef struct bytes_left {
    const uint8_t *at, *end;
} bytes_left;

static size_t left(const bytes_left *b)
{
    return (size_t)(b->end - b->at);
}

/* false: the bytes end in it, it has more than 63 bits, or a last group of zeros. */
static bool get(bytes_left *b, uint64_t *number)
{
    uint64_t sum = 0;
    for (unsigned shift = 0; shift < 63 && b->at < b->end; shift += 7) {
        uint8_t group = *b->at++;
        sum |= (uint64_t)(group & 127) << shift;
        if (group < 128) {
            *number = sum;
            return group > 0 || shift == 0;
        }
    }
    return false;
}

static uint64_t bytes_of(uint64_t number)
{
    uint64_t n = 1;
    while (number >>= 7) n++;
    return n;
}

/* What `count` gaps take at the most, whose sum is at most `span`: so many of them cannot be large. */
static uint64_t bytes_of_gaps(uint64_t count, uint64_t span)
{
    uint64_t bytes = count;
    while (span >>= 7) bytes += span < count ? span : count;
    return bytes;
}

/* ---- which rows ---- */

/* A part of one float would be a scale and a byte: it goes as it is. */
static asgdi_coding kind_of(asgdi_coding c, const asgdi_shape *s)
{
    return c == ASGDI_INT8 && s->pad == 1 ? ASGDI_FLOAT32 : c;
}

/* All kinds but the largest tenth. */
static uint64_t bytes_of_floats(asgdi_coding c, const asgdi_shape *s, uint32_t n)
{
    const uint64_t floats = (uint64_t)n * s->stride; /* <= 2^60 */
    if (c == ASGDI_INT8) return floats + floats / s->pad * sizeof(float);
    return floats * (c == ASGDI_FLOAT32 ? 4 : 2);
}

static uint64_t bound_keys(const asgdi_shape *s, uint32_t n)
{
    return bytes_of(s->rows - n) + (n < s->rows ? bytes_of_gaps(n, s->rows) : 0);
}

static uint8_t *encode_keys(const asgdi_shape *s, uint32_t n, const uint32_t *row, uint8_t *to)
{
    to = put(to, s->rows - n);
    if (n == s->rows) return to;
    for (uint32_t i = 0, next = 0; i < n; next = row[i++] + 1) to = put(to, row[i] - next);
    return to;
}

/* false, before any row is written, where what is left cannot be all that so many rows take. */
static bool decode_keys(asgdi_coding c, const asgdi_shape *s, bytes_left *b, uint32_t *n,
                        uint32_t *row)
{
    uint64_t missing, gap, next = 0;
    if (!get(b, &missing) || missing > s->rows) return false;
    *n                   = s->rows - (uint32_t)missing;
    const uint64_t least = bytes_of_floats(c, s, *n);
    if (missing == 0) {
        if (left(b) != least) return false;
        for (uint32_t i = 0; i < *n; i++) row[i] = i;
        return true;
    }
    if (left(b) < least + *n) return false;
    for (uint32_t i = 0; i < *n; i++, next++) {
        if (!get(b, &gap)) return false;
        next += gap; /* next < 2^32, gap < 2^63 */
        if (next >= s->rows) return false;
        row[i] = (uint32_t)next;
    }
    return left(b) == least;
}

/* ---- two bytes a float ---- */

/* The upper half of a float.  NaN keeps its sign and upper bits, and is made a quiet one, lest what is cut off
 * was all that told it from infinity. */
static inline uint16_t to_bf16(float x)
{
    uint32_t u       = bits_of(x);
    uint32_t rounded = u + 0x7fff + (u >> 16 & 1), quiet = u | 0x400000;
    return (uint16_t)(((u & ~SIGN) > INFINITE ? quiet : rounded) >> 16);
}

static inline float from_bf16(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

/* Above the halves' denormal numbers, the exponent's offset changes and the mantissa is rounded; below 2^-14
 * the sum with 1/2, whose last place is worth as much as that of a denormal half, is the rounding. */
static inline uint16_t to_fp16(float x)
{
    uint32_t u = bits_of(x), m = u & ~SIGN;
    uint32_t normal = (m - (UINT32_C(112) << 23) + 0xfff + (m >> 13 & 1)) >> 13;
    uint32_t small  = bits_of(float_of(m) + 0.5f) - 0x3f000000;
    uint32_t h      = either((int32_t)m < 0x38800000, small, normal);
    h               = either((int32_t)h > 0x7bff, 0x7bff, h);
    h               = either((int32_t)m >= INFINITE, 0x7c00, h);
    h |= either((int32_t)m > INFINITE, 0x200 | (m >> 13 & 0x3ff), 0);
    return (uint16_t)(h | u >> 31 << 15);
}

/* A denormal half, h * 2^-24, is what 2^-14 * (1 + h * 2^-10) has more than 2^-14. */
static inline float from_fp16(uint16_t h)
{
    uint32_t m      = (uint32_t)(h & 0x7fff) << 13;
    uint32_t normal = m + (UINT32_C(112) << 23), huge = m | INFINITE;
    uint32_t small = bits_of(float_of((m & 0x7fffff) | 0x38800000) - 0x1p-14f);
    uint32_t u     = either((int32_t)m < 0x800000, small, normal);
    u              = either((int32_t)m >= 0xf800000, huge, u);
    return float_of(u | (uint32_t)(h & 0x8000) << 16);
}

#define HALVES(kind)                                                                     \
    static void encode_##kind(size_t n, const float *restrict x, uint8_t *restrict to)   \
    {                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                 \
            uint16_t h = to_##kind(x[i]);                                                \
            memcpy(to + 2 * i, &h, 2);                                                   \
        }                                                                                \
    }                                                                                    \
    static void decode_##kind(size_t n, const uint8_t *restrict from, float *restrict x) \
    {                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                 \
            uint16_t h;                                                                  \
            memcpy(&h, from + 2 * i, 2);                                                 \
            x[i] = from_##kind(h);                                                       \
        }                                                                                \
    }
HALVES(bf16)
HALVES(fp16)

/* ---- a byte a float ---- */

/* Where the scale would be below this, the part counts as zero: so no denormal floats come about. */
#define SCALE_LEAST 0x1p-100f

static inline uint32_t largest(size_t n, const float *x)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t m = magnitude(x[i]);
        most       = m > most ? m : most;
    }
    return most;
}

/* The scale of a part: NaN where not all of it is finite.  127 times it must not overflow. */
static inline float scale_of(uint32_t most)
{
    if (most >= INFINITE) return float_of(INFINITE | 0x400000);
    float scale = float_of(most) / 127;
    if (scale < SCALE_LEAST) return 0;
    return 127 * scale <= FLT_MAX ? scale : float_of(bits_of(scale) - 1);
}

static inline void multiply(size_t n, const float *restrict x, float factor, float *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] = x[i] * factor;
}

/* From units of 2^-16, of which there are at most 127 * 2^16 + 1, to the nearest integer; halves go up. */
static void round_off(size_t n, const float *restrict x, uint8_t *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(((uint32_t)(int32_t)x[i] + 0x8000) >> 16);
}

/* Parts may be short: multiplied one by one, they are rounded many at once.  Where a loop is known to be over 8
 * floats, as in the shortest parts, the compiler's vectors need nothing to begin and end with. */
static void encode_int8(size_t parts, size_t pad, const float *restrict x, uint8_t *restrict to)
{
    enum { SOME = 512 };
    float    some[SOME];
    size_t   n = 0;
    uint8_t *q = to + parts * sizeof(float);
    for (size_t p = 0; p < parts; p++) {
        const uint32_t most   = pad == 8 ? largest(8, x) : largest(pad, x);
        const float    scale  = scale_of(most);
        const float    factor = scale > 0 ? 0x1p16f / scale : 0;
        memcpy(to + p * sizeof scale, &scale, sizeof scale);
        for (size_t i = 0, m; i < pad; i += m, x += m, n += m) {
            if (n == SOME) {
                round_off(n, some, q);
                q += n;
                n = 0;
            }
            m = pad - i < SOME - n ? pad - i : SOME - n;
            if (most >= INFINITE)
                memset(some + n, 0, m * sizeof *some);
            else if (m == 8)
                multiply(8, x, factor, some + n);
            else
                multiply(m, x, factor, some + n);
        }
    }
    round_off(n, some, q);
}

static void decode_int8(size_t parts, size_t pad, const uint8_t *restrict from, float *restrict x)
{
    const uint8_t *q = from + parts * sizeof(float);
    for (size_t p = 0; p < parts; p++, x += pad, q += pad) {
        float scale;
        memcpy(&scale, from + p * sizeof scale, sizeof scale);
        for (size_t i = 0; i < pad; i++) x[i] = (float)(int8_t)q[i] * scale;
    }
}

/* ---- the largest tenth ---- */

static uint64_t tenth(uint64_t floats)
{
    return floats < 10 ? floats > 0 : floats / 10;
}

enum { BUCKETS = 2048, FEW = 4096 };

/* Floats by the upper 11 bits of their magnitude.  Neighbours are often alike: counted apart, neither waits for
 * the other's count. */
static void count_upper(size_t n, const float *x, size_t *count)
{
    size_t other[BUCKETS] = {0}, i = 0;
    for (; i + 1 < n; i += 2) {
        count[magnitude(x[i]) >> 20]++;
        other[magnitude(x[i + 1]) >> 20]++;
    }
    if (i < n) count[magnitude(x[i]) >> 20]++;
    for (i = 0; i < BUCKETS; i++) count[i] += other[i];
}

/* Those whose magnitude has these upper bits. */
static size_t gather(size_t n, const float *restrict x, uint32_t mask, uint32_t upper,
                     float *restrict some)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        some[m] = x[i];
        m += (magnitude(x[i]) & mask) == upper;
    }
    return m;
}

/* The magnitude of the k-th largest of n floats, and how many of just that magnitude are among the k largest:
 * its bits are found from the top by counting, 11, 10 and 10 at a time. */
static uint32_t kth_largest(size_t n, const float *x, size_t k, size_t *equal)
{
    float    some[FEW + 1]; /* gather() writes beyond what it keeps */
    uint32_t known = 0, mask = 0;
    for (int shift = 20; shift >= 0; shift -= 10) {
        const uint32_t top            = shift == 20 ? BUCKETS - 1 : BUCKETS / 2 - 1;
        size_t         count[BUCKETS] = {0};
        if (shift == 20)
            count_upper(n, x, count);
        else
            for (size_t i = 0; i < n; i++)
                if ((magnitude(x[i]) & mask) == known) count[magnitude(x[i]) >> shift & top]++;
        uint32_t b = top;
        for (; count[b] < k; b--) k -= count[b];
        known |= b << shift;
        mask |= top << shift;
        if (shift == 20 && count[b] <= FEW) {
            n = gather(n, x, mask, known, some);
            x = some;
        }
    }
    *equal = k;
    return known;
}

static size_t encode_topk(const asgdi_shape *s, uint32_t n, const uint32_t *row, const float *x,
                          uint8_t *to)
{
    enum { SOME = 256 };
    const size_t floats = (size_t)n * s->stride;
    size_t       equal = 0, kept = (size_t)tenth(floats);
    uint32_t     least = kept > 0 ? kth_largest(floats, x, kept, &equal) : 0;
    if (least == 0) { /* zeros need not be told */
        kept -= equal;
        equal = kept;
        least = 1;
    }
    uint8_t *value = put(to, kept), *gap = value + kept * sizeof *x;
    uint64_t next = 0, start = 0; /* in the block */
    size_t   first = 0, end = 0;  /* of the row, in x */
    uint16_t place[SOME];
    for (size_t i = 0; i < floats; i += SOME) {
        size_t some = floats - i < SOME ? floats - i : SOME, places = 0;
        for (size_t j = 0; j < some; j++) {
            place[places] = (uint16_t)j;
            places += magnitude(x[i + j]) >= least;
        }
        for (size_t j = 0; j < places; j++) {
            const size_t at = i + place[j];
            if (magnitude(x[at]) == least) {
                if (equal == 0) continue;
                equal--;
            }
            if (at >= end) {
                first = at / s->stride * s->stride;
                end   = first + s->stride;
                start = (uint64_t)row[at / s->stride] * s->stride;
            }
            memcpy(value, &x[at], sizeof *x);
            value += sizeof *x;
            gap  = put(gap, start + (at - first) - next);
            next = start + (at - first) + 1;
        }
    }
    return (size_t)(gap - to);
}

static bool decode_topk(const asgdi_shape *s, bytes_left *b, uint32_t *n, uint32_t *row, float *x)
{
    uint64_t kept, gap, at = 0, column = 0; /* row and column of the next float */
    *n = 0;
    if (!get(b, &kept) || kept > left(b) / (sizeof *x + 1)) return false;
    const uint8_t *value = b->at;
    b->at += kept * sizeof *x;
    for (; kept > 0; kept--, column++, value += sizeof *x) {
        if (!get(b, &gap)) return false;
        column += gap; /* column <= 2^28, gap < 2^63 */
        if (column >= s->stride) {
            at += column / s->stride;
            column %= s->stride;
        }
        if (at >= s->rows) return false;
        if (*n == 0 || row[*n - 1] != at) {
            memset(x + (size_t)*n * s->stride, 0, s->stride * sizeof *x);
            row[(*n)++] = (uint32_t)at;
        }
        memcpy(x + (size_t)(*n - 1) * s->stride + column, value, sizeof *x);
    }
    return b->at == b->end;
}

/* ---- all kinds ---- */

size_t asgdi_encode_bound(asgdi_coding c, const asgdi_shape *s, uint32_t n)
{
    uint64_t bytes;
    c = kind_of(c, s);
    if (c == ASGDI_TOPK) {
        uint64_t kept = tenth((uint64_t)n * s->stride);
        bytes         = bytes_of(kept) + kept * sizeof(float) +
                bytes_of_gaps(kept, (uint64_t)s->rows * s->stride);
    } else {
        bytes = bound_keys(s, n) + bytes_of_floats(c, s, n);
    }
    return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

size_t asgdi_encode(asgdi_coding c, const asgdi_shape *s, uint32_t n, const uint32_t *row,
                    const float *x, uint8_t *to)
{
    c = kind_of(c, s);
    if (c == ASGDI_TOPK) return encode_topk(s, n, row, x, to);
    uint8_t     *at     = encode_keys(s, n, row, to);
    const size_t floats = (size_t)n * s->stride;
    if (c == ASGDI_BF16)
        encode_bf16(floats, x, at);
    else if (c == ASGDI_FP16)
        encode_fp16(floats, x, at);
    else if (c == ASGDI_INT8)
        encode_int8(floats / s->pad, s->pad, x, at);
    else if (floats > 0)
        memcpy(at, x, floats * sizeof *x);
    return (size_t)(at - to) + (size_t)bytes_of_floats(c, s, n);
}

bool asgdi_decode(asgdi_coding c, const asgdi_shape *s, const uint8_t *from, size_t bytes,
                  uint32_t *n, uint32_t *row, float *x)
{
    c = kind_of(c, s);
    if (bytes == 0) return false;
    bytes_left b = {from, from + bytes};
    if (c == ASGDI_TOPK) return decode_topk(s, &b, n, row, x);
    if (!decode_keys(c, s, &b, n, row)) return false;
    const size_t floats = (size_t)*n * s->stride;
    if (c == ASGDI_BF16)
        decode_bf16(floats, b.at, x);
    else if (c == ASGDI_FP16)
        decode_fp16(floats, b.at, x);
    else if (c == ASGDI_INT8)
        decode_int8(floats / s->pad, s->pad, b.at, x);
    else if (floats > 0)
        memcpy(x, b.at, floats * sizeof *x);
    return true;
}

static const char *const names[ASGDI_CODINGS] = {"none", "bf16", "fp16", "int8", "topk"};

const char *asgdi_coding_name(asgdi_coding c)
{
    return (unsigned)c < ASGDI_CODINGS ? names[c] : NULL;
}

bool asgdi_coding_parse(const char *text, asgdi_coding *out)
{
    for (int i = 0; i < ASGDI_CODINGS; i++)
        if (strcmp(names[i], text) == 0) {
            *out = (asgdi_coding)i;
            return true;
        }
    return false;
}
