/* source_vw.c -- Vowpal Wabbit's text (Langford, Li and Strehl 2007), one example a line:
 *
 *     [label [importance]] ['tag]|namespace[:weight] name[:value] name ... |namespace ...
 *
 * Blanks and TABs part tokens.  A token that touches the first '|', or begins with ', is a tag and is
 * skipped.  Names hold any bytes but blank, TAB, ':', '|', zero and line ends; that of a namespace may
 * be empty.  With h the hash of encoding.h, a feature, and the product of two, are
 *
 *     H(feature) = h(name, h(namespace, 0))     H(a, b) = asgdi_hash_pair(H(a), H(b))
 *
 * of which the highest bits are kept; a name that is a number is hashed like any other.  Values are
 * 1 where none is given, times the namespace's weight; that of a product is the product.  Fields are
 * namespaces, in the order in which the head of the file names them first; all that it does not name
 * share one field more.  There is no constant feature: models have a bias.
 *
 * Parsing is one pass over the marks of vw_scan.h. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "data/number.h"
#include "data/vw.h"
#include "data/vw_scan.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static const char *token_end(const char *p, const char *end)
{
    while (p < end && !is_blank(*p) && *p != '|') p++;
    return p;
}

/* ---- what stands before the first '|' ---- */

static bool take_number(const char *p, const char *end, float *x)
{
    double v;
    if (asgdi_number(p, end, &v) != end || !isfinite((float)v)) return false;
    *x = (float)v;
    return true;
}

static asgd_status no_label(asgdi_text_part *k, const char *tag, const char *bar)
{
    if (tag < bar && *tag != '\'')
        return asgdi_text_fail(k,
                               "\"%s\" touches the \"|\", so it is a tag, and the line has no "
                               "label; put a blank before the \"|\"",
                               asgdi_show(tag, bar).text);
    return asgdi_text_fail(k, "has no label before the \"|\"; begin the line with one, as in "
                              "\"1 |A cat\" (only data to predict may lack it)");
}

static asgd_status bad_head(asgdi_text_part *k, int numbers, const char *p, const char *end)
{
    static const char *const what[] = {"label", "importance"};
    asgdi_shown              shown  = asgdi_show(p, end);
    double                   v;
    if (numbers == 2)
        return asgdi_text_fail(k,
                               "\"%s\" follows label and importance: a base (an initial "
                               "prediction) is not supported; remove it, or write 'TAG for a tag",
                               shown.text);
    if (numbers == 1 && asgdi_number(p, end, &v) == end && v < 0)
        return asgdi_text_fail(k, "importance %s is negative; weights are 0 or more", shown.text);
    if (asgdi_number(p, end, &v) == end)
        return asgdi_text_fail(k,
                               "%s \"%s\" is not finite as a 32-bit float; correct or remove "
                               "this line",
                               what[numbers], shown.text);
    return asgdi_text_fail(k, "%s \"%s\" is not a number; write \"LABEL IMPORTANCE 'TAG |...\"",
                           what[numbers], shown.text);
}

/* Label, importance and tag of [p, bar). */
static asgd_status take_head(const asgdi_vw *t, asgdi_text_part *k, const char *p, const char *bar,
                             float *y, float *weight)
{
    float number[2] = {t->absent, 1};
    int   numbers   = 0;
    for (;;) {
        while (p < bar && is_blank(*p)) p++;
        const char *stop = token_end(p, bar);
        if (stop == bar || *p == '\'') break; /* nothing, or a tag */
        if (numbers == 2 || !take_number(p, stop, &number[numbers]))
            return bad_head(k, numbers, p, stop);
        if (numbers == 1 && number[1] < 0) return bad_head(k, numbers, p, stop);
        numbers++;
        p = stop;
    }
    if (numbers == 0 && !t->lenient) return no_label(k, p, bar);
    const char *stop = token_end(p, bar);
    while (stop < bar && is_blank(*stop)) stop++;
    if (stop < bar)
        return asgdi_text_fail(k,
                               "\"%s\" follows a tag; write \"LABEL IMPORTANCE 'TAG |...\", a tag "
                               "without a blank",
                               asgdi_show(stop, token_end(stop, bar)).text);
    *y      = number[0];
    *weight = number[1];
    return ASGD_OK;
}

/* ---- features ---- */

static asgd_status nul_byte(asgdi_text_part *k)
{
    return asgdi_text_fail(k,
                           "holds a NUL byte, so it is no text or damaged; make the file anew, or "
                           "remove it with: tr -d '\\000'");
}

/* Of a token whose name begins at p; q is where reading stopped. */
static asgd_status bad_token(asgdi_text_part *k, const char *what, const char *p, const char *q,
                             const char *end)
{
    const char *stop  = token_end(q, end);
    asgdi_shown shown = asgdi_show(p, stop);
    const char *colon = memchr(p, ':', (size_t)(stop - p));
    double      v;
    if (memchr(p, 0, (size_t)(stop - p))) return nul_byte(k);
    if (colon == p)
        return asgdi_text_fail(k, "\"%s\" has no name before the \":\"; write NAME:%s", shown.text,
                               what);
    if (colon && colon + 1 < stop && asgdi_number(colon + 1, stop, &v) == stop)
        return asgdi_text_fail(k,
                               "\"%s\": the %s is not finite as a 32-bit float; correct or "
                               "remove it",
                               shown.text, what);
    return asgdi_text_fail(k,
                           "\"%s\": the %s after the \":\" is not a number; correct it (names "
                           "cannot hold a \":\")",
                           shown.text, what);
}

/* The namespace of this name, perhaps in *room. */
static const asgdi_vw_space *find_space(const asgdi_vw *t, const char *p, const char *end,
                                        asgdi_vw_space *room)
{
    if (end == p + 1) return &t->short_name[(unsigned char)*p];
    if (end == p) return &t->nameless;
    const uint64_t hash = asgdi_vw_hash(p, (size_t)(end - p), 0);
    *room = (asgdi_vw_space){hash, (uint16_t)asgdi_vw_find(t, hash), t->letter[(unsigned char)*p]};
    return room;
}

/* Takes entries begin .. begin + n - 1 as features of a letter; w->range has room. */
static void add_to_group(asgdi_vw_work *w, uint32_t letter, uint32_t begin, uint32_t n)
{
    asgdi_vw_group *g = &w->group[letter];
    asgdi_vw_range  r = {begin, n, 0};
    if (g->n == 0) {
        *g = (asgdi_vw_group){n, 0, r};
        return;
    }
    w->range[w->ranges++]                                = r;
    (g->last ? &w->range[g->last - 1] : &g->first)->next = w->ranges;
    g->last                                              = w->ranges;
    g->n += n;
}

/* The number behind the ':' at *q, times a scale; *q is then what ends it.  false: there is none, it
 * is not finite, or a ':' follows. */
static inline bool take_value(asgdi_vw_scan *s, const char **q, float scale, float *x)
{
    const char *p = *q + 1;
    double      v;
    *q = asgdi_vw_scan_next(s);
    if (**q == ':' || asgdi_number(p, *q, &v) != *q) return false;
    *x = (float)(v * (double)scale);
    return isfinite(*x);
}

/* Of [p, end), which begins behind the first '|'; there is room for them. */
static asgd_status take_features(const asgdi_vw *t, asgdi_text_part *k, asgdi_vw_work *w,
                                 const char *p, const char *end)
{
    asgdi_rows    *r     = &k->rows;
    uint32_t      *idx   = r->idx + r->at;
    float         *val   = r->val + r->at;
    uint16_t      *field = r->field + r->at;
    uint64_t      *hash  = w->hash;
    asgdi_vw_span *span  = k->names ? w->span : NULL;
    const uint32_t shift = 64 - t->bits;
    uint32_t       most  = r->max_feature;
    size_t         n     = 0;
    asgdi_vw_scan  s     = asgdi_vw_scan_begin(p, end);
    asgdi_vw_space room;
    for (;;) {
        const char           *name = p, *q = asgdi_vw_scan_next(&s), *name_end = q;
        const asgdi_vw_space *space = find_space(t, p, q, &room);
        const uint64_t        seed  = space->hash;
        const uint16_t        f     = space->field;
        const size_t          begin = n;
        float                 scale = 1;
        if (*q == ':') {
            if (name == name_end || !take_value(&s, &q, 1, &scale))
                return bad_token(k, "weight", name, q, end);
            r->valued = r->valued || scale != 1;
        }
        while (*q == ' ' || *q == '\t') {
            p = q + 1;
            q = asgdi_vw_scan_next(&s);
            if (q == p) { /* several blanks */
                if (*q == ':') return bad_token(k, "value", p, q, end);
                continue;
            }
            const uint64_t h       = asgdi_vw_hash(p, (size_t)(q - p), seed);
            const uint32_t feature = (uint32_t)(h >> shift);
            if (span) span[n] = (asgdi_vw_span){name, name_end, p, q};
            idx[n]   = feature;
            val[n]   = scale;
            field[n] = f;
            hash[n]  = h;
            most     = feature > most ? feature : most;
            if (*q == ':') {
                if (!take_value(&s, &q, scale, &val[n])) return bad_token(k, "value", p, q, end);
                r->valued = r->valued || val[n] != 1;
            }
            n++;
        }
        if (n > begin) {
            if (f > r->max_field) r->max_field = f;
            if (space->letter != ASGDI_VW_NONE)
                add_to_group(w, space->letter, (uint32_t)begin, (uint32_t)(n - begin));
        }
        if (q == end) break;
        if (*q != '|') return nul_byte(k);
        p = q + 1;
    }
    r->max_feature = most;
    r->any         = r->any || n > 0;
    r->at += n;
    return ASGD_OK;
}

/* ---- lines ---- */

static asgdi_vw_work *work_new(const asgdi_vw *t)
{
    asgdi_vw_work *w = asgdi_calloc(1, sizeof *w);
    if (!w) return NULL;
    w->group = asgdi_calloc(t->n_letters, sizeof *w->group);
    if (w->group) return w;
    asgdi_free(w);
    return NULL;
}

static void part_end(asgdi_text_part *k)
{
    asgdi_vw_work *w = k->scratch;
    if (!w) return;
    asgdi_free(w->hash);
    asgdi_free(w->span);
    asgdi_free(w->range);
    asgdi_free(w->group);
    asgdi_free(w);
    k->scratch = NULL;
}

/* For `most` features. */
static bool make_room(asgdi_text_part *k, asgdi_vw_work *w, uint64_t most)
{
    if (!asgdi_grow((void **)&w->range, &w->room_range, most, sizeof *w->range) ||
        (k->names && !asgdi_grow((void **)&w->span, &w->room_span, most, sizeof *w->span)) ||
        !asgdi_grow((void **)&w->hash, &w->room_hash, most, sizeof *w->hash))
        return false;
    w->room = most;
    return true;
}

/* "1 |" or "-1 |", any digit; returns the '|', or NULL where the line begins otherwise. */
static const char *take_short_head(const char *p, float *y)
{
    int negative = *p == '-';
    p += negative;
    uint32_t digit = (uint32_t)((unsigned char)*p - '0');
    if (digit > 9 || p[1] != ' ' || p[2] != '|') return NULL;
    *y = (float)(negative ? -(int)digit : (int)digit);
    return p + 2;
}

static asgd_status line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const asgdi_vw *t = self;
    asgdi_vw_work  *w = k->scratch;
    if (!w && !(k->scratch = w = work_new(t))) return ASGD_ENOMEM;

    float       y = 0, weight = 1;
    const char *bar = take_short_head(p, &y);
    if (!bar) {
        while (p < end && is_blank(*p)) p++;
        if (p == end) return ASGD_OK;
        bar = memchr(p, '|', (size_t)(end - p));
        if (!bar)
            return asgdi_text_fail(k, "has no \"|\" before its features; write it as for instance "
                                      "\"1 |A cat dog\"");
        ASGD_TRY(take_head(t, k, p, bar, &y, &weight));
    }
    uint64_t most = (uint64_t)(end - bar) / 2 + 1;
    if (most > w->room && !make_room(k, w, most)) return ASGD_ENOMEM;
    if (!asgdi_rows_begin(&k->rows, y, most)) return ASGD_ENOMEM;
    if (weight != 1) asgdi_rows_weight(&k->rows, weight);
    for (uint32_t i = 0; i < t->n_letters; i++) w->group[i].n = 0;
    w->ranges = 0;
    ASGD_TRY(take_features(t, k, w, bar + 1, end));
    if (k->names) asgdi_vw_name(w, k);
    if (t->n_pairs > 0) ASGD_TRY(asgdi_vw_multiply(t, w, k));
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

/* ---- the whole ---- */

static asgd_status begin(asgdi_text_setup *s)
{
    asgdi_vw *t = asgdi_calloc(1, sizeof *t);
    if (!t) return ASGD_FAIL(ENOMEM, "%s: no memory to read it", s->name);
    s->self    = t;
    s->fielded = true;
    s->hashed  = true;
    return asgdi_vw_setup(t, s);
}

static void end_vw(void *self)
{
    asgdi_vw_free(self);
    asgdi_free(self);
}

static json_t *recipe(const void *self)
{
    return asgdi_vw_recipe(self);
}

static const asgdi_text_format format = {
    .name     = "vw",
    .begin    = begin,
    .end      = end_vw,
    .recipe   = recipe,
    .line     = line,
    .part_end = part_end,
    .sample   = "1 |A cat dog |B fish:0.5",
};

static asgd_status open_vw(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &format);
}

/* Numbers for label and importance, perhaps a tag, and a '|'. */
static bool guess_line(const char *p, const char *end)
{
    const char *bar     = memchr(p, '|', (size_t)(end - p));
    int         numbers = 0;
    float       x;
    if (!bar || memchr(p, 0, (size_t)(end - p))) return false;
    for (;; numbers++) {
        while (p < bar && is_blank(*p)) p++;
        const char *stop = token_end(p, bar);
        if (stop == bar || *p == '\'' || numbers == 2 || !take_number(p, stop, &x)) break;
        p = stop;
    }
    return numbers > 0 && (p == bar || *p == '\'' || token_end(p, bar) == bar);
}

/* Every line there is has a label and a '|'; the last may be cut off. */
static bool guess_vw(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    const char *p = (const char *)head, *end = p + bytes;
    uint32_t    lines = 0;
    if (bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end && lines < 10) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop && lines > 0) break;
        if (!stop) stop = end;
        if (stop > p && !(stop == p + 1 && *p == '\r')) {
            if (!guess_line(p, stop)) return false;
            lines++;
        }
        p = stop < end ? stop + 1 : end;
    }
    return lines > 0;
}

const asgdi_format asgdi_format_vw = {"vw", guess_vw, open_vw, &format};
