/* mem.h -- memory for the slow path; the hot path allocates nothing. */
#ifndef ASGDI_MEM_H
#define ASGDI_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed, aligned to 64 bytes; large blocks ask for huge pages.  NULL when there is none or when
 * n * size overflows.  n * size == 0 gives a block that may be freed. */
void *asgdi_calloc(size_t n, size_t size);
/* The same with undefined contents: whoever writes a page first has it near.  What rounds it up to whole lines is zero. */
void *asgdi_malloc(size_t n, size_t size);
/* *p grows to n elements of `size`, new ones undefined.  false: nothing changed. */
bool asgdi_grow(void **p, size_t *capacity, size_t n, size_t size);
void asgdi_free(void *p);
/* Of a block of so many bytes only the first `used` are wanted any more; the rest is undefined from now on, and
 * may go back to the system. */
void asgdi_give_back(void *p, size_t used, size_t bytes);
/* Copies a string; NULL when out of memory or s is NULL. */
char *asgdi_strdup(const char *s);

#endif
