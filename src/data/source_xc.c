/* source_xc.c -- the text of the Extreme Classification Repository (Bhatia et al. 2016):
 *
 *     examples features labels                       the first line: how many there are of each
 *     label,label,... feature:value feature:value    an example a line
 *
 * Labels and features are numbers from 0 up, below those of the first line, in any order; a label
 * stands once in a line, a feature that stands twice has the sum of its values.  An example without
 * labels begins with a blank or at once with its first feature; a line without a single character is
 * none. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "data/pairs.h"

enum { MOST_DIGITS = 19, LABELS_MOST = 1 << 24 };

typedef struct xc {
    uint64_t examples, features, labels;
    uint64_t limit; /* features from it on are unseen ones */
} xc;

/* A whole number at p, which a character outside of a number ends before `end`; NULL: there is
 * none. */
static const char *whole_number(const char *p, const char *end, uint64_t *out)
{
    const char *q = p;
    for (*out = 0; q < end && (unsigned char)(*q - '0') < 10 && q - p < MOST_DIGITS; q++)
        *out = *out * 10 + (uint64_t)(*q - '0');
    return q > p && (q == end || (unsigned char)(*q - '0') >= 10) ? q : NULL;
}

/* The first line; returns where the second begins, NULL: they are not three numbers. */
static const char *read_first_line(const char *p, const char *end, xc *h)
{
    uint64_t *const to[] = {&h->examples, &h->features, &h->labels};
    const char     *stop = memchr(p, '\n', (size_t)(end - p));
    const char     *next = stop ? stop + 1 : end;
    if (!stop) stop = end;
    for (int i = 0; i < 3; i++) {
        p = whole_number(asgdi_skip_blanks(p, stop), stop, to[i]);
        if (!p || !asgdi_token_stops(p, stop)) return NULL;
    }
    return asgdi_skip_blanks(p, stop) == stop ? next : NULL;
}

/* ---- a line ---- */

static asgd_status bad_labels(asgdi_text_part *k, const char *p, const char *end)
{
    return asgdi_text_fail(
        k,
        "\"%s\" is neither labels nor feature:value; write labels as 3,17,21 and "
        "behind a blank features as 5:0.5",
        asgdi_show(p, asgdi_token_end(p, end)).text);
}

static asgd_status bad_entry(asgdi_text_part *k, const char *p, const char *end)
{
    const char *stop  = asgdi_token_end(p, end);
    const char *colon = memchr(p, ':', (size_t)(stop - p));
    uint64_t    f;
    if (stop == p) stop = p + 1; /* a '#' */
    if (!colon || whole_number(p, colon, &f) != colon)
        return asgdi_text_fail(k,
                               "\"%s\" is not feature:value, with the feature a number from 0 up; "
                               "write it as for instance 5:0.5",
                               asgdi_show(p, stop).text);
    return asgdi_bad_value(k, p, colon + 1, end);
}

/* Whether the labels of the line in hand, which do not increase, are different ones. */
static asgd_status check_twice(asgdi_text_part *k)
{
    const asgdi_rows *r = &k->rows;
    for (uint64_t i = r->labels + 1; i < r->label_at; i++)
        for (uint64_t j = r->labels; j < i; j++)
            if (r->label[j] == r->label[i])
                return asgdi_text_fail(k, "label %" PRIu32 " stands twice; keep it once",
                                       r->label[i]);
    return ASGD_OK;
}

/* "1,5,9"; *next: what follows. */
static asgd_status take_labels(const xc *t, asgdi_text_part *k, const char *p, const char *end,
                               const char **next)
{
    const char *first  = p;
    bool        sorted = true;
    for (uint64_t l, after = 0;; after = l + 1, p++) {
        const char *q = asgdi_digits(p, &l);
        if (q == p || q - p > MOST_DIGITS) return bad_labels(k, first, end);
        if (l >= t->labels)
            return asgdi_text_fail(k,
                                   "label %s, but the first line says %" PRIu64
                                   " labels, from 0 up; correct one of them",
                                   asgdi_show(p, q).text, t->labels);
        sorted = sorted && l >= after;
        if (!asgdi_rows_label(&k->rows, (uint32_t)l)) return ASGD_ENOMEM;
        p = q;
        if (p == end || *p != ',') break;
    }
    if (!asgdi_token_stops(p, end)) return bad_labels(k, first, end);
    *next = p;
    return sorted ? ASGD_OK : check_twice(k);
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const xc   *t    = self;
    const char *stop = asgdi_token_end(p, end);
    if (p == end) return ASGD_OK;
    if (!asgdi_rows_begin(&k->rows, 0, (uint64_t)(end - p) / 4 + 1)) return ASGD_ENOMEM;
    if (stop > p && !memchr(p, ':', (size_t)(stop - p))) ASGD_TRY(take_labels(t, k, p, end, &p));
    for (;;) {
        uint64_t f;
        float    x;
        p = asgdi_skip_blanks(p, end);
        if (p == end) break;
        const char *q = asgdi_digits(p, &f);
        if (q == p || q - p > MOST_DIGITS || *q != ':' || q >= end) return bad_entry(k, p, end);
        if (f >= t->features)
            return asgdi_text_fail(k,
                                   "feature %s, but the first line says %" PRIu64
                                   " features, from 0 up; correct one of them",
                                   asgdi_show(p, q).text, t->features);
        q = asgdi_pair_value(q + 1, end, &x);
        if (!q) return bad_entry(k, p, end);
        if (f < t->limit)
            asgdi_rows_entry(&k->rows, (uint32_t)f, 0, x);
        else
            k->rows.dropped++;
        p = q;
    }
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

/* ---- the whole ---- */

static asgd_status begin(asgdi_text_setup *t)
{
    xc *h = asgdi_calloc(1, sizeof *h);
    if (!h) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", t->name);
    t->self  = h;
    t->first = read_first_line(t->head, t->end, h);
    if (!t->first)
        return ASGD_FAIL(EFORMAT,
                         "%s:1: is not three numbers; begin with how many examples, features and "
                         "labels there are, for instance \"12920 500 983\"",
                         t->name);
    if (h->labels == 0 || h->labels > LABELS_MOST)
        return ASGD_FAIL(EFORMAT, "%s:1: says %" PRIu64 " labels; there may be 1 to %d", t->name,
                         h->labels, (int)LABELS_MOST);
    if (h->features == 0 || h->features > INT32_MAX)
        return ASGD_FAIL(EFORMAT, "%s:1: says %" PRIu64 " features; there may be 1 to %d", t->name,
                         h->features, (int)INT32_MAX);
    h->limit      = t->o->features && !t->recipe ? t->o->features : h->features;
    t->first_line = 2;
    t->label_sets = true;
    t->classes    = (uint32_t)h->labels;
    t->features   = (uint32_t)h->features;
    return ASGD_OK;
}

static const asgdi_text_format format = {
    .name    = "xc",
    .begin   = begin,
    .end     = asgdi_free,
    .line    = line,
    .sample  = "3,17 5:0.5 8:1",
    .numbers = true,
};

static const char *skip_bom(const char *p, const char *end)
{
    return end - p >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? p + 3 : p;
}

/* The first line is looked at here again, because data from the cache are counted too. */
static asgd_status open_xc(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    xc          h    = {0};
    const char *head = (const char *)in->data, *end = head + in->bytes;
    bool        known = head && read_first_line(skip_bom(head, end), end, &h);
    ASGD_TRY(asgdi_text_open(s, in, o, &format));
    if (known && s->schema.examples != h.examples)
        return ASGD_FAIL(EFORMAT,
                         "%s: has %" PRIu64 " examples, but its first line says %" PRIu64
                         "; %s, or correct the first line",
                         in->name, s->schema.examples, h.examples,
                         s->schema.examples < h.examples ? "fetch the whole file"
                                                         : "remove those that are too many");
    return ASGD_OK;
}

/* Three numbers, and then lines of which one of the first has a feature. */
static bool guess_xc(const char *path, const uint8_t *head, size_t bytes)
{
    enum { LINES_LOOKED_AT = 100 };
    (void)path;
    const char *end = (const char *)head + bytes, *p = skip_bom((const char *)head, end);
    xc          h;
    p = read_first_line(p, end, &h);
    for (int i = 0; p && p < end && i < LINES_LOOKED_AT; i++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        if (memchr(p, ':', (size_t)(stop - p))) return true;
        p = stop < end ? stop + 1 : end;
    }
    return false;
}

const asgdi_format asgdi_format_xc = {"xc", guess_xc, open_xc, &format};
