/* model_file.c -- a trained model as one safetensors file: its tables by name, [rows][dim], and as
 * metadata what it takes to make the model again: its name, its options, the shape of its data.  Where
 * the data had an encoding, tensor "keys" says which feature each row is, and "recipe" how text became
 * these.  docs/formats.md describes it. */
#include "model/model.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/vocab_file.h"
#include "params/safetensors.h"

static const char format_name[] = "asgd-1", keys_name[] = "keys", side_name[] = "processes";

/* ---- saving ---- */

/* A file that holds NaN would be refused when it is needed, and may replace a good one now. */
static asgd_status check_finite(const char *path, const asgdi_table *t)
{
    for (uint64_t r = 0; r < t->info.rows; r++)
        for (uint32_t c = 0; c < t->info.dim; c++)
            if (!isfinite(t->master[r * t->stride + c]))
                return ASGD_FAIL(EDIVERGED,
                                 "%s: not written: table %s holds %g in row %" PRIu64
                                 "; train again with a lower learning rate",
                                 path, t->info.name, (double)t->master[r * t->stride + c], r);
    return ASGD_OK;
}

static bool set_text(json_t *meta, const char *key, const char *text)
{
    return json_object_set_new(meta, key, json_string(text)) == 0;
}

static bool set_u64(json_t *meta, const char *key, uint64_t x)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, x);
    return set_text(meta, key, text);
}

/* As JSON: the same text in every locale; nine digits give back the same float. */
static bool set_json(json_t *meta, const char *key, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    bool  ok   = text && set_text(meta, key, text);
    free(text);
    json_decref(value);
    return ok;
}

static json_t *number(float x)
{
    return json_real(isfinite(x) ? (double)x : 0);
}

static bool set_labels(json_t *meta, const asgd_model *m)
{
    if (!m->labels) return true;
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->schema.classes; i++)
        if (json_array_append_new(list, number(m->labels[i])) != 0) {
            json_decref(list);
            return false;
        }
    return set_json(meta, "labels", list);
}

/* Of a run of several processes only: which of them the model is of. */
static bool set_side(json_t *meta, const asgdi_side *side)
{
    char text[ASGDI_SIDE_TEXT];
    if (side->run) asgdi_side_print(side, text);
    return !side->run || set_text(meta, side_name, text);
}

static json_t *metadata_of(const asgd_model *m)
{
    const asgd_schema *d    = &m->schema;
    json_t            *meta = json_object();
    if (meta && set_text(meta, "format", format_name) &&
        set_text(meta, "asgd_version", ASGD_VERSION) && set_text(meta, "model", m->ops.name) &&
        set_text(meta, "own_model", m->entry ? "false" : "true") &&
        set_text(meta, "options", m->options ? m->options : "") &&
        set_u64(meta, "examples", d->examples) && set_u64(meta, "nonzeros", d->nonzeros) &&
        set_u64(meta, "features", d->features) && set_u64(meta, "classes", d->classes) &&
        set_u64(meta, "fields", d->fields) && set_u64(meta, "users", d->users) &&
        set_u64(meta, "items", d->items) && set_text(meta, "dense", d->dense ? "true" : "false") &&
        set_text(meta, "label_sets", d->label_sets ? "true" : "false") &&
        (!m->encoding || set_text(meta, "recipe", m->encoding->recipe)) &&
        set_json(meta, "y_min", number(d->y_min)) && set_json(meta, "y_max", number(d->y_max)) &&
        set_labels(meta, m) && set_side(meta, &m->params.side))
        return meta;
    json_decref(meta);
    return NULL;
}

/* Whatever else is there may be replaced. */
static asgd_status check_side(const asgdi_side *side, const char *path)
{
    asgdi_tensors f;
    if (!side->run || asgdi_tensors_open(&f, path) != ASGD_OK) return ASGD_OK;
    const asgd_status s = asgdi_side_check(side, asgdi_tensors_meta(&f, side_name), path);
    asgdi_tensors_close(&f);
    return s;
}

asgd_status asgd_save(const asgd_model *m, const char *path)
{
    if (!m || !path) return ASGD_FAIL(EINVAL, "asgd_save: no model or no path");
    asgdi_matrix list[ASGD_MAX_TABLES + 3];
    uint32_t    *words[2] = {NULL, NULL};
    asgd_status  s        = ASGD_OK;
    int          n        = m->params.n_tables;
    ASGD_TRY(check_side(&m->params.side, path));
    for (int t = 0; t < n; t++) {
        const asgdi_table *x = &m->params.table[t];
        ASGD_TRY(check_finite(path, x));
        list[t] = (asgdi_matrix){.name   = x->info.name,
                                 .data   = x->master,
                                 .rows   = x->info.rows,
                                 .cols   = x->info.dim,
                                 .stride = x->stride};
    }
    if (m->encoding && m->schema.users)
        s = asgdi_vocab_pack(m->encoding, words, list, &n);
    else if (m->encoding)
        list[n++] = (asgdi_matrix){.name   = keys_name,
                                   .rows   = m->encoding->rows,
                                   .cols   = 1,
                                   .stride = 1,
                                   .u32    = m->encoding->key};
    json_t *meta = s == ASGD_OK ? metadata_of(m) : NULL;
    if (s == ASGD_OK && !meta)
        s = ASGD_FAIL(EINVAL,
                      "%s: a name or option of the model is not UTF-8, or there is no "
                      "memory",
                      path);
    if (s == ASGD_OK) s = asgdi_tensors_write(path, list, n, meta, NULL, NULL);
    json_decref(meta);
    for (int w = 0; w < 2; w++) asgdi_free(words[w]);
    return s;
}

/* ---- loading ---- */

static asgd_status bad_meta(const char *path, const char *key)
{
    return ASGD_FAIL(EFORMAT,
                     "%s: its metadata lack \"%s\", or it makes no sense; the file is "
                     "damaged or of another program",
                     path, key);
}

static asgd_status get_u64(const char *path, const asgdi_tensors *f, const char *key,
                           uint64_t limit, uint64_t *out)
{
    const char *text = asgdi_tensors_meta(f, key);
    char       *end  = NULL;
    if (!text || text[0] < '0' || text[0] > '9') return bad_meta(path, key);
    errno = 0;
    *out  = strtoull(text, &end, 10);
    return errno || *end || *out > limit ? bad_meta(path, key) : ASGD_OK;
}

static asgd_status get_float(const char *path, const asgdi_tensors *f, const char *key, float *out)
{
    const char  *text = asgdi_tensors_meta(f, key);
    json_error_t e;
    json_t      *x  = text ? json_loads(text, JSON_DECODE_ANY, &e) : NULL;
    const bool   ok = json_is_number(x);
    *out            = (float)json_number_value(x); /* JSON has no infinity, a float may have */
    json_decref(x);
    return ok && isfinite(*out) ? ASGD_OK : bad_meta(path, key);
}

/* text: "true" or "false"; NULL: false, where older files lack it. */
static asgd_status get_bool(const char *path, const asgdi_tensors *f, const char *key, bool old,
                            bool *out)
{
    const char *text = asgdi_tensors_meta(f, key);
    *out             = text && strcmp(text, "true") == 0;
    return *out || (text ? strcmp(text, "false") == 0 : old) ? ASGD_OK : bad_meta(path, key);
}

static asgd_status get_schema(const char *path, const asgdi_tensors *f, asgd_schema *d)
{
    uint64_t features = 0, classes = 0, fields = 0, users = 0, items = 0;
    *d = (asgd_schema){0};
    ASGD_TRY(get_u64(path, f, "examples", UINT64_MAX, &d->examples));
    ASGD_TRY(get_u64(path, f, "nonzeros", UINT64_MAX, &d->nonzeros));
    ASGD_TRY(get_u64(path, f, "features", UINT32_MAX, &features));
    ASGD_TRY(get_u64(path, f, "classes", UINT32_MAX, &classes));
    ASGD_TRY(get_float(path, f, "y_min", &d->y_min));
    ASGD_TRY(get_float(path, f, "y_max", &d->y_max));
    if (asgdi_tensors_meta(f, "fields")) /* older files have none */
        ASGD_TRY(get_u64(path, f, "fields", ASGDI_FIELDS_MAX, &fields));
    if (asgdi_tensors_meta(f, "users")) {
        ASGD_TRY(get_u64(path, f, "users", ASGDI_VOCAB_MAX, &users));
        ASGD_TRY(get_u64(path, f, "items", ASGDI_VOCAB_MAX, &items));
        if ((users || items) && users + items != features) return bad_meta(path, "items");
    }
    ASGD_TRY(get_bool(path, f, "dense", false, &d->dense));
    ASGD_TRY(get_bool(path, f, "label_sets", true, &d->label_sets));
    d->features = (uint32_t)features;
    d->classes  = (uint32_t)classes;
    d->fields   = (uint32_t)fields;
    d->users    = (uint32_t)users;
    d->items    = (uint32_t)items;
    return ASGD_OK;
}

static asgd_status get_encoding(const char *path, const asgdi_tensors *f, asgd_model *m)
{
    const asgdi_tensor *keys   = asgdi_tensors_find_u32(f, keys_name);
    const char         *recipe = asgdi_tensors_meta(f, "recipe");
    asgd_encoding      *e      = NULL;
    json_error_t        error;
    if (!keys && !recipe) return ASGD_OK;
    json_t    *j     = recipe ? json_loads(recipe, 0, &error) : NULL;
    const bool whole = json_is_object(j);
    json_decref(j);
    if (!whole) return bad_meta(path, "recipe");
    if (m->schema.users) {
        ASGD_TRY(asgdi_encoding_new(&e, NULL, 0, 0, recipe));
        asgd_status names = asgdi_vocab_unpack(path, f, &m->schema, e);
        if (names == ASGD_OK) names = asgdi_model_set_encoding(m, e);
        asgdi_encoding_free(e);
        return names;
    }
    if (!keys || keys->n_dims != 1 || keys->floats > m->schema.features)
        return ASGD_FAIL(EFORMAT,
                         "%s: its keys are missing, or no list of at most %u; the file is damaged",
                         path, m->schema.features);
    uint32_t *copy = asgdi_calloc((size_t)keys->floats, sizeof *copy); /* aligned */
    if (!copy) return ASGD_FAIL(ENOMEM, "%s: no memory for its encoding", path);
    memcpy(copy, keys->data, (size_t)keys->floats * sizeof *copy);
    asgd_status s = asgdi_encoding_new(&e, copy, (uint32_t)keys->floats, m->schema.fields, recipe);
    asgdi_free(copy);
    if (s != ASGD_OK) return asgdi_fail(s, "%s: %s", path, asgd_errmsg());
    s = asgdi_model_set_encoding(m, e);
    asgdi_encoding_free(e);
    return s;
}

static asgd_status get_labels(const char *path, const asgdi_tensors *f, asgd_model *m)
{
    const char  *text = asgdi_tensors_meta(f, "labels");
    json_error_t e;
    if (!text) return ASGD_OK;
    json_t      *list   = json_loads(text, 0, &e);
    const size_t n      = json_array_size(list); /* 0 for what is no array */
    float       *labels = asgdi_calloc(n, sizeof *labels);
    asgd_status  s      = ASGD_OK;
    if (!labels)
        s = ASGD_FAIL(ENOMEM, "%s: no memory for its labels", path);
    else if (n == 0 || n != m->schema.classes)
        s = bad_meta(path, "labels");
    for (size_t i = 0; s == ASGD_OK && i < n; i++) {
        const json_t *x = json_array_get(list, i);
        labels[i]       = (float)json_number_value(x);
        if (!json_is_number(x) || !isfinite(labels[i])) s = bad_meta(path, "labels");
    }
    if (s == ASGD_OK) s = asgdi_model_set_labels(m, labels, (uint32_t)n);
    asgdi_free(labels);
    json_decref(list);
    return s;
}

/* Has the file the tables that the options and the data call for?  Asked before the model is made:
 * memory is then taken for what is in the file, not for what its metadata claim. */
static asgd_status check_shapes(const char *path, const asgdi_tensors *f,
                                const asgdi_model_entry *e, const char *options,
                                const asgd_schema *d)
{
    asgd_table  tables[ASGD_MAX_TABLES] = {0};
    int         n                       = 0;
    asgd_task   task;
    uint32_t    outputs;
    void       *self = asgdi_calloc(1, e->ops->self_bytes);
    asgd_status s    = ASGD_OK;
    if (!self) return ASGD_FAIL(ENOMEM, "%s: no memory for its model", path);
    s = e->parse(self, options);
    if (s == ASGD_OK) s = e->ops->shape(self, d, tables, &n, &task, &outputs);
    asgdi_free(self);
    if (s != ASGD_OK) return asgdi_fail(s, "%s: %s", path, asgd_errmsg());
    for (int t = 0; t < n; t++) {
        const asgdi_tensor *x = asgdi_tensors_find(f, tables[t].name);
        if (!x)
            return ASGD_FAIL(EMISMATCH,
                             "%s: has no table %s, which its model needs: written by "
                             "another version?",
                             path, tables[t].name);
        if (x->n_dims != 2 || x->shape[0] != tables[t].rows || x->shape[1] != tables[t].dim)
            return ASGD_FAIL(EMISMATCH,
                             "%s: table %s has %d dimensions, %" PRIu64 "x%" PRIu64
                             ", and not %" PRIu64 "x%u as its options and data say",
                             path, tables[t].name, x->n_dims, x->shape[0], x->shape[1],
                             tables[t].rows, tables[t].dim);
    }
    return ASGD_OK;
}

static asgd_status load_table(const char *path, const asgdi_tensors *f, asgdi_table *t)
{
    const unsigned char *from = asgdi_tensors_find(f, t->info.name)->data;
    for (uint64_t r = 0; r < t->info.rows; r++) {
        float *row = t->master + r * t->stride;
        memcpy(row, from + r * t->info.dim * sizeof(float), t->info.dim * sizeof(float));
        for (uint32_t c = 0; c < t->info.dim; c++)
            if (!isfinite(row[c]))
                return ASGD_FAIL(EFORMAT,
                                 "%s: table %s holds %g in row %" PRIu64
                                 ": a model that diverged, or a damaged file",
                                 path, t->info.name, (double)row[c], r);
    }
    return ASGD_OK;
}

static asgd_status load(asgd_model **out, const char *path, const asgdi_tensors *f)
{
    const char *format  = asgdi_tensors_meta(f, "format");
    const char *name    = asgdi_tensors_meta(f, "model");
    const char *options = asgdi_tensors_meta(f, "options");
    const char *own     = asgdi_tensors_meta(f, "own_model");
    asgd_model *m       = NULL;
    asgd_schema d;
    if (!format)
        return ASGD_FAIL(EFORMAT,
                         "%s: a safetensors file, but no model of asgd: its metadata have "
                         "no format",
                         path);
    if (strcmp(format, format_name) != 0)
        return ASGD_FAIL(EFORMAT, "%s: its format is %.40s; this version reads %s", path, format,
                         format_name);
    if (!name) return bad_meta(path, "model");
    if (!options) return bad_meta(path, "options");
    const asgdi_model_entry *entry = asgdi_model_find(name);
    if (!entry || (own && strcmp(own, "true") == 0))
        return ASGD_FAIL(
            EMISMATCH,
            "%s: model %.40s is a program's own, not one of this library: make it with "
            "asgd_model_new() and copy its tables from the file",
            path, name);
    ASGD_TRY(get_schema(path, f, &d));
    ASGD_TRY(check_shapes(path, f, entry, options, &d));
    asgd_status s = asgd_model_named(&m, name, options, &d);
    if (s != ASGD_OK) return asgdi_fail(s, "%s: %s", path, asgd_errmsg());
    for (int t = 0; s == ASGD_OK && t < m->params.n_tables; t++)
        s = load_table(path, f, &m->params.table[t]);
    if (s == ASGD_OK) s = get_labels(path, f, m);
    if (s == ASGD_OK) s = get_encoding(path, f, m);
    if (s != ASGD_OK) {
        asgd_model_free(m);
        return s;
    }
    m->trained = true;
    *out       = m;
    return ASGD_OK;
}

asgd_status asgd_load(asgd_model **out, const char *path)
{
    asgdi_tensors f;
    if (!out || !path) return ASGD_FAIL(EINVAL, "asgd_load: no path, or nowhere to put the model");
    *out = NULL;
    ASGD_TRY(asgdi_tensors_open(&f, path));
    asgd_status s = load(out, path, &f);
    asgdi_tensors_close(&f);
    return s;
}
