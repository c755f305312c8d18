/* users_items.c -- what mf and bpr share.
 *
 * The terms of a step, each with its loss of s or of a difference of two s, have the gradients
 *
 *     d / d p_u = g q_i + l_user p_u       d / d b_u = g + l_bias b_u        (g = d loss / d s)
 *
 * and so on; the penalty l/2 |row|^2 of a row counts each time that the row occurs.  The losses told are
 * without penalties, so that those of training and of validation data can be compared. */
#include "model/users_items.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/loss.h"
#include "model/options.h"

/* ---- options ---- */

asgd_status asgdi_pairs_number(const char *model, const char *key, const char *value, double high,
                               float *out)
{
    double x = 0;
    char   rest;
    if (strspn(value, "0123456789.eE-+") == strlen(value) && *value != '-' && *value != '+' &&
        sscanf(value, "%lf%c", &x, &rest) == 1 && x >= 0 && x <= high) {
        *out = (float)x;
        return ASGD_OK;
    }
    return ASGD_FAIL(EINVAL, "model %s: %s=%s: give a number from 0 to %g", model, key, value,
                     high);
}

static asgd_status yes_or_no(const char *model, const char *key, const char *value, bool *out)
{
    static const char *const words[] = {"0", "1"};
    int                      i       = 0;
    ASGD_TRY(asgdi_option_choice(model, key, value, words, 2, &i));
    *out = i == 1;
    return ASGD_OK;
}

asgd_status asgdi_pairs_option(asgdi_pairs *m, const char *model, const char *key,
                               const char *value, bool *known)
{
    int n  = 0;
    *known = true;
    if (strcmp(key, "k") == 0)
        return asgdi_option_sizes(model, key, value, ASGDI_FACTORS_MAX, 1, &m->k, &n);
    if (strcmp(key, "init") == 0) return asgdi_pairs_number(model, key, value, 10, &m->init);
    if (strcmp(key, "bias") == 0) return yes_or_no(model, key, value, &m->bias);
    if (strcmp(key, "l2_user") == 0) return asgdi_pairs_number(model, key, value, 1e3, &m->l2_user);
    if (strcmp(key, "l2_item") == 0) return asgdi_pairs_number(model, key, value, 1e3, &m->l2_item);
    if (strcmp(key, "l2_bias") == 0) return asgdi_pairs_number(model, key, value, 1e3, &m->l2_bias);
    if (strcmp(key, "l2") == 0) {
        ASGD_TRY(asgdi_pairs_number(model, key, value, 1e3, &m->l2_user));
        m->l2_item = m->l2_user;
        return ASGD_OK;
    }
    *known = false;
    return ASGD_OK;
}

static asgd_table table(const char *name, uint64_t rows, uint32_t dim, uint32_t flags, float scale)
{
    asgd_table t = {.rows  = rows,
                    .dim   = dim,
                    .flags = flags,
                    .init  = scale > 0 ? ASGD_INIT_NORMAL : ASGD_INIT_ZERO,
                    .scale = scale};
    snprintf(t.name, sizeof t.name, "%s", name);
    return t;
}

asgd_status asgdi_pairs_shape(asgdi_pairs *m, const asgd_schema *d, asgd_table *tables,
                              int *n_tables)
{
    const float scale = m->init / sqrtf((float)m->k);
    if (d->users == 0 || d->items == 0)
        return ASGD_FAIL(EMISMATCH, "the data are no ratings of users and items");
    m->users                = d->users;
    m->items                = d->items;
    const uint32_t rows     = ASGD_TABLE_BY_FEATURE;
    tables[ASGDI_USER]      = table("user", d->users, m->k, rows, scale);
    tables[ASGDI_ITEM]      = table("item", d->items, m->k, rows, scale);
    tables[ASGDI_USER_BIAS] = table("user_bias", d->users, 1, rows, 0);
    tables[ASGDI_ITEM_BIAS] = table("item_bias", d->items, 1, rows, 0);
    tables[ASGDI_SCALE]     = table("scale", 1, 4, ASGD_TABLE_NO_DECAY, 0);
    *n_tables               = 5;
    return ASGD_OK;
}

/* ---- the fused kernels ---- */

bool asgdi_pairs_fused(const asgd_sink *g)
{
    return g->kind == ASGDI_APPLY && g->rule.kind == ASGD_RULE_sgd && g->step.l1 == 0;
}

asgdk_pairs asgdi_pairs_kernel(const asgdi_pairs *m, const asgd_view *w, const asgd_sink *g)
{
    const float *scale = asgd_row(&w[ASGDI_SCALE], 0);
    const float  by    = scale[ASGDI_SCALE_DEVIATION];
    return (asgdk_pairs){.user        = w[ASGDI_USER],
                         .item        = w[ASGDI_ITEM],
                         .user_bias   = w[ASGDI_USER_BIAS],
                         .item_bias   = w[ASGDI_ITEM_BIAS],
                         .users       = m->users,
                         .items       = m->items,
                         .pad         = asgdk_pad(m->k),
                         .biases      = m->bias,
                         .nonnegative = m->nonnegative,
                         .loss        = (asgdk_pairs_loss)m->loss,
                         .mean        = scale[ASGDI_SCALE_MEAN],
                         .inverse     = by > 0 ? 1 / by : 1,
                         .positive    = m->positive,
                         .lr          = g->step.lr,
                         .l2_user     = m->l2_user + g->step.l2,
                         .l2_item     = m->l2_item + g->step.l2,
                         .l2_bias     = m->l2_bias + g->step.l2};
}

/* ---- any rule ---- */

/* A term's rows, as they were before the step. */
typedef struct place {
    float  slope, b, c, d; /* user's bias, item's, other's */
    float *p, *q, *o;
} place;

static size_t place_bytes(const asgdi_pairs *m)
{
    return sizeof(place) + 3 * (size_t)asgdk_pad(m->k) * sizeof(float);
}

size_t asgdi_pairs_scratch(const asgdi_pairs *m, uint32_t terms)
{
    return terms * place_bytes(m) + (asgdk_pad(m->k) + 16) * sizeof(float);
}

static float *read_row(const asgd_sink *g, const asgd_view *t, uint32_t r, uint32_t pad, float *to)
{
    g->k->load(to, asgd_row(t, r), pad);
    return to;
}

static float slope_of(const asgdi_pairs *m, const asgdk_pairs *p, const asgdi_term *t, float s,
                      float *cost)
{
    float g;
    if (t->other != ASGDI_NO_NAME) {
        *cost = asgdi_loss_logistic(s, 1, &g);
        return g;
    }
    if (m->loss == ASGDK_PAIRS_LOGISTIC) {
        const float weight = t->y > 0 ? m->positive : 1;
        *cost              = weight * asgdi_loss_logistic(s, t->y > 0 ? 1 : 0, &g);
        return weight * g;
    }
    const float e = s - (t->y - p->mean) * p->inverse;
    if (m->loss == ASGDK_PAIRS_SQUARED) {
        *cost = asgdi_loss_squared(e, 0, &g);
        return g;
    }
    *cost = fabsf(e);
    return e > 0 ? 1.0f : e < 0 ? -1.0f : 0.0f;
}

static double forward(const asgdi_pairs *m, const asgd_view *w, const asgd_sink *g,
                      const asgdk_pairs *p, const asgdi_term *t, place *x)
{
    const uint32_t pad = p->pad;
    float          cost;
    read_row(g, &w[ASGDI_USER], t->user, pad, x->p);
    read_row(g, &w[ASGDI_ITEM], t->item, pad, x->q);
    read_row(g, &w[ASGDI_USER_BIAS], t->user, 1, &x->b);
    read_row(g, &w[ASGDI_ITEM_BIAS], t->item, 1, &x->c);
    float s = g->k->dot(x->p, x->q, pad) + x->c;
    if (t->other == ASGDI_NO_NAME) {
        s += x->b;
    } else {
        read_row(g, &w[ASGDI_ITEM], t->other, pad, x->o);
        read_row(g, &w[ASGDI_ITEM_BIAS], t->other, 1, &x->d);
        s -= g->k->dot(x->p, x->o, pad) + x->d;
    }
    x->slope = slope_of(m, p, t, s, &cost);
    return (double)cost;
}

static void emit_row(asgd_sink *g, int t, uint32_t row, float scale, float a, const float *x,
                     float l2, const float *w, uint32_t pad, float *sum)
{
    for (uint32_t f = 0; f < pad; f++) sum[f] = a * x[f] + l2 * w[f];
    asgd_emit_rows(g, t, row, 1, scale, sum, pad);
}

static void emit_bias(asgd_sink *g, int t, uint32_t row, float scale, float slope)
{
    asgd_emit_scattered(g, t, 1, &row, &slope, scale, NULL);
}

double asgdi_pairs_emit(const asgdi_pairs *m, const asgd_view *w, asgd_sink *g,
                        const asgdi_term *term, uint32_t n, float scale, void *scratch)
{
    const asgdk_pairs p    = asgdi_pairs_kernel(m, w, g);
    const uint32_t    pad  = p.pad;
    place            *x    = scratch;
    float            *rows = (float *)(x + n), *sum = rows + (size_t)n * 3 * pad;
    double            loss = 0;
    for (uint32_t i = 0; i < n; i++) {
        x[i].p = rows + (size_t)i * 3 * pad;
        x[i].q = x[i].p + pad;
        x[i].o = x[i].q + pad;
        loss += forward(m, w, g, &p, &term[i], &x[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        const asgdi_term *t   = &term[i];
        const place      *y   = &x[i];
        const bool        two = t->other != ASGDI_NO_NAME;
        if (two)
            for (uint32_t f = 0; f < pad; f++) sum[f] = y->q[f] - y->o[f];
        for (uint32_t f = 0; f < pad; f++)
            sum[f] = y->slope * (two ? sum[f] : y->q[f]) + m->l2_user * y->p[f];
        asgd_emit_rows(g, ASGDI_USER, t->user, 1, scale, sum, pad);
        emit_row(g, ASGDI_ITEM, t->item, scale, y->slope, y->p, m->l2_item, y->q, pad, sum);
        if (two)
            emit_row(g, ASGDI_ITEM, t->other, scale, -y->slope, y->p, m->l2_item, y->o, pad, sum);
        if (!m->bias) continue;
        emit_bias(g, ASGDI_ITEM_BIAS, t->item, scale, y->slope + m->l2_bias * y->c);
        if (two)
            emit_bias(g, ASGDI_ITEM_BIAS, t->other, scale, -y->slope + m->l2_bias * y->d);
        else
            emit_bias(g, ASGDI_USER_BIAS, t->user, scale, y->slope + m->l2_bias * y->b);
    }
    return loss;
}

/* ---- before training ---- */

asgd_status asgdi_pairs_start(asgd_model *m, const asgd_source *train, const asgdi_pairs *self)
{
    uint8_t *rated = asgdi_calloc((size_t)self->users + self->items, 1);
    if (!rated) return ASGD_FAIL(ENOMEM, "no memory to start model %s", m->ops.name);
    for (uint64_t i = 0; i < train->schema.examples; i++) {
        const asgd_rating *r = &train->rating[i];
        if (r->user < self->users) rated[r->user] = 1;
        if (r->item < self->items) rated[self->users + r->item] = 1;
    }
    for (int t = ASGDI_USER; t <= ASGDI_ITEM; t++) {
        asgdi_table   *x    = &m->params.table[t];
        const uint8_t *mine = rated + (t == ASGDI_ITEM ? self->users : 0);
        for (uint64_t r = 0; r < x->info.rows; r++)
            if (!mine[r]) memset(x->master + r * x->stride, 0, x->pad * sizeof(float));
    }
    asgdi_free(rated);
    return ASGD_OK;
}
