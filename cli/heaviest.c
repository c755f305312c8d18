/* heaviest.c -- the features of a model that weigh most: by |weight| where there is one weight a
 * feature (linear, fm, ffm), else by the Euclidean length of the feature's row.
 *
 * A heap holds the heaviest so far, the lightest of them on top.  Names are what the training data
 * call features.  Where these are hashes, only text can tell; it is read again for the few shown. */
#define _POSIX_C_SOURCE 200809L
#include "heaviest.h"

#include "reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/encoding.h" /* the recipe */

enum { TOP = 20 };

/* ---- which ---- */

/* Length of a row, or with its sign the number that it is. */
static double value_of(asgd_model *m, int table, uint64_t r)
{
    const float *row = asgd_model_row(m, table, r);
    const int    dim = (int)asgd_model_table(m, table)->dim;
    double       sum = 0;
    if (dim == 1) return (double)row[0];
    for (int c = 0; c < dim; c++) sum += (double)row[c] * (double)row[c];
    return sqrt(sum);
}

/* Is a lighter than b?  Of equal ones the later row is. */
static bool lighter(const heaviest_row *a, const heaviest_row *b)
{
    return a->score < b->score || (a->score == b->score && a->row > b->row);
}

static void sift_down(heaviest_row *heap, size_t n, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < n; c++) {
            if (lighter(&heap[c], &heap[least])) least = c;
        }
        if (least == i) return;
        heaviest_row t = heap[i];
        heap[i]        = heap[least];
        heap[least]    = t;
        i              = least;
    }
}

static int by_score(const void *a, const void *b)
{
    return lighter(a, b) ? 1 : lighter(b, a) ? -1 : 0;
}

static void select_rows(heaviest *h, uint64_t rows, size_t most)
{
    for (uint64_t r = 0; r < rows; r++) {
        heaviest_row x = {.score = fabs(value_of(h->model, h->table[0], r)), .row = r};
        if (h->n < most) {
            h->list[h->n++] = x;
            for (size_t i = most / 2; h->n == most && i-- > 0;) sift_down(h->list, most, i);
        } else if (lighter(&h->list[0], &x)) {
            h->list[0] = x;
            sift_down(h->list, most, 0);
        }
    }
    qsort(h->list, h->n, sizeof *h->list, by_score);
}

/* Tables with a row for each feature; one of single weights comes first. */
static void find_tables(heaviest *h)
{
    for (int i = 0; i < asgd_model_tables(h->model) && h->tables < HEAVIEST_TABLES; i++) {
        const asgd_table *t = asgd_model_table(h->model, i);
        if (!(t->flags & ASGD_TABLE_BY_FEATURE)) continue;
        h->table[h->tables++] = i;
        if (t->dim == 1 && h->tables > 1) {
            h->table[h->tables - 1] = h->table[0];
            h->table[0]             = i;
        }
    }
}

static bool is_single(const heaviest *h, int i)
{
    return asgd_model_table(h->model, h->table[i])->dim == 1;
}

/* ---- their names ---- */

/* Names come from data: control characters would move a terminal's cursor. */
static void clean(char *name, bool ascii)
{
    for (unsigned char *c = (unsigned char *)name; *c; c++) {
        if (*c < ' ' || *c == 127 || (ascii && *c > 127)) *c = '?';
    }
}

/* A table whose columns are the features: the recipe has their names. */
static void names_of_columns(heaviest *h, const asgd_encoding *e, char **names)
{
    json_t       *recipe   = json_loads(e->recipe, 0, NULL);
    const json_t *features = json_object_get(recipe, "features");
    if (json_is_true(json_object_get(recipe, "dense"))) {
        for (size_t i = 0; i < h->n; i++) {
            const char *name = json_string_value(
                json_object_get(json_array_get(features, h->list[i].row), "name"));
            if (name) names[i] = strdup(name);
        }
    }
    json_decref(recipe);
}

static asgd_status find_names(heaviest *h, const cli_options *o, const asgd_encoding *e,
                              const uint32_t *key, uint32_t *wanted, char **names)
{
    const asgd_source_options options = reading_options(o);
    for (size_t i = 0; i < h->n; i++) wanted[i] = key[h->list[i].row];
    asgd_status s = asgd_encoding_names(e, o->data, &options, wanted, (uint32_t)h->n, names);
    /* without text, hashes have no names */
    return s == ASGD_EINVAL && !o->data ? ASGD_OK : s;
}

/* "#0a1b2c3d" for a hash; the number in the file, from 1, where nothing says how it was read. */
static char *number_for(const heaviest_row *x, const uint32_t *key)
{
    char *text = malloc(24);
    if (text && key) snprintf(text, 24, "#%08lx", (unsigned long)key[x->row]);
    if (text && !key) snprintf(text, 24, "%llu", (unsigned long long)x->row + 1);
    return text;
}

static int take_names(heaviest *h, const cli_options *o, const asgd_encoding *e)
{
    uint32_t        rows   = 0;
    const uint32_t *key    = e ? asgd_encoding_keys(e, &rows) : NULL;
    char          **names  = calloc(h->n + 1, sizeof *names);
    uint32_t       *wanted = calloc(h->n + 1, sizeof *wanted);
    asgd_status     s      = ASGD_OK;
    int             code   = CLI_OK;
    if (!names || !wanted) code = cli_fail(CLI_FAILED, "out of memory");
    if (rows != asgd_model_table(h->model, h->table[0])->rows) key = NULL;
    if (code == CLI_OK && e) names_of_columns(h, e, names);
    if (code == CLI_OK && key && h->n && !names[0]) s = find_names(h, o, e, key, wanted, names);
    if (s != ASGD_OK) code = cli_status(s);
    for (size_t i = 0; code == CLI_OK && i < h->n; i++) {
        heaviest_row *x = &h->list[i];
        x->named        = names[i] || !key;
        x->name         = names[i] ? names[i] : number_for(x, key);
        names[i]        = NULL;
        if (!x->name) code = cli_fail(CLI_FAILED, "out of memory");
        if (x->name) clean(x->name, false);
    }
    for (size_t i = 0; names && i < h->n; i++) free(names[i]);
    free(names);
    free(wanted);
    return code;
}

/* ---- all of it ---- */

int heaviest_find(heaviest *h, const cli_options *o, asgd_model *m)
{
    const asgd_encoding *e = asgd_model_encoding(m);
    *h                     = (heaviest){.model = m};
    int code               = reading_check_model(o, m);
    if (code != CLI_OK) return code;
    find_tables(h);
    if (h->tables == 0 || (!o->top && !e && !is_single(h, 0))) return CLI_OK;
    uint64_t rows = asgd_model_table(m, h->table[0])->rows;
    uint64_t most = o->top ? o->top : TOP;
    if (most > rows) most = rows;
    h->list = calloc((size_t)most + 1, sizeof *h->list);
    if (!h->list)
        return cli_fail(CLI_FAILED, "out of memory for %llu features", (unsigned long long)most);
    select_rows(h, rows, (size_t)most);
    code = take_names(h, o, e);
    if (code != CLI_OK) heaviest_free(h);
    return code;
}

void heaviest_free(heaviest *h)
{
    for (size_t i = 0; i < h->n; i++) free(h->list[i].name);
    free(h->list);
    *h = (heaviest){0};
}

void heaviest_print(const heaviest *h, const cli_options *o)
{
    bool all_named = true;
    if (h->n == 0) return;
    printf("\nheaviest features\n");
    for (int t = 0; t < h->tables; t++) {
        char heading[64];
        snprintf(heading, sizeof heading, is_single(h, t) ? "%s" : "|%s|",
                 asgd_model_table(h->model, h->table[t])->name);
        printf("%12s  ", heading);
    }
    printf("feature\n");
    for (size_t i = 0; i < h->n; i++) {
        for (int t = 0; t < h->tables; t++) {
            printf(is_single(h, t) ? "%+12.5g  " : "%12.5g  ",
                   value_of(h->model, h->table[t], h->list[i].row));
        }
        printf("%s\n", h->list[i].name);
        all_named = all_named && h->list[i].named;
    }
    if (!all_named && o->data) printf("# is the hash of a feature that %s lacks\n", o->data);
    if (!all_named && !o->data)
        printf("# is a hash; give --data FILE, with that data, to see names\n");
}

json_t *heaviest_json(const heaviest *h)
{
    json_t *all = json_array();
    for (size_t i = 0; i < h->n; i++) {
        json_t *one  = json_object();
        json_t *name = json_string(h->list[i].name);
        if (!name) { /* not UTF-8 */
            clean(h->list[i].name, true);
            name = json_string(h->list[i].name);
        }
        json_object_set_new(one, "feature", name);
        json_object_set_new(one, "row", json_integer((json_int_t)h->list[i].row));
        for (int t = 0; t < h->tables; t++) {
            json_object_set_new(one, asgd_model_table(h->model, h->table[t])->name,
                                json_real(value_of(h->model, h->table[t], h->list[i].row)));
        }
        json_array_append_new(all, one);
    }
    return all;
}
