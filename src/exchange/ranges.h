/* ranges.h -- sets of positions of a run, as sorted ranges that do not touch each other. */
#ifndef ASGDI_RANGES_H
#define ASGDI_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct asgdi_range {
    uint64_t lo, hi; /* positions lo..hi-1; empty where lo >= hi */
} asgdi_range;

typedef struct asgdi_ranges {
    asgdi_range *range; /* increasing, none empty, a gap between each and the next */
    uint32_t     n;
    size_t       room;
} asgdi_ranges; /* all zeros: the empty set */

void asgdi_ranges_free(asgdi_ranges *s);
void asgdi_ranges_clear(asgdi_ranges *s);
/* Memory for n ranges: changes on the way to no more than n cannot fail.  What add_all and
 * remove_all ask for is the ranges of both sets together; remove, one more than there are. */
bool asgdi_ranges_reserve(asgdi_ranges *s, size_t n);
/* false: no memory, and nothing is changed.  An empty range changes nothing. */
bool     asgdi_ranges_add(asgdi_ranges *s, asgdi_range r);
bool     asgdi_ranges_remove(asgdi_ranges *s, asgdi_range r);
bool     asgdi_ranges_add_all(asgdi_ranges *s, const asgdi_ranges *other);
bool     asgdi_ranges_remove_all(asgdi_ranges *s, const asgdi_ranges *other);
bool     asgdi_ranges_contain(const asgdi_ranges *s, asgdi_range r); /* all of r */
bool     asgdi_ranges_meet(const asgdi_ranges *s, asgdi_range r);    /* any of r */
uint64_t asgdi_ranges_count(const asgdi_ranges *s);                  /* positions */
/* The first positions not in s, at most `most` of them, below `end`; empty where there are none. */
asgdi_range asgdi_ranges_gap(const asgdi_ranges *s, uint64_t most, uint64_t end);
/* The first positions of r in s that follow each other; empty where there are none. */
asgdi_range asgdi_ranges_common(const asgdi_ranges *s, asgdi_range r);

/* As bytes: of each range the gap before it and its length, seven bits a byte.  A set that needs
 * more than `room` is cut short: its leading ranges, as many as fit, are a set too.  Returns how
 * many ranges are in the *bytes written. */
uint32_t asgdi_ranges_put(const asgdi_ranges *s, uint8_t *to, size_t room, size_t *bytes);
/* s becomes the set that the bytes say, all of it below `end`.  false: they are no such set, or
 * there is no memory, and nothing is changed.  Memory asked for is at most a small multiple of
 * `bytes`. */
bool asgdi_ranges_get(asgdi_ranges *s, const uint8_t *from, size_t bytes, uint64_t end);

#endif
