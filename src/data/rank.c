/* rank.c -- numbering features by falling frequency.
 *
 * The rows every worker touches all the time are then the first ones, so that a bound (asgd_view's
 * n_own) tells them from all others.  Frequency is the number of examples a feature occurs in; ties
 * go by the old number, so the order is the same every time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/parallel.h"

enum { SHORT = 32, GRAIN = 1 << 14, WIDEST = 1 << 28 };

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_keys(uint64_t *key, uint64_t n)
{
    if (n > SHORT) {
        qsort(key, n, sizeof *key, by_number);
        return;
    }
    for (uint64_t i = 1; i < n; i++) {
        uint64_t k = key[i], j = i;
        for (; j > 0 && key[j - 1] > k; j--) key[j] = key[j - 1];
        key[j] = k;
    }
}

typedef struct renumber {
    const asgd_source *s;
    uint32_t          *idx;
    float             *val;
    uint32_t           parts;
    uint64_t          *key; /* [parts][max_len] new number << 32 | old position */
    float             *old; /* [parts][max_len] */
} renumber;

static void renumber_part(void *ctx, uint32_t k)
{
    renumber       *r  = ctx;
    const uint64_t *at = r->s->start, n = r->s->schema.examples;
    const uint32_t *rank = r->s->rank;
    uint64_t       *key  = r->key + (size_t)k * r->s->max_len;
    float          *old  = r->old + (size_t)k * r->s->max_len;
    for (uint64_t i = asgdi_part(n, r->parts, k); i < asgdi_part(n, r->parts, k + 1); i++) {
        uint32_t *idx = r->idx + at[i];
        uint64_t  m   = at[i + 1] - at[i];
        for (uint64_t j = 0; j < m; j++) key[j] = (uint64_t)rank[idx[j]] << 32 | j;
        sort_keys(key, m);
        if (r->val && m) memcpy(old, r->val + at[i], m * sizeof *old);
        for (uint64_t j = 0; j < m; j++) {
            idx[j] = (uint32_t)(key[j] >> 32);
            if (r->val) r->val[at[i] + j] = old[key[j] & UINT32_MAX];
        }
    }
}

/* s->rank by falling frequency.  Only features that occur are sorted: in wide data few do. */
static asgd_status by_frequency(asgd_source *s)
{
    uint32_t  n = s->schema.features, seen = 0, at = 0;
    uint32_t *count = s->rank; /* until the ranks are known */
    for (uint64_t j = s->start[0]; j < s->start[s->schema.examples]; j++)
        if (count[s->idx[j]] < UINT32_MAX) count[s->idx[j]]++;
    for (uint32_t f = 0; f < n; f++) seen += count[f] > 0;
    uint64_t *key =
        asgdi_calloc(seen, sizeof *key); /* complement of the frequency << 32 | feature */
    if (!key) return ASGD_FAIL(ENOMEM, "no memory to count %" PRIu32 " features", n);
    for (uint32_t f = 0, unseen = seen; f < n; f++) {
        if (count[f] > 0)
            key[at++] = (uint64_t)(UINT32_MAX - count[f]) << 32 | f;
        else
            s->rank[f] = unseen++;
    }
    qsort(key, seen, sizeof *key, by_number);
    for (uint32_t r = 0; r < seen; r++) s->rank[key[r] & UINT32_MAX] = r;
    asgdi_free(key);
    return ASGD_OK;
}

asgd_status asgdi_rank(asgd_source *s, const uint32_t *rank, uint32_t threads)
{
    if (s->schema.dense || !s->memory)
        return ASGD_FAIL(EINVAL, "only sparse data read from a file can be numbered by frequency");
    if (s->rank) return ASGD_FAIL(EINVAL, "these data are numbered by frequency already");
    if (s->schema.features > WIDEST)
        return ASGD_FAIL(EINVAL,
                         "%" PRIu32 " features are too many to be numbered by frequency (at most "
                         "%d); hash them to fewer",
                         s->schema.features, (int)WIDEST);
    ASGD_TRY(asgdi_make_writable(s));
    asgdi_summarize(s);
    renumber r         = {.s = s, .idx = (uint32_t *)s->idx, .val = (float *)s->val};
    s->rank            = asgdi_alloc(s, s->schema.features, sizeof *s->rank);
    r.parts            = asgdi_parts(threads, s->schema.examples, GRAIN);
    r.key              = asgdi_calloc((size_t)r.parts * s->max_len, sizeof *r.key);
    r.old              = asgdi_calloc((size_t)r.parts * s->max_len, sizeof *r.old);
    asgd_status status = ASGD_OK;
    if (!s->rank || !r.key || !r.old)
        status = ASGD_FAIL(ENOMEM, "no memory to number the features by frequency");
    else if (rank)
        memcpy(s->rank, rank, s->schema.features * sizeof *rank);
    else
        status = by_frequency(s);
    if (status == ASGD_OK) asgdi_parallel(r.parts, renumber_part, &r);
    asgdi_free(r.key);
    asgdi_free(r.old);
    return status;
}
