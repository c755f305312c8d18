/* whole.c -- the arrays of all examples.
 *
 * Threads copy the rows they parsed to where these belong; arrays are sized beforehand by the part of
 * the text that is done, so they seldom grow twice.  Values and weights that are all 1 take no memory.
 * Where it is foreseen that all arrays together exceed `memory`, they go to files and the kernel
 * pages them: data larger than memory can be parsed and trained on. */
#define _GNU_SOURCE
#include "data/whole.h"

#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "data/build.h"
#include "base/parallel.h"

typedef struct column {
    asgdi_array *array;
    size_t       size; /* bytes an element */
    uint64_t     used, least, wish;
} column;
enum { COLUMNS = 8 };

/* The columns in use with their elements now, and those needed for n, entries and labels. */
static int columns(asgdi_whole *w, column c[COLUMNS], uint64_t n, uint64_t entries, uint64_t labels)
{
    int m  = 0;
    c[m++] = (column){&w->y, sizeof(float), w->n, n, 0};
    if (w->weight.p) c[m++] = (column){&w->weight, sizeof(float), w->n, n, 0};
    if (w->dense || w->val.p) c[m++] = (column){&w->val, sizeof(float), w->entries, entries, 0};
    if (!w->dense) {
        c[m++] = (column){&w->start, sizeof(uint64_t), w->n + 1, n + 1, 0};
        c[m++] = (column){&w->idx, sizeof(uint32_t), w->entries, entries, 0};
    }
    if (w->fielded) c[m++] = (column){&w->field, sizeof(uint16_t), w->entries, entries, 0};
    if (w->label_sets) {
        c[m++] = (column){&w->label_start, sizeof(uint64_t), w->n + 1, n + 1, 0};
        c[m++] = (column){&w->label, sizeof(uint32_t), w->labels, labels, 0};
    }
    return m;
}

static bool spill_into(const column *c, int m, const char *folder)
{
    if (!folder || !*folder) return false;
    for (int i = 0; i < m; i++)
        if (!asgdi_array_spill(c[i].array, c[i].array->p ? c[i].used * c[i].size : 0, folder))
            return false;
    return true;
}

/* Where no folder takes them, the arrays stay in memory as long as there is some. */
static bool spill(const asgdi_whole *w, const column *c, int m)
{
    if (w->folder && *w->folder) (void)asgdi_make_folder(w->folder);
    return spill_into(c, m, w->folder) || spill_into(c, m, getenv("TMPDIR")) ||
           spill_into(c, m, "/var/tmp");
}

static bool reserve(asgdi_whole *w, uint64_t n, uint64_t entries, uint64_t labels, double share)
{
    column   c[COLUMNS];
    int      m     = columns(w, c, n, entries, labels);
    double   ahead = share > 0 && share < 1 ? 1.02 / share : 1;
    uint64_t total = 0;
    for (int i = 0; i < m; i++) {
        double wish = (double)c[i].least * ahead + 64;
        c[i].wish   = wish < 0x1p50 ? (uint64_t)wish : c[i].least;
        total += c[i].wish * c[i].size;
    }
    if (total > w->memory && !w->spilled) w->spilled = spill(w, c, m);
    for (int i = 0; i < m; i++)
        if (!asgdi_array_grow(c[i].array, c[i].least * c[i].size, c[i].wish * c[i].size))
            return false;
    if (w->start.p && w->n == 0) *(uint64_t *)w->start.p = 0;
    if (w->label_start.p && w->n == 0) *(uint64_t *)w->label_start.p = 0;
    return true;
}

/* An array of n ones, with room for as much as the array `like` has. */
static bool ones(asgdi_whole *w, asgdi_array *a, uint64_t n, const asgdi_array *like)
{
    size_t least = (n + 1) * sizeof(float);
    column c     = {.array = a, .size = sizeof(float)};
    if (w->spilled) (void)spill(w, &c, 1);
    if (!asgdi_array_grow(a, least, like->bytes)) return false;
    float *x = a->p;
    for (uint64_t i = 0; i < n; i++) x[i] = 1;
    return true;
}

bool asgdi_whole_values(asgdi_whole *w)
{
    return w->val.p || ones(w, &w->val, w->entries, &w->idx);
}

/* ---- copying ---- */

static void copy(asgdi_array *to, uint64_t at, const void *from, uint64_t n, size_t size)
{
    if (n) memcpy((char *)to->p + at * size, from, n * size);
}

/* starts[i + 1] for n examples of these lengths, the first of which begins at `at`. */
static void add_starts(asgdi_array *starts, uint64_t i, uint64_t at, const uint32_t *len,
                       uint64_t n)
{
    uint64_t *start = (uint64_t *)starts->p + i + 1;
    for (uint64_t j = 0; j < n; j++) start[j] = at += len[j];
}

void asgdi_whole_put(asgdi_whole *w, const asgdi_rows *r, const asgdi_place *at)
{
    pthread_rwlock_rdlock(&w->moving);
    copy(&w->y, at->n, r->y, r->n, sizeof *r->y);
    if (w->weight.p) copy(&w->weight, at->n, r->weight, r->n, sizeof *r->weight);
    if (w->val.p) copy(&w->val, at->entries, r->val, r->entries, sizeof *r->val);
    if (!w->dense) {
        copy(&w->idx, at->entries, r->idx, r->entries, sizeof *r->idx);
        add_starts(&w->start, at->n, at->entries, r->len, r->n);
    }
    if (w->fielded) copy(&w->field, at->entries, r->field, r->entries, sizeof *r->field);
    if (w->label_sets) {
        copy(&w->label, at->labels, r->label, r->labels, sizeof *r->label);
        add_starts(&w->label_start, at->n, at->labels, r->label_len, r->n);
    }
    pthread_rwlock_unlock(&w->moving);
}

static bool has_room(asgdi_whole *w, const asgdi_rows *r)
{
    column c[COLUMNS];
    if (r->valued && !w->dense && !w->val.p) return false;
    if (r->weighted && !w->weight.p) return false;
    int m = columns(w, c, w->n + r->n, w->entries + r->entries, w->labels + r->labels);
    for (int i = 0; i < m; i++)
        if (c[i].least * c[i].size > c[i].array->bytes) return false;
    return true;
}

static bool make_room(asgdi_whole *w, const asgdi_rows *r, double share)
{
    if (r->valued && !w->dense && !asgdi_whole_values(w)) return false;
    if (r->weighted && !w->weight.p && !ones(w, &w->weight, w->n, &w->y)) return false;
    return reserve(w, w->n + r->n, w->entries + r->entries, w->labels + r->labels, share);
}

bool asgdi_whole_place(asgdi_whole *w, const asgdi_rows *r, double share, asgdi_place *at)
{
    *at       = (asgdi_place){w->n, w->entries, w->labels};
    bool room = has_room(w, r);
    if (!room) {
        pthread_rwlock_wrlock(&w->moving);
        room = make_room(w, r, share);
        pthread_rwlock_unlock(&w->moving);
    }
    if (!room) return false;
    w->n += r->n;
    w->entries += r->entries;
    w->labels += r->labels;
    return true;
}

bool asgdi_whole_init(asgdi_whole *w)
{
    w->locks = pthread_rwlock_init(&w->moving, NULL) == 0;
    return w->locks;
}

/* ---- handing over ---- */

static const void *give(asgdi_array *a, uint64_t n, size_t size, asgd_source *s)
{
    if (!a->p) return NULL;
    asgdi_array_trim(a, n * size);
    const void *p = a->p;
    if (a->mapped)
        asgdi_adopt_map(s, a->p, a->bytes);
    else
        asgdi_adopt(s, a->p);
    *a = (asgdi_array){0};
    return p;
}

void asgdi_whole_give(asgdi_whole *w, asgd_source *s)
{
    s->y      = give(&w->y, w->n, sizeof(float), s);
    s->weight = give(&w->weight, w->n, sizeof(float), s);
    if (w->dense) {
        s->dense = give(&w->val, w->entries, sizeof(float), s);
    } else {
        s->start = give(&w->start, w->n + 1, sizeof(uint64_t), s);
        s->idx   = give(&w->idx, w->entries, sizeof(uint32_t), s);
        s->val   = give(&w->val, w->entries, sizeof(float), s);
        s->field = give(&w->field, w->entries, sizeof(uint16_t), s);
    }
    s->label_start = give(&w->label_start, w->n + 1, sizeof(uint64_t), s);
    s->label       = give(&w->label, w->labels, sizeof(uint32_t), s);
}

void asgdi_whole_free(asgdi_whole *w)
{
    asgdi_array *const all[] = {&w->start, &w->label_start, &w->idx, &w->label,
                                &w->val,   &w->field,       &w->y,   &w->weight};
    for (int i = 0; i < COLUMNS; i++) asgdi_array_free(all[i]);
    if (w->locks) pthread_rwlock_destroy(&w->moving);
    w->locks = false;
}
