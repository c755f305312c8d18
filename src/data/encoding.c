/* encoding.c -- the features of a model's rows, found by open addressing with linear probing (Knuth,
 * The Art of Computer Programming, vol. 3, 6.4), at most 7 slots in 10 in use.
 *
 * An encoding never changes once it is made, but that the table is made when it is first needed, which
 * is when other data are read: source, model and caches share one by counting its holders.
 *
 * The hash is wyhash's step (Wang Yi 2019) with constants of splitmix64: a word goes in by xor, and
 * the 128-bit product with an odd constant is folded by xor of its halves, so that high bits reach
 * low ones, too:
 *
 *     h = seed ^ n * A;  for each word w: h = fold(h ^ w, B);  result: fold(h ^ C, A) */
#include "data/encoding.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/mem.h"

static uint32_t slots_for(uint32_t rows)
{
    uint64_t n = 16;
    while (n * 7 / 10 < rows) n *= 2;
    return (uint32_t)n;
}

/* false: a key stands twice. */
static bool fill(asgd_encoding *e, uint32_t *twice)
{
    enum { AHEAD = 16 };
    for (uint32_t r = 0; r < e->rows; r++) {
        if (r + AHEAD < e->rows)
            __builtin_prefetch(&e->slot[asgdi_encoding_home(e->key[r + AHEAD], e->mask)], 1);
        uint32_t at = asgdi_encoding_home(e->key[r], e->mask);
        for (; e->slot[at].row; at = (at + 1) & e->mask)
            if (e->slot[at].key == e->key[r]) {
                *twice = e->key[r];
                return false;
            }
        e->slot[at] = (asgdi_slot){e->key[r], r + 1};
    }
    return true;
}

static asgd_status make_index(asgd_encoding *e)
{
    uint32_t n = slots_for(e->rows), twice = 0;
    e->mask = n - 1;
    e->slot = asgdi_calloc(n, sizeof *e->slot);
    if (!e->slot)
        return ASGD_FAIL(ENOMEM, "no memory for an encoding of %" PRIu32 " features", e->rows);
    if (!fill(e, &twice)) {
        asgdi_free(e->slot); /* the next reader tries again */
        e->slot = NULL;
        return ASGD_FAIL(EFORMAT, "feature %" PRIu32 " stands twice in an encoding", twice);
    }
    asgdi_store_release(&e->indexed, 1);
    return ASGD_OK;
}

asgd_status asgdi_encoding_index(const asgd_encoding *encoding)
{
    asgd_encoding *e = (asgd_encoding *)(uintptr_t)encoding;
    asgd_status    s = ASGD_OK;
    if (asgdi_load_acquire(&e->indexed)) return ASGD_OK;
    pthread_mutex_lock(&e->lock);
    if (!asgdi_load_relaxed(&e->indexed)) s = make_index(e);
    pthread_mutex_unlock(&e->lock);
    return s;
}

asgd_status asgdi_encoding_take(asgd_encoding **out, uint32_t *key, uint32_t rows, uint32_t fields,
                                const char *recipe)
{
    asgd_encoding *e = asgdi_calloc(1, sizeof *e);
    *out             = NULL;
    if (!e) {
        asgdi_free(key);
        return ASGD_FAIL(ENOMEM, "no memory for an encoding");
    }
    *e = (asgd_encoding){.rows = rows, .fields = fields, .key = key};
    pthread_mutex_init(&e->lock, NULL);
    asgdi_store_relaxed(&e->holders, 1);
    e->recipe = asgdi_strdup(recipe);
    if (!e->recipe) {
        asgdi_encoding_free(e);
        return ASGD_FAIL(ENOMEM, "no memory for an encoding of %" PRIu32 " features", rows);
    }
    *out = e;
    return ASGD_OK;
}

asgd_status asgdi_encoding_new(asgd_encoding **out, const uint32_t *key, uint32_t rows,
                               uint32_t fields, const char *recipe)
{
    *out = NULL;
    if (rows > ASGDI_ROWS_MAX)
        return ASGD_FAIL(EINVAL,
                         "%" PRIu32 " features are too many (at most %d); hash them to fewer", rows,
                         (int)ASGDI_ROWS_MAX);
    uint32_t *copy = asgdi_calloc(rows, sizeof *copy);
    if (!copy) return ASGD_FAIL(ENOMEM, "no memory for an encoding of %" PRIu32 " features", rows);
    if (rows) memcpy(copy, key, rows * sizeof *key);
    ASGD_TRY(asgdi_encoding_take(out, copy, rows, fields, recipe));
    asgd_status s = asgdi_encoding_index(*out); /* which finds what stands twice */
    if (s == ASGD_OK) return ASGD_OK;
    asgdi_encoding_free(*out);
    *out = NULL;
    return s;
}

asgd_status asgdi_encoding_copy(asgd_encoding **out, const asgd_encoding *e)
{
    *out = (asgd_encoding *)(uintptr_t)e; /* nobody writes into it but by its holders */
    if (e) asgdi_add_relaxed(&(*out)->holders, 1);
    return ASGD_OK;
}

void asgdi_encoding_free(asgd_encoding *e)
{
    if (!e || asgdi_sub_acq_rel(&e->holders, 1) > 1) return;
    asgdi_free(e->key);
    asgdi_free(e->slot);
    asgdi_free(e->recipe);
    for (int w = 0; w < 2; w++) asgdi_vocab_free(&e->vocab[w]);
    pthread_mutex_destroy(&e->lock);
    asgdi_free(e);
}

bool asgdi_encoding_equal(const asgd_encoding *a, const asgd_encoding *b)
{
    if (a == b) return true;
    return a && b && a->rows == b->rows && a->fields == b->fields &&
           strcmp(a->recipe, b->recipe) == 0 && asgdi_vocab_equal(&a->vocab[0], &b->vocab[0]) &&
           asgdi_vocab_equal(&a->vocab[1], &b->vocab[1]) &&
           memcmp(a->key, b->key, a->rows * sizeof *a->key) == 0;
}

const char *asgdi_encoding_format(const asgd_encoding *e, char buf[16])
{
    json_error_t error;
    json_t      *j    = json_loads(e->recipe, 0, &error);
    const char  *name = json_string_value(json_object_get(j, "format"));
    bool         fits = name && strlen(name) < 16;
    if (fits) memcpy(buf, name, strlen(name) + 1);
    json_decref(j);
    return fits ? buf : NULL;
}

const char *asgd_encoding_user(const asgd_encoding *e, uint32_t user)
{
    return e ? asgdi_vocab_name(&e->vocab[0], user) : NULL;
}

const char *asgd_encoding_item(const asgd_encoding *e, uint32_t item)
{
    return e ? asgdi_vocab_name(&e->vocab[1], item) : NULL;
}

bool asgd_encoding_find_user(const asgd_encoding *e, const char *name, uint32_t *user)
{
    *user = e && name ? asgdi_vocab_find(&e->vocab[0], name, strlen(name)) : ASGDI_NO_NAME;
    return *user != ASGDI_NO_NAME;
}

bool asgd_encoding_find_item(const asgd_encoding *e, const char *name, uint32_t *item)
{
    *item = e && name ? asgdi_vocab_find(&e->vocab[1], name, strlen(name)) : ASGDI_NO_NAME;
    return *item != ASGDI_NO_NAME;
}

const uint32_t *asgd_encoding_keys(const asgd_encoding *e, uint32_t *rows)
{
    if (rows) *rows = e->rows;
    return e->key;
}

/* ---- hash ---- */

#define A UINT64_C(0x9e3779b97f4a7c15)
#define B UINT64_C(0xbf58476d1ce4e5b9)
#define C UINT64_C(0x94d049bb133111eb)

static uint64_t fold(uint64_t x, uint64_t y)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide                                    p = (wide)x * y;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
#else
    uint64_t a = x >> 32, b = x & UINT32_MAX, c = y >> 32, d = y & UINT32_MAX;
    uint64_t low = b * d, mid = a * d + (low >> 32), mid2 = b * c + (mid & UINT32_MAX);
    return (mid2 << 32 | (low & UINT32_MAX)) ^ (a * c + (mid >> 32) + (mid2 >> 32));
#endif
}

/* Low byte first on any machine. */
static uint64_t word8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

static uint64_t word4(const char *p)
{
    uint32_t w;
    memcpy(&w, p, 4);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap32(w);
#endif
    return w;
}

/* 1 to 7 bytes, the rest zero: loads that overlap agree where they do. */
static uint64_t word_rest(const char *p, size_t n)
{
    if (n >= 4) return word4(p) | word4(p + n - 4) << 8 * (n - 4);
    const unsigned char *q = (const unsigned char *)p;
    return q[0] | (uint64_t)q[n / 2] << 8 * (n / 2) | (uint64_t)q[n - 1] << 8 * (n - 1);
}

uint64_t asgdi_hash(const char *p, size_t n, uint64_t seed)
{
    uint64_t h = seed ^ (uint64_t)n * A;
    size_t   i = 0;
    for (; n - i >= 8; i += 8) h = fold(h ^ word8(p + i), B);
    if (i == n) return fold(h ^ C, A);
    /* the last 8 bytes hold the rest, where there are so many */
    uint64_t w = n >= 8 ? word8(p + n - 8) >> 8 * (8 - (n - i)) : word_rest(p, n);
    return fold(fold(h ^ w, B) ^ C, A);
}
