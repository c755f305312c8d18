/* text.c -- what the text formats share.
 *
 * Text comes in windows of whole lines: all of a plain file, or what was decoded last.  Threads take one
 * chunk of whole lines after another from it, parse it into a part of their own, and put the part's rows
 * where they belong in the arrays of the whole.  Where that is, is known when all chunks before it are
 * parsed; a thread that finds one of them missing leaves its part to whoever parses that, and goes on
 * with the next chunk, so that nobody waits as long as there are parts.  A chunk that meets an error
 * stops there, and all chunks before the first such one are whole, so the line of its error is their
 * lines plus its own: the message is the same for any number of threads and chunks.  Parts are used
 * again, so text of any length, or a stream, is read with the memory that the arrays take.
 *
 * Labels that a trained model does not know are found here, while the line is at hand; other labels
 * can be numbered only when all are known. */
#define _GNU_SOURCE
#include "data/text.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/cache.h"
#include "data/classes.h"
#include "data/find.h"
#include "data/names.h"
#include "base/parallel.h"
#include "data/renumber.h"
#include "data/window.h"

enum {
    GRAIN  = 1 << 18, /* bytes of text worth a thread */
    CHUNKS = 8,       /* of a window of a stream, for each thread */
};

asgd_status asgdi_text_fail(asgdi_text_part *part, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(part->error, sizeof part->error, format, args);
    va_end(args);
    return ASGD_EFORMAT;
}

asgdi_shown asgdi_show(const char *p, const char *end)
{
    enum { MOST = 30 };
    asgdi_shown s = {""};
    size_t      n = (size_t)(end - p), m = n > MOST ? (size_t)MOST : n;
    for (size_t i = 0; i < m; i++) {
        unsigned char c = (unsigned char)p[i];
        s.text[i]       = c < 32 || c == 127 ? '?' : p[i];
    }
    if (n > MOST) memcpy(s.text + MOST, "...", 4);
    return s;
}

/* ---- reading ---- */

/* A chunk in hand, or parsed and not yet in its place. */
typedef struct piece {
    asgdi_text_part part;
    uint64_t        chunk;
    double          share; /* of the text that is done with it */
    asgdi_place     place;
} piece;

typedef struct job {
    const asgdi_text_format *f;
    asgdi_input             *in;
    asgd_source_options      o;
    asgdi_text_setup         setup;
    json_t                  *recipe; /* of o.encoding */
    asgdi_classes            classes;
    asgdi_windows            windows;
    uint32_t                 threads, pieces; /* pieces: enough for two a thread */
    piece                   *piece;           /* [pieces] */
    asgdi_whole              whole;
    bool                     tallied; /* entries are ids of the tally; else what the file says */
    asgdi_tally              tally;
    /* takes the next chunk in order, under the lock; false: no memory.  *done: no more are wanted */
    bool (*each)(struct job *j, piece *p, bool *done);
    const char  *lacks; /* what there was no memory for, for messages */
    asgdi_names *names; /* wanted; NULL: examples are */

    /* of the window */
    const char *begin, *end;
    double      share, share_end; /* of all text, before it and with it */
    size_t      chunk_bytes;
    uint32_t    crew; /* threads at work */

    bool            locks;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t  idled;
    const char     *at;         /* chunks not yet taken */
    uint64_t        next, turn; /* number of the next chunk to take, and to put in place */
    piece         **parsed;     /* [pieces] by chunk % pieces; NULL: not yet */
    piece         **idle;       /* [idles] */
    uint32_t        idles;
    uint64_t        line; /* number of chunk `turn`'s first */
    bool            done;
    asgd_status     status;
    const piece    *bad; /* where status comes from; NULL: no memory */
} job;

/* Class numbers for labels, where the model's are given. */
static asgd_status check_label(const job *j, asgdi_text_part *k)
{
    asgdi_rows *r = &k->rows;
    if (j->setup.label_sets) {
        uint32_t n = r->label_len[r->n - 1];
        uint32_t l = n ? r->label[r->labels - 1] : 0; /* the largest */
        if (l < j->classes.n) return ASGD_OK;
        return asgdi_text_fail(k,
                               "label %" PRIu32 " is none that the model was trained on (0 to "
                               "%" PRIu32 "); remove it, or train on data that have it",
                               l, j->classes.n - 1);
    }
    float   *y = &r->y[r->n - 1];
    uint32_t c = asgdi_classes_of(&j->classes, *y);
    if (c == ASGDI_NO_CLASS) {
        asgdi_classes_unknown(&j->classes, *y, k->error, sizeof k->error);
        return ASGD_EFORMAT;
    }
    *y = (float)c;
    return ASGD_OK;
}

static asgd_status parse_line(const job *j, asgdi_text_part *k, const char *p, const char *end)
{
    uint64_t n = k->rows.n;
    if (end > p && end[-1] == '\r') end--;
    ASGD_TRY(j->f->line(j->setup.self, k, p, end));
    if (k->rows.no_memory) return ASGD_ENOMEM;
    return j->classes.n && k->rows.n > n ? check_label(j, k) : ASGD_OK;
}

/* By thread t. */
static void parse_chunk(job *j, uint32_t t, asgdi_text_part *k)
{
    const char *p = k->begin;
    k->lines      = 0;
    k->status     = ASGD_OK;
    asgdi_rows_clear(&k->rows);
    while (p < k->end) {
        const char *line = asgdi_line_end(p, k->end);
        k->status        = parse_line(j, k, p, line);
        if (k->status != ASGD_OK) return;
        k->lines++;
        p = line + 1;
    }
    asgdi_rows_settle(&k->rows);
    if (k->rows.no_memory ||
        (j->tallied && !asgdi_tally_take(&j->tally, t, k->rows.idx, k->rows.entries)))
        k->status = ASGD_ENOMEM;
    asgdi_windows_parsed(&j->windows, k->begin, k->end);
}

/* NULL: there is no more to do. */
static piece *take_chunk(job *j)
{
    piece *p = NULL;
    pthread_mutex_lock(&j->lock);
    while (!j->done && j->at < j->end && j->idles == 0) pthread_cond_wait(&j->idled, &j->lock);
    if (!j->done && j->at < j->end) {
        const size_t rest = (size_t)(j->end - j->at);
        const char  *stop = j->end;
        if (rest > j->chunk_bytes) {
            const char *near = j->at + j->chunk_bytes - 1;
            const char *line = memchr(near, '\n', (size_t)(j->end - near));
            if (line) stop = line + 1;
        }
        p             = j->idle[--j->idles];
        p->part.begin = j->at;
        p->part.end   = stop;
        p->chunk      = j->next++;
        p->share      = j->share + (j->share_end - j->share) * (double)(stop - j->begin) /
                                  (double)(j->end - j->begin);
        j->at = stop;
    }
    pthread_mutex_unlock(&j->lock);
    return p;
}

/* The next chunk in order is parsed.  Under the lock; false: it has no place. */
static bool find_place(job *j, piece *p)
{
    if (j->done) return false;
    j->line += p->part.lines;
    if (p->part.status != ASGD_OK) {
        j->status = p->part.status;
        j->bad    = p;
    } else if (!j->each(j, p, &j->done)) {
        j->status = ASGD_ENOMEM;
    }
    j->done = j->done || j->status != ASGD_OK;
    return j->status == ASGD_OK;
}

/* Puts it in its place, and what waits for it. */
static void put_chunk(job *j, piece *p)
{
    pthread_mutex_lock(&j->lock);
    j->parsed[p->chunk % j->pieces] = p;
    while ((p = j->parsed[j->turn % j->pieces])) {
        j->parsed[j->turn++ % j->pieces] = NULL;
        if (find_place(j, p) && !j->names) {
            pthread_mutex_unlock(&j->lock);
            asgdi_whole_put(&j->whole, &p->part.rows, &p->place);
            pthread_mutex_lock(&j->lock);
        }
        if (p != j->bad) j->idle[j->idles++] = p;
        pthread_cond_broadcast(&j->idled);
    }
    pthread_mutex_unlock(&j->lock);
}

static void parse_window(void *ctx, uint32_t k)
{
    job *j = ctx;
    if (k == j->crew) { /* meanwhile */
        asgdi_windows_ahead(&j->windows);
        return;
    }
    for (piece *p; (p = take_chunk(j));) {
        parse_chunk(j, k, &p->part);
        put_chunk(j, p);
    }
}

static asgd_status outcome(const job *j)
{
    if (j->status == ASGD_OK) return ASGD_OK;
    if (!j->bad) return ASGD_FAIL(ENOMEM, "%s: no memory for %s", j->in->name, j->lacks);
    if (j->status == ASGD_ENOMEM)
        return ASGD_FAIL(ENOMEM, "%s: no memory for its examples", j->in->name);
    return asgdi_fail(j->status, "%s:%" PRIu64 ": %s", j->in->name, j->line, j->bad->part.error);
}

/* One window after the other. */
static asgd_status read_windows(job *j)
{
    while (!j->done) {
        ASGD_TRY(asgdi_windows_next(&j->windows, j->setup.first, &j->begin, &j->end));
        if (j->begin == j->end) break;
        const size_t bytes = (size_t)(j->end - j->begin);
        j->share           = j->share_end;
        j->share_end       = asgdi_windows_share(&j->windows);
        j->at              = j->begin;
        j->crew            = asgdi_parts(j->o.threads, bytes, GRAIN);
        if (j->crew > j->threads) j->crew = j->threads;
        j->chunk_bytes = bytes / j->crew + 1;
        if (j->chunk_bytes > j->in->window) j->chunk_bytes = j->in->window;
        asgdi_parallel(j->crew + asgdi_windows_can_go_ahead(&j->windows), parse_window, j);
        ASGD_TRY(outcome(j));
    }
    return ASGD_OK;
}

/* ---- setting up ---- */

static asgd_status load_recipe(job *j)
{
    const asgd_encoding *e = j->o.encoding;
    json_error_t         error;
    char                 name[16];
    if (!e) return ASGD_OK;
    j->recipe = json_loads(e->recipe, 0, &error);
    if (!json_is_object(j->recipe))
        return ASGD_FAIL(EFORMAT, "%s: the encoding's recipe is no JSON object (%s)", j->in->name,
                         error.text);
    const char *format = asgdi_encoding_format(e, name);
    if (!format || strcmp(format, j->f->name) != 0)
        return ASGD_FAIL(EMISMATCH,
                         "%s: cannot be read as %s with the encoding of %s data; give %s data, or "
                         "train anew",
                         j->in->name, j->f->name, format ? format : "unknown",
                         format ? format : "such");
    const json_t *bits = json_object_get(j->recipe, "hash_bits");
    if (json_is_integer(bits)) j->o.hash_bits = (uint32_t)json_integer_value(bits);
    return ASGD_OK;
}

static asgd_status make_pieces(job *j)
{
    j->pieces = j->threads > 1 ? 2 * j->threads : 1;
    j->piece  = asgdi_calloc(j->pieces, sizeof *j->piece);
    j->parsed = asgdi_calloc(j->pieces, sizeof *j->parsed);
    j->idle   = asgdi_calloc(j->pieces, sizeof *j->idle);
    if (!j->piece || !j->parsed || !j->idle || !asgdi_whole_init(&j->whole))
        return ASGD_FAIL(ENOMEM, "%s: no memory to read it", j->in->name);
    const asgd_kern *k = asgdk_best() ? asgdk_best() : asgdk_variant(0);
    for (uint32_t i = 0; i < j->pieces; i++) {
        asgdi_rows *r       = &j->piece[i].part.rows;
        r->k                = k;
        r->encoding         = j->setup.dense ? NULL : j->o.encoding;
        r->fielded          = j->setup.fielded && !j->setup.dense;
        r->label_sets       = j->setup.label_sets;
        r->dense            = j->setup.dense;
        j->idle[j->idles++] = &j->piece[i];
    }
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->idled, NULL);
    j->locks = true;
    return ASGD_OK;
}

static asgd_status set_up(job *j)
{
    static const char bom[] = "\xef\xbb\xbf";
    ASGD_TRY(load_recipe(j));
    if (j->o.encoding) ASGD_TRY(asgdi_encoding_index(j->o.encoding));
    if (j->o.hash_bits == 0) j->o.hash_bits = 32;
    if (j->o.hash_bits < 10 || j->o.hash_bits > 32)
        return ASGD_FAIL(EINVAL, "hash_bits is %" PRIu32 "; choose 10 to 32, or 0 for 32",
                         j->o.hash_bits);
    ASGD_TRY(asgdi_classes_init(&j->classes, &j->o, j->in->name));
    j->threads = asgdi_parts(j->o.threads, UINT64_MAX, 1);
    if (j->threads > ASGDI_PARTS_MAX - 1) j->threads = ASGDI_PARTS_MAX - 1;
    ASGD_TRY(asgdi_windows_open(&j->windows, j->in, j->in->window * j->threads * CHUNKS));
    const char *head = j->windows.head;
    if (j->windows.head_end - head >= 3 && memcmp(head, bom, 3) == 0) head += 3;
    j->setup = (asgdi_text_setup){.name       = j->in->name,
                                  .head       = head,
                                  .end        = j->windows.head_end,
                                  .o          = &j->o,
                                  .recipe     = j->recipe,
                                  .first      = head,
                                  .first_line = 1};
    if (j->f->begin) ASGD_TRY(j->f->begin(&j->setup));
    j->line = j->setup.first_line;
    return make_pieces(j);
}

static void tidy_up(job *j)
{
    for (uint32_t i = 0; j->piece && i < j->pieces; i++) {
        asgdi_text_part *k = &j->piece[i].part;
        if (j->f->part_end) j->f->part_end(k);
        asgdi_rows_free(&k->rows);
        if (k->names) asgdi_names_free(k->names);
        asgdi_free(k->names);
    }
    asgdi_free(j->piece);
    asgdi_free(j->parsed);
    asgdi_free(j->idle);
    if (j->locks) {
        pthread_mutex_destroy(&j->lock);
        pthread_cond_destroy(&j->idled);
    }
    if (j->f->end && j->setup.self) j->f->end(j->setup.self);
    asgdi_windows_close(&j->windows);
    asgdi_tally_free(&j->tally);
    asgdi_classes_free(&j->classes);
    asgdi_whole_free(&j->whole);
    json_decref(j->recipe);
}

/* ---- a source ---- */

static bool append(job *j, piece *p, bool *done)
{
    (void)done;
    return asgdi_whole_place(&j->whole, &p->part.rows, p->share, &p->place);
}

/* The recipe as it is remembered; malloc'ed by jansson, NULL: no memory. */
static char *recipe_text(const job *j)
{
    json_t *r    = j->f->recipe ? j->f->recipe(j->setup.self) : json_object();
    char   *text = NULL;
    if (r && json_object_set_new(r, "format", json_string(j->f->name)) == 0 &&
        (!j->setup.hashed ||
         json_object_set_new(r, "hash_bits", json_integer((json_int_t)j->o.hash_bits)) == 0))
        text = json_dumps(r, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(r);
    return text;
}

/* Takes the keys over, which are different. */
static asgd_status remember(const job *j, asgd_source *s, uint32_t *key, uint32_t rows)
{
    char *text = recipe_text(j);
    if (!text) {
        asgdi_free(key);
        return ASGD_FAIL(ENOMEM, "%s: no memory for its encoding", j->in->name);
    }
    asgd_status status = asgdi_encoding_take(&s->encoding, key, rows, s->schema.fields, text);
    free(text);
    return status;
}

/* A dense table's features are its columns; what the columns are is remembered. */
static asgd_status finish_dense(job *j, asgd_source *s)
{
    uint32_t n         = j->setup.dense;
    s->schema.features = n;
    s->schema.dense    = true;
    if (j->o.features && j->o.features != n)
        return ASGD_FAIL(EMISMATCH,
                         "%s: has %" PRIu32 " feature columns, %" PRIu32 " are wanted; give the "
                         "columns of the training data",
                         j->in->name, n, j->o.features);
    if (j->o.encoding) {
        if (j->o.encoding->rows != n)
            return ASGD_FAIL(EMISMATCH,
                             "%s: has %" PRIu32 " feature columns, its encoding %" PRIu32,
                             j->in->name, n, j->o.encoding->rows);
        return asgdi_encoding_copy(&s->encoding, j->o.encoding);
    }
    if (!j->f->recipe) return ASGD_OK;
    uint32_t *key = asgdi_calloc(n, sizeof *key);
    if (!key) return ASGD_FAIL(ENOMEM, "%s: no memory for its encoding", j->in->name);
    for (uint32_t i = 0; i < n; i++) key[i] = i;
    return remember(j, s, key, n);
}

static asgd_status no_features(const job *j)
{
    return ASGD_FAIL(EFORMAT, "%s: no example has a feature; give a file with lines like \"%s\"",
                     j->in->name, j->f->sample);
}

/* Features are the numbers in the file. */
static asgd_status finish_plain(job *j, asgd_source *s, uint32_t most, bool any)
{
    s->schema.features = j->o.features       ? j->o.features
                         : j->setup.features ? j->setup.features
                         : any               ? most + 1
                                             : 0;
    if (s->schema.features == 0 && !(any && most == UINT32_MAX)) return no_features(j);
    if (any && (most >= INT32_MAX || most >= s->schema.features))
        return ASGD_FAIL(EFORMAT,
                         "%s: feature %" PRIu32 " is too large for a table with a row for each "
                         "number; number the features by frequency (rank_features), or hash them",
                         j->in->name, most);
    return asgdi_settle(&j->whole, j->o.threads, j->in->name);
}

static asgd_status finish_sparse(job *j, asgd_source *s)
{
    uint32_t most = 0, field = 0;
    bool     any = false;
    for (uint32_t i = 0; i < j->pieces; i++) {
        const asgdi_rows *r = &j->piece[i].part.rows;
        if (r->any && r->max_feature > most) most = r->max_feature;
        if (r->max_field > field) field = r->max_field;
        any = any || r->any;
    }
    if (j->setup.fielded)
        s->schema.fields = j->o.encoding     ? j->o.encoding->fields
                           : j->setup.fields ? j->setup.fields
                                             : field + 1;
    if (j->o.encoding) {
        s->schema.features = j->o.encoding->rows;
        return asgdi_encoding_copy(&s->encoding, j->o.encoding);
    }
    if (!j->setup.hashed && !j->o.rank_features) return finish_plain(j, s, most, any);
    if (!any) return no_features(j);
    uint32_t *key = NULL;
    ASGD_TRY(asgdi_renumber(&j->whole, j->tallied ? &j->tally : NULL, most, j->o.threads,
                            j->in->name, &key, &s->schema.features));
    return remember(j, s, key, s->schema.features);
}

static asgd_status finish_labels(job *j, asgd_source *s)
{
    if (!j->setup.label_sets) {
        if (j->o.label_values) return asgdi_classes_give(&j->classes, s, j->in->name);
        return asgdi_classes_find(s, (float *)(uintptr_t)s->y, j->in->name);
    }
    uint32_t most = 0;
    for (uint32_t i = 0; i < j->pieces; i++)
        if (j->piece[i].part.rows.max_label > most) most = j->piece[i].part.rows.max_label;
    s->schema.label_sets = true;
    s->schema.classes    = j->classes.n       ? j->classes.n
                           : j->setup.classes ? j->setup.classes
                                              : most + 1;
    if (most >= s->schema.classes || s->schema.classes > 1u << 24)
        return ASGD_FAIL(
            EFORMAT,
            "%s: has a label %" PRIu32 ", but labels go up to %" PRIu32 "; number the labels anew",
            j->in->name, most, (s->schema.classes > 1u << 24 ? 1u << 24 : s->schema.classes) - 1);
    return ASGD_OK;
}

static asgd_status parse(job *j, asgd_source *s, uint64_t *text_bytes, uint64_t *dropped)
{
    ASGD_TRY(set_up(j));
    j->whole.fielded    = j->piece->part.rows.fielded;
    j->whole.label_sets = j->setup.label_sets;
    j->whole.dense      = j->setup.dense;
    j->each             = append;
    j->lacks   = "its examples; make room for a temporary file in the cache folder, or in TMPDIR";
    j->tallied = !j->o.encoding && !j->setup.dense && j->setup.hashed;
    if (j->tallied && !asgdi_tally_init(&j->tally, j->threads))
        return ASGD_FAIL(ENOMEM, "%s: no memory to read it", j->in->name);
    ASGD_TRY(read_windows(j));
    if (j->whole.n == 0)
        return ASGD_FAIL(EFORMAT, "%s: holds no example; give a file with lines like \"%s\"",
                         j->in->name, j->f->sample);
    for (uint32_t i = 0; i < j->pieces; i++) *dropped += j->piece[i].part.rows.dropped;
    *text_bytes        = asgdi_windows_bytes(&j->windows);
    s->schema.examples = j->whole.n;
    ASGD_TRY(j->setup.dense ? finish_dense(j, s) : finish_sparse(j, s));
    asgdi_whole_give(&j->whole, s);
    ASGD_TRY(finish_labels(j, s));
    asgdi_summarize(s);
    return ASGD_OK;
}

/* The folder that large arrays go to: that of the cache, or of the text; malloc'ed. */
static char *folder_of(const asgdi_input *in, const asgd_source_options *o)
{
    if (o->cache && *o->cache && strcmp(o->cache, "none") != 0) return asgdi_strdup(o->cache);
    const char *slash = strrchr(in->path, '/');
    char       *p     = asgdi_strdup(slash ? in->path : in->regular ? "." : "");
    if (p && slash) p[slash == in->path ? 1 : slash - in->path] = 0;
    return p;
}

asgd_status asgdi_text_open(asgd_source *s, asgdi_input *in, const asgd_source_options *o,
                            const asgdi_text_format *f)
{
    uint64_t    dropped = 0, text_bytes = 0;
    char        note[100];
    const char *from = "from cache";
    asgdi_cache cache;
    ASGD_TRY(asgdi_cache_open(&cache, in, o, f->name));
    if (!asgdi_cache_load(&cache, s, o->threads, &dropped)) {
        job         j      = {.f = f, .in = in, .o = *o};
        char       *folder = folder_of(in, o);
        asgd_status status;
        j.whole.memory = in->memory;
        j.whole.folder = folder;
        status         = parse(&j, s, &text_bytes, &dropped);
        tidy_up(&j);
        asgdi_free(folder);
        if (status != ASGD_OK) {
            asgdi_cache_close(&cache);
            return status;
        }
        from = asgdi_cache_store(&cache, s, text_bytes, dropped);
    }
    asgdi_cache_close(&cache);
    snprintf(note, sizeof note, "%s", from);
    if (dropped)
        snprintf(note, sizeof note, "%" PRIu64 " entries of unseen features dropped%s%s", dropped,
                 *from ? ", " : "", from);
    asgdi_describe(s, f->name, note);
    return ASGD_OK;
}

/* ---- names ---- */

static bool take_names(job *j, piece *p, bool *done)
{
    asgdi_names *all = j->names;
    asgdi_names_take(all, p->part.names);
    *done = asgdi_names_all(all);
    return !all->no_memory;
}

asgd_status asgdi_text_names(asgdi_input *in, const asgd_source_options *o,
                             const asgdi_text_format *f, asgdi_names *names)
{
    job j = {.f = f, .in = in, .o = *o, .names = names, .each = take_names, .lacks = "names"};
    asgd_status s = set_up(&j);
    for (uint32_t i = 0; s == ASGD_OK && i < j.pieces; i++) {
        asgdi_names *own      = asgdi_calloc(1, sizeof *own);
        j.piece[i].part.names = own;
        if (!own || !asgdi_names_init(own, names->wanted))
            s = ASGD_FAIL(ENOMEM, "%s: no memory for names", in->name);
    }
    if (s == ASGD_OK) s = read_windows(&j);
    tidy_up(&j);
    return s;
}
