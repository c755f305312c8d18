/* source_libsvm.c -- LIBSVM's (and SVMlight's) text, one example a line:
 *
 *     label index:value index:value ...  [# comment]
 *
 * Indices begin at 1 and increase; feature f is index f-1 in memory.  Lines without anything but a
 * comment are skipped.  Where a line among the first 100 has several labels, "1,5,9", all lines have
 * sets of labels, perhaps empty ones: numbers from 0 up.  Every rule broken is an error with its line
 * (Chang and Lin 2011). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/pairs.h"

enum { LABEL_MOST = (1 << 24) - 1, LINES_LOOKED_AT = 100, MOST_DIGITS = 19 };

typedef struct libsvm {
    bool     label_sets;
    uint32_t limit; /* indices beyond it are unseen features */
} libsvm;

static asgd_status bad_entry(asgdi_text_part *k, const char *p, const char *end)
{
    const char *stop  = asgdi_token_end(p, end);
    asgdi_shown shown = asgdi_show(p, stop);
    const char *colon = memchr(p, ':', (size_t)(stop - p));
    if (stop - p >= 4 && memcmp(p, "qid:", 4) == 0)
        return asgdi_text_fail(k,
                               "\"%s\": ranking data (qid) are not supported; remove the qid "
                               "entries",
                               shown.text);
    if (!colon)
        return asgdi_text_fail(
            k, "\"%s\" is not an index:value pair; write it as for instance 3:0.5", shown.text);
    bool digits = colon > p;
    for (const char *q = p; q < colon; q++) digits = digits && *q >= '0' && *q <= '9';
    if (!digits)
        return asgdi_text_fail(k,
                               "\"%s\": the index before the colon is not a number from 1 up; "
                               "number the features",
                               shown.text);
    const char *first = p;
    while (p < colon && *p == '0') p++;
    if (p == colon)
        return asgdi_text_fail(k, "feature 0: indices begin at 1; add 1 to every index of this "
                                  "file (and of its test data)");
    if (colon - first > MOST_DIGITS || colon - p > 10 || strtoull(p, NULL, 10) > INT32_MAX)
        return asgdi_text_fail(k,
                               "feature %s: indices go up to 2147483647; number the features anew "
                               "or hash them",
                               asgdi_show(p, colon).text);
    if (memchr(colon + 1, ':', (size_t)(stop - colon - 1)))
        return asgdi_text_fail(k,
                               "\"%s\" has two colons where an index:value pair has one; is this "
                               "libffm text?",
                               shown.text);
    return asgdi_bad_value(k, first, colon + 1, end);
}

static asgd_status out_of_order(asgdi_text_part *k, uint64_t f, uint64_t after)
{
    if (f == after)
        return asgdi_text_fail(k, "feature %" PRIu64 " stands twice; add its values up", f);
    return asgdi_text_fail(k, "feature %" PRIu64 " after %" PRIu64 ": sort the features of a line",
                           f, after);
}

/* "1,5,9", or nothing before the first pair. */
static asgd_status take_labels(asgdi_text_part *k, const char *p, const char *end,
                               const char **next)
{
    const char *stop = asgdi_token_end(p, end);
    *next            = p;
    if (memchr(p, ':', (size_t)(stop - p))) return ASGD_OK;
    for (;; p++) {
        uint64_t    l = 0;
        const char *q = p;
        while (q < stop && (unsigned char)(*q - '0') < 10 && l <= LABEL_MOST)
            l = l * 10 + (uint64_t)(*q++ - '0');
        if (q == p || l > LABEL_MOST || (q < stop && *q != ','))
            return asgdi_text_fail(k,
                                   "labels \"%s\" are not whole numbers from 0 to %d; number the "
                                   "labels, with commas between them",
                                   asgdi_show(*next, stop).text, (int)LABEL_MOST);
        if (!asgdi_rows_label(&k->rows, (uint32_t)l)) return ASGD_ENOMEM;
        p = q;
        if (p == stop) break;
    }
    *next = stop;
    return ASGD_OK;
}

/* Of [p, end); there is room for them. */
static asgd_status take_entries(const libsvm *t, asgdi_text_part *k, const char *p, const char *end)
{
    asgdi_rows *r   = &k->rows;
    uint32_t   *idx = r->idx + r->at;
    float      *val = r->val + r->at;
    size_t      n   = 0;
    for (uint64_t f, after = 0;; after = f) {
        float x;
        p += *p == ' '; /* the usual one */
        const char *q = asgdi_digits(p, &f);
        if (asgdi_is_one(q) && f > after && f <= t->limit && q - p <= MOST_DIGITS) {
            idx[n]   = (uint32_t)f - 1;
            val[n++] = 1;
            p        = q + 2;
            continue;
        }
        p = asgdi_skip_blanks(p, end);
        if (p == end || *p == '#') break;
        q = asgdi_digits(p, &f);
        if (f == 0 || f > INT32_MAX || q - p > MOST_DIGITS || *q != ':' || q >= end)
            return bad_entry(k, p, end);
        q = asgdi_pair_value(q + 1, end, &x);
        if (!q) return bad_entry(k, p, end);
        if (f <= after) return out_of_order(k, f, after);
        p = q;
        if (f > t->limit) {
            r->dropped++;
            continue;
        }
        idx[n]    = (uint32_t)f - 1;
        val[n++]  = x;
        r->valued = r->valued || x != 1;
    }
    if (n > 0 && idx[n - 1] > r->max_feature) r->max_feature = idx[n - 1];
    r->any = r->any || n > 0;
    r->at += n;
    return ASGD_OK;
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const libsvm *t = self;
    float         y = 0;
    const char   *q;
    p = asgdi_skip_blanks(p, end);
    if (p == end || *p == '#') return ASGD_OK;
    if (!t->label_sets) {
        q = asgdi_pair_value(p, end, &y);
        if (!q) return asgdi_bad_label(k, p, end);
        p = q;
    }
    if (!asgdi_rows_begin(&k->rows, y, (uint64_t)(end - p) / 3 + 1)) return ASGD_ENOMEM;
    if (t->label_sets) ASGD_TRY(take_labels(k, p, end, &p));
    ASGD_TRY(take_entries(t, k, p, end));
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

/* ---- the whole ---- */

/* Whether one of the first lines has a comma in its label. */
static bool has_sets(const char *p, const char *end)
{
    for (int i = 0; i < LINES_LOOKED_AT && p < end; i++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        p             = asgdi_skip_blanks(p, stop);
        const char *q = asgdi_token_end(p, stop);
        if (memchr(p, ',', (size_t)(q - p)) && !memchr(p, ':', (size_t)(q - p))) return true;
        p = stop < end ? stop + 1 : end;
    }
    return false;
}

static asgd_status begin(asgdi_text_setup *t)
{
    libsvm *l = asgdi_calloc(1, sizeof *l);
    if (!l) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", t->name);
    l->label_sets = t->recipe ? json_is_true(json_object_get(t->recipe, "label_sets"))
                              : has_sets(t->head, t->end);
    l->limit      = t->o->features && !t->recipe ? t->o->features : INT32_MAX;
    t->self       = l;
    t->label_sets = l->label_sets;
    return ASGD_OK;
}

static json_t *recipe(const void *self)
{
    return json_pack("{s:b}", "label_sets", ((const libsvm *)self)->label_sets);
}

static const asgdi_text_format format = {
    .name         = "libsvm",
    .begin        = begin,
    .end          = asgdi_free,
    .recipe       = recipe,
    .line         = line,
    .sample       = "1 3:0.5 7:1",
    .numbers      = true,
    .first_number = 1,
};

static asgd_status open_libsvm(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &format);
}

static bool guess_libsvm(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    return asgdi_pairs_guess(head, bytes, 1);
}

const asgdi_format asgdi_format_libsvm = {"libsvm", guess_libsvm, open_libsvm, &format};
