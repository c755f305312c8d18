/* kern.h -- the kernels: every loop over floats that is hot, and every access to shared rows.
 *
 * Races.  Rows of a view below n_own are private; all others may be read and written by other
 * workers at the same time.  Those float accesses are the project's only sanctioned data races, and
 * they are all in this folder.  They are benign because each float is loaded and stored whole; what
 * can happen is a lost update.  The `atomic` variant does the same with relaxed atomics, for
 * ThreadSanitizer.
 *
 * Padding.  pad = asgdk_pad(dim) floats: 1 for dim 1, else a multiple of 8.  A row is
 * [w: pad][slot 0: pad]...; floats between dim and pad are zero and stay zero.  One sum for four weights:
 * [w: pad][sums: asgdk_slot_pad()].  Vectors that pair
 * with rows (V, out) are padded alike, so kernels need no tails for dim > 1.
 *
 * Order of sums.  dot, dot1: 16 lanes, lane l sums elements l, l+16, ... with one fused
 * multiply-add each, then lanes are folded 8+8, 4+4, 2+2, 1+1.  forward, outer_*: a row's or
 * example's terms one after another, each column on its own (forward with dim 1: dot1).  So avx2,
 * avx512 and neon give the same bits; scalar (no fused multiply-add), gemm (a library decides),
 * adagrad and rmsprop (the processor's estimate of a reciprocal root, refined) and the scores of
 * factorization machines (lanes summed as they lie) do not. */
#ifndef ASGDI_KERN_H
#define ASGDI_KERN_H

#include <stddef.h>
#include <stdint.h>

#include <asgd/asgd.h>

static inline uint32_t asgdk_pad(uint32_t dim)
{
    return dim == 1 ? 1 : (dim + 7) & ~7u;
}

/* Rules as kernels have them: those of asgd_rule_kind, and adagrad with one sum for every four weights of a row, for
 * tables with ASGD_TABLE_QUADS.  Every other rule treats such tables as all others. */
enum { ASGDK_adagrad_quads = ASGD_RULES, ASGDK_RULES };
static inline uint32_t asgdk_rule_of(asgd_rule_kind kind, uint32_t table_flags)
{
    return kind == ASGD_RULE_adagrad && (table_flags & ASGD_TABLE_QUADS) ? ASGDK_adagrad_quads
                                                                         : (uint32_t)kind;
}
/* Floats of each merged slot of a row.  With one sum for four weights: so many that rows begin where cache lines do, and at
 * least LANES / 4 from any multiple of 8 weights on. */
static inline uint32_t asgdk_slot_pad(uint32_t rule, uint32_t pad)
{
    return rule == ASGDK_adagrad_quads ? ((pad + ((pad / 4 + 7) & ~7u) + 15) & ~15u) - pad : pad;
}

/* One update's constants, prepared by rule.c. */
typedef struct asgdk_step {
    float lr;
    float beta1, beta2, eps, l1, l2;
    float correct1, correct2; /* adam: 1 / (1 - beta1^t), 1 / (1 - beta2^t) */
} asgdk_step;

/* Sparse columns of a batch: feature rows[j] occurs in entries start[j]..start[j+1]-1, each being
 * example ex[] with value val[].  Made by asgdi_transpose() from a batch. */
typedef struct asgdk_columns {
    uint32_t        n; /* distinct features */
    const uint32_t *rows, *start, *ex;
    const float    *val;
} asgdk_columns;

/* Changes one row by a rule, gradient scale * g[0..dim).  row as above; local: the worker's own
 * slots of that row [local slot 0: pad]..., or NULL where the rule has none; g padded. */
typedef void asgdk_rule_fn(float *row, float *local, const float *g, uint32_t pad, float scale,
                           const asgdk_step *p);
/* The same for n scattered rows of a table with dim 1: gradient scale * coef[j] (coef NULL: scale).
 */
typedef void asgdk_rule1_fn(const asgd_view *t, float *local, size_t local_stride, uint32_t n,
                            const uint32_t *idx, const float *coef, float scale,
                            const asgdk_step *p);

typedef void asgdk_fm_fn(const asgd_view *t, float *local, size_t local_stride, uint32_t pad,
                         uint32_t n, const uint32_t *idx, const float *val, float xs, float slope,
                         const float *sum, const asgdk_step *p);

/* Field-aware machines: rows of `fields` cells of `cell` floats (4, or a multiple of 8), padded; and
 * what is known of one example between its score and its emission.  Zeroed at first. */
enum { ASGDK_CELL_MAX = 128, ASGDK_CELLS = 4 };
typedef struct asgdk_run {
    uint32_t from, to; /* floats of a row */
} asgdk_run;
typedef struct asgdk_ffm {
    uint32_t   fields, cell, pad;
    float     *sum;     /* [fields + 1][pad], and a row of zeros */
    uint32_t  *entry;   /* [fields] a field's last entry + 1; 0: none */
    uint16_t  *present; /* [fields] those the example has, increasing */
    uint8_t   *stale;   /* [fields] */
    asgdk_run *run;     /* [fields] */
    uint32_t   n_present, n_runs;
    bool       several; /* a field has more than one entry */
    /* whole examples, one entry in every field: without sums */
    bool      sums;  /* not even then: the emission wants them */
    bool      whole; /* it is one */
    float   **row; /* [fields + ASGDK_CELLS] in the order of fields; the last ones are zero rows */
    float   **local;    /* [fields] */
    uint32_t *of_field; /* [fields] its entry */
    float    *x;        /* [pad + 16] its value, for every float of its cell */
    /* rows of the example to come that no cache near has, which a whole example's emission asks for, a few lines
     * at a time */
    const float **ahead; /* [fields] */
    uint32_t      n_ahead;
} asgdk_ffm;
/* Bytes that one takes, arrays included, a multiple of 64; and lays it out in that much zeroed memory. */
size_t       asgdk_ffm_bytes(uint32_t fields, uint32_t cell);
asgdk_ffm   *asgdk_ffm_lay_out(void *memory, uint32_t fields, uint32_t cell);
typedef void asgdk_ffm_fn(const asgd_view *t, float *local, size_t local_stride, asgdk_ffm *s,
                          uint32_t n, const uint32_t *idx, const uint16_t *field, const float *val,
                          float xs, float slope, const asgdk_step *p);

/* Updates of a model of one score an example, one example after another: linear, or with the interactions of
 * factors too. */
typedef enum asgdk_loss { ASGDK_SQUARED, ASGDK_LOGISTIC, ASGDK_HINGE } asgdk_loss;
typedef struct asgdk_single {
    /* the interactions of fm and ffm: views, slots, floats of w in a row, rows in the cache as below */
    asgd_view  v;
    float     *v_local;
    size_t     v_local_stride;
    uint32_t   v_pad, v_near;
    uint32_t   v_far; /* rows from there on are not in the second cache either */
    asgdk_step v_step;
    float     *sum; /* fm: [v_pad] */
    asgdk_ffm *ffm;
    asgd_view  w;     /* of a table with dim 1 */
    float     *local; /* the worker's slots of it, local_stride apart, or NULL */
    size_t     local_stride;
    float     *bias, *bias_local; /* its row and slot; NULL: none */
    asgdk_step step, bias_step;
    asgdk_loss loss;
    bool       normalize; /* x = val / its Euclidean length */
    uint32_t   near; /* rows below it need not be asked for ahead; fm: v_near, of both tables */
    /* the examples, as asgd_batch has them: idx of each increase */
    const uint64_t *begin;
    const uint32_t *len, *idx;
    const uint16_t *field;            /* ffm */
    const float    *val, *y, *weight; /* those of weight 0 change nothing */
    float          *score;            /* out: of each just before its update */
} asgdk_single;
typedef void asgdk_single_fn(const asgdk_single *j, uint32_t n);

enum { ASGDK_SHORT = 64 };

/* Matrix factorization (kern_pairs.h). */
typedef enum asgdk_pairs_loss {
    ASGDK_PAIRS_SQUARED,
    ASGDK_PAIRS_ABSOLUTE,
    ASGDK_PAIRS_LOGISTIC, /* y above 0 or not */
} asgdk_pairs_loss;
enum { ASGDK_PAIRS_AHEAD = 32 };
typedef struct asgdk_pairs {
    asgd_view        user, item;           /* factors, padded */
    asgd_view        user_bias, item_bias; /* dim 1 */
    uint32_t         users, items;         /* rows; numbers from there on are unknown ones */
    uint32_t         pad;
    bool             biases; /* false: they are not changed */
    bool             nonnegative;
    asgdk_pairs_loss loss;
    float            mean, inverse; /* targets are (y - mean) * inverse */
    float            positive;      /* logistic: weight of those with y above 0 */
    float            lr, l2_user, l2_item, l2_bias;
    uint32_t         ahead; /* ratings behind the last that can be read: 0, or ASGDK_PAIRS_AHEAD */
} asgdk_pairs;
typedef struct asgdk_triple {
    uint32_t user, item, other; /* prefers item to other */
} asgdk_triple;
enum { ASGDK_PANEL = 16 }; /* rank_scores: room for items is a multiple of it */

typedef struct asgd_kern {
    const char *name;

    /* private vectors */
    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float s, const float *x, float *y, size_t n); /* y += s x */
    void (*exp)(const float *x, float *y,
                size_t n); /* within 2 ulp on [-87, 88], saturating outside */
    /* z becomes scale / (1 + exp(-z)); returns the sum of log(1 + exp(z)), to 6e-8 a score */
    double (*logistic)(float *z, size_t n, float scale);
    void (*bytes_to_float)(const uint8_t *x, float scale, float *y, size_t n); /* y = scale * x */

    /* place[i] = how many of idx[0..n) are smaller than idx[i]; returns their sum.  n <= ASGDK_SHORT, idx
     * below 2^31.  n^2 comparisons, but many at a time and without a branch. */
    uint32_t (*count_smaller)(const uint32_t *idx, uint32_t n, uint32_t *place);

    /* sum of val[j] * row idx[j][0] over n entries of a table with dim 1 (val NULL: all 1) */
    float (*dot1)(const asgd_view *t, uint32_t n, const uint32_t *idx, const float *val);

    /* sparse forward: out[i][0..pad) += sum over entries of val * row.  out [n][ldo], private. */
    void (*forward)(const asgd_view *t, uint32_t pad, uint32_t n, const uint64_t *begin,
                    const uint32_t *len, const uint32_t *idx, const float *val, float *out,
                    size_t ldo);
    /* the same for dense examples x [n][rows] in a fixed order of sums; gemm.h is faster for many
     */
    void (*forward_dense)(const asgd_view *t, uint32_t pad, uint32_t rows, uint32_t n,
                          const float *x, float *out, size_t ldo);

    /* row c.rows[j] += alpha * sum over its entries of val * v[ex][0..pad).  sgd without penalties:
     * the read and the write of a row are one pass. */
    void (*outer_sgd)(const asgd_view *t, uint32_t pad, const asgdk_columns *c, float alpha,
                      const float *v, size_t ldv);
    /* out[0..pad) = sum over the n entries of val * v[ex][0..pad): one row's gradient */
    void (*outer_row)(uint32_t pad, uint32_t n, const uint32_t *ex, const float *val,
                      const float *v, size_t ldv, float *out);

    asgdk_rule_fn  *rule[ASGDK_RULES]; /* index asgd_rule_kind and more; [0] NULL */
    asgdk_rule1_fn *rule1[ASGD_RULES];

    asgdk_single_fn *linear[ASGD_RULES], *fm_steps[ASGD_RULES],
        *ffm_steps[ASGDK_RULES]; /* kern_single.h */

    /* Brings the first `floats` of n scattered rows nearer, for writing. */
    void (*prefetch)(const asgd_view *t, uint32_t floats, uint32_t n, const uint32_t *idx);

    /* Factorization machines, one example at a time (kern_factors.h): idx increase; x = xs * val (val
     * NULL: all 1).  score: the interactions' part; sum [pad], or p, is for the emission of the same
     * example, whose d loss / d score is slope. */
    float (*fm_score)(const asgd_view *t, uint32_t pad, uint32_t n, const uint32_t *idx,
                      const float *val, float xs, float *sum);
    float (*ffm_score)(const asgd_view *t, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                       const uint16_t *field, const float *val, float xs);
    asgdk_fm_fn  *fm[ASGD_RULES];
    asgdk_ffm_fn *ffm[ASGDK_RULES];

    /* Ratings one after another, each an update of both its rows by sgd; returns the sum of losses. */
    double (*mf_steps)(const asgdk_pairs *p, uint32_t n, const asgd_rating *r);
    /* out[i] = bias + bias + product of the rows, what is known of them */
    void (*mf_scores)(const asgdk_pairs *p, uint32_t n, const asgd_rating *r, float *out);
    double (*bpr_steps)(const asgdk_pairs *p, uint32_t n, const asgdk_triple *r);
    /* Rows of a table packed for rank_scores: panel has room for k floats times the rows, rounded up to
     * ASGDK_PANEL. */
    void (*rank_pack)(const asgd_view *t, uint32_t k, uint32_t rows, float *panel);
    /* out[u][r] += user[u][0..k) . row r, for all rows; ldo: at least rows rounded up to ASGDK_PANEL */
    void (*rank_scores)(uint32_t k, uint32_t rows, const float *panel, uint32_t users,
                        const float *user, size_t ldu, float *out, size_t ldo);

    /* Merge of private rows, n floats: d = own - seen; master += weight * d; own = seen = master.
     * weight 1 sums the workers' progress; 1/workers averages it.  The caller holds the block's
     * lock. */
    void (*merge)(float *own, float *seen, float *master, size_t n, float weight);
    /* racy copies between a shared array and a private one; add: shared += from */
    void (*load)(float *to, const float *shared, size_t n);
    void (*store)(float *shared, const float *from, size_t n);
    void (*add)(float *shared, const float *from, size_t n);
} asgd_kern;

/* The kernels of this machine, or those ASGD_ISA names (scalar, atomic, avx2, avx512, neon); an
 * unknown or unsupported name gives NULL, and the caller's message lists asgdk_names(). */
const asgd_kern *asgdk_best(void);
/* Variant i compiled in and supported here, NULL past the last; [0] is the scalar reference. */
const asgd_kern *asgdk_variant(int i);
/* The names of all variants compiled in, for messages: "scalar atomic avx2 avx512". */
const char *asgdk_names(void);

/* Slots per parameter: merged ones live in the row after w, local ones belong to a worker. */
typedef enum asgdk_merge { ASGDK_SUM, ASGDK_MEAN, ASGDK_DERIVED } asgdk_merge;
typedef struct asgdk_slots {
    uint32_t    merged, local;
    asgdk_merge w;       /* how w itself is merged: DERIVED for ftrl, which exchanges z and n */
    asgdk_merge slot[2]; /* merged ones */
    uint32_t scale; /* 1 + number of the merged one whose root divides every step; 0: none does */
} asgdk_slots;
asgdk_slots asgdk_rule_slots(asgd_rule_kind kind);
/* Recomputes derived w from the slots after a merge (ftrl); no effect for other rules. */
void asgdk_rule_derive(asgd_rule_kind kind, float *row, uint32_t pad, const asgdk_step *p);

#endif
