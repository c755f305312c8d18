/* ranges.h -- sets of positions of a run, as sorted ranges that do not touch each other. */
#ifndef ASGDI_RANGES_H
#define ASGDI_RANGES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct asgdi_range {
    uint64_t lo, hi; /* positions lo..hi-1 */
} asgdi_range;

typedef struct asgdi_ranges {
    asgdi_range *range; /* increasing, none empty, a gap between each and the next */
    uint32_t     n;
    size_t       room;
} asgdi_ranges; /* all zeros: the empty set */

void asgdi_ranges_free(asgdi_ranges *s);
void asgdi_ranges_clear(asgdi_ranges *s);
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

#endif
