/* net.c -- fully connected layers, forward and backward (Rumelhart, Hinton, Williams 1986).
 *
 *     a_0 = x;   z_l = a_l W_l + b_l;   a_{l+1} = f(z_l), the last one f = identity
 *     classes:   p = softmax(z),  loss = -log p_y,        d loss / d z = p - onehot(y)
 *     values:    loss = (z - y)^2 / 2,                    d loss / d z = z - y
 *     labels:    a logistic loss each, labels.c
 *     backward:  delta_l = (delta_{l+1} W_l^T) * f'(z_{l-1})
 *     gradient:  W_l: a_l^T delta_{l+1};   b_l: column sums of delta_{l+1}
 *
 * A row of W_l holds the weights out of one unit, so that zero inputs of the first layer are rows
 * that nobody reads or writes.
 *
 * Invariants.  All matrices here are [n][pad of the width], and the floats between width and pad are
 * zero whenever a kernel sees them; loops over whole padded rows then need no tails.  Every read of
 * the parameters comes before the first emission, because an emission changes them at once.
 *
 * Dropout is inverted (Srivastava et al. 2014, scaled while training): the mask is a function of
 * `random`, the layer and the element's number, so a replayed batch drops the same units. */
#include "model/net.h"
#include "base/rng.h"
#include "kern/gemm.h"
#include "model/labels.h"
#include "model/loss.h"
#include "rule/sink.h"

#include <float.h>
#include <string.h>

/* Gradients of hidden layers are formed and emitted in blocks of rows that stay in the cache. */
enum { BLOCK_FLOATS = 32768 };

/* Where things lie in a worker's scratch, in floats from its base. */
typedef struct plan {
    size_t act[ASGDI_NET_LAYERS + 1];   /* [n][pad], of layers 1.. ; the last becomes its delta */
    size_t delta[ASGDI_NET_LAYERS + 1]; /* d loss / d z, of layers 1.. */
    size_t mask[ASGDI_NET_LAYERS + 1];  /* with dropout: 0 or 1 / (1 - dropout) */
    size_t row;                         /* [largest pad]: a bias, or its gradient */
    size_t block;                       /* rows of a gradient */
    size_t length;                      /* [n] with normalize: what examples are multiplied with */
    size_t total;
} plan;

static size_t take(plan *p, size_t floats)
{
    size_t at = p->total;
    p->total += (floats + 15) & ~(size_t)15;
    return at;
}

static size_t block_rows(uint32_t rows, uint32_t pad)
{
    size_t fit = BLOCK_FLOATS / pad;
    return fit == 0 ? 1 : fit < rows ? fit : rows;
}

static void make_plan(const asgdi_net *net, uint32_t n, plan *p)
{
    size_t widest = 0, block = 0;
    p->total = 0;
    for (uint32_t l = 1; l <= net->layers; l++) {
        size_t pad = asgdk_pad(net->width[l]), floats = n * pad;
        bool   hidden = l < net->layers;
        p->act[l]     = take(p, floats);
        p->delta[l]   = hidden ? take(p, floats) : p->act[l];
        p->mask[l]    = hidden && net->dropout > 0 ? take(p, floats) : 0;
        if (pad > widest) widest = pad;
        if (l > 1) {
            size_t size = block_rows(net->width[l - 1], (uint32_t)pad) * pad;
            if (size > block) block = size;
        }
    }
    p->row    = take(p, widest);
    p->block  = take(p, block);
    p->length = take(p, net->normalize ? n : 0);
}

size_t asgdi_net_scratch(const void *self, uint32_t n)
{
    plan p;
    make_plan(self, n, &p);
    return p.total * sizeof(float);
}

/* ---- element-wise passes over [n][pad] ---- */

static void clear_pads(float *x, uint32_t n, uint32_t dim, uint32_t pad)
{
    if (dim == pad) return;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = dim; j < pad; j++) x[(size_t)i * pad + j] = 0;
}

/* tanh and the logistic function by one exponential: tanh z = 1 - 2 / (exp(2 z) + 1).  The error is
 * within a few units of float rounding at 1. */
static void activate(asgdi_activation f, const asgd_kern *k, float *restrict x, uint32_t n,
                     uint32_t dim, uint32_t pad)
{
    size_t count = (size_t)n * pad;
    switch (f) {
    case ASGDI_RELU:
        for (size_t i = 0; i < count; i++) x[i] = x[i] < 0 ? 0 : x[i]; /* keeps NaN */
        break;
    case ASGDI_TANH:
        for (size_t i = 0; i < count; i++) x[i] *= 2;
        k->exp(x, x, count);
        for (size_t i = 0; i < count; i++) x[i] = 1 - 2 / (x[i] + 1);
        break;
    case ASGDI_LOGISTIC:
        for (size_t i = 0; i < count; i++) x[i] = -x[i];
        k->exp(x, x, count);
        for (size_t i = 0; i < count; i++) x[i] = 1 / (1 + x[i]);
        break;
    }
    clear_pads(x, n, dim, pad);
}

/* d *= f'(z), given the activation a = scale * f(z) (scale 1 without dropout). */
static void activate_back(asgdi_activation f, const float *restrict a, float scale,
                          float *restrict d, uint32_t n, uint32_t dim, uint32_t pad)
{
    size_t count = (size_t)n * pad;
    float  keep  = 1 / scale;
    switch (f) {
    case ASGDI_RELU:
        for (size_t i = 0; i < count; i++) d[i] = a[i] > 0 ? d[i] : 0;
        break;
    case ASGDI_TANH:
        for (size_t i = 0; i < count; i++) d[i] *= 1 - keep * a[i] * (keep * a[i]);
        break;
    case ASGDI_LOGISTIC:
        for (size_t i = 0; i < count; i++) d[i] *= keep * a[i] * (1 - keep * a[i]);
        break;
    }
    clear_pads(d, n, dim, pad);
}

/* Dropout in steps of 2^-16, so that one draw decides four units; what a kept unit is multiplied
 * with is exact for the step. */
static uint32_t drop_threshold(float dropout)
{
    uint32_t t = (uint32_t)lrintf(dropout * 65536);
    return t < 65535 ? t : 65535;
}

static float keep_scale(float dropout)
{
    return 65536.0f / (float)(65536 - drop_threshold(dropout));
}

static void drop(float dropout, uint64_t random, uint32_t layer, float *restrict mask,
                 float *restrict x, size_t count)
{
    uint32_t threshold = drop_threshold(dropout);
    float    scale     = keep_scale(dropout);
    for (size_t i = 0; i < count; i += 4) {
        uint64_t bits = asgdi_random(random, layer, i / 4);
        for (size_t j = i; j < i + 4 && j < count; j++, bits >>= 16) {
            mask[j] = (bits & 0xffff) < threshold ? 0 : scale;
            x[j] *= mask[j];
        }
    }
}

/* ---- hidden layers' products ---- */

/* A view's rows lie in two places; the part with private rows comes first. */
typedef struct part {
    const float *base;
    size_t       from, rows;
} part;

static int parts_of(const asgd_view *w, size_t rows, part out[2])
{
    size_t own = w->n_own < rows ? (size_t)w->n_own : rows;
    int    n   = 0;
    if (own > 0) out[n++] = (part){w->own, 0, own};
    if (own < rows) out[n++] = (part){w->shared + own * w->stride, own, rows - own};
    return n;
}

/* out[n][pad] += a[n][lda] W */
static void times(const asgd_kern *k, const asgd_view *w, uint32_t rows, uint32_t pad, uint32_t n,
                  const float *a, size_t lda, float *out)
{
    part parts[2];
    for (int i = 0, m = parts_of(w, rows, parts); i < m; i++)
        asgdk_gemm(k, false, false, n, pad, parts[i].rows, 1, a + parts[i].from, lda, parts[i].base,
                   w->stride, 1, out, pad);
}

/* out[n][ldo] = d[n][pad] W^T */
static void times_transposed(const asgd_kern *k, const asgd_view *w, uint32_t rows, uint32_t pad,
                             uint32_t n, const float *d, float *out, size_t ldo)
{
    part parts[2];
    for (int i = 0, m = parts_of(w, rows, parts); i < m; i++)
        asgdk_gemm(k, false, true, n, parts[i].rows, pad, 1, d, pad, parts[i].base, w->stride, 0,
                   out + parts[i].from, ldo);
}

/* ---- examples scaled to length 1 ---- */

/* What brings example i to length 1; 1 where it is all zeros. */
static float unit(const asgd_kern *k, const asgd_batch *b, uint32_t i)
{
    size_t       n = b->dense ? b->features : b->len[i];
    const float *x = b->dense ? b->dense + (size_t)i * n : b->val ? b->val + b->begin[i] : NULL;
    float        square = x ? k->dot(x, x, n) : (float)n;
    return square > 0 ? 1 / sqrtf(square) : 1;
}

/* out = bias + unit(x) * x W */
static void scaled_forward(const asgdi_net *net, const plan *p, float *base, const asgd_batch *b,
                           const asgd_view *bias, const asgd_sink *g)
{
    size_t pad          = asgdk_pad(net->width[1]);
    float *restrict out = base + p->act[1], *restrict start = base + p->row;
    memset(out, 0, b->n * pad * sizeof *out);
    asgd_forward(g, 0, b, out, pad);
    g->k->load(start, asgd_row(bias, 0), pad);
    for (uint32_t i = 0; i < b->n; i++) {
        float scale         = unit(g->k, b, i);
        base[p->length + i] = scale;
        for (size_t j = 0; j < pad; j++) out[i * pad + j] = start[j] + scale * out[i * pad + j];
    }
}

/* Its way back: d loss / d z of the first layer becomes d loss / d (x W). */
static void scale_back(const plan *p, float *base, uint32_t n, size_t pad)
{
    float *d = base + p->delta[1];
    for (uint32_t i = 0; i < n; i++) {
        float scale = base[p->length + i];
        for (size_t j = 0; j < pad; j++) d[i * pad + j] *= scale;
    }
}

/* ---- loss ---- */

/* z[n][pad] becomes softmax(z), and *st gains the cross-entropies; log p_y = z_y - max - log sum is
 * finite whatever the scores, and NaN if one of them is.  slope: z becomes weight * (p - onehot).
 * st may be NULL where slope is false.  A label that is no class has the loss NaN and no gradient. */
static void cross_entropy(const asgd_kern *k, const asgd_batch *b, uint32_t classes, uint32_t pad,
                          float *restrict z, bool slope, asgd_stats *st)
{
    for (uint32_t i = 0; i < b->n; i++) {
        float *restrict row = z + (size_t)i * pad;
        float lane[8];
        for (uint32_t j = classes; j < pad; j++) row[j] = -FLT_MAX;
        memcpy(lane, row, sizeof lane);
        for (uint32_t j = 8; j < pad; j += 8)
            for (uint32_t l = 0; l < 8; l++) lane[l] = lane[l] < row[j + l] ? row[j + l] : lane[l];
        float max = lane[0];
        for (uint32_t l = 1; l < 8; l++) max = max < lane[l] ? lane[l] : max;
        for (uint32_t j = 0; j < pad; j++) row[j] -= max;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        float *restrict row = z + (size_t)i * pad;
        float    weight = b->weight ? b->weight[i] : 1, score = NAN, lane[8] = {0};
        uint32_t y    = 0;
        bool     best = false;
        if (st && b->y[i] >= 0 && b->y[i] < (float)classes) {
            y     = (uint32_t)b->y[i];
            score = row[y];
            best  = score == 0; /* the first of the largest */
            for (uint32_t j = 0; best && j < y; j++) best = row[j] < 0;
        }
        k->exp(row, row, pad);
        for (uint32_t j = 0; j < pad; j += 8)
            for (uint32_t l = 0; l < 8; l++) lane[l] += row[j + l];
        float sum = 0;
        for (uint32_t l = 0; l < 8; l++) sum += lane[l];
        bool  known = score == score;
        float scale = (slope ? known ? weight : 0 : 1) / sum;
        for (uint32_t j = 0; j < pad; j++) row[j] *= scale;
        for (uint32_t j = classes; j < pad; j++) row[j] = 0;
        if (slope && known) row[y] -= weight;
        if (st) {
            st->loss += (double)weight * (double)(logf(sum) - score);
            st->weight += (double)weight;
            st->correct += best;
        }
    }
}

/* z[n][1]; slope: z becomes weight * (z - y). */
static void least_squares(const asgd_batch *b, float *z, bool slope, asgd_stats *st)
{
    for (uint32_t i = 0; st && i < b->n; i++) {
        float weight = b->weight ? b->weight[i] : 1, d;
        float loss   = asgdi_loss_squared(z[i], b->y[i], &d);
        st->loss += (double)weight * (double)loss;
        st->weight += (double)weight;
        if (slope) z[i] = weight * d;
    }
}

/* The scores become predictions, or with slope weight * d loss / d z; *st gains the losses, NULL:
 * not wanted. */
static void losses(const asgdi_net *net, const asgd_kern *k, const asgd_batch *b, float *z,
                   bool slope, asgd_stats *st)
{
    uint32_t outputs = net->width[net->layers], pad = asgdk_pad(outputs);
    switch (net->output) {
    case ASGDI_SOFTMAX: cross_entropy(k, b, outputs, pad, z, slope, st); break;
    case ASGDI_SQUARES: least_squares(b, z, slope, st); break;
    case ASGDI_LABELS: asgdi_labels_loss(k, b, outputs, pad, z, slope, st); break;
    }
}

/* ---- the model ---- */

static void start_at_bias(const asgd_kern *k, const asgd_view *bias, uint32_t n, float *out,
                          size_t pad)
{
    k->load(out, asgd_row(bias, 0), pad);
    for (uint32_t i = 1; i < n; i++) memcpy(out + i * pad, out, pad * sizeof *out);
}

/* Leaves activations in act[1..layers-1] and the scores in act[layers]. */
static void forward(const asgdi_net *net, const plan *p, float *base, const asgd_batch *b,
                    const asgd_view *w, const asgd_sink *g, float dropout, uint64_t random)
{
    for (uint32_t l = 1; l <= net->layers; l++) {
        uint32_t dim = net->width[l], pad = asgdk_pad(dim);
        float   *out = base + p->act[l];
        if (l == 1 && net->normalize) {
            scaled_forward(net, p, base, b, &w[1], g);
        } else {
            start_at_bias(g->k, &w[2 * l - 1], b->n, out, pad);
            if (l == 1)
                asgd_forward(g, 0, b, out, pad);
            else
                times(g->k, &w[2 * l - 2], net->width[l - 1], pad, b->n, base + p->act[l - 1],
                      asgdk_pad(net->width[l - 1]), out);
        }
        if (l == net->layers) break;
        activate(net->activation, g->k, out, b->n, dim, pad);
        if (dropout > 0) drop(dropout, random, l, base + p->mask[l], out, (size_t)b->n * pad);
    }
}

/* delta[layers] is there; computes those of the hidden layers. */
static void backward(const asgdi_net *net, const plan *p, float *base, uint32_t n,
                     const asgd_view *w, const asgd_kern *k)
{
    for (uint32_t l = net->layers - 1; l >= 1; l--) {
        uint32_t dim = net->width[l], pad = asgdk_pad(dim), above = asgdk_pad(net->width[l + 1]);
        float   *d = base + p->delta[l], scale = 1;
        times_transposed(k, &w[2 * l], dim, above, n, base + p->delta[l + 1], d, pad);
        if (net->dropout > 0) {
            const float *mask = base + p->mask[l];
            scale             = keep_scale(net->dropout);
            clear_pads(d, n, dim, pad);
            for (size_t i = 0; i < (size_t)n * pad; i++) d[i] *= mask[i];
        }
        activate_back(net->activation, base + p->act[l], scale, d, n, dim, pad);
    }
}

static void emit(const asgdi_net *net, const plan *p, float *base, const asgd_batch *b,
                 asgd_sink *g, float scale)
{
    for (uint32_t l = net->layers; l >= 1; l--) {
        uint32_t     pad = asgdk_pad(net->width[l]);
        const float *d   = base + p->delta[l];
        float       *sum = base + p->row;
        memcpy(sum, d, pad * sizeof *sum);
        for (uint32_t i = 1; i < b->n; i++) g->k->axpy(1, d + (size_t)i * pad, sum, pad);
        asgd_emit_rows(g, (int)(2 * l - 1), 0, 1, scale, sum, pad);
        if (l == 1) {
            if (net->normalize) scale_back(p, base, b->n, pad);
            asgd_emit_outer(g, 0, b, scale, d, pad);
            break;
        }
        uint32_t     rows = net->width[l - 1], lda = asgdk_pad(rows);
        const float *a     = base + p->act[l - 1];
        float       *block = base + p->block;
        for (size_t r = 0, m = block_rows(rows, pad); r < rows; r += m) {
            if (m > rows - r) m = rows - r;
            asgdk_gemm(g->k, true, false, m, pad, b->n, 1, a + r, lda, d, pad, 0, block, pad);
            asgd_emit_rows(g, (int)(2 * l - 2), r, m, scale, block, pad);
        }
    }
}

void asgdi_net_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                    void *scratch, uint64_t random, asgd_stats *st)
{
    const asgdi_net *net  = self;
    float           *base = scratch;
    asgd_stats       sum  = {0};
    plan             p;
    make_plan(net, b->n, &p);
    forward(net, &p, base, b, w, g, net->dropout, random);
    losses(net, g->k, b, base + p.act[net->layers], true, &sum);
    st->loss += sum.loss;
    st->weight += sum.weight;
    st->correct += sum.correct;
    if (!(sum.weight > 0)) return; /* nothing to learn from */
    backward(net, &p, base, b->n, w, g->k);
    emit(net, &p, base, b, g, 1 / (float)b->n);
}

void asgdi_net_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                       const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    const asgdi_net *net  = self;
    float           *base = scratch;
    plan             p;
    make_plan(net, b->n, &p);
    forward(net, &p, base, b, w, g, 0, 0);
    float   *z       = base + p.act[net->layers];
    uint32_t outputs = net->width[net->layers], pad = asgdk_pad(outputs);
    losses(net, g->k, b, z, false, st);
    for (uint32_t i = 0; i < b->n; i++)
        memcpy(out + (size_t)i * outputs, z + (size_t)i * pad, outputs * sizeof *out);
}
