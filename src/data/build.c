/* build.c -- what the formats share: memory that a source owns, and the summary. */
#define _GNU_SOURCE
#include "data/build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/parallel.h"

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

typedef struct summary {
    const asgd_source *s;
    uint32_t           parts;
    struct part {
        float    y_min, y_max;
        uint32_t longest;
    } part[ASGDI_PARTS_MAX];
} summary;

static void summarize_part(void *ctx, uint32_t k)
{
    summary           *m    = ctx;
    const asgd_source *s    = m->s;
    const uint64_t     from = asgdi_part(s->schema.examples, m->parts, k),
                   to       = asgdi_part(s->schema.examples, m->parts, k + 1);
    struct part p           = {s->y[from], s->y[from], 0};
    for (uint64_t i = from; i < to; i++) {
        p.y_min = s->y[i] < p.y_min ? s->y[i] : p.y_min;
        p.y_max = s->y[i] > p.y_max ? s->y[i] : p.y_max;
    }
    uint64_t longest = 0;
    for (uint64_t i = from; !s->schema.dense && i < to; i++) {
        const uint64_t n = s->start[i + 1] - s->start[i];
        longest          = n > longest ? n : longest;
    }
    p.longest  = (uint32_t)longest;
    m->part[k] = p;
}

void asgdi_summarize(asgd_source *s)
{
    enum { GRAIN = 1 << 18 };
    asgd_schema *d = &s->schema;
    summary      m = {.s = s, .parts = asgdi_parts(0, d->examples, GRAIN)};
    if (m.parts > d->examples) m.parts = 1;
    asgdi_parallel(m.parts, summarize_part, &m);
    d->y_min   = m.part[0].y_min;
    d->y_max   = m.part[0].y_max;
    s->max_len = d->dense ? d->features : m.part[0].longest;
    for (uint32_t k = 1; k < m.parts; k++) {
        if (m.part[k].y_min < d->y_min) d->y_min = m.part[k].y_min;
        if (m.part[k].y_max > d->y_max) d->y_max = m.part[k].y_max;
        if (!d->dense && m.part[k].longest > s->max_len) s->max_len = m.part[k].longest;
    }
    d->nonzeros = d->dense ? d->examples * d->features : s->start[d->examples] - s->start[0];
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
