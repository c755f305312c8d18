/* source_libffm.c -- libFFM's text, one example a line (Juan, Zhuang, Chin and Lin 2016):
 *
 *     label field:feature:value field:feature:value ...
 *
 * Fields and features begin at 0 and come in any order; a feature that stands twice in a line has the
 * sum of its values, and the field that it has first.  Features are numbers or hashes below 2^32 - 1.
 * Empty lines are skipped. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/pairs.h"

typedef struct libffm {
    uint32_t limit; /* features from it on are unseen ones */
} libffm;

enum { MOST_DIGITS = 19 };
static const uint64_t most_feature = UINT32_MAX - 1;

static bool digits(const char *p, const char *end)
{
    if (p == end) return false;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p == end;
}

/* More than `most`; the text is digits. */
static bool too_large(const char *p, const char *end, uint64_t most)
{
    if (end - p > MOST_DIGITS) return true;
    while (p < end && *p == '0') p++;
    return end - p > 10 || (p < end && strtoull(p, NULL, 10) > most);
}

static asgd_status bad_entry(asgdi_text_part *k, const char *p, const char *end)
{
    const char *stop   = asgdi_token_end(p, end);
    asgdi_shown shown  = asgdi_show(p, stop);
    const char *colon  = memchr(p, ':', (size_t)(stop - p));
    const char *colon2 = colon ? memchr(colon + 1, ':', (size_t)(stop - colon - 1)) : NULL;
    if (!colon)
        return asgdi_text_fail(
            k, "\"%s\" is not field:feature:value; write it as for instance 3:57:1", shown.text);
    if (!colon2)
        return asgdi_text_fail(k,
                               "\"%s\" is a pair where field:feature:value is wanted; add the "
                               "field before or the value (1 where it only occurs) behind it",
                               shown.text);
    if (!digits(p, colon))
        return asgdi_text_fail(k, "\"%s\": the field is not a number from 0 up; number the fields",
                               shown.text);
    if (too_large(p, colon, ASGDI_FIELDS_MAX - 1))
        return asgdi_text_fail(k,
                               "\"%s\": fields go up to %d; number the fields from 0, a column of "
                               "the table each",
                               shown.text, (int)ASGDI_FIELDS_MAX - 1);
    if (!digits(colon + 1, colon2))
        return asgdi_text_fail(
            k, "\"%s\": the feature is not a number from 0 up; number the features", shown.text);
    if (too_large(colon + 1, colon2, most_feature))
        return asgdi_text_fail(k,
                               "\"%s\": features go up to %" PRIu64 "; number them anew, or hash "
                               "them to 32 bits",
                               shown.text, most_feature);
    return asgdi_bad_value(k, p, colon2 + 1, end);
}

/* Of [p, end); there is room for them. */
static asgd_status take_entries(const libffm *t, asgdi_text_part *k, const char *p, const char *end)
{
    asgdi_rows *r      = &k->rows;
    uint32_t   *idx    = r->idx + r->at;
    float      *val    = r->val + r->at;
    uint16_t   *fields = r->field + r->at;
    uint32_t    most = r->max_feature, widest = r->max_field;
    bool        valued = r->valued;
    size_t      n      = 0;
    for (;;) {
        float       x = 1;
        uint64_t    field, f;
        const char *q;
        p += *p == ' '; /* the usual one */
        if ((unsigned char)(*p - '0') > 9) {
            p = asgdi_skip_blanks(p, end);
            if (p == end || *p == '#') break;
        }
        if (p[1] == ':' && (unsigned char)(*p - '0') < 10) { /* most fields have a digit or two */
            field = (uint64_t)(*p - '0');
            q     = p + 1;
        } else if (p[2] == ':' && (unsigned char)(p[0] - '0') < 10 &&
                   (unsigned char)(p[1] - '0') < 10) {
            field = (uint64_t)(p[0] - '0') * 10 + (uint64_t)(p[1] - '0');
            q     = p + 2;
        } else {
            q = asgdi_digits(p, &field);
        }
        if (q == p || *q != ':' || q >= end || q - p > MOST_DIGITS || field >= ASGDI_FIELDS_MAX)
            return bad_entry(k, p, end);
        const char *feature = q + 1;
        q                   = asgdi_digits(feature, &f);
        if (q == feature || *q != ':' || q >= end || q - feature > MOST_DIGITS || f > most_feature)
            return bad_entry(k, p, end);
        if (asgdi_is_one(q)) {
            q += 2;
        } else {
            q = asgdi_pair_value(q + 1, end, &x);
            if (!q) return bad_entry(k, p, end);
            valued = valued || (x != 1 && f < t->limit);
        }
        p = q;
        if (f >= t->limit) {
            r->dropped++;
            continue;
        }
        idx[n]    = (uint32_t)f;
        val[n]    = x;
        fields[n] = (uint16_t)field;
        most      = (uint32_t)f > most ? (uint32_t)f : most;
        widest    = (uint32_t)field > widest ? (uint32_t)field : widest;
        n++;
    }
    r->max_feature = most;
    r->max_field   = widest;
    r->valued      = valued;
    r->any         = r->any || n > 0;
    r->at += n;
    return ASGD_OK;
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const libffm *t = self;
    float         y;
    p = asgdi_skip_blanks(p, end);
    if (p == end || *p == '#') return ASGD_OK;
    const char *q = asgdi_pair_value(p, end, &y);
    if (!q) return asgdi_bad_label(k, p, end);
    if (!asgdi_rows_begin(&k->rows, y, (uint64_t)(end - p) / 5 + 1)) return ASGD_ENOMEM;
    ASGD_TRY(take_entries(t, k, q, end));
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

static asgd_status begin(asgdi_text_setup *t)
{
    libffm *l = asgdi_calloc(1, sizeof *l);
    if (!l) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", t->name);
    l->limit   = t->o->features && !t->recipe ? t->o->features : UINT32_MAX;
    t->self    = l;
    t->fielded = true;
    return ASGD_OK;
}

static const asgdi_text_format format = {
    .name    = "libffm",
    .begin   = begin,
    .end     = asgdi_free,
    .line    = line,
    .sample  = "1 0:3:0.5 1:57:1",
    .numbers = true,
};

static asgd_status open_libffm(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &format);
}

static bool guess_libffm(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    return asgdi_pairs_guess(head, bytes, 2);
}

const asgdi_format asgdi_format_libffm = {"libffm", guess_libffm, open_libffm, &format};
