/* ratings.c -- sources of users and items out of memory: a caller's array, and the parts of a split. */
#include "data/ratings.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/build.h"

enum { STREAM_HOLDOUT = 7 };

static void bounds(asgd_source *s)
{
    asgd_schema *d = &s->schema;
    d->y_min = d->y_max = s->rating[0].y;
    for (uint64_t i = 1; i < d->examples; i++) {
        if (s->rating[i].y < d->y_min) d->y_min = s->rating[i].y;
        if (s->rating[i].y > d->y_max) d->y_max = s->rating[i].y;
    }
}

asgd_status asgd_source_ratings(asgd_source **out, const asgd_rating *rating, uint64_t n,
                                uint32_t users, uint32_t items)
{
    static const char what[] = "asgd_source_ratings";
    if (!out) return ASGD_FAIL(EINVAL, "%s: out is NULL", what);
    *out = NULL;
    if (!rating || n == 0 || users == 0 || items == 0)
        return ASGD_FAIL(EINVAL, "%s: needs at least one rating, one user and one item", what);
    if (users > ASGDI_VOCAB_MAX || items > ASGDI_VOCAB_MAX)
        return ASGD_FAIL(EINVAL, "%s: at most %d users, and as many items", what, ASGDI_VOCAB_MAX);
    for (uint64_t i = 0; i < n; i++)
        if (rating[i].user >= users || rating[i].item >= items || !isfinite(rating[i].y))
            return ASGD_FAIL(EINVAL,
                             "%s: rating %" PRIu64 " is of user %" PRIu32 " and item %" PRIu32
                             ", not below %" PRIu32 " and %" PRIu32 ", or not a finite number",
                             what, i, rating[i].user, rating[i].item, users, items);
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    if (!s) return ASGD_FAIL(ENOMEM, "%s: no memory", what);
    s->rating  = rating;
    s->max_len = 2;
    s->schema  = (asgd_schema){.examples = n,
                               .nonzeros = 2 * n,
                               .users    = users,
                               .items    = items,
                               .features = users + items};
    bounds(s);
    asgdi_ratings_describe(s);
    *out = s;
    return ASGD_OK;
}

/* ---- splitting ---- */

typedef struct dated {
    double   time;
    uint64_t at;
    uint32_t user;
} dated;

static int by_time(const void *a, const void *b)
{
    const dated *x = a, *y = b;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_user(const void *a, const void *b)
{
    const dated *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    return by_time(a, b);
}

/* So many of n are held out: the nearest number, but neither none nor all where there are two. */
static uint64_t held(uint64_t n, double part)
{
    uint64_t m = (uint64_t)llround(part * (double)n);
    if (m == 0) m = 1;
    return m < n ? m : n - 1;
}

/* out[i]: rating i is held out.  Returns how many are. */
static asgd_status choose(const asgd_source *all, double part, asgd_holdout how, uint64_t seed,
                          uint8_t *out, uint64_t *many)
{
    const uint64_t n = all->schema.examples;
    *many            = held(n, part);
    if (how == ASGD_HOLDOUT_RANDOM) {
        const asgdi_permutation p = asgdi_permutation_make(seed, STREAM_HOLDOUT, n);
        for (uint64_t i = 0; i < *many; i++) out[asgdi_permute(&p, i)] = 1;
        return ASGD_OK;
    }
    dated *d = asgdi_calloc(n, sizeof *d);
    if (!d) return ASGD_FAIL(ENOMEM, "no memory to split %" PRIu64 " ratings", n);
    for (uint64_t i = 0; i < n; i++)
        d[i] = (dated){all->time ? all->time[i] : 0, i, all->rating[i].user};
    qsort(d, n, sizeof *d, how == ASGD_HOLDOUT_TIME ? by_time : by_user);
    if (how == ASGD_HOLDOUT_TIME) {
        for (uint64_t i = n - *many; i < n; i++) out[d[i].at] = 1;
    } else {
        *many = 0;
        for (uint64_t i = 0, j; i < n; i = j) {
            for (j = i; j < n && d[j].user == d[i].user; j++) {
            }
            for (uint64_t m = held(j - i, part); m > 0; m--) {
                out[d[j - m].at] = 1;
                ++*many;
            }
        }
    }
    asgdi_free(d);
    return ASGD_OK;
}

static asgd_status take(asgd_source **out, const asgd_source *all, const uint8_t *held_out,
                        uint8_t which, uint64_t n)
{
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    *out           = s;
    if (!s || asgdi_own(s) != ASGD_OK) return ASGD_FAIL(ENOMEM, "no memory to split ratings");
    asgd_rating *r = asgdi_reserve(s, n, sizeof *r);
    if (!r) return ASGD_FAIL(ENOMEM, "no memory to split ratings");
    uint64_t m = 0;
    for (uint64_t i = 0; i < all->schema.examples; i++)
        if (held_out[i] == which) r[m++] = all->rating[i];
    s->rating          = r;
    s->max_len         = 2;
    s->schema          = all->schema;
    s->schema.examples = n;
    s->schema.nonzeros = 2 * n;
    bounds(s);
    ASGD_TRY(asgdi_encoding_copy(&s->encoding, all->encoding));
    asgdi_ratings_describe(s);
    return ASGD_OK;
}

asgd_status asgd_source_split(const asgd_source *all, double part, asgd_holdout how, uint64_t seed,
                              asgd_source **train, asgd_source **valid)
{
    if (!all || !train || !valid)
        return ASGD_FAIL(EINVAL, "asgd_source_split: an argument is NULL");
    *train = *valid = NULL;
    if (!all->rating)
        return ASGD_FAIL(EINVAL, "only ratings can be split; give the validation data as a file");
    if (!(part > 0 && part < 1))
        return ASGD_FAIL(EINVAL, "%g of the ratings held out: a part above 0 and below 1 is needed",
                         part);
    if ((unsigned)how > ASGD_HOLDOUT_LAST)
        return ASGD_FAIL(EINVAL, "holdout %d is none of asgd_holdout", (int)how);
    if (how == ASGD_HOLDOUT_TIME && !all->time)
        return ASGD_FAIL(EINVAL, "a split by time needs times: a fourth field, and options.times");
    const uint64_t n = all->schema.examples;
    if (n < 2) return ASGD_FAIL(EINVAL, "one rating cannot be split");
    uint8_t *held_out = asgdi_calloc(n, 1);
    uint64_t many     = 0;
    if (!held_out) return ASGD_FAIL(ENOMEM, "no memory to split %" PRIu64 " ratings", n);
    asgd_status s = choose(all, part, how, seed, held_out, &many);
    if (s == ASGD_OK && (many == 0 || many == n))
        s = ASGD_FAIL(EINVAL, "no user has two ratings, so that one could be held out");
    if (s == ASGD_OK) s = take(train, all, held_out, 0, n - many);
    if (s == ASGD_OK) s = take(valid, all, held_out, 1, many);
    asgdi_free(held_out);
    if (s == ASGD_OK) return s;
    asgd_source_close(*train);
    asgd_source_close(*valid);
    *train = *valid = NULL;
    return s;
}
