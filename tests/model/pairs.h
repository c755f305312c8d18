/* pairs.h -- fm, ffm and linear models once more: in double precision, pair by pair, example by example,
 * from the formulas of the papers and nothing of the library's. */
#ifndef TESTS_PAIRS_H
#define TESTS_PAIRS_H

#include "test.h"

typedef enum pairs_loss { PAIRS_SQUARED, PAIRS_LOGISTIC, PAIRS_HINGE } pairs_loss;

typedef struct pairs {
    uint32_t   features, fields, k; /* fields 0: not ffm; k 0: linear */
    bool       bias, normalize, adagrad;
    pairs_loss loss;
    double     lr, eps;
    double     b[2];  /* the bias and its sum of squares */
    double    *w, *v; /* [features][2], [features][fields or 1][k][2] */
} pairs;

typedef struct pairs_example {
    uint32_t        n;
    const uint32_t *idx;
    const float    *val;   /* NULL: all 1 */
    const uint16_t *field; /* NULL: none */
    double          y;
} pairs_example;

/* The vector of entry e that it has for a pair with entry `with`. */
static inline double *pairs_vector(const pairs *p, const pairs_example *x, uint32_t e,
                                   uint32_t with)
{
    const size_t each = p->fields ? p->fields : 1, f = p->fields ? x->field[with] : 0;
    return p->v + (x->idx[e] * each + f) * p->k * 2;
}

/* Takes the parameters of a model without training state; p's other members are the caller's. */
static inline void pairs_open(pairs *p, asgd_model *m)
{
    const size_t cells = p->fields ? p->fields : 1;
    p->w               = calloc(p->features, 2 * sizeof *p->w);
    p->v               = calloc((size_t)p->features * cells * p->k + 1, 2 * sizeof *p->v);
    assert_true(p->w && p->v);
    p->b[0] = p->bias ? (double)*asgd_model_row(m, 1, 0) : 0;
    p->b[1] = 0;
    for (uint32_t r = 0; r < p->features; r++) {
        p->w[2 * r] = (double)*asgd_model_row(m, 0, r);
        for (size_t c = 0; p->k && c < cells * p->k; c++)
            p->v[2 * (r * cells * p->k + c)] = (double)asgd_model_row(m, 2, r)[c];
    }
}

static inline void pairs_close(pairs *p)
{
    free(p->w);
    free(p->v);
}

static inline double pairs_value(const pairs *p, const pairs_example *x, uint32_t e)
{
    double squares = 0;
    for (uint32_t i = 0; p->normalize && i < x->n; i++)
        squares += x->val ? (double)x->val[i] * (double)x->val[i] : 1;
    return (x->val ? (double)x->val[e] : 1) / (squares > 0 ? sqrt(squares) : 1);
}

static inline double pairs_score(const pairs *p, const pairs_example *x)
{
    double s = p->b[0];
    for (uint32_t i = 0; i < x->n; i++) {
        const double xi = pairs_value(p, x, i);
        s += xi * p->w[2 * x->idx[i]];
        for (uint32_t j = i + 1; p->k && j < x->n; j++) {
            const double *a = pairs_vector(p, x, i, j), *b = pairs_vector(p, x, j, i);
            for (uint32_t c = 0; c < p->k; c++)
                s += xi * pairs_value(p, x, j) * a[2 * c] * b[2 * c];
        }
    }
    return s;
}

static inline double pairs_loss_of(const pairs *p, double s, double y, double *slope)
{
    const double sign = 2 * y - 1, m = sign * s;
    switch (p->loss) {
    case PAIRS_LOGISTIC: *slope = -sign / (1 + exp(m)); return log1p(exp(-m));
    case PAIRS_HINGE: *slope = m < 1 ? -sign : 0; return m < 1 ? 1 - m : 0;
    default: *slope = s - y; return (s - y) * (s - y) / 2;
    }
}

/* x: a parameter and its sum of squares. */
static inline void pairs_move(const pairs *p, double x[2], double g)
{
    x[1] += g * g;
    x[0] -= p->lr * g / (p->adagrad ? sqrt(x[1] + p->eps) : 1);
}

/* Four factors of a cell of ffm, which have one sum together: the first one's. */
static inline void pairs_move_four(const pairs *p, double x[8], const double g[4])
{
    double squares = 0;
    for (int i = 0; i < 4; i++) squares += g[i] * g[i];
    x[1] += squares / 4;
    for (int i = 0; i < 4; i++) x[2 * i] -= p->lr * g[i] / (p->adagrad ? sqrt(x[1] + p->eps) : 1);
}

/* One update; returns the loss before it. */
static inline double pairs_step(pairs *p, const pairs_example *x)
{
    double       slope, loss = pairs_loss_of(p, pairs_score(p, x), x->y, &slope);
    const size_t cells = p->fields ? p->fields : 1, each = cells * p->k;
    double      *g = calloc(x->n * each + 1, sizeof *g);
    assert_non_null(g);
    for (uint32_t i = 0; i < x->n; i++)
        for (uint32_t j = 0; j < x->n; j++) {
            if (i == j || !p->k) continue;
            const double *other = pairs_vector(p, x, j, i);
            double       *to    = g + i * each + (p->fields ? x->field[j] * p->k : 0);
            for (uint32_t c = 0; c < p->k; c++)
                to[c] += slope * pairs_value(p, x, i) * pairs_value(p, x, j) * other[2 * c];
        }
    for (uint32_t i = 0; i < x->n; i++) {
        pairs_move(p, p->w + 2 * x->idx[i], slope * pairs_value(p, x, i));
        double *v = p->v + 2 * x->idx[i] * each;
        for (size_t c = 0; c < each; c += p->fields ? 4 : 1)
            if (p->fields)
                pairs_move_four(p, v + 2 * c, g + i * each + c);
            else
                pairs_move(p, v + 2 * c, g[i * each + c]);
    }
    if (p->bias) pairs_move(p, p->b, slope);
    free(g);
    return loss;
}

/* The largest difference of a parameter from the model's. */
static inline double pairs_distance(const pairs *p, asgd_model *m)
{
    const size_t each = (p->fields ? p->fields : 1) * p->k;
    double       most = p->bias ? fabs(p->b[0] - (double)*asgd_model_row(m, 1, 0)) : 0;
    for (uint32_t r = 0; r < p->features; r++) {
        most = fmax(most, fabs(p->w[2 * r] - (double)*asgd_model_row(m, 0, r)));
        for (size_t c = 0; c < each; c++)
            most = fmax(most, fabs(p->v[2 * (r * each + c)] - (double)asgd_model_row(m, 2, r)[c]));
    }
    return most;
}

#endif
