/* fuzz_ranges.c -- sets of positions from bytes: byte 0 says how far positions may go, byte 1 how
 * many bytes are the first of two sets.  Refused, or a set that gives the same bytes; and the sets
 * joined and taken from each other in one pass are the same as range by range. */
#include <stdlib.h>
#include <string.h>

#include "exchange/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const asgdi_ranges *s, uint64_t end)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->range[i].lo >= s->range[i].hi || s->range[i].hi > end ||
            (i > 0 && s->range[i].lo <= s->range[i - 1].hi))
            abort();
}

static void same(const asgdi_ranges *a, const asgdi_ranges *b)
{
    if (a->n != b->n || (a->n > 0 && memcmp(a->range, b->range, a->n * sizeof *a->range) != 0))
        abort();
}

static bool get(asgdi_ranges *s, const uint8_t *data, size_t bytes, uint64_t end)
{
    *s = (asgdi_ranges){0};
    if (!asgdi_ranges_get(s, data, bytes, end)) return false;
    check(s, end);
    for (size_t less = 0; less < 2; less++) {
        const size_t room = less < bytes ? bytes - less : 0;
        uint8_t     *to   = malloc(room ? room : 1);
        size_t       n;
        if (!to || (asgdi_ranges_put(s, to, room, &n) == s->n) != (room == bytes)) abort();
        if (n > room || (room == bytes && n != bytes) || memcmp(to, data, n) != 0) abort();
        free(to);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2) return 0;
    const uint64_t end   = UINT64_MAX >> data[0] % 64;
    const size_t   first = data[1] < bytes - 2 ? data[1] : bytes - 2;
    asgdi_ranges   a, b, whole = {0}, single = {0};
    const bool     two =
        (int)get(&a, data + 2, first, end) & (int)get(&b, data + 2 + first, bytes - 2 - first, end);
    if (two) {
        if (!asgdi_ranges_add_all(&whole, &a) || !asgdi_ranges_add_all(&whole, &b)) abort();
        if (!asgdi_ranges_add_all(&single, &a)) abort();
        for (uint32_t i = 0; i < b.n; i++) {
            if (!asgdi_ranges_add(&single, b.range[i])) abort();
            if (!asgdi_ranges_contain(&whole, b.range[i])) abort();
        }
        check(&whole, end);
        same(&whole, &single);
        if (!asgdi_ranges_remove_all(&whole, &b)) abort();
        for (uint32_t i = 0; i < b.n; i++) {
            if (!asgdi_ranges_remove(&single, b.range[i])) abort();
            if (asgdi_ranges_meet(&whole, b.range[i])) abort();
        }
        check(&whole, end);
        same(&whole, &single);
    }
    asgdi_ranges_free(&a);
    asgdi_ranges_free(&b);
    asgdi_ranges_free(&whole);
    asgdi_ranges_free(&single);
    return 0;
}
