/* source_criteo.c -- click logs as Criteo published them (Kaggle display advertising challenge 2014):
 *
 *     label TAB 13 integers TAB 26 categories      label 0 or 1; empty: missing
 *
 * Columns are named I1..I13, C1..C26; column c is field c - 1 of 39.  A missing value has no entry.
 * All values are 1:
 *
 *     category v of column C:  feature hash(v, seed of C)
 *     integer x of column I:   feature hash(g in decimal, seed of I), with its group
 *                              g = x for x <= 2, else 2 + floor(ln(x)^2)
 *
 * where the seed of a column is hash(its name, 0).  The groups are those of Juan, Zhuang and Chin's
 * winning solution; they are fixed, so options->bins is not looked at.  Files to predict may lack
 * the label: then no line may have it. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/find.h"
#include "data/text.h"

enum {
    INTEGERS   = 13,
    CATEGORIES = 26,
    FIELDS     = INTEGERS + CATEGORIES,
    DIGITS     = 18,   /* most an integer may have */
    BELOW      = 64,   /* groups -64.. are in the table; those below are hashed when met */
    GROUPS     = 1800, /* ln(1e18)^2 is 1718 */
    SMALL      = 4096, /* integers whose group is in the table */
    NAME       = 900,  /* characters of a value that a feature's name has */
};

typedef struct criteo {
    uint32_t bits;
    bool     labelled;
    float    absent; /* y where there are no labels */
    uint64_t seed[FIELDS];
    uint32_t feature[BELOW + GROUPS][INTEGERS]; /* [BELOW + group][column] */
    uint16_t group[SMALL];
} criteo;

static uint32_t group_above_2(double x)
{
    double l = log(x);
    return 2 + (uint32_t)(l * l);
}

/* The features of group g in columns first..last. */
static void group_features(const criteo *t, uint32_t first, uint32_t last, int64_t g,
                           uint32_t *feature)
{
    char text[24];
    int  n = snprintf(text, sizeof text, "%" PRId64, g);
    for (uint32_t c = first; c <= last; c++)
        *feature++ = asgdi_hash_feature(asgdi_hash(text, (size_t)n, t->seed[c]), t->bits);
}

static uint32_t integer_feature(const criteo *t, uint32_t column, int64_t x)
{
    int64_t  g = x;
    uint32_t feature;
    if (x > 2) g = x < SMALL ? t->group[x] : group_above_2((double)x);
    if (g >= -BELOW) return t->feature[BELOW + g][column];
    group_features(t, column, column, g, &feature);
    return feature;
}

static void add_integer_name(asgdi_names *names, uint32_t feature, uint32_t column, int64_t x)
{
    if (x <= 2) {
        asgdi_names_add(names, feature, "I%" PRIu32 "=%" PRId64, column + 1, x);
        return;
    }
    double g = group_above_2((double)x) - 2;
    asgdi_names_add(names, feature, "I%" PRIu32 " in [%.0f, %.0f)", column + 1,
                    fmax(3, ceil(exp(sqrt(g)))), ceil(exp(sqrt(g + 1))));
}

/* An optional minus and at most DIGITS digits. */
static bool take_integer(const char *p, const char *end, int64_t *x)
{
    const char *digits = p + (*p == '-');
    int64_t     v      = 0;
    if (digits == end || end - digits > DIGITS) return false;
    for (const char *q = digits; q < end; q++) {
        if ((unsigned char)(*q - '0') > 9) return false;
        v = v * 10 + (*q - '0');
    }
    *x = digits > p ? -v : v;
    return true;
}

/* ---- lines ---- */

static uint32_t count_columns(const char *p, const char *end)
{
    uint32_t n = 1;
    for (; p < end; p++) n += *p == '\t';
    return n;
}

static uint32_t columns(const criteo *t)
{
    return (uint32_t)FIELDS + t->labelled;
}

/* What is wrong with a line whose label is none, or that does not have its columns. */
static asgd_status bad_line(const criteo *t, asgdi_text_part *k, const char *p, const char *end)
{
    uint32_t n = count_columns(p, end);
    if (n == columns(t))
        return asgdi_text_fail(k, "the label is \"%s\", not 0 or 1; correct it, or remove the line",
                               asgdi_show(p, asgdi_find(p, end, '\t')).text);
    if (!t->labelled)
        return asgdi_text_fail(k,
                               "has %" PRIu32 " columns where the first line has 39: 13 integers "
                               "and 26 categories without a label; make all lines alike, without "
                               "a TAB inside a category",
                               n);
    return asgdi_text_fail(k,
                           "has %" PRIu32 " columns, not 40: a label, 13 integers and 26 "
                           "categories, with one TAB between two; a category cannot hold a TAB, "
                           "and a missing value leaves its column empty",
                           n);
}

static asgd_status add_entry(const criteo *t, asgdi_text_part *k, uint32_t f, const char *p,
                             const char *end)
{
    uint32_t feature;
    if (f < INTEGERS) {
        int64_t x;
        if (!take_integer(p, end, &x))
            return asgdi_text_fail(k,
                                   "column I%" PRIu32 " holds \"%s\", which is not an integer of "
                                   "at most 18 digits; correct it, or leave it empty",
                                   f + 1, asgdi_show(p, end).text);
        feature = integer_feature(t, f, x);
        if (k->names) add_integer_name(k->names, feature, f, x);
    } else {
        feature = asgdi_hash_feature(asgdi_hash(p, (size_t)(end - p), t->seed[f]), t->bits);
        if (k->names)
            asgdi_names_add(k->names, feature, "C%" PRIu32 "=%.*s", f - INTEGERS + 1,
                            end - p < NAME ? (int)(end - p) : NAME, p);
    }
    asgdi_rows_entry(&k->rows, feature, f, 1);
    return ASGD_OK;
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const criteo *t     = self;
    const char   *start = p;
    float         y     = t->absent;
    if (p < end && end[-1] == '\r') end--;
    if (p == end) return ASGD_OK;
    if (memchr(p, 0, (size_t)(end - p)))
        return asgdi_text_fail(k, "holds a NUL byte, so it is no text or damaged; make the file "
                                  "anew, or remove it with: tr -d '\\000'");
    if (t->labelled) {
        if (end - p < 2 || (*p != '0' && *p != '1') || p[1] != '\t') return bad_line(t, k, p, end);
        y = (float)(*p - '0');
        p += 2;
    }
    if (!asgdi_rows_begin(&k->rows, y, FIELDS)) return ASGD_ENOMEM;
    for (uint32_t f = 0; f < FIELDS; f++) {
        const char *stop = asgdi_find(p, end, '\t');
        if ((stop == end) != (f + 1 == FIELDS)) return bad_line(t, k, start, end);
        if (stop > p) {
            asgd_status s = add_entry(t, k, f, p, stop);
            if (s != ASGD_OK) /* often because a value is in another column's place */
                return count_columns(start, end) == columns(t) ? s : bad_line(t, k, start, end);
        }
        p = stop < end ? stop + 1 : end;
    }
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

/* ---- the whole ---- */

static void make_tables(criteo *t)
{
    for (uint32_t f = 0; f < FIELDS; f++) {
        char name[16];
        int  n     = f < INTEGERS ? snprintf(name, sizeof name, "I%" PRIu32, f + 1)
                                  : snprintf(name, sizeof name, "C%" PRIu32, f - INTEGERS + 1);
        t->seed[f] = asgdi_hash(name, (size_t)n, 0);
    }
    for (uint32_t x = 3; x < SMALL; x++) t->group[x] = (uint16_t)group_above_2(x);
    for (int32_t g = -BELOW; g < GROUPS; g++)
        group_features(t, 0, INTEGERS - 1, g, t->feature[BELOW + g]);
}

/* Whether the first line with anything in it has a label; true where there is none. */
static bool has_labels(const asgdi_text_setup *t)
{
    const char *p = t->head, *stop;
    for (; p < t->end; p = stop + 1) {
        stop = memchr(p, '\n', (size_t)(t->end - p));
        if (!stop) stop = t->end;
        if (stop > p && !(stop == p + 1 && *p == '\r'))
            return !t->recipe || count_columns(p, stop) != FIELDS;
    }
    return true;
}

static asgd_status begin(asgdi_text_setup *t)
{
    criteo *c = asgdi_calloc(1, sizeof *c);
    if (!c) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", t->name);
    t->self     = c;
    c->labelled = has_labels(t);
    /* any class will do where there are none, but it must be one of the model's */
    c->absent = t->o->label_values && t->o->n_label_values ? t->o->label_values[0] : 0;
    c->bits   = t->o->hash_bits;
    make_tables(c);
    t->fielded = true;
    t->fields  = FIELDS;
    t->hashed  = true;
    return ASGD_OK;
}

static const asgdi_text_format format = {
    .name   = "criteo",
    .begin  = begin,
    .end    = asgdi_free,
    .line   = line,
    .sample = "0<TAB>1<TAB>...<TAB>68fd1e64",
};

static asgd_status open_criteo(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &format);
}

/* 40 columns and a label of 0 or 1 on each of the first lines. */
static bool guess_criteo(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    const char *p = (const char *)head, *end = p + bytes;
    uint32_t    lines = 0;
    if (bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end && lines < 10) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop && lines > 0) break; /* it may be cut off */
        if (!stop) stop = end;
        if (stop > p && !(stop == p + 1 && *p == '\r')) {
            if (stop - p < FIELDS || (*p != '0' && *p != '1') || p[1] != '\t' ||
                count_columns(p, stop) != FIELDS + 1)
                return false;
            lines++;
        }
        p = stop < end ? stop + 1 : end;
    }
    return lines > 0;
}

const asgdi_format asgdi_format_criteo = {"criteo", guess_criteo, open_criteo, &format};
