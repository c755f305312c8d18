/* build.c -- what the formats share: memory that a source owns, and the summary. */
#define _GNU_SOURCE
#include "data/build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { MAX_BLOCKS = 24 };

/* Blocks of memory, and mappings, whose size is not 0. */
typedef struct memory {
    struct {
        void  *p;
        size_t mapped;
    } block[MAX_BLOCKS];
    unsigned n;
} memory;

static void release(asgd_source *s)
{
    memory *m = s->memory;
    for (unsigned i = 0; i < m->n; i++) {
        if (m->block[i].mapped)
            munmap(m->block[i].p, m->block[i].mapped);
        else
            asgdi_free(m->block[i].p);
    }
    asgdi_free(m);
    s->memory = NULL;
}

asgd_status asgdi_own(asgd_source *s)
{
    s->memory = asgdi_calloc(1, sizeof(memory));
    if (!s->memory) return ASGD_FAIL(ENOMEM, "no memory for a source");
    s->release = release;
    return ASGD_OK;
}

void asgdi_adopt_map(asgd_source *s, void *map, size_t bytes)
{
    memory *m             = s->memory;
    m->block[m->n].p      = map;
    m->block[m->n].mapped = bytes;
    m->n++;
}

void asgdi_adopt(asgd_source *s, void *block)
{
    asgdi_adopt_map(s, block, 0);
}

void *asgdi_alloc(asgd_source *s, size_t n, size_t size)
{
    const memory *m = s->memory;
    if (m->n == MAX_BLOCKS) return NULL;
    void *p = asgdi_calloc(n, size);
    if (p) asgdi_adopt(s, p);
    return p;
}

void *asgdi_reserve(asgd_source *s, size_t n, size_t size)
{
    enum { LINE = 64, HUGE_PAGE = 2 << 20 };
    const memory *m = s->memory;
    if (m->n == MAX_BLOCKS || n > (SIZE_MAX - HUGE_PAGE) / size) return NULL;
    size_t align = n * size >= 2 * (size_t)HUGE_PAGE ? (size_t)HUGE_PAGE : (size_t)LINE;
    size_t bytes = (n * size / align + 1) * align;
    void  *p     = aligned_alloc(align, bytes);
    if (!p) return NULL;
    if (align == HUGE_PAGE) (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint */
    asgdi_adopt(s, p);
    return p;
}

void asgdi_summarize(asgd_source *s)
{
    asgd_schema *d = &s->schema;
    d->y_min = d->y_max = s->y[0];
    for (uint64_t i = 1; i < d->examples; i++) {
        if (s->y[i] < d->y_min) d->y_min = s->y[i];
        if (s->y[i] > d->y_max) d->y_max = s->y[i];
    }
    if (d->dense) {
        d->nonzeros = d->examples * d->features;
        s->max_len  = d->features;
        return;
    }
    d->nonzeros = s->start[d->examples] - s->start[0];
    s->max_len  = 0;
    for (uint64_t i = 0; i < d->examples; i++) {
        uint64_t n = s->start[i + 1] - s->start[i];
        if (n > s->max_len) s->max_len = (uint32_t)n;
    }
}

void asgdi_describe(asgd_source *s, const char *format, const char *note)
{
    const asgd_schema *d = &s->schema;
    char               kind[40], share[48] = "", fields[24] = "";
    if (d->label_sets)
        snprintf(kind, sizeof kind, "%" PRIu32 " labels", d->classes);
    else if (d->classes)
        snprintf(kind, sizeof kind, "%" PRIu32 " classes", d->classes);
    else
        snprintf(kind, sizeof kind, "targets %.4g to %.4g", (double)d->y_min, (double)d->y_max);
    if (!d->dense)
        snprintf(share, sizeof share, ", %.3g %% non-zero",
                 100.0 * (double)d->nonzeros / ((double)d->examples * d->features));
    if (d->fields) snprintf(fields, sizeof fields, " in %" PRIu32 " fields", d->fields);
    snprintf(s->describe, sizeof s->describe,
             "%s, %" PRIu64 " examples, %" PRIu32 " features%s, %s%s%s%s", format, d->examples,
             d->features, fields, kind, share, *note ? ", " : "", note);
}
