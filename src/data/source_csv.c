/* source_csv.c -- tables of numbers as text: a target and features in columns, a header or none.
 *
 * The delimiter is whichever of comma, semicolon and TAB the first line has most of; the first line
 * is a header if one of its fields is not a number.  Fields may be quoted, with "" for a quote, but
 * not span lines.  All columns but the label's are features, in their order, stored as floats. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/number.h"
#include "data/parallel.h"
#include "data/text.h"

enum { GRAIN = 1 << 18, MAX_COLUMNS = 1 << 20 };

/* A field without blanks around it and without its quotes. */
typedef struct field {
    const char *begin, *end;
} field;

typedef struct table {
    char     delimiter;
    uint32_t columns, label; /* label: which column, from 0 */
    field   *name;           /* [columns]: of the header, or of the first row */
    bool     header;
} table;

typedef struct part {
    asgdi_text_part text;
    const table    *t;
    float          *x, *y; /* [n][columns - 1], [n] */
    size_t          room_x, room_y;
    uint64_t        n, at;
} part;

static bool is_blank(char c)
{
    return c == ' ' || c == '\r' || c == '\t';
}

static bool empty_line(const char *p, const char *end)
{
    while (p < end && is_blank(*p)) p++;
    return p == end;
}

/* The field at p; *next is its delimiter or `end`.  false: a quote is not closed, or something
 * follows it. */
static bool take(field *f, const char *p, const char *end, char delimiter, const char **next)
{
    while (p < end && is_blank(*p) && *p != delimiter) p++;
    if (p < end && *p == '"') {
        const char *q = p + 1;
        while (q < end && (*q != '"' || (q + 1 < end && q[1] == '"'))) q += *q == '"' ? 2 : 1;
        *f = (field){p + 1, q};
        if (q == end) return false;
        q++;
        while (q < end && is_blank(*q) && *q != delimiter) q++;
        *next = q;
        return q == end || *q == delimiter;
    }
    const char *stop = memchr(p, delimiter, (size_t)(end - p));
    if (!stop) stop = end;
    *next = stop;
    while (stop > p && is_blank(stop[-1])) stop--;
    *f = (field){p, stop};
    return true;
}

static bool is_number(field f, double *v)
{
    return asgdi_number(f.begin, f.end, v) == f.end && f.begin < f.end;
}

/* `column "Carrier"` or `column 3` */
static void column_name(const table *t, uint32_t column, char *buf, size_t bytes)
{
    if (t->header && t->name[column].begin < t->name[column].end)
        snprintf(buf, bytes, "column \"%s\"",
                 asgdi_show(t->name[column].begin, t->name[column].end).text);
    else
        snprintf(buf, bytes, "column %" PRIu32, column + 1);
}

static asgd_status bad_value(part *k, uint32_t column, field f)
{
    char name[64];
    column_name(k->t, column, name, sizeof name);
    double v;
    if (f.begin == f.end)
        return asgdi_text_fail(&k->text, "%s is empty; fill it in, or remove the row or the column",
                               name);
    if (is_number(f, &v))
        return asgdi_text_fail(&k->text,
                               "%s holds \"%s\", which is not finite as a 32-bit float; "
                               "correct it, or remove the row or the column",
                               name, asgdi_show(f.begin, f.end).text);
    return asgdi_text_fail(&k->text,
                           "%s holds \"%s\", which is not a number; replace its values "
                           "by numbers (one 0/1 column a category) or remove the column",
                           name, asgdi_show(f.begin, f.end).text);
}

static asgd_status parse_line(part *k, const char *p, const char *end)
{
    const table *t     = k->t;
    size_t       width = t->columns - 1;
    if (empty_line(p, end)) return ASGD_OK;
    if (!asgdi_grow((void **)&k->x, &k->room_x, (k->n + 1) * width, sizeof *k->x) ||
        !asgdi_grow((void **)&k->y, &k->room_y, k->n + 1, sizeof *k->y))
        return ASGD_ENOMEM;
    float   *x      = k->x + k->n * width;
    uint32_t column = 0;
    for (;; column++) {
        field       f;
        const char *next;
        double      v;
        if (!take(&f, p, end, t->delimiter, &next))
            return asgdi_text_fail(&k->text, "a quote is not closed on this line, or something "
                                             "follows it; write a field as \"...\"");
        if (column < t->columns) {
            if (!is_number(f, &v) || !isfinite((float)v)) return bad_value(k, column, f);
            if (column == t->label)
                k->y[k->n] = (float)v;
            else
                *x++ = (float)v;
        }
        if (next == end) break;
        p = next + 1;
    }
    if (column + 1 != t->columns)
        return asgdi_text_fail(&k->text,
                               "has %" PRIu32 " columns where the first line has %" PRIu32
                               "; make all rows alike",
                               column + 1, t->columns);
    k->n++;
    return ASGD_OK;
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

/* ---- the first line ---- */

static char guess_delimiter(const char *p, const char *end, uint64_t *count)
{
    static const char candidates[] = ",;\t";
    uint64_t          n[3]         = {0};
    bool              quoted       = false;
    for (; p < end; p++) {
        if (*p == '"') quoted = !quoted;
        for (int i = 0; i < 3; i++) n[i] += !quoted && *p == candidates[i];
    }
    int best = 0;
    for (int i = 1; i < 3; i++)
        if (n[i] > n[best]) best = i;
    *count = n[best];
    return candidates[best];
}

static asgd_status find_label(table *t, const char *label, const char *name)
{
    if (!label || !*label) return ASGD_OK; /* the first column */
    size_t n = strlen(label);
    for (uint32_t c = 0; t->header && c < t->columns; c++)
        if ((size_t)(t->name[c].end - t->name[c].begin) == n &&
            memcmp(t->name[c].begin, label, n) == 0) {
            t->label = c;
            return ASGD_OK;
        }
    char         *stop;
    unsigned long v = strtoul(label, &stop, 10);
    if (*label >= '0' && *label <= '9' && !*stop) {
        if (v >= 1 && v <= t->columns) {
            t->label = (uint32_t)(v - 1);
            return ASGD_OK;
        }
        return ASGD_FAIL(EINVAL,
                         "%s: has no column %s for the label; its columns are 1 to %" PRIu32, name,
                         label, t->columns);
    }
    if (!t->header)
        return ASGD_FAIL(EINVAL,
                         "%s: has no header, so no column \"%s\" for the label; give its "
                         "number, 1 to %" PRIu32,
                         name, label, t->columns);
    char   list[300] = "";
    size_t at        = 0;
    for (uint32_t c = 0; c < t->columns; c++) {
        if (at > sizeof list - 50) {
            snprintf(list + at, sizeof list - at, ", ...");
            break;
        }
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", c ? ", " : "",
                               asgdi_show(t->name[c].begin, t->name[c].end).text);
    }
    return ASGD_FAIL(EINVAL, "%s: has no column \"%s\" for the label; its columns are %s", name,
                     label, list);
}

/* Reads the first line that is not empty; *begin is moved past it if it is a header. */
static asgd_status read_header(table *t, const char **begin, const char *end, uint64_t *line,
                               const asgdi_input *in, const asgd_source_options *o)
{
    const char *p = *begin, *stop = p;
    for (*line = 1; p < end; (*line)++, p = stop + 1) {
        stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        if (!empty_line(p, stop)) break;
    }
    if (p >= end)
        return ASGD_FAIL(EFORMAT, "%s: holds no example; give a file with rows of numbers",
                         in->name);
    uint64_t delimiters;
    t->delimiter = guess_delimiter(p, stop, &delimiters);
    if (delimiters == 0)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": has one column only; separate a label and "
                         "features by comma, semicolon or TAB",
                         in->name, *line);
    if (delimiters >= MAX_COLUMNS)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": has more than %d columns; use the libsvm format "
                         "for so wide data",
                         in->name, *line, (int)MAX_COLUMNS);
    t->columns = (uint32_t)delimiters + 1;
    t->name    = asgdi_calloc(t->columns, sizeof *t->name);
    if (!t->name) return ASGD_FAIL(ENOMEM, "%s: no memory for its header", in->name);
    const char *q = p;
    for (uint32_t c = 0; c < t->columns; c++) {
        double v;
        if (!take(&t->name[c], q, stop, t->delimiter, &q) || (q == stop) != (c + 1 == t->columns))
            return ASGD_FAIL(EFORMAT,
                             "%s:%" PRIu64 ": a quote is not closed on this line, or "
                             "something follows it; write a field as \"...\"",
                             in->name, *line);
        t->header = t->header || !is_number(t->name[c], &v);
        q++;
    }
    if (t->header) {
        *begin = stop < end ? stop + 1 : end;
        (*line)++;
    } else {
        *begin = p;
    }
    return find_label(t, o->label, in->name);
}

/* The line of an example, found again from the text: only errors need it. */
typedef struct place {
    const char *begin, *end;
    uint64_t    line;
} place;

static uint64_t line_of(const void *ctx, uint64_t example)
{
    const place *t    = ctx;
    uint64_t     line = t->line;
    for (const char *p = t->begin; p < t->end; line++) {
        const char *stop = memchr(p, '\n', (size_t)(t->end - p));
        if (!stop) stop = t->end;
        if (!empty_line(p, stop) && example-- == 0) break;
        p = stop + 1;
    }
    return line;
}

static asgd_status join(asgd_source *s, const table *t, const part *k, uint32_t parts,
                        const asgdi_input *in, const asgd_source_options *o)
{
    uint64_t n = 0, width = t->columns - 1;
    for (uint32_t i = 0; i < parts; i++) n += k[i].n;
    if (n == 0)
        return ASGD_FAIL(EFORMAT,
                         "%s: holds a header but no example; give a file with rows of "
                         "numbers",
                         in->name);
    if (o->features && o->features != width)
        return ASGD_FAIL(EMISMATCH,
                         "%s: has %" PRIu64 " feature columns, %" PRIu32
                         " are wanted; give the columns of the training data",
                         in->name, width, o->features);
    s->schema = (asgd_schema){.examples = n, .features = (uint32_t)width, .dense = true};
    float *x = asgdi_reserve(s, n * width, sizeof *x), *y = asgdi_reserve(s, n, sizeof *y);
    if (!x || !y) return ASGD_FAIL(ENOMEM, "%s: no memory for %" PRIu64 " examples", in->name, n);
    s->dense    = x;
    s->y        = y;
    uint64_t at = 0;
    for (uint32_t i = 0; i < parts; at += k[i++].n) {
        if (k[i].n == 0) continue;
        memcpy(x + at * width, k[i].x, k[i].n * width * sizeof *x);
        memcpy(y + at, k[i].y, k[i].n * sizeof *y);
    }
    return ASGD_OK;
}

static asgd_status parse_rows(asgd_source *s, const table *t, const asgdi_input *in, place rows,
                              const asgd_source_options *o)
{
    uint32_t parts = asgdi_parts(o->threads, (uint64_t)(rows.end - rows.begin), GRAIN);
    part    *k     = asgdi_calloc(parts, sizeof *k);
    if (!k) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", in->name);
    for (uint32_t i = 0; i < parts; i++) k[i].t = t;
    parts = asgdi_text_cut(&k->text, sizeof *k, rows.begin, rows.end, parts);
    asgdi_parallel(parts, parse_part, k);
    asgd_status status = asgdi_text_join(&k->text, sizeof *k, parts, rows.line, in->name);
    if (status == ASGD_OK) status = join(s, t, k, parts, in, o);
    for (uint32_t i = 0; i < parts; i++) {
        asgdi_free(k[i].x);
        asgdi_free(k[i].y);
    }
    asgdi_free(k);
    if (status != ASGD_OK) return status;
    return asgdi_classify(s, (float *)s->y, in->name, o, line_of, &rows);
}

static asgd_status parse(asgd_source *s, const asgdi_input *in, const char *begin, const char *end,
                         const asgd_source_options *o, uint64_t *dropped)
{
    table t            = {0};
    place rows         = {begin, end, 1};
    *dropped           = 0;
    asgd_status status = read_header(&t, &rows.begin, end, &rows.line, in, o);
    if (status == ASGD_OK) status = parse_rows(s, &t, in, rows, o);
    asgdi_free(t.name);
    return status;
}

static asgd_status open_csv(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, "csv", parse);
}

/* A delimiter on the first line, and nothing unprintable. */
static bool guess_csv(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    const char *p = (const char *)head, *end = p + bytes, *stop = p;
    for (; p < end; p = stop + 1) {
        stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        if (!empty_line(p, stop)) break;
    }
    if (p >= end) return false;
    for (const char *q = p; q < stop; q++)
        if ((unsigned char)*q < 32 && *q != '\t' && *q != '\r') return false;
    uint64_t count;
    guess_delimiter(p, stop, &count);
    return count > 0;
}

const asgdi_format asgdi_format_csv = {"csv", guess_csv, open_csv};
