/* build.c -- what the formats share: memory that a source owns, labels, and the summary.
 *
 * Labels.  Targets that are all whole numbers, at most MAX_CLASSES distinct ones, are labels: class
 * c is the c-th smallest, labels[c] its value.  Otherwise they are real targets and stay. */
#define _GNU_SOURCE
#include "data/build.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { MAX_BLOCKS = 16, MAX_CLASSES = 1000 };

typedef struct memory {
    void    *block[MAX_BLOCKS];
    unsigned n;
    void    *map;
    size_t   map_bytes;
} memory;

static void release(asgd_source *s)
{
    memory *m = s->memory;
    for (unsigned i = 0; i < m->n; i++) asgdi_free(m->block[i]);
    if (m->map) munmap(m->map, m->map_bytes);
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

void *asgdi_alloc(asgd_source *s, size_t n, size_t size)
{
    memory *m = s->memory;
    if (m->n == MAX_BLOCKS) return NULL;
    void *p = asgdi_calloc(n, size);
    if (p) m->block[m->n++] = p;
    return p;
}

void *asgdi_reserve(asgd_source *s, size_t n, size_t size)
{
    enum { LINE = 64, HUGE_PAGE = 2 << 20 };
    memory *m = s->memory;
    if (m->n == MAX_BLOCKS || n > (SIZE_MAX - HUGE_PAGE) / size) return NULL;
    size_t align = n * size >= 2 * (size_t)HUGE_PAGE ? (size_t)HUGE_PAGE : (size_t)LINE;
    size_t bytes = (n * size / align + 1) * align;
    void  *p     = aligned_alloc(align, bytes);
    if (!p) return NULL;
    if (align == HUGE_PAGE) (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint */
    m->block[m->n++] = p;
    return p;
}

void asgdi_adopt(asgd_source *s, void *block)
{
    memory *m        = s->memory;
    m->block[m->n++] = block;
}

void asgdi_adopt_map(asgd_source *s, void *map, size_t bytes)
{
    memory *m    = s->memory;
    m->map       = map;
    m->map_bytes = bytes;
}

asgd_status asgdi_make_writable(asgd_source *s)
{
    memory *m = s->memory;
    if (m->map && mprotect(m->map, m->map_bytes, PROT_READ | PROT_WRITE) != 0)
        return ASGD_FAIL(ENOMEM, "no memory for a copy of the data: %s", strerror(errno));
    return ASGD_OK;
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

/* ---- labels ---- */

typedef struct known {
    float    value;
    uint32_t class_number;
} known;

static int by_value(const void *a, const void *b)
{
    float x = ((const known *)a)->value, y = ((const known *)b)->value;
    return (x > y) - (x < y);
}

/* Position in k[0..n), sorted, where v is or would be. */
static uint32_t position(const known *k, uint32_t n, float v)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k[mid].value < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The distinct values of y, sorted; 0 where they are no labels. */
static uint32_t find_labels(const float *y, uint64_t n, known *k)
{
    uint32_t found = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (i > 0 && y[i] == y[i - 1]) continue;
        if (y[i] != floorf(y[i]) || fabsf(y[i]) > 0x1p24f) return 0;
        uint32_t p = position(k, found, y[i]);
        if (p < found && k[p].value == y[i]) continue;
        if (found == MAX_CLASSES) return 0;
        memmove(k + p + 1, k + p, (found - p) * sizeof *k);
        k[p].value = y[i];
        found++;
    }
    for (uint32_t c = 0; c < found; c++) k[c].class_number = c;
    return found;
}

static asgd_status unknown_label(const char *name, uint64_t line, float y, const float *values,
                                 uint32_t n)
{
    char   list[160] = "";
    size_t at        = 0;
    for (uint32_t c = 0; c < n && at < sizeof list - 24; c++) {
        if (at > sizeof list - 40 && c + 1 < n) {
            at += (size_t)snprintf(list + at, sizeof list - at, ", ...");
            break;
        }
        at +=
            (size_t)snprintf(list + at, sizeof list - at, "%s%g", c ? ", " : "", (double)values[c]);
    }
    return ASGD_FAIL(EFORMAT,
                     "%s:%" PRIu64 ": label %g is none that the model was trained on (%s); correct "
                     "it, or train on data that have it",
                     name, line, (double)y, list);
}

asgd_status asgdi_classify(asgd_source *s, float *y, const char *name, const asgd_source_options *o,
                           uint64_t (*line_of)(const void *ctx, uint64_t example), const void *ctx)
{
    uint64_t n     = s->schema.examples;
    bool     given = o->label_values != NULL;
    if (given && o->n_label_values == 0) return ASGD_OK; /* the model's targets are real */
    uint32_t room = given ? o->n_label_values : MAX_CLASSES;
    known   *k    = asgdi_calloc(room, sizeof *k);
    if (!k) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", name);
    uint32_t classes = room;
    if (given) {
        for (uint32_t c = 0; c < room; c++) k[c] = (known){o->label_values[c], c};
        qsort(k, room, sizeof *k, by_value);
    } else {
        classes = find_labels(y, n, k);
    }
    asgd_status status = ASGD_OK;
    if (classes > 0) s->labels = asgdi_alloc(s, classes, sizeof *s->labels);
    if (classes > 0 && !s->labels) status = ASGD_FAIL(ENOMEM, "%s: no memory for its labels", name);
    if (status == ASGD_OK && classes > 0) {
        s->schema.classes = classes;
        for (uint32_t c = 0; c < classes; c++) s->labels[k[c].class_number] = k[c].value;
        for (uint64_t i = 0; i < n; i++) {
            uint32_t p = position(k, classes, y[i]);
            if (p == classes || k[p].value != y[i]) {
                status = unknown_label(name, line_of(ctx, i), y[i], o->label_values, classes);
                break;
            }
            y[i] = (float)k[p].class_number;
        }
    }
    asgdi_free(k);
    return status;
}

void asgdi_describe(asgd_source *s, const char *format, const char *note)
{
    const asgd_schema *d = &s->schema;
    char               kind[40], share[48] = "";
    if (d->classes)
        snprintf(kind, sizeof kind, "%" PRIu32 " classes", d->classes);
    else
        snprintf(kind, sizeof kind, "targets %.4g to %.4g", (double)d->y_min, (double)d->y_max);
    if (!d->dense)
        snprintf(share, sizeof share, ", %.3g %% non-zero",
                 100.0 * (double)d->nonzeros / ((double)d->examples * d->features));
    snprintf(s->describe, sizeof s->describe,
             "%s, %" PRIu64 " examples, %" PRIu32 " features, %s%s%s%s", format, d->examples,
             d->features, kind, share, *note ? ", " : "", note);
}
