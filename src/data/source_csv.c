/* source_csv.c -- tables as text, one example a line, a header or none:
 *
 *     delayed,Carrier,DepTime        field: text without delimiter, blanks around it are not part
 *     N,AA,1347                             of it; or "text", in which "" is a quote
 *     Y,"B6, Inc.",                  delimiter: comma, semicolon or TAB
 *
 * One column is the label: a number, or the name of a class.  Another may hold the weights of the
 * examples.  All others but the ignored ones are features.  Where all of them are numbers the table
 * is dense, and every value must be there.  Otherwise a value becomes a hashed feature of value 1,
 * whose field is the number of its column among the features, and a missing value (empty, ?, NA,
 * NaN, null) has no entry.  csv_columns.c says what is guessed, csv_recipe.c what is remembered.
 *
 * Fields do not span lines.  Every line has as many columns as the first. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "data/bins.h"
#include "data/csv.h"
#include "data/number.h"

enum { NAME = 900 }; /* characters of a value that a feature's name has */

/* ---- what is wrong with a line ---- */

/* `column "Carrier"` or `column 3` */
typedef struct column_text {
    char text[48];
} column_text;

static column_text called(const asgdi_csv *t, const asgdi_csv_column *c)
{
    column_text s;
    if (t->header)
        snprintf(s.text, sizeof s.text, "column \"%s\"", asgdi_csv_show(c).text);
    else
        snprintf(s.text, sizeof s.text, "column %td", c - t->column + 1);
    return s;
}

/* OK where it has the columns that it should. */
static asgd_status check_columns(const asgdi_csv *t, asgdi_text_part *k, const char *p,
                                 const char *end)
{
    uint32_t    n         = asgdi_csv_count(t, p, end);
    const char *delimiter = t->delimiter == ','   ? "comma"
                            : t->delimiter == ';' ? "semicolon"
                                                  : "TAB";
    if (n == 0)
        return asgdi_text_fail(k, "a quote is not closed on this line, or something follows it; "
                                  "write a field as \"...\"");
    if (n == t->columns) return ASGD_OK;
    return asgdi_text_fail(k,
                           "has %" PRIu32 " columns where the first line has %" PRIu32
                           "; make all rows alike, with quotes around a value that holds a %s",
                           n, t->columns, delimiter);
}

/* A value that is no number, or none that will do. */
static asgd_status bad_value(const asgdi_csv *t, asgdi_text_part *k, const asgdi_csv_column *c,
                             asgdi_csv_field f)
{
    column_text name  = called(t, c);
    asgdi_shown shown = asgdi_show(f.begin, f.end);
    double      x;
    if (asgdi_csv_missing(&f)) {
        const char *how = f.begin == f.end ? "is empty" : "holds a missing value";
        if (c->role == ASGDI_CSV_NUMBER)
            return asgdi_text_fail(k,
                                   "%s %s; fill it in, or ignore the column (values may be missing "
                                   "where some column is taken as a category)",
                                   name.text, how);
        return asgdi_text_fail(k, "%s %s; fill it in, or remove the row", name.text, how);
    }
    if (c->role == ASGDI_CSV_CLASS)
        return asgdi_text_fail(
            k,
            "%s holds \"%s\", which is none of the %" PRIu32 " labels (\"%s\" to "
            "\"%s\"); correct it, or train on data that have it",
            name.text, shown.text, t->n_classes,
            asgdi_show(t->classes[0], strchr(t->classes[0], 0)).text,
            asgdi_show(t->classes[t->n_classes - 1], strchr(t->classes[t->n_classes - 1], 0)).text);
    if (asgdi_csv_number(f, &x) && c->role == ASGDI_CSV_WEIGHT && !(x > 0))
        return asgdi_text_fail(k,
                               "%s holds the weight %s; weights are above 0: correct it, or remove "
                               "the row",
                               name.text, shown.text);
    if (asgdi_csv_number(f, &x))
        return asgdi_text_fail(k,
                               "%s holds \"%s\", which is not finite as a 32-bit float; correct "
                               "it, or remove the row or the column",
                               name.text, shown.text);
    if (asgdi_csv_decimal_comma(f))
        return asgdi_text_fail(k,
                               "%s holds \"%s\", which is not a number; write a decimal point for "
                               "the comma, or take the column as a category",
                               name.text, shown.text);
    return asgdi_text_fail(k,
                           "%s holds \"%s\", which is not a number as it is elsewhere; correct it, "
                           "or take the column as a category when training",
                           name.text, shown.text);
}

/* ---- values ---- */

/* A buffer for values that hold "". */
typedef struct scratch {
    char  *text;
    size_t room;
} scratch;

static bool unquote(asgdi_text_part *k, asgdi_csv_field *plain, const asgdi_csv_field *f)
{
    scratch *s = k->scratch;
    if (!s) s = k->scratch = asgdi_calloc(1, sizeof *s);
    if (!s || !asgdi_grow((void **)&s->text, &s->room, (size_t)(f->end - f->begin), 1))
        return false;
    size_t n = asgdi_csv_plain(*f, s->text);
    *plain   = (asgdi_csv_field){.begin = s->text, .end = s->text + n};
    return true;
}

static void part_end(asgdi_text_part *k)
{
    scratch *s = k->scratch;
    if (s) asgdi_free(s->text);
    asgdi_free(s);
}

/* All of f, without the search of asgdi_csv_number(). */
static inline bool number(asgdi_csv_field f, double *x)
{
    return f.begin < f.end && asgdi_number(f.begin, f.end, x) == f.end;
}

static void add_group_name(asgdi_names *names, const asgdi_csv_column *c, uint32_t g)
{
    if (c->edges == 0)
        asgdi_names_add(names, c->group[g], "%s", c->name);
    else if (g == 0)
        asgdi_names_add(names, c->group[g], "%s < %.10g", c->name, c->edge[0]);
    else if (g == c->edges)
        asgdi_names_add(names, c->group[g], "%s >= %.10g", c->name, c->edge[g - 1]);
    else
        asgdi_names_add(names, c->group[g], "%s in [%.10g, %.10g)", c->name, c->edge[g - 1],
                        c->edge[g]);
}

static asgd_status take_binned(const asgdi_csv *t, asgdi_text_part *k, const asgdi_csv_column *c,
                               const asgdi_csv_field *f)
{
    double x;
    if (f->begin == f->end) return ASGD_OK;
    bool digit = (unsigned char)(*f->begin - '0') <= 9;
    if (!digit && asgdi_csv_missing(f)) return ASGD_OK;
    if (!number(*f, &x) || isnan(x)) return bad_value(t, k, c, *f);
    uint32_t g = asgdi_bins_group(c->edge, c->edges, x);
    asgdi_rows_entry(&k->rows, c->group[g], c->feature, 1);
    if (k->names) add_group_name(k->names, c, g);
    return ASGD_OK;
}

static asgd_status take_category(const asgdi_csv *t, asgdi_text_part *k, const asgdi_csv_column *c,
                                 const asgdi_csv_field *f)
{
    asgdi_csv_field plain;
    if (asgdi_csv_missing(f)) return ASGD_OK;
    if (f->doubled) {
        if (!unquote(k, &plain, f)) return ASGD_ENOMEM;
        f = &plain;
    }
    size_t   n       = (size_t)(f->end - f->begin);
    uint32_t feature = asgdi_hash_feature(asgdi_hash(f->begin, n, c->seed), t->bits);
    asgdi_rows_entry(&k->rows, feature, c->feature, 1);
    if (k->names)
        asgdi_names_add(k->names, feature, "%s=%.*s", c->name, n < NAME ? (int)n : NAME, f->begin);
    return ASGD_OK;
}

static asgd_status take_class(const asgdi_csv *t, asgdi_text_part *k, const asgdi_csv_field *f)
{
    asgdi_csv_field plain;
    uint32_t        lo = 0, hi = t->n_classes;
    if (f->doubled) {
        if (!unquote(k, &plain, f)) return ASGD_ENOMEM;
        f = &plain;
    }
    while (lo < hi && !asgdi_csv_missing(f)) {
        uint32_t    mid  = lo + (hi - lo) / 2;
        const char *name = t->classes[mid];
        int order = asgdi_csv_compare(f->begin, (size_t)(f->end - f->begin), name, strlen(name));
        if (order == 0) {
            k->rows.y[k->rows.n] = (float)mid;
            return ASGD_OK;
        }
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return bad_value(t, k, t->label, *f);
}

static asgd_status take_value(const asgdi_csv *t, asgdi_text_part *k, const asgdi_csv_column *c,
                              const asgdi_csv_field *f)
{
    double x;
    switch (c->role) {
    case ASGDI_CSV_IGNORED: return ASGD_OK;
    case ASGDI_CSV_CATEGORY: return take_category(t, k, c, f);
    case ASGDI_CSV_BINNED: return take_binned(t, k, c, f);
    case ASGDI_CSV_CLASS: return take_class(t, k, f);
    case ASGDI_CSV_LABEL:
    case ASGDI_CSV_WEIGHT:
    case ASGDI_CSV_NUMBER: break;
    }
    if (!number(*f, &x) || !isfinite((float)x)) return bad_value(t, k, c, *f);
    if (c->role == ASGDI_CSV_NUMBER) {
        k->rows.val[k->rows.at + c->feature] = (float)x; /* in the order of the training data */
        if (k->names) asgdi_names_add(k->names, c->feature, "%s", c->name);
    } else if (c->role == ASGDI_CSV_LABEL) {
        k->rows.y[k->rows.n] = (float)x;
    } else {
        if (!((float)x > 0)) return bad_value(t, k, c, *f);
        asgdi_rows_weight(&k->rows, (float)x);
    }
    return ASGD_OK;
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const asgdi_csv        *t = self;
    const asgdi_csv_column *c = t->column, *stop = c + t->columns;
    const char             *start = p;
    while (p < end && asgdi_csv_blank(*p)) p++;
    if (p == end) return ASGD_OK;
    p = start;
    if (memchr(p, 0, (size_t)(end - p)))
        return asgdi_text_fail(k, "holds a NUL byte, so it is no text or damaged; make the file "
                                  "anew, or remove it with: tr -d '\\000'");
    if (!asgdi_rows_begin(&k->rows, t->absent, t->features)) return ASGD_ENOMEM;
    for (;; p++) {
        asgdi_csv_field f;
        p = asgdi_csv_take(&f, p, end, t->delimiter);
        if (!p) return check_columns(t, k, start, end);
        asgd_status s = take_value(t, k, c, &f);
        /* often because a value is in another column's place; the second time is for the message */
        if (s == ASGD_EFORMAT && (s = check_columns(t, k, start, end)) == ASGD_OK)
            s = take_value(t, k, c, &f);
        if (s != ASGD_OK) return s;
        c++;
        if (c == stop || p == end) break;
    }
    if (c != stop || p != end) return check_columns(t, k, start, end);
    if (t->dense) {
        k->rows.at += t->features;
        k->rows.any = k->rows.valued = true;
    }
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

/* ---- the whole ---- */

static void end(void *self)
{
    asgdi_csv *t = self;
    if (!t) return;
    for (uint32_t c = 0; t->column && c < t->columns; c++) {
        asgdi_free(t->column[c].edge);
        asgdi_free(t->column[c].group);
    }
    asgdi_free(t->column);
    asgdi_free(t->by_name);
    asgdi_free(t->names);
    asgdi_free(t->classes);
    asgdi_free(t->class_text);
    json_decref(t->recipe);
    asgdi_free(t);
}

static asgd_status read_columns(asgdi_csv *t, const asgd_source_options *o)
{
    asgdi_csv_sample sample = {0};
    asgd_status      s      = asgdi_csv_sample_take(t, &sample);
    if (s == ASGD_OK) {
        t->header = asgdi_csv_options_on_first(t, o) || asgdi_csv_recipe_on_first(t) ||
                    asgdi_csv_header(t, &sample);
        s = asgdi_csv_names(t);
    }
    if (s == ASGD_OK) s = t->recipe ? asgdi_csv_follow(t, o) : asgdi_csv_guess(t, o, &sample);
    asgdi_csv_sample_free(&sample);
    return s;
}

static asgd_status begin(asgdi_text_setup *setup)
{
    const asgd_source_options *o = setup->o;
    asgdi_csv                 *t = asgdi_calloc(1, sizeof *t);
    if (!t) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", setup->name);
    setup->self = t;
    t->bits     = o->hash_bits;
    /* any class will do where there are no labels, but it must be one of the model's */
    t->absent = o->label_values && o->n_label_values ? o->label_values[0] : 0;
    if (setup->recipe && !(t->recipe = json_deep_copy(setup->recipe)))
        return ASGD_FAIL(ENOMEM, "%s: no memory for its encoding", setup->name);
    ASGD_TRY(asgdi_csv_first(t, setup));
    ASGD_TRY(read_columns(t, o));
    const char *from, *to, *p = t->rest;
    if (t->header && !asgdi_csv_line(&p, t->end, &from, &to))
        return ASGD_FAIL(
            EFORMAT, "%s: holds a header but no example; give a file with rows of values", t->file);
    setup->first      = t->header ? t->rest : t->first;
    setup->first_line = t->first_line + t->header;
    setup->dense      = t->dense ? t->features : 0;
    setup->hashed     = !t->dense;
    setup->fielded    = !t->dense && t->features <= ASGDI_FIELDS_MAX;
    setup->fields     = setup->fielded ? t->features : 0;
    setup->classes    = t->n_classes;
    return ASGD_OK;
}

static json_t *recipe(const void *self)
{
    return asgdi_csv_recipe(self);
}

static const asgdi_text_format format = {
    .name     = "csv",
    .begin    = begin,
    .end      = end,
    .recipe   = recipe,
    .line     = line,
    .part_end = part_end,
    .sample   = "1,AA,1347",
};

static asgd_status open_csv(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &format);
}

/* A delimiter on the first line, and nothing unprintable. */
static bool guess_csv(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    const char *p = (const char *)head, *from, *to;
    if (!asgdi_csv_line(&p, p + bytes, &from, &to)) return false;
    for (const char *q = from; q < to; q++)
        if ((unsigned char)*q < 32 && *q != '\t' && *q != '\r') return false;
    uint64_t count;
    asgdi_csv_delimiter(from, to, &count);
    return count > 0;
}

const asgdi_format asgdi_format_csv = {"csv", guess_csv, open_csv, &format};
