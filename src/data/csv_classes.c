/* csv_classes.c -- labels that are names: class c is the c-th in the order of their bytes, so that
 * N, no and false are class 0 of N/Y, no/yes and false/true.
 *
 * All of the text is searched, in parts, as a class that only the end of a file has would otherwise
 * be an error there.  Each part keeps the names that it met, sorted; few are expected. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/csv.h"
#include "base/parallel.h"

enum { GRAIN = 1 << 20 };

typedef struct part {
    const asgdi_csv *t;
    const char      *begin, *end;
    asgdi_csv_field  name[ASGDI_CSV_CLASSES + 1]; /* sorted */
    uint32_t         n;
} part;

static void meet(part *k, asgdi_csv_field f)
{
    uint32_t lo = 0, hi = k->n;
    while (lo < hi) {
        uint32_t        mid   = lo + (hi - lo) / 2;
        asgdi_csv_field other = k->name[mid];
        int             order = asgdi_csv_compare(f.begin, (size_t)(f.end - f.begin), other.begin,
                                                  (size_t)(other.end - other.begin));
        if (order == 0) return;
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    memmove(k->name + lo + 1, k->name + lo, (k->n - lo) * sizeof *k->name);
    k->name[lo] = f;
    k->n++;
}

static void search(void *ctx, uint32_t i)
{
    part            *k     = &((part *)ctx)[i];
    const asgdi_csv *t     = k->t;
    uint32_t         label = (uint32_t)(t->label - t->column);
    const char      *p     = k->begin, *from, *to;
    while (k->n <= ASGDI_CSV_CLASSES && asgdi_csv_line(&p, k->end, &from, &to)) {
        asgdi_csv_field f = {0};
        uint32_t        c = 0;
        for (; (from = asgdi_csv_take(&f, from, to, t->delimiter)) && c < label && from < to; c++)
            from++;
        if (from && c == label && !asgdi_csv_missing(&f)) meet(k, f);
    }
}

/* ---- the result ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static asgd_status check(const asgdi_csv *t, asgdi_csv_field f)
{
    size_t n = (size_t)(f.end - f.begin);
    if (asgdi_csv_utf8(f.begin, n) && !memchr(f.begin, 0, n)) return ASGD_OK;
    return ASGD_FAIL(EFORMAT,
                     "%s:%" PRIu64 ": the label \"%s\" is not UTF-8 text; convert the file, for "
                     "instance with: iconv -f latin1 -t utf-8",
                     t->file, asgdi_csv_line_of(t, f.begin), asgdi_show(f.begin, f.end).text);
}

static asgd_status join(asgdi_csv *t, const part *k, uint32_t parts)
{
    size_t n = 0, bytes = 0;
    for (uint32_t i = 0; i < parts; i++)
        for (uint32_t j = 0; j < k[i].n; j++, n++) {
            ASGD_TRY(check(t, k[i].name[j]));
            bytes += (size_t)(k[i].name[j].end - k[i].name[j].begin) + 1;
        }
    t->classes    = asgdi_calloc(n, sizeof *t->classes);
    t->class_text = asgdi_calloc(bytes, 1);
    if (!t->classes || !t->class_text)
        return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", t->file);
    char *to = t->class_text;
    n        = 0;
    for (uint32_t i = 0; i < parts; i++)
        for (uint32_t j = 0; j < k[i].n; j++) {
            t->classes[n++] = to;
            to += asgdi_csv_plain(k[i].name[j], to) + 1;
        }
    qsort(t->classes, n, sizeof *t->classes, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(t->classes[i], t->classes[t->n_classes - 1]) != 0)
            t->classes[t->n_classes++] = t->classes[i];
    return ASGD_OK;
}

asgd_status asgdi_csv_classes(asgdi_csv *t, uint32_t threads)
{
    const char *begin = t->header ? t->rest : t->first;
    size_t      bytes = (size_t)(t->end - begin);
    uint32_t    parts = asgdi_parts(threads, bytes, GRAIN);
    part       *k     = asgdi_calloc(parts, sizeof *k);
    if (!k) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", t->file);
    for (uint32_t i = 0; i < parts; i++) {
        const char *end = begin + asgdi_part(bytes, parts, i + 1);
        k[i].t          = t;
        k[i].begin      = i ? k[i - 1].end : begin;
        if (end < k[i].begin) end = k[i].begin; /* a line longer than a part */
        const char *line = memchr(end, '\n', (size_t)(t->end - end));
        k[i].end         = line ? line + 1 : t->end;
    }
    asgdi_parallel(parts, search, k);
    asgd_status s = join(t, k, parts);
    asgdi_free(k);
    if (s != ASGD_OK) return s;
    char list[360];
    asgdi_csv_list(t, "", list, sizeof list);
    if (t->n_classes > ASGDI_CSV_CLASSES)
        return ASGD_FAIL(EFORMAT,
                         "%s: column \"%s\" would be the label but holds more than %d different "
                         "names; choose another as the label: its columns are %s",
                         t->file, asgdi_csv_show(t->label).text, (int)ASGDI_CSV_CLASSES, list);
    if (t->n_classes < 2)
        return ASGD_FAIL(EFORMAT,
                         "%s: column \"%s\" would be the label but has %s; choose another as the "
                         "label (its columns are %s), or give data with two labels",
                         t->file, asgdi_csv_show(t->label).text,
                         t->n_classes ? "the same name on all lines" : "no value on any line",
                         list);
    return ASGD_OK;
}
