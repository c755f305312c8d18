/* synth_ratings.c -- ratings with a known best: a matrix of low rank, plus noise.
 *
 *     y = 3.5 + b_u + c_i + p_u . q_i + noise * e,     b ~ 0.3 N, c ~ 0.4 N, p . q of deviation 0.6
 *
 * with e normal and independent, so that on rows not seen before no model has a lower expected RMSE than
 * `noise`.  Item number r (by rank) is drawn in proportion to 1 / r^skew, users likewise with skew / 2, as
 * popularity is in real data; their names are the ranks, permuted, from 1.  A row depends on the seed and its
 * own number alone: rows from n on are test data for those before. */
#include "base/status.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"

enum { STREAM_ROW = 101, STREAM_USER, STREAM_ITEM, STREAM_BIAS, STREAM_NAMES, STREAM_NOISE };
enum { RANK_MAX = 64, ROWS_MOST = 100000000, BUFFER = 1 << 16, LINE_BYTES = 64 };

typedef struct law {
    asgd_ratings      r;
    double           *users, *items; /* cumulative weights */
    asgdi_permutation names[2];
    double            squares;
    float             low, high;
} law;

static double *cumulate(uint32_t n, double power)
{
    double *c = asgdi_calloc(n, sizeof *c), sum = 0;
    for (uint32_t i = 0; c && i < n; i++) c[i] = sum += pow(i + 1.0, -power);
    return c;
}

static uint32_t draw(const double *c, uint32_t n, uint64_t bits)
{
    const double x  = (double)(bits >> 11) * 0x1p-53 * c[n - 1];
    uint32_t     lo = 0, hi = n - 1;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (c[mid] > x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* Rating of row i; *user and *item are ranks. */
static float rate(law *l, uint64_t i, uint32_t *user, uint32_t *item)
{
    const asgd_ratings *r = &l->r;
    const uint64_t      s = r->seed;
    *user                 = draw(l->users, r->users, asgdi_random(s, STREAM_ROW, 2 * i));
    *item                 = draw(l->items, r->items, asgdi_random(s, STREAM_ROW, 2 * i + 1));
    double product        = 0;
    for (uint32_t f = 0; f < r->rank; f++)
        product +=
            (double)asgdi_normal(asgdi_random(s, STREAM_USER, (uint64_t)*user * RANK_MAX + f)) *
            (double)asgdi_normal(asgdi_random(s, STREAM_ITEM, (uint64_t)*item * RANK_MAX + f));
    const double b = 0.3 * (double)asgdi_normal(asgdi_random(s, STREAM_BIAS, 2 * (uint64_t)*user));
    const double c =
        0.4 * (double)asgdi_normal(asgdi_random(s, STREAM_BIAS, 2 * (uint64_t)*item + 1));
    const double e = r->noise * (double)asgdi_normal(asgdi_random(s, STREAM_NOISE, i));
    l->squares += e * e;
    return (float)(3.5 + b + c + 0.6 * product / sqrt(r->rank) + e);
}

static asgd_status write_rows(law *l, asgdi_file *f)
{
    char  *text = asgdi_calloc(BUFFER + LINE_BYTES, 1);
    size_t used = 0;
    if (!text) return ASGD_FAIL(ENOMEM, "no memory to write ratings");
    asgd_status s = ASGD_OK;
    for (uint64_t i = l->r.first; s == ASGD_OK && i < l->r.first + l->r.rows; i++) {
        uint32_t    user, item;
        const float y     = rate(l, i, &user, &item);
        const long  milli = lround((double)y * 1000), part = milli < 0 ? -milli : milli;
        used += (size_t)snprintf(text + used, LINE_BYTES, "%" PRIu64 "\t%" PRIu64 "\t%s%ld.%03ld\n",
                                 asgdi_permute(&l->names[0], user) + 1,
                                 asgdi_permute(&l->names[1], item) + 1, milli < 0 ? "-" : "",
                                 part / 1000, part % 1000);
        if (used < BUFFER) continue;
        s    = asgdi_file_write(f, text, used);
        used = 0;
    }
    if (s == ASGD_OK) s = asgdi_file_write(f, text, used);
    asgdi_free(text);
    return s;
}

static asgd_status check(law *l, const asgd_ratings *r)
{
    l->r = *r;
    if (!l->r.rows) l->r.rows = 1000000;
    if (!l->r.users) l->r.users = 6000;
    if (!l->r.items) l->r.items = 4000;
    if (!l->r.rank) l->r.rank = 8;
    if (l->r.noise == 0) l->r.noise = 0.8;
    if (l->r.skew == 0) l->r.skew = 0.8;
    if (l->r.users > ROWS_MOST || l->r.items > ROWS_MOST || l->r.rank > RANK_MAX)
        return ASGD_FAIL(EINVAL, "synthetic ratings: at most %d users, as many items, and rank %d",
                         ROWS_MOST, RANK_MAX);
    if (!(l->r.noise > 0 && l->r.noise <= 100 && l->r.skew >= 0 && l->r.skew <= 2))
        return ASGD_FAIL(EINVAL, "synthetic ratings: noise from 0 to 100 and skew from 0 to 2");
    if (l->r.first > UINT64_MAX / 4 || l->r.rows > UINT64_MAX / 4)
        return ASGD_FAIL(EINVAL, "synthetic ratings: so many rows cannot be numbered");
    l->users    = cumulate(l->r.users, l->r.skew / 2);
    l->items    = cumulate(l->r.items, l->r.skew);
    l->names[0] = asgdi_permutation_make(l->r.seed, STREAM_NAMES, l->r.users);
    l->names[1] = asgdi_permutation_make(l->r.seed, STREAM_NAMES + 100, l->r.items);
    return l->users && l->items ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory for synthetic ratings");
}

asgd_status asgd_synth_ratings(const char *path, const asgd_ratings *r, double *best_rmse)
{
    asgdi_file f;
    law        l = {0};
    if (!path || !*path || !r || !best_rmse)
        return ASGD_FAIL(EINVAL, "asgd_synth_ratings: an argument is missing");
    asgd_status s = check(&l, r);
    if (s == ASGD_OK) s = asgdi_file_create(&f, path);
    if (s == ASGD_OK) {
        s = write_rows(&l, &f);
        if (s == ASGD_OK)
            s = asgdi_file_commit(&f);
        else
            asgdi_file_abandon(&f);
    }
    *best_rmse = sqrt(l.squares / (double)(l.r.rows ? l.r.rows : 1));
    asgdi_free(l.users);
    asgdi_free(l.items);
    return s;
}
