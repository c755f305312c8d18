/* vw_pairs.c -- products of an example's features in Vowpal Wabbit text.  Of a pair of letters A, B
 * each feature f of A with each feature g of B makes
 *
 *     feature H(f, g), field of f, value x_f * x_g
 *
 * and of a pair A, A each f with itself and all that follow: Vowpal Wabbit's combinations. */
#include <inttypes.h>
#include <math.h>

#include "data/vw.h"

/* The entries of the example; products follow its features. */
typedef struct entries {
    const uint64_t *hash; /* of the features */
    uint32_t       *idx;
    float          *val;
    uint16_t       *field;
    uint32_t        shift;
    uint32_t        most; /* largest of idx */
    size_t          at;   /* where the next product goes */
} entries;

/* Lengths for %.*s, bounded as an int must be. */
static int length(const char *p, const char *end)
{
    enum { MOST = 1000 };
    return (int)(end - p < MOST ? end - p : MOST);
}

static const char *joint(const asgdi_vw_span *s)
{
    return s->space < s->space_end ? "^" : "";
}

static void name_product(asgdi_names *names, uint32_t feature, const asgdi_vw_span *a,
                         const asgdi_vw_span *b)
{
    asgdi_names_add(names, feature, "%.*s%s%.*s*%.*s%s%.*s", length(a->space, a->space_end),
                    a->space, joint(a), length(a->begin, a->end), a->begin,
                    length(b->space, b->space_end), b->space, joint(b), length(b->begin, b->end),
                    b->begin);
}

/* Of features f and g. */
static inline uint32_t put_product(entries *e, size_t f, size_t g)
{
    const size_t   at      = e->at++;
    const uint32_t feature = (uint32_t)(asgdi_hash_pair(e->hash[f], e->hash[g]) >> e->shift);
    e->idx[at]             = feature;
    e->val[at]             = e->val[f] * e->val[g];
    e->field[at]           = e->field[f];
    if (feature > e->most) e->most = feature;
    return feature;
}

static void multiply_ranges(entries *e, const asgdi_vw_span *span, asgdi_names *names,
                            const asgdi_vw_range *a, const asgdi_vw_range *b)
{
    const size_t a_end = a->begin + a->n, b_end = b->begin + b->n;
    for (size_t f = a->begin; f < a_end; f++)
        for (size_t g = a == b ? f : b->begin; g < b_end; g++) {
            uint32_t feature = put_product(e, f, g);
            if (names) name_product(names, feature, &span[f], &span[g]);
        }
}

static void multiply_groups(entries *e, const asgdi_vw_work *w, asgdi_names *names,
                            const asgdi_vw_group *a, const asgdi_vw_group *b)
{
    for (const asgdi_vw_range *i = &a->first;; i = &w->range[i->next - 1]) {
        for (const asgdi_vw_range *j = a == b ? i : &b->first;; j = &w->range[j->next - 1]) {
            multiply_ranges(e, w->span, names, i, j);
            if (j->next == 0) break;
        }
        if (i->next == 0) break;
    }
}

static asgd_status too_many(asgdi_text_part *k, uint64_t n)
{
    return asgdi_text_fail(k,
                           "has %" PRIu64 " features and products of them or more, beyond the %d "
                           "that an example may have; leave out an interaction, or multiply "
                           "smaller namespaces",
                           n, (int)ASGDI_VW_ENTRIES);
}

static void place(entries *e, const asgdi_rows *r)
{
    e->idx   = r->idx + r->entries;
    e->val   = r->val + r->entries;
    e->field = r->field + r->entries;
}

asgd_status asgdi_vw_multiply(const asgdi_vw *t, asgdi_vw_work *w, asgdi_text_part *k)
{
    asgdi_rows    *r = &k->rows;
    const uint64_t n = r->at - r->entries;
    entries        e = {.hash = w->hash, .shift = 64 - t->bits, .most = r->max_feature, .at = n};
    place(&e, r);
    for (uint32_t i = 0; i < t->n_pairs; i++) {
        const asgdi_vw_group *a = &w->group[t->pair[i].first], *b = &w->group[t->pair[i].second];
        const uint64_t        na = a->n, products = a == b ? na * (na + 1) / 2 : na * b->n,
                       need = e.at + products;
        if (need > ASGDI_VW_ENTRIES) return too_many(k, need);
        if (r->entries + need > r->room_entries) {
            if (!asgdi_rows_grow(r, need)) return ASGD_ENOMEM;
            place(&e, r);
        }
        if (products == 1 && !k->names) /* of categories, one each */
            put_product(&e, a->first.begin, b->first.begin);
        else if (products > 0)
            multiply_groups(&e, w, k->names, a, b);
    }
    for (uint64_t i = n; r->valued && i < e.at; i++)
        if (!isfinite(e.val[i]))
            return asgdi_text_fail(k, "a product of two values is not finite as a 32-bit float; "
                                      "scale the values of the namespaces that are multiplied");
    r->max_feature = e.most;
    r->at          = r->entries + e.at;
    return ASGD_OK;
}

void asgdi_vw_name(const asgdi_vw_work *w, asgdi_text_part *k)
{
    const asgdi_rows *r = &k->rows;
    for (uint64_t i = 0; i < r->at - r->entries; i++) {
        const asgdi_vw_span *s = &w->span[i];
        asgdi_names_add(k->names, r->idx[r->entries + i], "%.*s%s%.*s",
                        length(s->space, s->space_end), s->space, joint(s),
                        length(s->begin, s->end), s->begin);
    }
}
