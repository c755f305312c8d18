/* mem.c -- aligned, zeroed memory. */
#define _GNU_SOURCE
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { LINE = 64, HUGE = 2 << 20 };

void *asgdi_malloc(size_t n, size_t size)
{
    if (size && n > (SIZE_MAX - HUGE) / size) return NULL;
    size_t bytes = n * size;
    size_t align = bytes >= (size_t)HUGE / 8 ? (size_t)HUGE : (size_t)LINE;
    bytes        = bytes ? (bytes + align - 1) / align * align : align;
    void *p      = aligned_alloc(align, bytes);
    if (!p) return NULL;
#ifdef MADV_HUGEPAGE
    if (align == HUGE)
        (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint: failure costs speed only */
#endif
    memset((char *)p + n * size, 0, bytes - n * size);
    return p;
}

void *asgdi_calloc(size_t n, size_t size)
{
    void *p = asgdi_malloc(n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

bool asgdi_grow(void **p, size_t *capacity, size_t n, size_t size)
{
    if (n <= *capacity) return true;
    size_t want = *capacity < 16 ? 16 : *capacity + *capacity / 2;
    if (want < n) want = n;
    if (size && want > SIZE_MAX / size) return false;
    void *q = realloc(*p, want * size);
    if (!q) return false;
    *p        = q;
    *capacity = want;
    return true;
}

void asgdi_free(void *p)
{
    free(p);
}

void asgdi_give_back(void *p, size_t used, size_t bytes)
{
#ifdef MADV_DONTNEED
    const uintptr_t first = ((uintptr_t)p + used + HUGE - 1) / HUGE * HUGE,
                    last  = ((uintptr_t)p + bytes) / HUGE * HUGE;
    if (first < last) (void)madvise((void *)first, last - first, MADV_DONTNEED); /* or it stays */
#else
    (void)p, (void)used, (void)bytes;
#endif
}

char *asgdi_strdup(const char *s)
{
    if (!s) return NULL;
    size_t n = strlen(s) + 1;
    char  *p = malloc(n);
    if (p) memcpy(p, s, n);
    return p;
}
