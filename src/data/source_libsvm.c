/* source_libsvm.c -- LIBSVM's (and SVMlight's) text, one example a line:
 *
 *     label index:value index:value ...  [# comment]
 *
 * Indices begin at 1 and increase; feature f is index f-1 in memory.  Lines without anything but a
 * comment are skipped.  Every rule broken is an error with its line (Chang and Lin 2011). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/number.h"
#include "data/parallel.h"
#include "data/text.h"

enum { GRAIN = 1 << 18 };

/* The arrays of the whole; a part fills its own stretch of them. */
typedef struct whole {
    uint64_t *start;
    uint32_t *idx;
    float    *val, *y;
    uint32_t  limit; /* indices beyond it are unseen features */
} whole;

typedef struct part {
    asgdi_text_part text;
    const whole    *whole;
    uint64_t        at, at_entry; /* its stretch begins here */
    uint64_t        n, entries;   /* before parsing: at most so many; then: how many */
    uint64_t        dropped;
    uint32_t        width; /* largest index seen */
} part;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) p++;
    return p;
}

static const char *token_end(const char *p, const char *end)
{
    while (p < end && !is_blank(*p) && *p != '#') p++;
    return p;
}

static bool token_stops(const char *p, const char *end)
{
    return p == end || is_blank(*p) || *p == '#';
}

static asgd_status bad_label(part *k, const char *p, const char *end)
{
    const char *stop  = token_end(p, end);
    asgdi_shown shown = asgdi_show(p, stop);
    double      v;
    const char *q = asgdi_number(p, stop, &v);
    if (q && *q == ',' && q < stop)
        return asgdi_text_fail(&k->text,
                               "label \"%s\" is several labels, which no model here supports yet; "
                               "keep one a line",
                               shown.text);
    if (memchr(p, ':', (size_t)(stop - p)))
        return asgdi_text_fail(&k->text,
                               "begins with \"%s\" where a label is wanted; begin each line with a "
                               "label (0 if it is not known)",
                               shown.text);
    if (q == stop)
        return asgdi_text_fail(&k->text,
                               "label \"%s\" is not a finite number; correct or remove "
                               "this line",
                               shown.text);
    return asgdi_text_fail(&k->text, "label \"%s\" is not a number; number the labels", shown.text);
}

static asgd_status bad_entry(part *k, const char *p, const char *end)
{
    const char *stop  = token_end(p, end);
    asgdi_shown shown = asgdi_show(p, stop);
    const char *colon = memchr(p, ':', (size_t)(stop - p));
    if (stop - p >= 4 && memcmp(p, "qid:", 4) == 0)
        return asgdi_text_fail(&k->text,
                               "\"%s\": ranking data (qid) are not supported; remove the "
                               "qid entries",
                               shown.text);
    if (!colon)
        return asgdi_text_fail(&k->text,
                               "\"%s\" is not an index:value pair; write it as for instance 3:0.5",
                               shown.text);
    bool digits = colon > p;
    for (const char *q = p; q < colon; q++) digits = digits && *q >= '0' && *q <= '9';
    if (!digits)
        return asgdi_text_fail(&k->text,
                               "\"%s\": the index before the colon is not a number from "
                               "1 up; number the features",
                               shown.text);
    while (p < colon && *p == '0') p++;
    if (p == colon)
        return asgdi_text_fail(&k->text, "feature 0: indices begin at 1; add 1 to every index of "
                                         "this file (and of its test data)");
    if (colon - p > 10 || strtoull(p, NULL, 10) > INT32_MAX)
        return asgdi_text_fail(&k->text,
                               "feature %s: indices go up to 2147483647; number the "
                               "features anew or hash them",
                               asgdi_show(p, colon).text);
    double      v;
    const char *q = asgdi_number(colon + 1, stop, &v);
    if (q == stop)
        return asgdi_text_fail(&k->text,
                               "\"%s\": the value is not finite as a 32-bit float; "
                               "correct or remove it",
                               shown.text);
    return asgdi_text_fail(&k->text,
                           "\"%s\": what follows the colon is not a number; correct or "
                           "remove it",
                           shown.text);
}

static asgd_status out_of_order(part *k, uint32_t f, uint32_t after)
{
    if (f == after)
        return asgdi_text_fail(&k->text, "feature %" PRIu32 " stands twice; add its values up", f);
    return asgdi_text_fail(
        &k->text, "feature %" PRIu32 " after %" PRIu32 ": sort the features of a line", f, after);
}

static asgd_status parse_line(part *k, const char *p, const char *end)
{
    p = skip_blanks(p, end);
    if (p == end || *p == '#') return ASGD_OK;
    double      v;
    const char *q = asgdi_number(p, end, &v);
    if (!q || !token_stops(q, end) || !isfinite((float)v)) return bad_label(k, p, end);
    const whole *w     = k->whole;
    w->y[k->at + k->n] = (float)v;

    uint64_t at    = k->at_entry + k->entries;
    uint32_t after = 0;
    for (;;) {
        p = skip_blanks(q, end);
        if (p == end || *p == '#') break;
        uint64_t f = 0;
        q          = p;
        while (q < end && (unsigned char)(*q - '0') < 10 && f <= INT32_MAX)
            f = f * 10 + (uint64_t)(*q++ - '0');
        if (q == p || f == 0 || f > INT32_MAX || q == end || *q != ':') return bad_entry(k, p, end);
        q = asgdi_number(q + 1, end, &v);
        if (!q || !token_stops(q, end) || !isfinite((float)v)) return bad_entry(k, p, end);
        if (f <= after) return out_of_order(k, (uint32_t)f, after);
        after = (uint32_t)f;
        if (f > w->limit) {
            k->dropped++;
            continue;
        }
        w->idx[at]   = (uint32_t)f - 1;
        w->val[at++] = (float)v;
    }
    if (after > k->width) k->width = after;
    k->n++;
    k->entries             = at - k->at_entry;
    w->start[k->at + k->n] = k->entries; /* from the part's first; join() knows the rest */
    return ASGD_OK;
}

/* No more examples than lines, no more entries than colons, nor than would fit at 4 characters. */
static void bound_part(void *ctx, uint32_t i)
{
    part    *k      = &((part *)ctx)[i];
    uint64_t colons = 0, lines = 1, most = (uint64_t)(k->text.end - k->text.begin) / 4 + 1;
    for (const char *p = k->text.begin; p < k->text.end; p++) {
        colons += *p == ':';
        lines += *p == '\n';
    }
    k->entries = colons < most ? colons : most;
    k->n       = lines;
}

static void parse_part(void *ctx, uint32_t i)
{
    part       *k = &((part *)ctx)[i];
    const char *p = k->text.begin;
    while (p < k->text.end) {
        const char *line = memchr(p, '\n', (size_t)(k->text.end - p));
        k->text.status   = parse_line(k, p, line ? line : k->text.end);
        if (k->text.status != ASGD_OK) return;
        k->text.lines++;
        p = line ? line + 1 : k->text.end;
    }
}

/* The line of an example, found again from the text: only errors need it. */
typedef struct place {
    const char *begin, *end;
} place;

static uint64_t line_of(const void *ctx, uint64_t example)
{
    const place *t    = ctx;
    uint64_t     line = 1;
    for (const char *p = t->begin; p < t->end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(t->end - p));
        if (!stop) stop = t->end;
        const char *q = skip_blanks(p, stop);
        if (q < stop && *q != '#' && example-- == 0) break;
        p = stop + 1;
    }
    return line;
}

static asgd_status allocate(asgd_source *s, whole *w, part *k, uint32_t parts, const char *name)
{
    uint64_t n = 0, entries = 0;
    for (uint32_t i = 0; i < parts; i++) {
        k[i].whole    = w;
        k[i].at       = n;
        k[i].at_entry = entries;
        n += k[i].n;
        entries += k[i].entries;
        k[i].n = k[i].entries = 0;
    }
    s->start = w->start = asgdi_reserve(s, n + 1, sizeof *w->start);
    s->idx = w->idx = asgdi_reserve(s, entries, sizeof *w->idx);
    s->val = w->val = asgdi_reserve(s, entries, sizeof *w->val);
    s->y = w->y = asgdi_reserve(s, n, sizeof *w->y);
    if (!w->start || !w->idx || !w->val || !w->y)
        return ASGD_FAIL(ENOMEM, "%s: no memory for %" PRIu64 " examples", name, n);
    return ASGD_OK;
}

/* Closes the gaps between the parts' stretches, and makes start[] count from the first of all. */
static void join(const whole *w, const part *k, uint32_t parts, uint64_t *n, uint64_t *entries)
{
    *n = *entries = 0;
    w->start[0]   = 0;
    for (uint32_t i = 0; i < parts; *n += k[i].n, *entries += k[i].entries, i++) {
        for (uint64_t j = 1; j <= k[i].n; j++) w->start[*n + j] = *entries + w->start[k[i].at + j];
        if (*n < k[i].at) memmove(w->y + *n, w->y + k[i].at, k[i].n * sizeof *w->y);
        if (*entries < k[i].at_entry) {
            memmove(w->idx + *entries, w->idx + k[i].at_entry, k[i].entries * sizeof *w->idx);
            memmove(w->val + *entries, w->val + k[i].at_entry, k[i].entries * sizeof *w->val);
        }
    }
}

static asgd_status parse_parts(asgd_source *s, part *k, uint32_t parts, const char *name,
                               const asgd_source_options *o, uint64_t *dropped)
{
    whole w = {.limit = o->features ? o->features : INT32_MAX};
    asgdi_parallel(parts, bound_part, k);
    ASGD_TRY(allocate(s, &w, k, parts, name));
    asgdi_parallel(parts, parse_part, k);
    ASGD_TRY(asgdi_text_join(&k->text, sizeof *k, parts, 1, name));
    uint64_t n, entries;
    join(&w, k, parts, &n, &entries);
    if (n == 0)
        return ASGD_FAIL(EFORMAT,
                         "%s: holds no example; give a file with lines like \"1 3:0.5 7:1\"", name);
    uint32_t width = 0;
    for (uint32_t i = 0; i < parts; i++) {
        *dropped += k[i].dropped;
        if (k[i].width > width) width = k[i].width;
    }
    if (o->features) width = o->features;
    if (width == 0)
        return ASGD_FAIL(
            EFORMAT, "%s: no example has a feature; give a file with lines like \"1 3:0.5 7:1\"",
            name);
    s->schema = (asgd_schema){.examples = n, .features = width};
    return ASGD_OK;
}

static asgd_status parse(asgd_source *s, const asgdi_input *in, const char *begin, const char *end,
                         const asgd_source_options *o, uint64_t *dropped)
{
    uint32_t parts = asgdi_parts(o->threads, (uint64_t)(end - begin), GRAIN);
    part    *k     = asgdi_calloc(parts, sizeof *k);
    if (!k) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", in->name);
    parts              = asgdi_text_cut(&k->text, sizeof *k, begin, end, parts);
    asgd_status status = parse_parts(s, k, parts, in->name, o, dropped);
    asgdi_free(k);
    if (status != ASGD_OK) return status;
    return asgdi_classify(s, (float *)(uintptr_t)s->y, in->name, o, line_of, &(place){begin, end});
}

static asgd_status open_libsvm(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, "libsvm", parse);
}

/* A label, and on one of the first lines digits and a colon after it. */
static bool guess_libsvm(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    const char *p = (const char *)head, *end = p + bytes;
    if (bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        p = skip_blanks(p, stop);
        if (p < stop && *p != '#') {
            const char *q = token_end(p, stop);
            double      v;
            if (!asgdi_number(p, q, &v)) return false;
            p = skip_blanks(q, stop);
            if (p < stop && *p != '#') {
                if (stop - p >= 4 && memcmp(p, "qid:", 4) == 0) return true;
                for (q = p; q < stop && *q >= '0' && *q <= '9'; q++) {
                }
                return q > p && q < stop && *q == ':';
            }
        }
        p = stop + 1;
    }
    return false;
}

const asgdi_format asgdi_format_libsvm = {"libsvm", guess_libsvm, open_libsvm};
