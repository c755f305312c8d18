/* csv_columns.c -- what the columns of a table are, by the options and a sample of its rows.
 *
 * Columns are left out, or the weights, or the label, or features.  A feature column of which the
 * sample has a value that is neither a number nor missing is a category; options->categorical names
 * more.  Without any category the table is dense.  With one, every column is hashed: a category's
 * features are its values, a number's are its groups (bins.h), found in the sample.
 *
 *     seed of a column   hash(its name, 0)
 *     feature of value v hash(v, seed)        of group g: hash(g in decimal, seed) */
#define _GNU_SOURCE /* strnlen, strcasecmp */
#include "data/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/mem.h"
#include "data/bins.h"

/* ---- columns by name ---- */

/* Edit distance of Levenshtein, one row at a time; long names count up to their 63rd character. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t row[MOST], nb = strnlen(b, MOST - 1), na = strnlen(a, MOST - 1);
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0]          = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j]   = best;
            diagonal = above;
        }
    }
    return row[nb];
}

static const char *nearest(const asgdi_csv *t, const char *wrong)
{
    const char *best  = NULL;
    size_t      least = strlen(wrong) / 2 + 1; /* farther ones are like it by chance */
    for (uint32_t c = 0; c < t->columns; c++) {
        const char *name = t->column[c].name;
        size_t      d    = strcasecmp(wrong, name) == 0 ? 0 : distance(wrong, name);
        if (d < least) {
            least = d;
            best  = name;
        }
    }
    return best;
}

void asgdi_csv_list(const asgdi_csv *t, const char *near, char *buf, size_t bytes)
{
    const char *best = nearest(t, near);
    size_t      at = 0, room = bytes - 60; /* for the rest */
    *buf = 0;
    for (uint32_t c = 0; c < t->columns; c++) {
        const char *name = t->column[c].name;
        if (at + 40 > room) {
            at += (size_t)snprintf(buf + at, bytes - at, ", ...");
            break;
        }
        at += (size_t)snprintf(buf + at, bytes - at, "%s%s", c ? ", " : "",
                               asgdi_show(name, name + strlen(name)).text);
    }
    if (best)
        snprintf(buf + at, bytes - at, "; did you mean \"%s\"?",
                 asgdi_show(best, best + strlen(best)).text);
}

/* A number from 1 to t->columns; 0: it is none.  *digits: it looks like one. */
static uint32_t column_number(const asgdi_csv *t, const char *name, bool *digits)
{
    uint64_t v = 0;
    *digits    = *name != 0;
    for (; *name && *digits; name++) {
        *digits = (unsigned char)(*name - '0') <= 9;
        v       = v > t->columns ? v : v * 10 + (uint64_t)(*name - '0');
    }
    return *digits && v <= t->columns ? (uint32_t)v : 0;
}

asgd_status asgdi_csv_resolve(const asgdi_csv *t, const char *name, const char *purpose,
                              asgdi_csv_column **column)
{
    bool     digits;
    uint32_t number = column_number(t, name, &digits);
    *column         = asgdi_csv_find(t, name);
    if (!*column && number) *column = &t->column[number - 1];
    if (*column) return ASGD_OK;
    if (digits)
        return ASGD_FAIL(EINVAL, "%s: has no column %s %s; its columns are 1 to %" PRIu32, t->file,
                         name, purpose, t->columns);
    if (!t->header)
        return ASGD_FAIL(
            EINVAL, "%s: has no header, so no column \"%s\" %s; give its number, 1 to %" PRIu32,
            t->file, name, purpose, t->columns);
    char list[360];
    asgdi_csv_list(t, name, list, sizeof list);
    return ASGD_FAIL(EINVAL, "%s: has no column \"%s\" %s; its columns are %s", t->file, name,
                     purpose, list);
}

/* Calls f for every name of "a, b"; stops where it does not return OK. */
static asgd_status each_name(const asgdi_csv *t, const char *list, const char *purpose,
                             void (*f)(asgdi_csv_column *))
{
    char *copy = asgdi_strdup(list ? list : ""), *next;
    if (!copy) return ASGD_FAIL(ENOMEM, "%s: no memory for the names of its columns", t->file);
    asgd_status s = ASGD_OK;
    for (char *name = copy; name && s == ASGD_OK; name = next) {
        next = strchr(name, ',');
        if (next) *next++ = 0;
        name += strspn(name, " ");
        for (size_t n = strlen(name); n > 0 && name[n - 1] == ' ';) name[--n] = 0;
        asgdi_csv_column *c;
        if (*name) s = asgdi_csv_resolve(t, name, purpose, &c);
        if (*name && s == ASGD_OK) f(c);
    }
    asgdi_free(copy);
    return s;
}

static bool names_first_line(const asgdi_csv *t, const char *list)
{
    while (list && *list) {
        list += strspn(list, ", ");
        size_t n = strcspn(list, ",");
        for (uint32_t c = 0; c < t->columns && n > 0; c++) {
            const char *name = t->column[c].name;
            if (strlen(name) == n && memcmp(name, list, n) == 0 && strspn(name, "0123456789") < n)
                return true;
        }
        list += n;
    }
    return false;
}

bool asgdi_csv_options_on_first(const asgdi_csv *t, const asgd_source_options *o)
{
    return names_first_line(t, o->label) || names_first_line(t, o->weight) ||
           names_first_line(t, o->ignore) || names_first_line(t, o->categorical);
}

/* ---- roles ---- */

static void ignore(asgdi_csv_column *c)
{
    c->role = ASGDI_CSV_IGNORED;
}

static void name_category(asgdi_csv_column *c)
{
    c->named = true;
}

/* The one feature column that is called as labels are, else the first. */
static asgdi_csv_column *default_label(const asgdi_csv *t)
{
    static const char *const usual[] = {"label", "target", "class", "y", "click", "clicked"};
    asgdi_csv_column        *first = NULL, *found = NULL;
    uint32_t                 hits = 0;
    for (uint32_t c = t->columns; c-- > 0;) {
        if (t->column[c].role == ASGDI_CSV_IGNORED || t->column[c].role == ASGDI_CSV_WEIGHT)
            continue;
        first = &t->column[c];
        for (size_t i = 0; t->header && i < sizeof usual / sizeof *usual; i++)
            if (strcasecmp(first->name, usual[i]) == 0) {
                found = first;
                hits++;
            }
    }
    return hits == 1 ? found : first;
}

static asgd_status taken(const asgdi_csv *t, const asgdi_csv_column *c, const char *purpose)
{
    return ASGD_FAIL(EINVAL,
                     "%s: column \"%s\" is to be ignored or holds the weights, so it cannot serve "
                     "%s; name another",
                     t->file, asgdi_csv_show(c).text, purpose);
}

static asgd_status assign_roles(asgdi_csv *t, const asgd_source_options *o)
{
    asgdi_csv_column *c;
    for (uint32_t i = 0; i < t->columns; i++) t->column[i].role = ASGDI_CSV_NUMBER;
    ASGD_TRY(each_name(t, o->categorical, "to take as categories", name_category));
    ASGD_TRY(each_name(t, o->ignore, "to ignore", ignore));
    if (o->weight && *o->weight) {
        ASGD_TRY(asgdi_csv_resolve(t, o->weight, "for the weights", &c));
        if (c->role != ASGDI_CSV_NUMBER) return taken(t, c, "for the weights");
        c->role   = ASGDI_CSV_WEIGHT;
        t->weight = c;
    }
    if (o->label && *o->label) {
        ASGD_TRY(asgdi_csv_resolve(t, o->label, "for the label", &c));
        if (c->role != ASGDI_CSV_NUMBER) return taken(t, c, "for the label");
    } else {
        c = default_label(t);
        if (!c)
            return ASGD_FAIL(EINVAL, "%s: no column is left for the label; ignore fewer of them",
                             t->file);
    }
    c->role  = ASGDI_CSV_LABEL;
    t->label = c;
    return ASGD_OK;
}

/* ---- features ---- */

asgd_status asgdi_csv_hash(const asgdi_csv *t, asgdi_csv_column *c, const char *name)
{
    c->seed = asgdi_hash(name, strlen(name), 0);
    if (c->role != ASGDI_CSV_BINNED) return ASGD_OK;
    c->group = asgdi_calloc(c->edges + 1, sizeof *c->group);
    if (!c->group) return ASGD_FAIL(ENOMEM, "%s: no memory for its groups", t->file);
    for (uint32_t g = 0; g <= c->edges; g++) {
        char text[16];
        int  n      = snprintf(text, sizeof text, "%" PRIu32, g);
        c->group[g] = asgdi_hash_feature(asgdi_hash(text, (size_t)n, c->seed), t->bits);
    }
    return ASGD_OK;
}

static asgd_status find_edges(const asgdi_csv *t, asgdi_csv_column *c, const asgdi_csv_sample *s,
                              uint32_t bins, double *room)
{
    const double *x = s->x + (size_t)(c - t->column) * s->room;
    size_t        n = 0;
    for (uint32_t i = t->header; i < s->rows; i++)
        if (isfinite(x[i])) room[n++] = x[i];
    c->edge = asgdi_calloc(bins, sizeof *c->edge);
    if (!c->edge) return ASGD_FAIL(ENOMEM, "%s: no memory for its groups", t->file);
    c->edges = asgdi_bins_cut(room, n, bins, c->edge);
    return asgdi_csv_hash(t, c, c->name);
}

static asgd_status make_features(asgdi_csv *t, const asgdi_csv_sample *s, uint32_t bins)
{
    double *room = asgdi_calloc(s->rows, sizeof *room);
    if (!room) return ASGD_FAIL(ENOMEM, "%s: no memory for a sample of its rows", t->file);
    asgd_status status = ASGD_OK;
    for (uint32_t i = 0; i < t->columns && status == ASGD_OK; i++) {
        asgdi_csv_column *c = &t->column[i];
        if (c->role == ASGDI_CSV_CATEGORY) status = asgdi_csv_hash(t, c, c->name);
        if (c->role != ASGDI_CSV_NUMBER || t->dense) continue;
        c->role = ASGDI_CSV_BINNED;
        status  = find_edges(t, c, s, bins, room);
    }
    asgdi_free(room);
    return status;
}

asgd_status asgdi_csv_guess(asgdi_csv *t, const asgd_source_options *o, const asgdi_csv_sample *s)
{
    uint32_t bins = o->bins ? o->bins : 32;
    if (bins > ASGDI_BINS_MAX)
        return ASGD_FAIL(EINVAL, "bins is %" PRIu32 "; choose 1 to %d, or 0 for 32", bins,
                         (int)ASGDI_BINS_MAX);
    ASGD_TRY(assign_roles(t, o));
    t->dense = true;
    for (uint32_t i = 0; i < t->columns; i++) {
        asgdi_csv_column *c    = &t->column[i];
        bool              word = c->named || s->word[i] || (!t->header && s->first[i]);
        if (c->role == ASGDI_CSV_LABEL && word) c->role = ASGDI_CSV_CLASS;
        if (c->role != ASGDI_CSV_NUMBER) continue;
        c->feature = t->features++;
        if (!word) continue;
        c->role  = ASGDI_CSV_CATEGORY;
        t->dense = false;
    }
    if (t->features == 0)
        return ASGD_FAIL(EINVAL,
                         "%s: no column is left for features beside label, weight and ignored ones",
                         t->file);
    ASGD_TRY(make_features(t, s, bins));
    return t->label->role == ASGDI_CSV_CLASS ? asgdi_csv_classes(t, o->threads) : ASGD_OK;
}
