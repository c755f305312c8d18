/* classes.c -- labels as class numbers.
 *
 * Targets that are all whole numbers, at most MAX_CLASSES distinct ones, are labels: class c is the
 * c-th smallest, labels[c] its value.  Otherwise they are real targets and stay.  Where a trained
 * model's labels are given, these are the classes, and other labels are errors. */
#include "data/classes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"

enum { MAX_CLASSES = 1000 };

static int by_value(const void *a, const void *b)
{
    float x = ((const asgdi_known *)a)->value, y = ((const asgdi_known *)b)->value;
    return (x > y) - (x < y);
}

/* Position in k[0..n), sorted, where v is or would be. */
static uint32_t position(const asgdi_known *k, uint32_t n, float v)
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

asgd_status asgdi_classes_init(asgdi_classes *c, const asgd_source_options *o, const char *name)
{
    *c = (asgdi_classes){0};
    if (!o->label_values || !o->n_label_values) return ASGD_OK;
    c->known = asgdi_calloc(o->n_label_values, sizeof *c->known);
    if (!c->known) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", name);
    c->n = o->n_label_values;
    for (uint32_t i = 0; i < c->n; i++) c->known[i] = (asgdi_known){o->label_values[i], i};
    qsort(c->known, c->n, sizeof *c->known, by_value);
    return ASGD_OK;
}

void asgdi_classes_free(asgdi_classes *c)
{
    asgdi_free(c->known);
    *c = (asgdi_classes){0};
}

uint32_t asgdi_classes_of(const asgdi_classes *c, float label)
{
    uint32_t p = position(c->known, c->n, label);
    return p < c->n && c->known[p].value == label ? c->known[p].class_number : ASGDI_NO_CLASS;
}

void asgdi_classes_unknown(const asgdi_classes *c, float label, char *text, size_t bytes)
{
    char   list[160] = "";
    size_t at        = 0;
    for (uint32_t i = 0; i < c->n && at < sizeof list - 24; i++) {
        uint32_t p = 0; /* in the order of the classes */
        while (c->known[p].class_number != i) p++;
        if (at > sizeof list - 40 && i + 1 < c->n) {
            at += (size_t)snprintf(list + at, sizeof list - at, ", ...");
            break;
        }
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%g", i ? ", " : "",
                               (double)c->known[p].value);
    }
    snprintf(text, bytes,
             "label %g is none that the model was trained on (%s); correct it, or train on data "
             "that have it",
             (double)label, list);
}

static asgd_status give(asgd_source *s, const asgdi_known *k, uint32_t n, const char *name)
{
    s->labels = asgdi_alloc(s, n, sizeof *s->labels);
    if (!s->labels) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", name);
    for (uint32_t c = 0; c < n; c++) s->labels[k[c].class_number] = k[c].value;
    s->schema.classes = n;
    return ASGD_OK;
}

asgd_status asgdi_classes_give(const asgdi_classes *c, asgd_source *s, const char *name)
{
    return c->n ? give(s, c->known, c->n, name) : ASGD_OK;
}

/* How many of y[0..n) are at the beginning, in whole blocks, that have no other value than the two. */
static uint64_t only(const float *y, uint64_t n, float a, float b)
{
    enum { BLOCK = 256 };
    for (uint64_t i = 0; i + BLOCK <= n; i += BLOCK) {
        uint32_t others = 0; /* no early way out: the loop takes many at a time */
        for (uint64_t j = i; j < i + BLOCK; j++) others |= (uint32_t)(y[j] != a) & (y[j] != b);
        if (others) return i;
    }
    return n / BLOCK * BLOCK;
}

/* The distinct values of y, sorted; 0 where they are no labels.  Most data have two labels: the
 * smallest and largest so far are asked about first. */
static uint32_t find_labels(const float *y, uint64_t n, asgdi_known *k)
{
    uint32_t found = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (found && i % 256 == 0) i += only(y + i, n - i, k[0].value, k[found - 1].value);
        if (i == n) break;
        if (found && (y[i] == k[0].value || y[i] == k[found - 1].value)) continue;
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

static void to_classes(float *y, uint64_t n, const asgdi_known *k, uint32_t classes)
{
    if (classes <= 2) {
        const float last = k[classes - 1].value, number = (float)(classes - 1);
        for (uint64_t i = 0; i < n; i++) y[i] = y[i] == last ? number : 0;
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        y[i] =
            y[i] == k[classes - 1].value ? (float)(classes - 1) : (float)position(k, classes, y[i]);
}

asgd_status asgdi_classes_find(asgd_source *s, float *y, const char *name)
{
    uint64_t     n = s->schema.examples;
    asgdi_known *k = asgdi_calloc(MAX_CLASSES, sizeof *k);
    if (!k) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", name);
    uint32_t    classes = find_labels(y, n, k);
    asgd_status status  = classes ? give(s, k, classes, name) : ASGD_OK;
    if (status == ASGD_OK && classes) to_classes(y, n, k, classes);
    asgdi_free(k);
    return status;
}
