/* source_ratings.c -- "user item rating [time]": who rated what how.
 *
 *     196 242 3 881250949      fields between TABs, blanks, commas, or "::"
 *
 * Users and items are names, numbers included: any text of up to 255 bytes.  Both are numbered by
 * falling number of ratings, ties by where they occur first, whatever the number of threads; read with
 * an encoding they have its numbers, and those it lacks have the number after its last.  A first line
 * whose rating is no number is a header.  Without ratings (two fields in every line) each is 1.
 *
 * Text is cut at line ends into a part for each thread.  A part numbers its names for itself, which is
 * where the time goes: two look-ups a line, in tables that stay in the core's cache.  The parts' names
 * are then put together in order, and their ratings renumbered into one array. */
#include "data/ratings.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/input.h"
#include "data/number.h"
#include "base/parallel.h"
#include "data/text.h"

enum { GRAIN = 1 << 18, FIELDS = 4 };
static const char *const named[2] = {"user", "item"};

typedef struct layout {
    char     separator; /* TAB, ' ', ',' or ':' for "::" */
    uint32_t fields;    /* 2: no ratings */
    bool     times;     /* they are wanted */
} layout;

typedef struct part {
    const char   *begin, *end;
    const layout *l;
    asgdi_vocab   vocab[2];
    asgd_rating  *rating;
    double       *time;
    size_t        n, room, time_room;
    uint64_t      lines;
    asgd_status   status;
    char          error[400];
    /* joined */
    uint32_t *map[2]; /* own numbers to those of all */
    uint64_t *count[2];
    uint64_t  first; /* place of its first rating */
    float     low, high;
    double    sum;
} part;

typedef struct job {
    asgd_source *s;
    part        *part;
    uint32_t     parts;
    uint32_t    *rank[2]; /* numbers of all to rows; NULL: they are rows */
} job;

static asgd_status fail(part *p, const char *format, ...) ASGD_PRINTF(2, 3);
static asgd_status fail(part *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, sizeof p->error, format, args);
    va_end(args);
    return ASGD_EFORMAT;
}

/* ---- lines ---- */

static const char *separator_name(char c)
{
    return c == '\t' ? "TAB" : c == ' ' ? "blanks" : c == ',' ? "commas" : "\"::\"";
}

typedef struct field {
    const char *p, *end;
} field;

/* At most FIELDS + 1 fields; the end of the line ends the last. */
static uint32_t split(char separator, const char *p, const char *end, field out[FIELDS + 1])
{
    uint32_t n = 0;
    while (n <= FIELDS) {
        if (separator == ' ')
            while (p < end && *p == ' ') p++;
        if (separator == ' ' && p == end) break;
        const char *q = p;
        while (q < end && !(*q == separator && (separator != ':' || (q + 1 < end && q[1] == ':'))))
            q++;
        out[n++] = (field){p, q};
        if (q == end) break;
        p = q + (separator == ':' ? 2 : 1);
    }
    return n;
}

static char find_separator(const char *p, const char *end)
{
    const size_t n = (size_t)(end - p);
    if (memchr(p, '\t', n)) return '\t';
    for (const char *q = p; q + 1 < end; q++)
        if (q[0] == ':' && q[1] == ':') return ':';
    return memchr(p, ',', n) ? ',' : ' ';
}

static bool is_number(field f)
{
    double      x;
    const char *stop = f.p < f.end ? asgdi_number(f.p, f.end, &x) : NULL;
    return stop == f.end;
}

static bool begins_with(field f, const char *lower)
{
    size_t n = strlen(lower);
    if (f.p < f.end && *f.p == '"') f.p++;
    if ((size_t)(f.end - f.p) < n) return false;
    for (size_t i = 0; i < n; i++)
        if ((f.p[i] | 32) != lower[i]) return false;
    return true;
}

static field unquoted(field f)
{
    if (f.end - f.p >= 2 && *f.p == '"' && f.end[-1] == '"') return (field){f.p + 1, f.end - 1};
    return f;
}

static asgd_status check_name(part *k, int which, field f)
{
    if (f.p == f.end)
        return fail(k, "the %s is empty; a line is \"user item rating\" with %s between",
                    named[which], separator_name(k->l->separator));
    if (f.end - f.p > ASGDI_NAME_MAX)
        return fail(
            k, "the %s %s has %zu bytes, at most %d are allowed; is this a file of ratings?",
            named[which], asgdi_show(f.p, f.end).text, (size_t)(f.end - f.p), (int)ASGDI_NAME_MAX);
    for (const char *p = f.p; p < f.end; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            return fail(k, "the %s %s holds a control character; is this a text file of ratings?",
                        named[which], asgdi_show(f.p, f.end).text);
    return ASGD_OK;
}

/* Names of the usual kind are checked a word at a time. */
static inline bool plain(const char *p, const char *end)
{
    if (end - p > 8 || p == end) return false;
    for (; p < end; p++)
        if ((unsigned char)(*p - 33) > 93) return false;
    return true;
}

static asgd_status number_of(part *k, const char *what, field f, double *x)
{
    const char *stop = f.p < f.end ? asgdi_number(f.p, f.end, x) : NULL;
    if (stop != f.end)
        return fail(k, "the %s \"%s\" is not a number; write user, item and rating with %s between",
                    what, asgdi_show(f.p, f.end).text, separator_name(k->l->separator));
    if (!isfinite(*x) || fabs(*x) > 1e30)
        return fail(k, "the %s %s is not a number of usual size; remove the line or correct it",
                    what, asgdi_show(f.p, f.end).text);
    return ASGD_OK;
}

static asgd_status wrong_fields(part *k, uint32_t n)
{
    const layout *l = k->l;
    if (n > FIELDS)
        return fail(
            k,
            "more than %d fields with %s between; user, item, rating and perhaps a time are "
            "what a line has: cut out those columns",
            FIELDS, separator_name(l->separator));
    return fail(k,
                "%" PRIu32 " field%s with %s between, but the first line has %" PRIu32
                "; is the rating missing, or another separator used here?",
                n, n == 1 ? "" : "s", separator_name(l->separator), l->fields);
}

static asgd_status add(part *k, field *f, uint32_t n)
{
    const layout *l = k->l;
    double        y = 1, time = 0;
    if (n != l->fields && !(n == 3 && l->fields == 4 && !l->times) && !(n == 4 && l->fields == 3))
        return wrong_fields(k, n);
    if (l->fields > 2) ASGD_TRY(number_of(k, "rating", f[2], &y));
    if (l->times && n == 4) ASGD_TRY(number_of(k, "time", f[3], &time));
    uint32_t number[2];
    for (int i = 0; i < 2; i++) {
        f[i] = unquoted(f[i]);
        if (!plain(f[i].p, f[i].end)) ASGD_TRY(check_name(k, i, f[i]));
        number[i] = asgdi_vocab_add(&k->vocab[i], f[i].p, (size_t)(f[i].end - f[i].p));
        if (number[i] == ASGDI_NO_NAME) return ASGD_ENOMEM;
    }
    if (k->n == k->room) {
        void *p = k->rating, *t = k->time;
        if (!asgdi_grow(&p, &k->room, k->n + 1, sizeof *k->rating)) return ASGD_ENOMEM;
        k->rating = p;
        if (l->times && !asgdi_grow(&t, &k->time_room, k->room, sizeof *k->time))
            return ASGD_ENOMEM;
        k->time = t;
    }
    if (l->times) k->time[k->n] = time;
    k->rating[k->n++] = (asgd_rating){number[0], number[1], (float)y};
    return ASGD_OK;
}

static void parse_part(void *ctx, uint32_t i)
{
    part       *k = &((job *)ctx)->part[i];
    const char *p = k->begin;
    field       f[FIELDS + 1];
    while (p < k->end) {
        const char *line = memchr(p, '\n', (size_t)(k->end - p));
        const char *end  = line ? line : k->end;
        const char *stop = end > p && end[-1] == '\r' ? end - 1 : end;
        if (stop > p) {
            k->status = add(k, f, split(k->l->separator, p, stop, f));
            if (k->status != ASGD_OK) return;
        }
        k->lines++;
        p = line ? line + 1 : k->end;
    }
}

/* ---- a file ---- */

/* What its first lines say; *first: where ratings begin, *skipped: line ends before. */
static asgd_status look(layout *l, const char *name, const char **first, const char *end,
                        uint64_t *skipped, bool times)
{
    field       f[FIELDS + 1];
    const char *p = *first;
    *skipped      = 0;
    if (end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3; /* a byte order mark */
    for (bool header = false; p < end;) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        const char *stop = line ? line : end;
        if (stop > p && stop[-1] == '\r') stop--;
        const char *next = line ? line + 1 : end;
        if (stop > p) {
            const char     separator = find_separator(p, stop);
            const uint32_t n         = split(separator, p, stop, f);
            const bool     heading =
                !header && ((n >= 3 && !is_number(unquoted(f[2]))) ||
                            (n == 2 && (begins_with(f[0], "user") || begins_with(f[0], "\"user"))));
            if (heading && next < end) {
                header = true;
            } else {
                *l     = (layout){.separator = separator, .fields = n, .times = times};
                *first = p;
                if (n >= 2 && n <= FIELDS) return ASGD_OK;
                return ASGD_FAIL(
                    EFORMAT,
                    "%s:%" PRIu64 ": %" PRIu32
                    " field%s with %s between; a line is \"user item rating\", with TABs, "
                    "blanks, commas or \"::\" between, and perhaps a time behind",
                    name, *skipped + 1, n > FIELDS ? FIELDS + 1 : n, n == 1 ? "" : "s",
                    separator_name(separator));
            }
        }
        ++*skipped;
        p = next;
    }
    return ASGD_FAIL(EFORMAT, "%s: has no ratings; a line is \"user item rating\"", name);
}

static void part_free(part *p)
{
    for (int w = 0; w < 2; w++) {
        asgdi_vocab_free(&p->vocab[w]);
        asgdi_free(p->map[w]);
        asgdi_free(p->count[w]);
    }
    asgdi_free(p->rating);
    asgdi_free(p->time);
}

/* Parses text into new parts of j. */
static asgd_status read_text(job *j, const char *name, const char *text, const char *end,
                             const asgd_source_options *o)
{
    layout   l;
    uint64_t line = 0;
    ASGD_TRY(look(&l, name, &text, end, &line, o->times));
    if (o->times && l.fields < 4)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64
                         ": has no time, the fourth field, by which it is to be split; "
                         "split it at random",
                         name, line + 1);
    uint32_t n    = asgdi_parts(o->threads, (uint64_t)(end - text), GRAIN);
    part    *list = realloc(j->part, (j->parts + n) * sizeof *list);
    if (!list) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", name);
    j->part      = list;
    uint32_t old = j->parts, made = 0;
    for (uint32_t i = 0; i < n && text < end; i++) {
        const char *stop = end;
        if (i + 1 < n) {
            const char *near = text + (size_t)(end - text) / (n - i);
            const char *at   = memchr(near, '\n', (size_t)(end - near));
            stop             = at ? at + 1 : end;
        }
        list[old + made++] = (part){.begin = text, .end = stop, .l = &l};
        text               = stop;
    }
    j->parts = old + made;
    job now  = {.part = list + old};
    asgdi_parallel(made, parse_part, &now);
    for (uint32_t i = old; i < j->parts; i++) {
        line += list[i].lines;
        list[i].l = NULL;
        if (list[i].status == ASGD_EFORMAT)
            return ASGD_FAIL(EFORMAT, "%s:%" PRIu64 ": %s", name, line + 1, list[i].error);
        if (list[i].status != ASGD_OK) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", name);
    }
    return ASGD_OK;
}

static asgd_status read_input(job *j, asgdi_input *in, const asgd_source_options *o)
{
    void       *map  = NULL;
    size_t      size = 0;
    const char *text = asgdi_input_map(in, &map, &size);
    if (text) {
        asgd_status s = read_text(j, in->name, text, text + in->file_bytes, o);
        munmap(map, size);
        return s;
    }
    ASGD_TRY(asgdi_input_read_all(in));
    return read_text(j, in->name, (const char *)in->data, (const char *)in->data + in->bytes, o);
}

/* ---- putting parts together ---- */

static asgd_status no_memory(void)
{
    return ASGD_FAIL(ENOMEM, "no memory for the ratings");
}

static void count_part(void *ctx, uint32_t i)
{
    part *p = &((job *)ctx)->part[i];
    p->low  = INFINITY;
    p->high = -INFINITY;
    for (size_t r = 0; r < p->n; r++) {
        p->count[0][p->rating[r].user]++;
        p->count[1][p->rating[r].item]++;
        if (p->rating[r].y < p->low) p->low = p->rating[r].y;
        if (p->rating[r].y > p->high) p->high = p->rating[r].y;
    }
}

static void place_part(void *ctx, uint32_t i)
{
    job         *j  = ctx;
    part        *p  = &j->part[i];
    asgd_rating *to = (asgd_rating *)(uintptr_t)j->s->rating + p->first;
    for (int w = 0; w < 2 && j->rank[w]; w++)
        for (uint32_t x = 0; x < p->vocab[w].n; x++) p->map[w][x] = j->rank[w][p->map[w][x]];
    for (size_t r = 0; r < p->n; r++)
        to[r] = (asgd_rating){p->map[0][p->rating[r].user], p->map[1][p->rating[r].item],
                              p->rating[r].y};
    if (p->time)
        memcpy((double *)(uintptr_t)j->s->time + p->first, p->time, p->n * sizeof *p->time);
}

typedef struct counted {
    uint64_t count;
    uint32_t number;
} counted;

static int by_count(const void *a, const void *b)
{
    const counted *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

/* The names of all parts by falling count, in `to`; j->rank leads there. */
static asgd_status number_names(job *j, int w, asgdi_vocab *to)
{
    asgdi_vocab all = {0};
    counted    *c   = NULL;
    asgd_status s   = ASGD_OK;
    for (uint32_t i = 0; s == ASGD_OK && i < j->parts; i++) {
        part *p = &j->part[i];
        for (uint32_t x = 0; s == ASGD_OK && x < p->vocab[w].n; x++) {
            const char *name = asgdi_vocab_name(&p->vocab[w], x);
            p->map[w][x]     = asgdi_vocab_add(&all, name, strlen(name));
            if (p->map[w][x] == ASGDI_NO_NAME) s = no_memory();
        }
    }
    c          = s == ASGD_OK ? asgdi_calloc(all.n, sizeof *c) : NULL;
    j->rank[w] = s == ASGD_OK ? asgdi_calloc(all.n, sizeof *j->rank[w]) : NULL;
    if (s == ASGD_OK && (!c || !j->rank[w])) s = no_memory();
    if (s == ASGD_OK) {
        for (uint32_t x = 0; x < all.n; x++) c[x].number = x;
        for (uint32_t i = 0; i < j->parts; i++)
            for (uint32_t x = 0; x < j->part[i].vocab[w].n; x++)
                c[j->part[i].map[w][x]].count += j->part[i].count[w][x];
        qsort(c, all.n, sizeof *c, by_count);
    }
    for (uint32_t x = 0; s == ASGD_OK && x < all.n; x++) {
        const char *name        = asgdi_vocab_name(&all, c[x].number);
        j->rank[w][c[x].number] = x;
        if (asgdi_vocab_add(to, name, strlen(name)) == ASGDI_NO_NAME) s = no_memory();
    }
    asgdi_free(c);
    asgdi_vocab_free(&all);
    return s;
}

static void find_names(job *j, int w, const asgdi_vocab *known)
{
    for (uint32_t i = 0; i < j->parts; i++) {
        part *p = &j->part[i];
        for (uint32_t x = 0; x < p->vocab[w].n; x++) {
            const char *name = asgdi_vocab_name(&p->vocab[w], x);
            uint32_t    at   = asgdi_vocab_find(known, name, strlen(name));
            p->map[w][x]     = at == ASGDI_NO_NAME ? known->n : at;
        }
    }
}

static asgd_status join(job *j, const asgd_source_options *o, const char *name)
{
    asgd_source *s = j->s;
    uint64_t     n = 0;
    for (uint32_t i = 0; i < j->parts; i++) {
        part *p  = &j->part[i];
        p->first = n;
        n += p->n;
        for (int w = 0; w < 2; w++) {
            p->map[w]   = asgdi_calloc(p->vocab[w].n, sizeof *p->map[w]);
            p->count[w] = asgdi_calloc(p->vocab[w].n, sizeof *p->count[w]);
            if (!p->map[w] || !p->count[w]) return no_memory();
        }
    }
    if (n == 0)
        return ASGD_FAIL(EFORMAT, "%s: has no ratings; a line is \"user item rating\"", name);
    asgdi_parallel(j->parts, count_part, j);
    if (o->encoding) {
        ASGD_TRY(asgdi_encoding_copy(&s->encoding, o->encoding));
        for (int w = 0; w < 2; w++) find_names(j, w, &o->encoding->vocab[w]);
    } else {
        ASGD_TRY(asgdi_encoding_new(&s->encoding, NULL, 0, 0, "{\"format\":\"ratings\"}"));
        for (int w = 0; w < 2; w++) ASGD_TRY(number_names(j, w, &s->encoding->vocab[w]));
    }
    s->rating = asgdi_reserve(s, n, sizeof *s->rating);
    if (o->times) s->time = asgdi_reserve(s, n, sizeof *s->time);
    if (!s->rating || (o->times && !s->time)) return no_memory();
    asgdi_parallel(j->parts, place_part, j);
    const asgd_encoding *e = s->encoding;
    s->schema              = (asgd_schema){.examples = n,
                                           .nonzeros = 2 * n,
                                           .users    = e->vocab[0].n,
                                           .items    = e->vocab[1].n,
                                           .features = e->vocab[0].n + e->vocab[1].n,
                                           .y_min    = INFINITY,
                                           .y_max    = -INFINITY};
    for (uint32_t i = 0; i < j->parts; i++) {
        if (j->part[i].low < s->schema.y_min) s->schema.y_min = j->part[i].low;
        if (j->part[i].high > s->schema.y_max) s->schema.y_max = j->part[i].high;
    }
    return ASGD_OK;
}

void asgdi_ratings_describe(asgd_source *s)
{
    const asgd_schema *d        = &s->schema;
    uint64_t           cold     = 0;
    char               note[64] = "";
    for (uint64_t i = 0; i < d->examples; i++)
        cold += s->rating[i].user == d->users || s->rating[i].item == d->items;
    if (cold) snprintf(note, sizeof note, ", %" PRIu64 " of unknown users or items", cold);
    snprintf(s->describe, sizeof s->describe,
             "ratings, %" PRIu64 " of %" PRIu32 " users and %" PRIu32 " items, %.4g to %.4g%s",
             d->examples, d->users, d->items, (double)d->y_min, (double)d->y_max, note);
}

static asgd_status open_file(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    job         j      = {.s = s};
    asgd_status status = read_input(&j, in, o);
    for (uint32_t i = 0; status == ASGD_OK && i < o->n_also; i++) {
        asgdi_input more;
        status = asgdi_input_open(&more, o->also[i]);
        if (status != ASGD_OK) break;
        if (more.folder)
            status = ASGD_FAIL(EINVAL, "%s: is a folder; give a file of ratings", o->also[i]);
        else
            status = read_input(&j, &more, o);
        asgdi_input_close(&more);
    }
    if (status == ASGD_OK) status = join(&j, o, in->name);
    for (uint32_t i = 0; i < j.parts; i++) part_free(&j.part[i]);
    free(j.part);
    for (int w = 0; w < 2; w++) asgdi_free(j.rank[w]);
    if (status != ASGD_OK) return status;
    s->max_len = 2;
    asgdi_ratings_describe(s);
    return ASGD_OK;
}

/* ratings.dat of MovieLens, or a header that names them; others have to be named, as any table of
 * three or four columns might be one. */
static bool guess(const char *path, const uint8_t *head, size_t bytes)
{
    field       f[FIELDS + 1];
    const char *p = (const char *)head, *end = memchr(p, '\n', bytes);
    (void)path;
    if (!end) end = p + bytes;
    if (end > p && end[-1] == '\r') end--;
    const char     separator = find_separator(p, end);
    const uint32_t n         = split(separator, p, end, f);
    if (n < 3 || n > FIELDS) return false;
    if (separator == ':') return is_number(f[2]);
    return begins_with(f[0], "user") && (begins_with(f[1], "item") || begins_with(f[1], "movie")) &&
           begins_with(f[2], "rating");
}

const asgdi_format asgdi_format_ratings = {.name = "ratings", .guess = guess, .open = open_file};
