/* source.c -- opening a source, sources from a caller's arrays, and handing out batches.
 *
 * A source is examples in random access; what files there are, source_<format>.c know.  The format
 * is the one named, or that of the encoding to read with, or the first in the list whose guess says
 * yes to the name and first bytes.
 *
 * Invariant that models rest on: in an open source every index is below schema.features and
 * indices increase inside an example; start[] increases; every field is below schema.fields; where
 * classes is not 0 every y is a whole number in 0..classes-1; weights are finite and not negative;
 * with label sets y is 0, and labels increase inside an example and are below classes. */
#include "data/source.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/input.h"
#include "data/names.h"

/* Guessed in this order: the ones that are surest first. */
static const asgdi_format *const formats[] = {
    &asgdi_format_idx, &asgdi_format_libffm, &asgdi_format_libsvm,  &asgdi_format_xc,
    &asgdi_format_vw,  &asgdi_format_criteo, &asgdi_format_ratings, &asgdi_format_csv};
enum { N_FORMATS = sizeof formats / sizeof *formats };
#define NAMES "idx, libsvm, libffm, criteo, csv, vw, xc or ratings"

static asgd_status find_format(const asgdi_format **out, const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i]->name, name) == 0) {
            *out = formats[i];
            return ASGD_OK;
        }
    return ASGD_FAIL(EINVAL, "there is no format \"%s\"; choose " NAMES, name);
}

static asgd_status choose(const asgdi_format **out, const asgdi_input *in,
                          const asgd_source_options *o)
{
    char        known[16];
    const char *name = o->format;
    if ((!name || !*name) && o->encoding) name = asgdi_encoding_format(o->encoding, known);
    if (name && *name) return find_format(out, name);
    if (in->folder) {
        *out = &asgdi_format_idx;
        return ASGD_OK;
    }
    if (in->bytes == 0)
        return ASGD_FAIL(EFORMAT, "%s: is empty; give a file with examples", in->name);
    size_t head = in->bytes < ASGDI_HEAD ? in->bytes : (size_t)ASGDI_HEAD;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (formats[i]->guess(in->path, in->data, head)) {
            *out = formats[i];
            return ASGD_OK;
        }
    return ASGD_FAIL(EFORMAT,
                     "%s: its format cannot be told from its name and beginning; name it: " NAMES,
                     in->name);
}

asgd_status asgd_source_open(asgd_source **out, const char *path,
                             const asgd_source_options *options)
{
    if (!out) return ASGD_FAIL(EINVAL, "asgd_source_open: out is NULL");
    *out = NULL;
    if (!path || !*path) return ASGD_FAIL(EINVAL, "asgd_source_open: no path is given");
    asgd_source_options o = options ? *options : (asgd_source_options){0};

    asgdi_input         in;
    const asgdi_format *format = NULL;
    asgd_source        *s      = NULL;
    ASGD_TRY(asgdi_input_open(&in, path));
    asgd_status status = choose(&format, &in, &o);
    if (status == ASGD_OK && o.n_also && format != &asgdi_format_ratings)
        status =
            ASGD_FAIL(EINVAL, "%s: only ratings come in several files; put them together", path);
    if (status == ASGD_OK && in.folder && format != &asgdi_format_idx)
        status = ASGD_FAIL(EINVAL, "%s: is a folder; give a %s file", path, format->name);
    if (status == ASGD_OK && o.encoding && !format->text && format != &asgdi_format_ratings)
        status = ASGD_FAIL(EINVAL, "%s: %s data have no encoding to be read with; leave it out",
                           in.name, format->name);
    if (status == ASGD_OK) {
        s = asgdi_calloc(1, sizeof *s);
        if (!s || asgdi_own(s) != ASGD_OK)
            status = ASGD_FAIL(ENOMEM, "%s: no memory to open it", in.name);
    }
    if (status == ASGD_OK) status = format->open(s, &in, &o);
    asgdi_input_close(&in);
    if (status != ASGD_OK) {
        asgd_source_close(s);
        return status;
    }
    *out = s;
    return ASGD_OK;
}

static asgd_status check_targets(const char *what, const float *y, uint64_t n, uint32_t classes)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(y[i]))
            return ASGD_FAIL(EINVAL, "%s: y[%" PRIu64 "] is not a finite number", what, i);
        if (classes && !(y[i] >= 0 && y[i] < (float)classes && y[i] == floorf(y[i])))
            return ASGD_FAIL(EINVAL,
                             "%s: y[%" PRIu64 "] is %g, which is no class number 0..%" PRIu32
                             "; classes 0 would mean real targets",
                             what, i, (double)y[i], classes - 1);
    }
    return ASGD_OK;
}

static asgd_status borrow(asgd_source **out, const char *what, const float *y, uint64_t n,
                          uint32_t features, uint32_t classes)
{
    if (n == 0 || features == 0)
        return ASGD_FAIL(EINVAL, "%s: needs at least one example and one feature", what);
    if (!y) return ASGD_FAIL(EINVAL, "%s: y is NULL", what);
    ASGD_TRY(check_targets(what, y, n, classes));
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    if (!s) return ASGD_FAIL(ENOMEM, "%s: no memory", what);
    s->y      = y;
    s->schema = (asgd_schema){.examples = n, .features = features, .classes = classes};
    *out      = s;
    return ASGD_OK;
}

asgd_status asgd_source_dense(asgd_source **out, const float *x, const float *y, uint64_t n,
                              uint32_t features, uint32_t classes)
{
    static const char what[] = "asgd_source_dense";
    if (!out) return ASGD_FAIL(EINVAL, "%s: out is NULL", what);
    *out = NULL;
    if (!x) return ASGD_FAIL(EINVAL, "%s: x is NULL", what);
    if (features && n > SIZE_MAX / sizeof(float) / features)
        return ASGD_FAIL(EINVAL, "%s: n * features is larger than memory can be", what);
    ASGD_TRY(borrow(out, what, y, n, features, classes));
    (*out)->dense        = x;
    (*out)->schema.dense = true;
    asgdi_summarize(*out);
    asgdi_describe(*out, "own array", "");
    return ASGD_OK;
}

asgd_status asgd_source_sparse(asgd_source **out, const uint64_t *start, const uint32_t *idx,
                               const float *val, const float *y, uint64_t n, uint32_t features,
                               uint32_t classes)
{
    static const char what[] = "asgd_source_sparse";
    if (!out) return ASGD_FAIL(EINVAL, "%s: out is NULL", what);
    *out = NULL;
    if (!start) return ASGD_FAIL(EINVAL, "%s: start is NULL", what);
    for (uint64_t i = 0; i < n; i++) {
        if (start[i + 1] < start[i] || start[i + 1] - start[i] > features)
            return ASGD_FAIL(EINVAL,
                             "%s: start[%" PRIu64 "] is %" PRIu64 " after %" PRIu64
                             "; it must not fall, nor rise by more than the %" PRIu32 " features",
                             what, i + 1, start[i + 1], start[i], features);
        if (start[i + 1] > start[i] && !idx) return ASGD_FAIL(EINVAL, "%s: idx is NULL", what);
        for (uint64_t j = start[i]; j < start[i + 1]; j++) {
            if (idx[j] >= features)
                return ASGD_FAIL(EINVAL,
                                 "%s: idx[%" PRIu64 "] of example %" PRIu64 " is %" PRIu32
                                 ", not below the %" PRIu32 " features",
                                 what, j, i, idx[j], features);
            if (j > start[i] && idx[j] <= idx[j - 1])
                return ASGD_FAIL(EINVAL,
                                 "%s: idx[%" PRIu64 "] of example %" PRIu64 " is %" PRIu32
                                 " after %" PRIu32 "; sort the features of an example",
                                 what, j, i, idx[j], idx[j - 1]);
        }
    }
    ASGD_TRY(borrow(out, what, y, n, features, classes));
    (*out)->start = start;
    (*out)->idx   = idx;
    (*out)->val   = val;
    asgdi_summarize(*out);
    asgdi_describe(*out, "own arrays", "");
    return ASGD_OK;
}

const asgd_schema *asgd_source_schema(const asgd_source *s)
{
    return &s->schema;
}

const char *asgd_source_describe(const asgd_source *s)
{
    return s->describe;
}

const float *asgd_source_labels(const asgd_source *s)
{
    return s->labels;
}

const asgd_encoding *asgd_source_encoding(const asgd_source *s)
{
    return s->encoding;
}

asgd_status asgd_encoding_names(const asgd_encoding *e, const char *path,
                                const asgd_source_options *options, const uint32_t *key, uint32_t n,
                                char **names)
{
    char                known[16];
    asgd_source_options o      = options ? *options : (asgd_source_options){0};
    const asgdi_format *format = NULL;
    asgdi_input         in;
    if (!e || (n && (!key || !names)))
        return ASGD_FAIL(EINVAL, "asgd_encoding_names: no encoding, keys or names");
    for (uint32_t i = 0; i < n; i++) names[i] = NULL;
    const char *name = asgdi_encoding_format(e, known);
    ASGD_TRY(find_format(&format, name ? name : ""));
    if (!format->text) return ASGD_FAIL(EINVAL, "%s data have no names", format->name);
    if (format->text->numbers) return asgdi_names_numbers(format->text, key, n, names);
    if (!path || !*path) return ASGD_FAIL(EINVAL, "asgd_encoding_names: no path is given");
    ASGD_TRY(asgdi_input_open(&in, path));
    o.encoding    = e;
    asgd_status s = asgdi_names_find(&in, &o, format->text, key, n, names);
    asgdi_input_close(&in);
    return s;
}

void asgd_source_close(asgd_source *s)
{
    if (!s) return;
    asgdi_encoding_free(s->encoding);
    if (s->release) s->release(s);
    asgdi_free(s);
}

/* ---- cursor ---- */

asgd_status asgdi_cursor_init(asgdi_cursor *c, const asgd_source *s, uint32_t capacity)
{
    *c      = (asgdi_cursor){.source = s, .capacity = capacity};
    c->y    = asgdi_calloc(capacity, sizeof *c->y);
    bool ok = c->y != NULL;
    if (s->schema.dense) {
        size_t each = (size_t)s->schema.features * sizeof *c->dense;
        c->dense    = asgdi_calloc(capacity, each);
        ok          = ok && c->dense;
    } else if (s->rating) {
        c->rating = asgdi_calloc(capacity, sizeof *c->rating);
        ok        = ok && c->rating;
    } else {
        c->begin = asgdi_calloc(capacity, sizeof *c->begin);
        c->len   = asgdi_calloc(capacity, sizeof *c->len);
        ok       = ok && c->begin && c->len;
    }
    if (s->weight) {
        c->weight = asgdi_calloc(capacity, sizeof *c->weight);
        ok        = ok && c->weight;
    }
    if (s->label_start) {
        c->label_begin = asgdi_calloc(capacity, sizeof *c->label_begin);
        c->label_len   = asgdi_calloc(capacity, sizeof *c->label_len);
        ok             = ok && c->label_begin && c->label_len;
    }
    if (ok) return ASGD_OK;
    asgdi_cursor_free(c);
    return ASGD_FAIL(ENOMEM, "no memory for a batch of %" PRIu32 " examples; use a smaller one",
                     capacity);
}

void asgdi_cursor_free(asgdi_cursor *c)
{
    asgdi_free(c->dense);
    asgdi_free(c->y);
    asgdi_free(c->rating);
    asgdi_free(c->weight);
    asgdi_free(c->begin);
    asgdi_free(c->len);
    asgdi_free(c->label_begin);
    asgdi_free(c->label_len);
    *c = (asgdi_cursor){0};
}

static bool consecutive(const uint64_t *order, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (order[i] != order[i - 1] + 1) return false;
    return true;
}

/* Examples side by side are taken where they are. */
static void borrow_sparse(asgdi_cursor *c, uint64_t from, uint32_t n, asgd_batch *out)
{
    const uint64_t *start = c->source->start + from;
    for (uint32_t i = 0; i < n; i++) c->len[i] = (uint32_t)(start[i + 1] - start[i]);
    out->begin = start;
    out->len   = c->len;
    out->y     = c->source->y + from;
    if (c->source->weight) out->weight = c->source->weight + from;
}

/* Example order jumps about in memory; what the hardware cannot foresee is asked for here: first
 * where an example starts (AHEAD examples early), then the first lines of its entries. */
static void gather_sparse(asgdi_cursor *c, const uint64_t *order, uint32_t n)
{
    enum { AHEAD = 8, PER_LINE = 16, LINES = 4 };
    const asgd_source *s = c->source;
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            __builtin_prefetch(&s->start[order[i + AHEAD]]);
            __builtin_prefetch(&s->y[order[i + AHEAD]]);
        }
        uint64_t b = s->start[order[i]];
        uint32_t m = (uint32_t)(s->start[order[i] + 1] - b);
        for (uint32_t j = 0; j < m && j < LINES * PER_LINE; j += PER_LINE) {
            __builtin_prefetch(&s->idx[b + j], 0, 2);
            if (s->val) __builtin_prefetch(&s->val[b + j], 0, 2);
            if (s->field) __builtin_prefetch(&s->field[b + j], 0, 2);
        }
        c->begin[i] = b;
        c->len[i]   = m;
        c->y[i]     = s->y[order[i]];
    }
}

static void gather_labels(asgdi_cursor *c, const uint64_t *order, uint32_t n)
{
    const uint64_t *start = c->source->label_start;
    for (uint32_t i = 0; i < n; i++) {
        c->label_begin[i] = start[order[i]];
        c->label_len[i]   = (uint32_t)(start[order[i] + 1] - start[order[i]]);
    }
}

static void gather_ratings(asgdi_cursor *c, const uint64_t *order, uint32_t n)
{
    enum { AHEAD = 8 };
    const asgd_rating *from = c->source->rating;
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n) __builtin_prefetch(&from[order[i + AHEAD]]);
        c->rating[i] = from[order[i]];
        c->y[i]      = from[order[i]].y;
    }
}

static const float *gather_dense(asgdi_cursor *c, const asgd_kern *k, const uint64_t *order,
                                 uint32_t n)
{
    const asgd_source *s = c->source;
    size_t             w = s->schema.features;
    for (uint32_t i = 0; i < n; i++) c->y[i] = s->y[order[i]];
    if (s->bytes) {
        for (uint32_t i = 0; i < n; i++) {
            if (i + 1 < n)
                for (size_t j = 0; j < w && j < 1024; j += 64)
                    __builtin_prefetch(s->bytes + order[i + 1] * w + j);
            k->bytes_to_float(s->bytes + order[i] * w, s->byte_scale, c->dense + i * w, w);
        }
        return c->dense;
    }
    if (n > 0 && consecutive(order, n)) return s->dense + order[0] * w;
    for (uint32_t i = 0; i < n; i++)
        memcpy(c->dense + i * w, s->dense + order[i] * w, w * sizeof(float));
    return c->dense;
}

void asgdi_cursor_batch(asgdi_cursor *c, const asgd_kern *k, const uint64_t *order, uint32_t n,
                        asgd_batch *out)
{
    const asgd_source *s = c->source;
    *out                 = (asgd_batch){.n = n, .features = s->schema.features, .y = c->y};
    if (s->schema.dense) {
        out->dense = gather_dense(c, k, order, n);
    } else if (s->rating) {
        gather_ratings(c, order, n);
        out->rating = c->rating;
    } else {
        if (n > 0 && consecutive(order, n)) {
            borrow_sparse(c, order[0], n, out);
        } else {
            gather_sparse(c, order, n);
            out->begin = c->begin;
            out->len   = c->len;
        }
        out->idx   = s->idx;
        out->val   = s->val;
        out->field = s->field;
    }
    if (s->weight && !out->weight) {
        for (uint32_t i = 0; i < n; i++) c->weight[i] = s->weight[order[i]];
        out->weight = c->weight;
    }
    if (s->label_start) {
        gather_labels(c, order, n);
        out->label_begin = c->label_begin;
        out->label_len   = c->label_len;
        out->label       = s->label;
    }
}
