/* vw_setup.c -- the namespaces of Vowpal Wabbit text and which of them are multiplied.
 *
 * Parts of a text are parsed at once, so the order of first appearance is that of its head, HEAD
 * bytes.  The recipe is {"namespaces": [...], "interactions": [...]}, the latter two characters
 * each; in both, bytes that are not printable ASCII, blank and % are written as %XX.
 *
 * Interactions are pairs of first characters, "AB,CD"; ':' stands for every one that the head has.
 * As in Vowpal Wabbit, a pair that is there, in either order, is not added again. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data/vw.h"

enum { HEAD = 1 << 20, SLOTS = 2 * (ASGDI_VW_NAMESPACES + 1) };

/* ---- namespaces ---- */

static asgd_status no_memory(const asgdi_text_setup *s)
{
    return ASGD_FAIL(ENOMEM, "%s: no memory to read it", s->name);
}

/* Does nothing where it is known, or there are too many. */
static asgd_status add_namespace(asgdi_vw *t, const asgdi_text_setup *s, const char *p, size_t n)
{
    uint64_t hash = asgdi_hash(p, n, 0);
    if (t->n_names == ASGDI_VW_NAMESPACES || asgdi_vw_find(t, hash) < t->n_names) return ASGD_OK;
    char *copy = asgdi_calloc(n + 1, 1);
    if (!copy) return no_memory(s);
    memcpy(copy, p, n);
    uint32_t at = (uint32_t)(hash >> 32) & t->mask, i = t->n_names++;
    while (t->slot[at]) at = (at + 1) & t->mask;
    t->slot[at] = i + 1;
    t->name[i]  = copy;
    t->hash[i]  = hash;
    return ASGD_OK;
}

static asgd_status scan_head(asgdi_vw *t, const asgdi_text_setup *s)
{
    const char *p = s->first, *end = s->end - p > HEAD ? p + HEAD : s->end;
    while ((p = memchr(p, '|', (size_t)(end - p)))) {
        const char *q = ++p;
        while (q < end && !strchr(" \t:|\n", *q)) q++; /* a zero byte ends it, too */
        if (q == end && end < s->end) break;
        if (q > p && q[-1] == '\r' && (q == end || *q == '\n')) q--;
        ASGD_TRY(add_namespace(t, s, p, (size_t)(q - p)));
    }
    return ASGD_OK;
}

/* "A, B, ..." for a message. */
static void list_namespaces(const asgdi_vw *t, char *buf, size_t bytes)
{
    size_t at = 0;
    buf[0]    = 0;
    for (uint32_t i = 0; i < t->n_names; i++) {
        if (at + 50 > bytes) {
            snprintf(buf + at, bytes - at, ", ...");
            break;
        }
        const char *name = t->name[i];
        at += (size_t)snprintf(buf + at, bytes - at, "%s%s", i ? ", " : "",
                               *name ? asgdi_show(name, name + strlen(name)).text : "\"\"");
    }
}

/* ---- pairs ---- */

static unsigned char first_character(const char *name)
{
    return (unsigned char)(*name ? *name : ' ');
}

static uint16_t letter_of(asgdi_vw *t, unsigned char c)
{
    if (t->letter[c] == ASGDI_VW_NONE) {
        t->character[t->n_letters] = c;
        t->letter[c]               = (uint16_t)t->n_letters++;
    }
    return t->letter[c];
}

static bool add_pair(asgdi_vw *t, unsigned char a, unsigned char b)
{
    if (t->paired[a][b]) return true;
    if (!asgdi_grow((void **)&t->pair, &t->room_pairs, t->n_pairs + 1, sizeof *t->pair))
        return false;
    uint16_t x = letter_of(t, a), y = letter_of(t, b);
    t->pair[t->n_pairs++] = (asgdi_vw_pair){x, y};
    t->paired[a][b] = t->paired[b][a] = true;
    return true;
}

/* The characters that c stands for, those of the namespaces where it is ':'. */
static uint32_t expand(const asgdi_vw *t, unsigned char c, unsigned char list[256])
{
    bool     seen[256] = {false};
    uint32_t n         = 0;
    if (c != ':') {
        list[0] = c;
        return 1;
    }
    for (uint32_t i = 0; i < t->n_names; i++) {
        unsigned char first = first_character(t->name[i]);
        if (!seen[first]) list[n++] = first;
        seen[first] = true;
    }
    return n;
}

/* Whether some namespace begins with c, be it far behind the head. */
static bool occurs(const asgdi_vw *t, const asgdi_text_setup *s, unsigned char c)
{
    for (uint32_t i = 0; i < t->n_names; i++)
        if (first_character(t->name[i]) == c) return true;
    const char *p = s->first;
    while ((p = memchr(p, '|', (size_t)(s->end - p))))
        if (++p < s->end && (unsigned char)*p == c) return true;
    return false;
}

static asgd_status check_letter(const asgdi_vw *t, const asgdi_text_setup *s, unsigned char c)
{
    if (c == ':' || s->recipe || t->n_names == 0 || occurs(t, s, c)) return ASGD_OK;
    char list[300];
    list_namespaces(t, list, sizeof list);
    return ASGD_FAIL(EINVAL,
                     "%s: no namespace begins with \"%s\", which is to be multiplied; the "
                     "namespaces seen are %s",
                     s->name, asgdi_show((const char *)&c, (const char *)&c + 1).text, list);
}

/* "AB,CD" or "AB CD" */
static asgd_status take_interactions(asgdi_vw *t, const asgdi_text_setup *s, const char *p)
{
    for (;;) {
        p += strspn(p, ", ");
        if (!*p) return ASGD_OK;
        const char          *stop = p + strcspn(p, ", ");
        const unsigned char *two  = (const unsigned char *)p;
        if (stop - p != 2)
            return ASGD_FAIL(EINVAL,
                             "%s: interaction \"%s\": name two namespaces by their first "
                             "characters, as in \"AB,CD\"; \":\" stands for all",
                             s->name, asgdi_show(p, stop).text);
        ASGD_TRY(check_letter(t, s, two[0]));
        ASGD_TRY(check_letter(t, s, two[1]));
        unsigned char a[256], b[256];
        uint32_t      na = expand(t, two[0], a), nb = expand(t, two[1], b);
        for (uint32_t i = 0; i < na; i++)
            for (uint32_t j = 0; j < nb; j++)
                if (!add_pair(t, a[i], b[j])) return no_memory(s);
        p = stop;
    }
}

/* ---- the recipe ---- */

/* Bytes as printable ASCII. */
static json_t *escaped(const char *p, size_t n)
{
    char *text = asgdi_calloc(3 * n + 1, 1), *to = text;
    if (!text) return NULL;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c > ' ' && c < 127 && c != '%')
            *to++ = (char)c;
        else
            to += snprintf(to, 4, "%%%02X", c);
    }
    json_t *j = json_string(text);
    asgdi_free(text);
    return j;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The reverse; a new string of *n bytes, or NULL: it is none, or there is no memory. */
static char *unescaped(const json_t *j, size_t *n)
{
    const char *p = json_string_value(j);
    if (!p) return NULL;
    char *text = asgdi_calloc(strlen(p) + 1, 1), *to = text;
    if (!text) return NULL;
    for (; *p; p++) {
        int c = (unsigned char)*p;
        if (c == '%') {
            int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);
            c = low < 0 ? 0 : high * 16 + low;
            if (c == 0) {
                asgdi_free(text);
                return NULL;
            }
            p += 2;
        }
        *to++ = (char)c;
    }
    *n = (size_t)(to - text);
    return text;
}

static asgd_status bad_recipe(const asgdi_text_setup *s, const char *what)
{
    return ASGD_FAIL(EMISMATCH,
                     "%s: the encoding does not say %s; give that of a model trained on vw data",
                     s->name, what);
}

static asgd_status follow_namespaces(asgdi_vw *t, const asgdi_text_setup *s)
{
    static const char what[] = "which namespaces there are";
    const json_t     *list   = json_object_get(s->recipe, "namespaces");
    if (!json_is_array(list)) return bad_recipe(s, what);
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t      n;
        char       *name = unescaped(json_array_get(list, i), &n);
        asgd_status status =
            name && !strpbrk(name, " \t:|\n") ? add_namespace(t, s, name, n) : bad_recipe(s, what);
        asgdi_free(name);
        ASGD_TRY(status);
        if (t->n_names != i + 1) return bad_recipe(s, what); /* twice, or too many */
    }
    return ASGD_OK;
}

static asgd_status follow_interactions(asgdi_vw *t, const asgdi_text_setup *s)
{
    static const char what[] = "which namespaces are multiplied";
    const json_t     *list   = json_object_get(s->recipe, "interactions");
    if (!json_is_array(list)) return bad_recipe(s, what);
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t n   = 0;
        char  *two = unescaped(json_array_get(list, i), &n);
        bool   ok = two && n == 2, added = false;
        if (ok) added = add_pair(t, (unsigned char)two[0], (unsigned char)two[1]);
        asgdi_free(two);
        if (!ok) return bad_recipe(s, what);
        if (!added) return no_memory(s);
    }
    return ASGD_OK;
}

/* Interactions that are given beside a recipe must be among its own. */
static asgd_status compare_interactions(asgdi_vw *t, const asgdi_text_setup *s)
{
    const char *given = s->o->interactions;
    if (!given || !*given) return ASGD_OK;
    uint32_t n = t->n_pairs;
    ASGD_TRY(take_interactions(t, s, given));
    if (t->n_pairs == n) return ASGD_OK;
    const asgdi_vw_pair *other = &t->pair[n];
    const char two[2] = {(char)t->character[other->first], (char)t->character[other->second]};
    return ASGD_FAIL(EMISMATCH,
                     "%s: the model was trained without the interaction \"%s\"; leave the option "
                     "out: its own are known",
                     s->name, asgdi_show(two, two + 2).text);
}

json_t *asgdi_vw_recipe(const asgdi_vw *t)
{
    json_t *j = json_object(), *names = json_array(), *pairs = json_array();
    bool    ok = j && names && pairs;
    for (uint32_t i = 0; ok && i < t->n_names; i++)
        ok = json_array_append_new(names, escaped(t->name[i], strlen(t->name[i]))) == 0;
    for (uint32_t i = 0; ok && i < t->n_pairs; i++) {
        const char two[2] = {(char)t->character[t->pair[i].first],
                             (char)t->character[t->pair[i].second]};
        ok                = json_array_append_new(pairs, escaped(two, 2)) == 0;
    }
    ok = ok && json_object_set(j, "namespaces", names) == 0 &&
         json_object_set(j, "interactions", pairs) == 0;
    json_decref(names);
    json_decref(pairs);
    if (ok) return j;
    json_decref(j);
    return NULL;
}

/* ---- the whole ---- */

static asgd_status find_spaces(asgdi_vw *t, const asgdi_text_setup *s)
{
    if (s->recipe) {
        ASGD_TRY(follow_namespaces(t, s));
        ASGD_TRY(follow_interactions(t, s));
        return compare_interactions(t, s);
    }
    ASGD_TRY(scan_head(t, s));
    return take_interactions(t, s, s->o->interactions ? s->o->interactions : "");
}

static asgdi_vw_space describe(const asgdi_vw *t, const char *name, size_t n)
{
    const uint64_t hash = asgdi_hash(name, n, 0);
    return (asgdi_vw_space){hash, (uint16_t)asgdi_vw_find(t, hash),
                            t->letter[n ? (unsigned char)*name : ' ']};
}

/* Once namespaces and letters are known. */
static void fill_spaces(asgdi_vw *t)
{
    for (int c = 0; c < 256; c++) t->short_name[c] = describe(t, &(char){(char)c}, 1);
    t->nameless = describe(t, "", 0);
}

asgd_status asgdi_vw_setup(asgdi_vw *t, const asgdi_text_setup *s)
{
    t->bits    = s->o->hash_bits;
    t->lenient = s->recipe != NULL;
    /* any class will do where there is no label, but it must be one of the model's */
    t->absent = s->o->label_values && s->o->n_label_values ? s->o->label_values[0] : 0;
    t->mask   = SLOTS - 1;
    t->slot   = asgdi_calloc(SLOTS, sizeof *t->slot);
    t->name   = asgdi_calloc(ASGDI_VW_NAMESPACES, sizeof *t->name);
    t->hash   = asgdi_calloc(ASGDI_VW_NAMESPACES, sizeof *t->hash);
    if (!t->slot || !t->name || !t->hash) return no_memory(s);
    for (int c = 0; c < 256; c++) t->letter[c] = ASGDI_VW_NONE;
    ASGD_TRY(find_spaces(t, s));
    fill_spaces(t);
    return ASGD_OK;
}

void asgdi_vw_free(asgdi_vw *t)
{
    for (uint32_t i = 0; t->name && i < t->n_names; i++) asgdi_free(t->name[i]);
    asgdi_free(t->name);
    asgdi_free(t->hash);
    asgdi_free(t->slot);
    asgdi_free(t->pair);
}
