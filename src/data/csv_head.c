/* csv_head.c -- the fields of a table, its first line, and a sample of the others.
 *
 * The delimiter is whichever of comma, semicolon and TAB the first line has most of.  The first line
 * is a header
 *   (a) if a column with a word there has only numbers below it, or else
 *   (b) if it holds no number, no value twice, at most one empty field, and no value that its column
 *       has again below.
 *
 * The sample is lines here and there in the text, at most SAMPLE_CELLS cells; lines that are not as
 * wide as the first are left out of it (reading them will say so). */
#include "data/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/number.h"

enum {
    SAMPLE_CELLS = 100000,
    SAMPLE_ROWS  = 8, /* at least, of very wide tables */
    NUMBER_BYTES = 8, /* a column's number as text */
};

/* ---- fields ---- */

const char *asgdi_csv_quoted(asgdi_csv_field *f, const char *p, const char *end, char delimiter)
{
    const char *q = p + 1;
    *f            = (asgdi_csv_field){.begin = q};
    for (; q < end; q++) {
        if (*q != '"') continue;
        if (q + 1 == end || q[1] != '"') break;
        f->doubled = true;
        q++;
    }
    if (q == end) return NULL;
    f->end = q++;
    while (q < end && asgdi_csv_blank(*q) && *q != delimiter) q++;
    return q == end || *q == delimiter ? q : NULL;
}

bool asgdi_csv_line(const char **p, const char *end, const char **from, const char **to)
{
    while (*p < end) {
        const char *stop = memchr(*p, '\n', (size_t)(end - *p));
        if (!stop) stop = end;
        *from = *p;
        *to   = stop;
        *p    = stop < end ? stop + 1 : end;
        for (const char *q = *from; q < *to; q++)
            if (!asgdi_csv_blank(*q)) return true;
    }
    return false;
}

uint32_t asgdi_csv_count(const asgdi_csv *t, const char *p, const char *end)
{
    asgdi_csv_field f;
    uint32_t        n = 1;
    for (; (p = asgdi_csv_take(&f, p, end, t->delimiter)) && p < end; p++) n++;
    return p ? n : 0;
}

bool asgdi_csv_missing_name(const asgdi_csv_field *f)
{
    static const char *const names[] = {"?", "NA", "NaN", "nan", "null", "NULL"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (asgdi_csv_compare(f->begin, (size_t)(f->end - f->begin), names[i], strlen(names[i])) ==
            0)
            return true;
    return false;
}

bool asgdi_csv_number(asgdi_csv_field f, double *x)
{
    /* before strtod() sees it: most words begin with no character of a number */
    if (f.begin == f.end || !strchr("+-.0123456789iInN", *f.begin)) return false;
    return asgdi_number(f.begin, f.end, x) == f.end;
}

bool asgdi_csv_decimal_comma(asgdi_csv_field f)
{
    double      x;
    const char *comma = asgdi_find(f.begin, f.end, ',');
    if (comma == f.end || comma + 1 == f.end) return false;
    for (const char *q = comma + 1; q < f.end; q++)
        if ((unsigned char)(*q - '0') > 9) return false;
    return asgdi_csv_number((asgdi_csv_field){.begin = f.begin, .end = comma}, &x);
}

size_t asgdi_csv_plain(asgdi_csv_field f, char *to)
{
    char *q = to;
    for (const char *p = f.begin; p < f.end; p++) {
        if (f.doubled && *p == '"') p++;
        *q++ = *p;
    }
    return (size_t)(q - to);
}

int asgdi_csv_compare(const char *a, size_t na, const char *b, size_t nb)
{
    int order = memcmp(a, b, na < nb ? na : nb);
    return order ? order : (na > nb) - (na < nb);
}

uint64_t asgdi_csv_line_of(const asgdi_csv *t, const char *p)
{
    uint64_t line = t->first_line;
    for (const char *q = t->first; q < p; q++) line += *q == '\n';
    return line;
}

/* Without the ways of writing one character in several (RFC 3629). */
bool asgdi_csv_utf8(const char *p, size_t n)
{
    const unsigned char *q = (const unsigned char *)p, *end = q + n;
    while (q < end) {
        unsigned char c    = *q++;
        unsigned      more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || (size_t)(end - q) < more) return false;
        if ((c == 0xe0 && *q < 0xa0) || (c == 0xed && *q > 0x9f) || (c == 0xf0 && *q < 0x90) ||
            (c == 0xf4 && *q > 0x8f))
            return false;
        for (; more > 0; more--)
            if ((*q++ & 0xc0) != 0x80) return false;
    }
    return true;
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const asgdi_csv_column *const *)a)->name,
                  (*(const asgdi_csv_column *const *)b)->name);
}

static void sort_names(asgdi_csv *t)
{
    for (uint32_t c = 0; c < t->columns; c++) t->by_name[c] = &t->column[c];
    qsort(t->by_name, t->columns, sizeof *t->by_name, by_name);
}

asgd_status asgdi_csv_names(asgdi_csv *t)
{
    char *number = t->names + t->names_bytes;
    for (uint32_t c = 0; c < t->columns; c++) {
        if (t->header && *t->column[c].name) continue;
        t->column[c].name = number;
        number += 1 + snprintf(number, NUMBER_BYTES, "%" PRIu32, c + 1);
    }
    sort_names(t);
    for (uint32_t c = 0; c < t->columns; c++) {
        const char *name = t->by_name[c]->name;
        if (!asgdi_csv_utf8(name, strlen(name)))
            return ASGD_FAIL(EFORMAT,
                             "%s:%" PRIu64 ": the name \"%s\" is not UTF-8; convert the file, "
                             "for instance with: iconv -f latin1 -t utf-8",
                             t->file, t->first_line, asgdi_show(name, name + strlen(name)).text);
        if (c == 0 || strcmp(t->by_name[c - 1]->name, name) != 0) continue;
        ptrdiff_t a = t->by_name[c - 1] - t->column, b = t->by_name[c] - t->column;
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": the header names two columns \"%s\", %td and %td; "
                         "rename one of them",
                         t->file, t->first_line, asgdi_show(name, name + strlen(name)).text,
                         1 + (a < b ? a : b), 1 + (a < b ? b : a));
    }
    return ASGD_OK;
}

asgdi_csv_column *asgdi_csv_find(const asgdi_csv *t, const char *name)
{
    asgdi_csv_column   key = {.name = name}, *at = &key;
    asgdi_csv_column **hit = bsearch(&at, t->by_name, t->columns, sizeof *t->by_name, by_name);
    return hit ? *hit : NULL;
}

/* ---- the first line ---- */

char asgdi_csv_delimiter(const char *p, const char *end, uint64_t *count)
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

static asgd_status take_fields(asgdi_csv *t, const char *p, const char *end)
{
    char    *to = t->names;
    uint32_t c  = 0;
    for (; c < t->columns; c++, p++) {
        asgdi_csv_field f;
        p = asgdi_csv_take(&f, p, end, t->delimiter);
        if (!p) break;
        t->column[c].name = to;
        to += asgdi_csv_plain(f, to);
        *to++ = 0;
        if (p == end) break;
    }
    if (!p || c + 1 != t->columns)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": a quote is not closed on this line, or something follows "
                         "it; write a field as \"...\"",
                         t->file, t->first_line);
    return ASGD_OK;
}

asgd_status asgdi_csv_first(asgdi_csv *t, const asgdi_text_setup *setup)
{
    const char *p = setup->head, *from, *to;
    t->file       = setup->name;
    t->end        = setup->end;
    if (!asgdi_csv_line(&p, t->end, &from, &to))
        return ASGD_FAIL(EFORMAT, "%s: holds no example; give a file with rows of values", t->file);
    t->first      = setup->head;
    t->first_line = setup->first_line;
    t->first_line = asgdi_csv_line_of(t, from);
    t->first      = from;
    t->rest       = p;
    if (memchr(from, 0, (size_t)(to - from)))
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": holds a NUL byte, so it is no text (or UTF-16); save it "
                         "as UTF-8 text",
                         t->file, t->first_line);
    uint64_t delimiters;
    t->delimiter = asgdi_csv_delimiter(from, to, &delimiters);
    if (delimiters == 0)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": has one column only; separate a label and features by "
                         "comma, semicolon or TAB",
                         t->file, t->first_line);
    if (delimiters >= ASGDI_CSV_COLUMNS)
        return ASGD_FAIL(EFORMAT,
                         "%s:%" PRIu64 ": has more than %d columns; use the libsvm format for so "
                         "wide data",
                         t->file, t->first_line, (int)ASGDI_CSV_COLUMNS);
    t->columns = (uint32_t)delimiters + 1;
    t->column  = asgdi_calloc(t->columns, sizeof *t->column);
    t->by_name = asgdi_calloc(t->columns, sizeof(asgdi_csv_column *));
    /* the fields, a zero byte after each, and behind them a number for each */
    t->names_bytes = (size_t)(to - from) + 1;
    t->names       = asgdi_calloc(t->names_bytes + (size_t)t->columns * NUMBER_BYTES, 1);
    if (!t->column || !t->by_name || !t->names)
        return ASGD_FAIL(ENOMEM, "%s: no memory for its header", t->file);
    ASGD_TRY(take_fields(t, from, to));
    sort_names(t);
    return ASGD_OK;
}

/* ---- the sample ---- */

static asgdi_csv_field first_field(const asgdi_csv *t, uint32_t c)
{
    const char *name = t->column[c].name;
    return (asgdi_csv_field){.begin = name, .end = name + strlen(name)};
}

static void sample_cell(const asgdi_csv *t, asgdi_csv_sample *s, uint32_t c, asgdi_csv_field f)
{
    double          x     = NAN;
    asgdi_csv_field first = first_field(t, c);
    if (asgdi_csv_compare(f.begin, (size_t)(f.end - f.begin), first.begin,
                          (size_t)(first.end - first.begin)) == 0)
        s->again[c] = 1;
    if (!asgdi_csv_missing(&f)) {
        if (asgdi_csv_number(f, &x) || asgdi_csv_decimal_comma(f))
            s->number[c] = 1;
        else
            s->word[c] = 1;
    }
    s->x[(size_t)c * s->room + s->rows] = x;
}

static void sample_line(const asgdi_csv *t, asgdi_csv_sample *s, const char *p, const char *end)
{
    if (asgdi_csv_count(t, p, end) != t->columns) return;
    for (uint32_t c = 0; c < t->columns; c++) {
        asgdi_csv_field f;
        p = asgdi_csv_take(&f, p, end, t->delimiter);
        sample_cell(t, s, c, f);
        if (p < end) p++;
    }
    s->rows++;
}

asgd_status asgdi_csv_sample_take(const asgdi_csv *t, asgdi_csv_sample *s)
{
    uint32_t most = SAMPLE_CELLS / t->columns;
    s->room       = 1 + (most > SAMPLE_ROWS ? most : (uint32_t)SAMPLE_ROWS);
    s->x          = asgdi_calloc((size_t)t->columns * s->room, sizeof *s->x);
    s->first      = asgdi_calloc(t->columns, 1);
    s->word       = asgdi_calloc(t->columns, 1);
    s->number     = asgdi_calloc(t->columns, 1);
    s->again      = asgdi_calloc(t->columns, 1);
    if (!s->x || !s->first || !s->word || !s->number || !s->again)
        return ASGD_FAIL(ENOMEM, "%s: no memory for a sample of its rows", t->file);
    for (uint32_t c = 0; c < t->columns; c++) {
        asgdi_csv_field f = first_field(t, c);
        double          x;
        bool            number = asgdi_csv_number(f, &x);
        s->first[c]            = !number && !asgdi_csv_missing(&f) && !asgdi_csv_decimal_comma(f);
        s->x[(size_t)c * s->room] = number ? x : NAN;
    }
    s->rows = 1;
    /* Line i is the one that begins at or after i/lines of the text.  Every line is taken where
     * lines are at least as long as that step, as they are in a short text. */
    size_t      bytes = (size_t)(t->end - t->rest), lines = s->room - 1u;
    const char *p = t->rest, *from, *to;
    for (size_t i = 0; i < lines && s->rows < s->room; i++) {
        const char *at = t->rest + (bytes / lines * i + bytes % lines * i / lines);
        if (bytes > 2 * (size_t)SAMPLE_CELLS && at > p) {
            const char *stop = memchr(at - 1, '\n', (size_t)(t->end - at + 1));
            p                = stop ? stop + 1 : t->end;
        }
        if (!asgdi_csv_line(&p, t->end, &from, &to)) break;
        sample_line(t, s, from, to);
    }
    return ASGD_OK;
}

void asgdi_csv_sample_free(asgdi_csv_sample *s)
{
    asgdi_free(s->x);
    asgdi_free(s->first);
    asgdi_free(s->word);
    asgdi_free(s->number);
    asgdi_free(s->again);
}

bool asgdi_csv_header(const asgdi_csv *t, const asgdi_csv_sample *s)
{
    bool names = true;
    for (uint32_t c = 0; c < t->columns; c++) {
        if (s->first[c] && s->number[c] && !s->word[c]) return true;
        names = names && isnan(s->x[(size_t)c * s->room]) && !s->again[c];
        names = names && (c == 0 || strcmp(t->by_name[c - 1]->name, t->by_name[c]->name) != 0);
    }
    return names;
}
