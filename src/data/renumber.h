/* renumber.h -- the last work on all examples: features numbered by frequency, entries in order. */
#ifndef ASGDI_RENUMBER_H
#define ASGDI_RENUMBER_H

#include "data/tally.h"
#include "data/whole.h"

/* Sorts the entries of each example and adds up equal ones. */
asgd_status asgdi_settle(asgdi_whole *w, uint32_t threads, const char *name);
/* The features that occur become 0, 1, 2, ... by falling frequency (ties by number), in order in each
 * example, and equal ones are added up.  *key, to be freed, says which feature each of *rows was.
 * Entries are ids of the tally, or features where that is NULL.  most: no feature is larger. */
asgd_status asgdi_renumber(asgdi_whole *w, asgdi_tally *t, uint32_t most, uint32_t threads,
                           const char *name, uint32_t **key, uint32_t *rows);

#endif
