/* csv_recipe.c -- how a table was read, as JSON, and another file read the same way.
 *
 *     {"header": true, "columns": 4, "dense": false,
 *      "label":   {"name": "delayed", "column": 4, "classes": ["N", "Y"]},
 *      "weight":  {"name": "w", "column": 3},
 *      "features": [{"name": "Carrier", "column": 1, "kind": "category"},
 *                   {"name": "DepTime", "column": 2, "kind": "number", "edges": [559.0, 1240.0]}]}
 *
 * Without header the names are the numbers of the columns; "classes" and "weight" are absent where
 * there are none, and "edges" in a dense table.
 *
 * Where both files have a header, columns are found by name: their order may differ, others are left
 * out.  Otherwise they are found by place, and there must be as many, or all but the label's.  The
 * label may be absent either way, and the weights. */
#include <inttypes.h>
#include <math.h>

#include "base/mem.h"
#include "data/bins.h"
#include "data/csv.h"

/* ---- writing ---- */

static json_t *column_json(const asgdi_csv *t, const asgdi_csv_column *c)
{
    return json_pack("{s:s, s:I}", "name", c->name, "column", (json_int_t)(c - t->column + 1));
}

/* j[key] = value; false: no memory.  Takes the reference to value. */
static bool set(json_t *j, const char *key, json_t *value)
{
    return json_object_set_new(j, key, value) == 0;
}

static bool add_feature(json_t *list, const asgdi_csv *t, const asgdi_csv_column *c)
{
    json_t *j  = column_json(t, c);
    bool    ok = set(j, "kind", json_string(c->role == ASGDI_CSV_CATEGORY ? "category" : "number"));
    if (c->role == ASGDI_CSV_BINNED) {
        json_t *edges = json_array();
        for (uint32_t e = 0; e < c->edges; e++)
            ok = json_array_append_new(edges, json_real(c->edge[e])) == 0 && ok;
        ok = set(j, "edges", edges) && ok;
    }
    return json_array_append_new(list, j) == 0 && ok;
}

static bool is_feature(const asgdi_csv_column *c)
{
    return c->role >= ASGDI_CSV_NUMBER;
}

json_t *asgdi_csv_recipe(const asgdi_csv *t)
{
    if (t->recipe) return json_deep_copy(t->recipe);
    json_t *j = json_pack("{s:b, s:I, s:b}", "header", t->header, "columns", (json_int_t)t->columns,
                          "dense", t->dense);
    json_t *label = column_json(t, t->label), *list = json_array();
    bool    ok = true;
    if (t->classes) {
        json_t *classes = json_array();
        for (uint32_t c = 0; c < t->n_classes; c++)
            ok = json_array_append_new(classes, json_string(t->classes[c])) == 0 && ok;
        ok = set(label, "classes", classes) && ok;
    }
    ok = set(j, "label", label) && ok;
    if (t->weight) ok = set(j, "weight", column_json(t, t->weight)) && ok;
    for (uint32_t c = 0; c < t->columns; c++)
        if (is_feature(&t->column[c])) ok = add_feature(list, t, &t->column[c]) && ok;
    ok = set(j, "features", list) && ok;
    if (ok) return j;
    json_decref(j);
    return NULL;
}

/* ---- reading ---- */

static asgd_status damaged(const asgdi_csv *t, const char *what)
{
    return ASGD_FAIL(EMISMATCH,
                     "%s: the encoding to read it with is damaged or not of a csv file (%s); give "
                     "that of a model trained on a csv file",
                     t->file, what);
}

static bool whole(const json_t *j, const char *key, json_int_t least, json_int_t most, uint32_t *v)
{
    const json_t *value = json_object_get(j, key);
    json_int_t    x     = json_integer_value(value);
    if (!json_is_integer(value) || x < least || x > most) return false;
    *v = (uint32_t)x;
    return true;
}

/* A name that is no number, or all the names where they are. */
bool asgdi_csv_recipe_on_first(const asgdi_csv *t)
{
    const json_t *features = json_object_get(t->recipe, "features"), *f;
    size_t        i, found = 0;
    if (!json_is_true(json_object_get(t->recipe, "header"))) return false;
    json_array_foreach(features, i, f)
    {
        const char *name = json_string_value(json_object_get(f, "name"));
        if (!name || !asgdi_csv_find(t, name)) continue;
        if (name[strspn(name, "0123456789")]) return true;
        found++;
    }
    return found > 0 && found == json_array_size(features);
}

/* Where the recipe's columns are in this file. */
typedef struct places {
    bool     by_name;
    uint32_t columns; /* of the file that the recipe is from */
    uint32_t skipped; /* by place: the column that this file lacks, from 1; 0: it has all */
} places;

/* The column that j describes; NULL: this file lacks it.  false: j describes none. */
static bool find(const asgdi_csv *t, const places *p, const json_t *j, const char **name,
                 asgdi_csv_column **column)
{
    uint32_t number;
    *column = NULL;
    *name   = json_string_value(json_object_get(j, "name"));
    if (!*name || !whole(j, "column", 1, p->columns, &number)) return false;
    if (p->by_name)
        *column = asgdi_csv_find(t, *name);
    else if (number != p->skipped)
        *column = &t->column[number - 1 - (p->skipped && number > p->skipped)];
    return true;
}

static asgd_status find_places(const asgdi_csv *t, const json_t *recipe, places *p)
{
    uint32_t label;
    *p = (places){.by_name = t->header && json_is_true(json_object_get(recipe, "header"))};
    if (!whole(recipe, "columns", 2, ASGDI_CSV_COLUMNS, &p->columns) ||
        !whole(json_object_get(recipe, "label"), "column", 1, p->columns, &label))
        return damaged(t, "its columns");
    if (p->by_name || t->columns == p->columns) return ASGD_OK;
    p->skipped = label;
    if (t->columns + 1 == p->columns) return ASGD_OK;
    return ASGD_FAIL(EMISMATCH,
                     "%s:%" PRIu64 ": has %" PRIu32 " columns, the training data had %" PRIu32
                     "; give the same ones in the same order (only the label may be missing), or "
                     "train on a file with a header and give one here",
                     t->file, t->first_line, t->columns, p->columns);
}

static asgd_status read_edges(const asgdi_csv *t, asgdi_csv_column *c, const json_t *edges)
{
    size_t n = json_array_size(edges);
    if (!json_is_array(edges) || n >= ASGDI_BINS_MAX) return damaged(t, "the edges of groups");
    c->edge = asgdi_calloc(n, sizeof *c->edge);
    if (!c->edge) return ASGD_FAIL(ENOMEM, "%s: no memory for its groups", t->file);
    c->edges = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(edges, i);
        c->edge[i]      = json_number_value(e);
        if (!json_is_number(e) || !isfinite(c->edge[i]) || (i > 0 && c->edge[i] <= c->edge[i - 1]))
            return damaged(t, "the edges of groups");
    }
    return ASGD_OK;
}

static asgd_status read_feature(asgdi_csv *t, const places *p, const json_t *j)
{
    const char       *name, *kind = json_string_value(json_object_get(j, "kind"));
    asgdi_csv_column *c;
    if (!find(t, p, j, &name, &c) || !kind) return damaged(t, "a column");
    if (!c) {
        char list[360];
        asgdi_csv_list(t, name, list, sizeof list);
        return ASGD_FAIL(EMISMATCH,
                         "%s: has no column \"%s\", which the model was trained on; its columns "
                         "are %s",
                         t->file, asgdi_show(name, name + strlen(name)).text, list);
    }
    if (c->role != ASGDI_CSV_IGNORED) return damaged(t, "one column twice");
    c->feature = t->features++;
    c->role    = ASGDI_CSV_NUMBER;
    if (strcmp(kind, "category") == 0) c->role = ASGDI_CSV_CATEGORY;
    if (c->role == ASGDI_CSV_CATEGORY ? t->dense : strcmp(kind, "number") != 0)
        return damaged(t, "the kind of a column");
    if (t->dense) return ASGD_OK;
    if (c->role == ASGDI_CSV_NUMBER) {
        c->role = ASGDI_CSV_BINNED;
        ASGD_TRY(read_edges(t, c, json_object_get(j, "edges")));
    }
    return asgdi_csv_hash(t, c, name);
}

static asgd_status read_classes(asgdi_csv *t, const json_t *classes)
{
    size_t n = json_array_size(classes);
    if (n < 2 || n > ASGDI_CSV_CLASSES) return damaged(t, "the names of labels");
    t->classes = asgdi_calloc(n, sizeof *t->classes);
    if (!t->classes) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", t->file);
    for (size_t i = 0; i < n; i++) {
        t->classes[i] = json_string_value(json_array_get(classes, i));
        if (!t->classes[i] || (i > 0 && strcmp(t->classes[i - 1], t->classes[i]) >= 0))
            return damaged(t, "the names of labels");
    }
    t->n_classes = (uint32_t)n;
    return ASGD_OK;
}

/* A column that may be absent: the recipe's, but the option's where that names one of the header, or
 * the recipe's is absent. */
static asgd_status read_optional(asgdi_csv *t, const places *p, const json_t *j, const char *option,
                                 const char *purpose, asgdi_csv_role role,
                                 asgdi_csv_column **column)
{
    const char *name = NULL;
    *column          = NULL;
    if (j && !find(t, p, j, &name, column)) return damaged(t, "a column");
    if (option && *option && !(name && strcmp(option, name) == 0)) {
        asgdi_csv_column *other = t->header ? asgdi_csv_find(t, option) : NULL;
        if (other) *column = other;
        if (!*column) ASGD_TRY(asgdi_csv_resolve(t, option, purpose, column));
    }
    if (!*column) return ASGD_OK;
    if ((*column)->role != ASGDI_CSV_IGNORED)
        return ASGD_FAIL(EINVAL,
                         "%s: column \"%s\" is a feature or the label of the model, so it cannot "
                         "serve %s; name another",
                         t->file, asgdi_csv_show(*column).text, purpose);
    (*column)->role = role;
    return ASGD_OK;
}

asgd_status asgdi_csv_follow(asgdi_csv *t, const asgd_source_options *o)
{
    const json_t *recipe  = t->recipe;
    const json_t *label   = json_object_get(recipe, "label");
    const json_t *classes = json_object_get(label, "classes"), *j;
    places        p;
    size_t        i;
    ASGD_TRY(find_places(t, recipe, &p));
    t->dense = json_is_true(json_object_get(recipe, "dense"));
    json_array_foreach(json_object_get(recipe, "features"), i, j) ASGD_TRY(read_feature(t, &p, j));
    if (t->features == 0) return damaged(t, "its features");
    if (classes) ASGD_TRY(read_classes(t, classes));
    ASGD_TRY(read_optional(t, &p, label, o->label, "for the label",
                           classes ? ASGDI_CSV_CLASS : ASGDI_CSV_LABEL, &t->label));
    return read_optional(t, &p, json_object_get(recipe, "weight"), o->weight, "for the weights",
                         ASGDI_CSV_WEIGHT, &t->weight);
}
