/* ranges.c -- sets of positions as sorted arrays of ranges.
 *
 * What is done of a run is a few long ranges with gaps where somebody is still at work, so the
 * arrays are short: a place is found by bisection and what follows is moved.  Two sets are joined
 * in one pass through both, in place.
 *
 * Invariant: range[i].lo < range[i].hi < range[i + 1].lo, so that equal sets are equal arrays. */
#include "exchange/ranges.h"

#include <string.h>

#include "base/mem.h"

void asgdi_ranges_free(asgdi_ranges *s)
{
    asgdi_free(s->range);
    *s = (asgdi_ranges){0};
}

void asgdi_ranges_clear(asgdi_ranges *s)
{
    s->n = 0;
}

bool asgdi_ranges_reserve(asgdi_ranges *s, size_t n)
{
    return n <= UINT32_MAX && asgdi_grow((void **)&s->range, &s->room, n, sizeof *s->range);
}

static bool is_empty(asgdi_range r)
{
    return r.lo >= r.hi;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The first range that ends at x or after it. */
static uint32_t first_ending_at(const asgdi_ranges *s, uint64_t x)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (s->range[mid].hi < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first range that holds x or lies after it. */
static uint32_t first_ending_after(const asgdi_ranges *s, uint64_t x)
{
    const uint32_t i = first_ending_at(s, x);
    return i < s->n && s->range[i].hi == x ? i + 1 : i;
}

/* The first range that begins at x or after it. */
static uint32_t first_beginning_at(const asgdi_ranges *s, uint64_t x)
{
    const uint32_t i = first_ending_after(s, x);
    return i < s->n && s->range[i].lo < x ? i + 1 : i;
}

/* The k ranges `by` take the place of ranges i..j-1. */
static bool replace(asgdi_ranges *s, uint32_t i, uint32_t j, const asgdi_range *by, uint32_t k)
{
    const size_t n = (size_t)s->n - (j - i) + k;
    if (n > s->n && !asgdi_ranges_reserve(s, n)) return false;
    if (j < s->n && j - i != k)
        memmove(s->range + i + k, s->range + j, (s->n - j) * sizeof *s->range);
    for (uint32_t a = 0; a < k; a++) s->range[i + a] = by[a];
    s->n = (uint32_t)n;
    return true;
}

bool asgdi_ranges_add(asgdi_ranges *s, asgdi_range r)
{
    if (is_empty(r)) return true;
    const uint32_t i = first_ending_at(s, r.lo);
    uint32_t       j = first_beginning_at(s, r.hi);
    if (j < s->n && s->range[j].lo == r.hi) j++; /* touches the end of r */
    if (i < j) {
        r.lo = min64(r.lo, s->range[i].lo);
        r.hi = max64(r.hi, s->range[j - 1].hi);
    }
    return replace(s, i, j, &r, 1);
}

bool asgdi_ranges_remove(asgdi_ranges *s, asgdi_range r)
{
    if (!asgdi_ranges_meet(s, r)) return true;
    const uint32_t i = first_ending_after(s, r.lo), j = first_beginning_at(s, r.hi);
    asgdi_range    left[2];
    uint32_t       k = 0;
    if (s->range[i].lo < r.lo) left[k++] = (asgdi_range){s->range[i].lo, r.lo};
    if (s->range[j - 1].hi > r.hi) left[k++] = (asgdi_range){r.hi, s->range[j - 1].hi};
    return replace(s, i, j, left, k);
}

/* Makes room for m more and moves the ranges to the end of it; returns where they are now.  What is
 * written from the start on does not reach them: there it is at most one range for each of both
 * sets that has been read. */
static const asgdi_range *to_end(asgdi_ranges *s, uint32_t m)
{
    if (!asgdi_ranges_reserve(s, (size_t)s->n + m)) return NULL;
    return memmove(s->range + m, s->range, s->n * sizeof *s->range);
}

bool asgdi_ranges_add_all(asgdi_ranges *s, const asgdi_ranges *other)
{
    const uint32_t n = s->n, m = other->n;
    if (other == s || m == 0) return true;
    const asgdi_range *own = to_end(s, m), *add = other->range;
    if (!own) return false;
    uint32_t out = 0;
    for (uint32_t i = 0, j = 0; i < n || j < m;) {
        const asgdi_range r = j == m || (i < n && own[i].lo < add[j].lo) ? own[i++] : add[j++];
        if (out > 0 && s->range[out - 1].hi >= r.lo)
            s->range[out - 1].hi = max64(s->range[out - 1].hi, r.hi);
        else
            s->range[out++] = r;
    }
    s->n = out;
    return true;
}

bool asgdi_ranges_remove_all(asgdi_ranges *s, const asgdi_ranges *other)
{
    const uint32_t n = s->n, m = other->n;
    if (other == s) asgdi_ranges_clear(s);
    if (other == s || m == 0 || n == 0) return true;
    const asgdi_range *own = to_end(s, m), *cut = other->range;
    if (!own) return false;
    uint32_t out = 0;
    for (uint32_t i = 0, j = 0; i < n; i++) {
        asgdi_range r = own[i];
        while (j < m && cut[j].hi <= r.lo) j++;
        while (j < m && cut[j].lo < r.hi) {
            if (r.lo < cut[j].lo) s->range[out++] = (asgdi_range){r.lo, cut[j].lo};
            r.lo = cut[j].hi;
            if (is_empty(r)) break; /* this cut may reach into the next range */
            j++;
        }
        if (!is_empty(r)) s->range[out++] = r;
    }
    s->n = out;
    return true;
}

asgdi_range asgdi_ranges_common(const asgdi_ranges *s, asgdi_range r)
{
    const uint32_t i = first_ending_after(s, r.lo);
    if (is_empty(r) || i == s->n || s->range[i].lo >= r.hi) return (asgdi_range){0};
    return (asgdi_range){max64(r.lo, s->range[i].lo), min64(r.hi, s->range[i].hi)};
}

bool asgdi_ranges_contain(const asgdi_ranges *s, asgdi_range r)
{
    const asgdi_range c = asgdi_ranges_common(s, r);
    return is_empty(r) || (c.lo == r.lo && c.hi == r.hi);
}

bool asgdi_ranges_meet(const asgdi_ranges *s, asgdi_range r)
{
    return !is_empty(asgdi_ranges_common(s, r));
}

uint64_t asgdi_ranges_count(const asgdi_ranges *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) sum += s->range[i].hi - s->range[i].lo;
    return sum;
}

asgdi_range asgdi_ranges_gap(const asgdi_ranges *s, uint64_t most, uint64_t end)
{
    const bool     from_0 = s->n > 0 && s->range[0].lo == 0;
    const uint32_t next   = from_0 ? 1 : 0;
    asgdi_range    r      = {from_0 ? s->range[0].hi : 0, end};
    if (next < s->n) r.hi = min64(r.hi, s->range[next].lo);
    if (is_empty(r)) return (asgdi_range){0};
    r.hi = r.lo + min64(r.hi - r.lo, most);
    return r;
}

/* ---- bytes ---- */

enum { NUMBER_MOST = 10 }; /* bytes that 64 bits take */

static size_t put_number(uint8_t *to, uint64_t x)
{
    size_t n = 0;
    for (; x >= 0x80; x >>= 7) to[n++] = (uint8_t)(x | 0x80);
    to[n++] = (uint8_t)x;
    return n;
}

/* The number at *at, which moves behind it.  false: the bytes end before it does, or it is more
 * than 64 bits, or it is not as put_number() writes it. */
static bool get_number(const uint8_t *from, size_t bytes, size_t *at, uint64_t *out)
{
    uint64_t x = 0;
    for (unsigned shift = 0; *at < bytes && shift < 64; shift += 7) {
        const uint64_t b = from[(*at)++];
        if (shift == 63 && b > 1) return false;
        x |= (b & 0x7f) << shift;
        if (b & 0x80) continue;
        *out = x;
        return b != 0 || shift == 0;
    }
    return false;
}

uint32_t asgdi_ranges_put(const asgdi_ranges *s, uint8_t *to, size_t room, size_t *bytes)
{
    uint64_t end = 0;
    uint32_t i   = 0;
    *bytes       = 0;
    for (; i < s->n; i++) {
        uint8_t two[2 * NUMBER_MOST];
        size_t  n = put_number(two, s->range[i].lo - end);
        n += put_number(two + n, s->range[i].hi - s->range[i].lo);
        if (n > room - *bytes) break;
        memcpy(to + *bytes, two, n);
        *bytes += n;
        end = s->range[i].hi;
    }
    return i;
}

/* The range after `last`, which is where the one before it ends, or 0. */
static bool get_range(const uint8_t *from, size_t bytes, size_t *at, uint64_t last, uint64_t end,
                      asgdi_range *out)
{
    const bool first = *at == 0;
    uint64_t   gap, length;
    if (!get_number(from, bytes, at, &gap) || !get_number(from, bytes, at, &length)) return false;
    if ((gap == 0 && !first) || length == 0 || last > end || gap > end - last) return false;
    *out = (asgdi_range){last + gap, last + gap + length};
    return length <= end - out->lo;
}

bool asgdi_ranges_get(asgdi_ranges *s, const uint8_t *from, size_t bytes, uint64_t end)
{
    asgdi_range r = {0};
    size_t      n = 0;
    for (size_t at = 0; at < bytes; n++)
        if (!get_range(from, bytes, &at, r.hi, end, &r)) return false;
    if (!asgdi_ranges_reserve(s, n)) return false;
    s->n = 0;
    r.hi = 0;
    for (size_t at = 0; at < bytes; s->range[s->n++] = r)
        if (!get_range(from, bytes, &at, r.hi, end, &r))
            return false; /* not reached: checked above */
    return true;
}
