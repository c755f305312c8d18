/* model.c -- making a model, asking it things, and the list of those the library comes with.
 *
 * A model is its ops, a private copy of *self, and the tables it declared.  What a
 * caller's shape() says is checked once, here and in asgdi_params_init(), so that no other code has
 * to doubt it. */
#include "model/model.h"
#include "base/mem.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

static const asgdi_model_entry *const registry[] = {
    &asgdi_model_linear, &asgdi_model_softmax, &asgdi_model_mlp, &asgdi_model_fm,
    &asgdi_model_ffm,    &asgdi_model_mf,      &asgdi_model_bpr,
};
enum { MODELS = sizeof registry / sizeof registry[0] };

const asgdi_model_entry *asgdi_model_find(const char *name)
{
    for (int i = 0; name && i < MODELS; i++)
        if (strcmp(registry[i]->ops->name, name) == 0) return registry[i];
    return NULL;
}

const char *asgd_model_help(int i)
{
    return i >= 0 && i < MODELS ? registry[i]->help : NULL;
}

static asgd_status unknown_model(const char *name)
{
    char   list[256] = "";
    size_t used      = 0;
    for (int i = 0; i < MODELS; i++) {
        int more = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                            registry[i]->ops->name);
        if (more > 0 && (size_t)more < sizeof list - used) used += (size_t)more;
    }
    return ASGD_FAIL(EINVAL, "there is no model '%s'; there are: %s", name ? name : "", list);
}

static asgd_status check_schema(const asgd_schema *d)
{
    if (!d) return ASGD_FAIL(EINVAL, "a model needs the schema of its data: asgd_source_schema()");
    if (d->features == 0)
        return ASGD_FAIL(EMISMATCH, "the data have no features; nothing can be learnt from them");
    return ASGD_OK;
}

static asgd_status build(asgd_model *m)
{
    asgd_table tables[ASGD_MAX_TABLES];
    int        n = 0;
    memset(tables, 0, sizeof tables);
    ASGD_TRY(m->ops.shape(m->self, &m->schema, tables, &n, &m->task, &m->outputs));
    if (m->task > ASGD_TASK_RANKING || m->outputs == 0 ||
        (m->task < ASGD_TASK_CLASSES && m->outputs != 1))
        return ASGD_FAIL(EINVAL, "model %s: shape() must set a task, and outputs to fit it",
                         m->ops.name);
    return asgdi_params_init(&m->params, tables, n, 0);
}

asgd_status asgd_model_new(asgd_model **out, const asgd_model_ops *ops, const void *self,
                           const asgd_schema *d)
{
    if (!out) return ASGD_FAIL(EINVAL, "asgd_model_new: out is NULL");
    *out = NULL;
    if (!ops || !ops->name || !ops->name[0] || !ops->shape || !ops->step)
        return ASGD_FAIL(EINVAL, "asgd_model_new: a model needs name, shape and step");
    if (ops->self_bytes && !self)
        return ASGD_FAIL(EINVAL, "model %s: self_bytes is %zu but self is NULL", ops->name,
                         ops->self_bytes);
    ASGD_TRY(check_schema(d));

    asgd_model *m = asgdi_calloc(1, sizeof *m);
    if (!m) return ASGD_FAIL(ENOMEM, "no memory for model %s", ops->name);
    m->ops        = *ops;
    m->schema     = *d;
    m->options    = asgdi_strdup("");
    m->self       = asgdi_calloc(1, ops->self_bytes ? ops->self_bytes : 1);
    asgd_status s = ASGD_OK;
    if (!m->options || !m->self) s = ASGD_FAIL(ENOMEM, "no memory for model %s", ops->name);
    if (s == ASGD_OK && ops->self_bytes) memcpy(m->self, self, ops->self_bytes);
    if (s == ASGD_OK) s = build(m);
    if (s != ASGD_OK) {
        asgd_model_free(m);
        return s;
    }
    *out = m;
    return ASGD_OK;
}

asgd_status asgd_model_named(asgd_model **out, const char *name, const char *options,
                             const asgd_schema *d)
{
    if (!out) return ASGD_FAIL(EINVAL, "asgd_model_named: out is NULL");
    *out                       = NULL;
    const asgdi_model_entry *e = asgdi_model_find(name);
    if (!e) return unknown_model(name);
    if (!options) options = "";

    asgd_model *m    = NULL;
    char       *text = asgdi_strdup(options);
    void       *self = asgdi_calloc(1, e->ops->self_bytes);
    asgd_status s    = ASGD_OK;
    if (!self || !text) s = ASGD_FAIL(ENOMEM, "no memory for model %s", name);
    if (s == ASGD_OK && d && !e->pairs != !d->users)
        s = ASGD_FAIL(EMISMATCH,
                      e->pairs
                          ? "model %s needs ratings, \"user item rating\" a line; name the format: "
                            "ratings"
                          : "the data are ratings of users and items, which model %s cannot read; "
                            "take mf or bpr, or name another format",
                      name);
    if (s == ASGD_OK) s = e->parse(self, options);
    if (s == ASGD_OK) s = asgd_model_new(&m, e->ops, self, d);
    asgdi_free(self);
    if (s != ASGD_OK) {
        asgdi_free(text);
        return s;
    }
    asgdi_free(m->options);
    m->options = text;
    m->entry   = e;
    *out       = m;
    return ASGD_OK;
}

void asgd_model_free(asgd_model *m)
{
    if (!m) return;
    asgdi_params_free(&m->params);
    asgdi_encoding_free(m->encoding);
    asgdi_free(m->labels);
    asgdi_free(m->options);
    asgdi_free(m->self);
    asgdi_free(m);
}

asgd_status asgdi_model_set_labels(asgd_model *m, const float *labels, uint32_t n)
{
    float *copy = NULL;
    if (labels) {
        if (n != m->schema.classes)
            return ASGD_FAIL(EMISMATCH, "model %s has %u classes, but %u labels were given",
                             m->ops.name, m->schema.classes, n);
        copy = asgdi_calloc(n, sizeof *copy);
        if (!copy) return ASGD_FAIL(ENOMEM, "no memory for %u labels", n);
        memcpy(copy, labels, n * sizeof *copy);
    }
    asgdi_free(m->labels);
    m->labels = copy;
    return ASGD_OK;
}

asgd_status asgdi_model_set_encoding(asgd_model *m, const asgd_encoding *e)
{
    if (e && e->rows > m->schema.features)
        return ASGD_FAIL(EMISMATCH, "model %s has %u features, but an encoding of %u was given",
                         m->ops.name, m->schema.features, e->rows);
    asgdi_encoding_free(m->encoding);
    return asgdi_encoding_copy(&m->encoding, e);
}

asgd_status asgdi_model_check_schema(const asgd_model *m, const asgd_schema *d, const char *what)
{
    if (d->features > m->schema.features)
        return ASGD_FAIL(EMISMATCH,
                         "%s has %u features, the model was made for %u: the same kind of data?",
                         what, d->features, m->schema.features);
    if (m->schema.users == 0 && d->users)
        return ASGD_FAIL(
            EMISMATCH,
            "%s is ratings of users and items, which the model %s cannot read; take mf or "
            "bpr, or name another format",
            what, m->ops.name);
    if (m->schema.users && (d->users != m->schema.users || d->items != m->schema.items))
        return ASGD_FAIL(
            EMISMATCH,
            "%s has %u users and %u items, the model was made for %u and %u: open it with "
            "the model's encoding",
            what, d->users, d->items, m->schema.users, m->schema.items);
    if (m->entry && m->entry->sparse && d->dense)
        return ASGD_FAIL(EMISMATCH, "%s is a dense table, the model %s needs sparse data", what,
                         m->ops.name);
    if (m->entry && m->entry->fields && (d->fields == 0 || d->fields > m->schema.fields))
        return ASGD_FAIL(EMISMATCH,
                         "%s has %u fields, the model was made for %u: the same kind of data?",
                         what, d->fields, m->schema.fields);
    return ASGD_OK;
}

asgd_status asgdi_model_check_encoding(const asgd_model *m, const asgd_encoding *e, bool from_file,
                                       const char *what)
{
    if (asgdi_encoding_equal(m->encoding, e) || !m->encoding || (!e && !from_file)) return ASGD_OK;
    return ASGD_FAIL(
        EMISMATCH,
        "%s: features are numbered otherwise than in the model's training data; open it "
        "with the model's encoding (asgd_model_encoding)",
        what);
}

const char *asgd_model_name(const asgd_model *m)
{
    return m->ops.name;
}

const char *asgd_model_options(const asgd_model *m)
{
    return m->options;
}

uint32_t asgd_model_outputs(const asgd_model *m)
{
    return m->outputs;
}

asgd_task asgd_model_task(const asgd_model *m)
{
    return m->task;
}

const asgd_schema *asgd_model_schema(const asgd_model *m)
{
    return &m->schema;
}

const float *asgd_model_labels(const asgd_model *m, uint32_t *n)
{
    if (n) *n = m->labels ? m->schema.classes : 0;
    return m->labels;
}

const asgd_encoding *asgd_model_encoding(const asgd_model *m)
{
    return m->encoding;
}

int asgd_model_tables(const asgd_model *m)
{
    return m->params.n_tables;
}

const asgd_table *asgd_model_table(const asgd_model *m, int table)
{
    return table >= 0 && table < m->params.n_tables ? &m->params.table[table].info : NULL;
}

float *asgd_model_row(asgd_model *m, int table, uint64_t r)
{
    if (table < 0 || table >= m->params.n_tables || r >= m->params.table[table].info.rows)
        return NULL;
    /* the caller may write here; initialising w at the start of training would undo that */
    if (!m->trained) m->trained = true;
    return m->params.table[table].master + r * m->params.table[table].stride;
}
