/* build.h -- what the formats share when they fill a source. */
#ifndef ASGDI_BUILD_H
#define ASGDI_BUILD_H

#include "data/source.h"

/* Makes s an owner of memory; s->release frees all of it.  Call once, on a zeroed source. */
asgd_status asgdi_own(asgd_source *s);
/* Zeroed memory that lives as long as s; NULL when there is none. */
void *asgdi_alloc(asgd_source *s, size_t n, size_t size);
/* The same, undefined: large arrays are first touched by the threads that fill them. */
void *asgdi_reserve(asgd_source *s, size_t n, size_t size);
/* s becomes the owner of a malloc'ed block, or of a mapping. */
void asgdi_adopt(asgd_source *s, void *block);
void asgdi_adopt_map(asgd_source *s, void *map, size_t bytes);
/* Fills what follows from the arrays: nonzeros, max_len, y_min, y_max. */
void asgdi_summarize(asgd_source *s);

/* "libsvm, 32561 examples, ..." and NOTE, which may be "". */
void asgdi_describe(asgd_source *s, const char *format, const char *note);

#endif
