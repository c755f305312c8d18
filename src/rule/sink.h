/* sink.h -- where gradients go.  A model emits; what happens then is one of
 *   APPLY       the rule changes the rows at once: asynchronous and sequential training
 *   ACCUMULATE  the gradient is summed into a private buffer: gradient checks, sync and locked
 *               modes
 *   DISCARD     nothing: predictions, benchmarks of the models alone */
#ifndef ASGDI_SINK_H
#define ASGDI_SINK_H

#include "params/params.h"
#include "rule/rule.h"

typedef enum asgdi_sink_kind { ASGDI_APPLY, ASGDI_ACCUMULATE, ASGDI_DISCARD } asgdi_sink_kind;

/* Scratch to turn a batch's examples into columns. */
typedef struct asgdi_columns {
    uint32_t  features, max_entries; /* room */
    uint32_t *count;                 /* [features], zero between uses */
    uint32_t *rows, *start, *ex;
    float    *val;
    float    *coef; /* [distinct features]: gradients of a table with dim 1 */
} asgdi_columns;

struct asgd_sink {
    asgdi_sink_kind     kind;
    const asgd_kern    *k;
    const asgdi_params *p;
    const asgd_view    *views; /* [n_tables] */
    float *const       *local; /* [n_tables] */
    asgd_rule           rule;  /* these two are the owner's to set before emitting or flushing */
    asgdk_step          step;
    /* ACCUMULATE: grad[t] is [rows][pad]; touched rows are listed once */
    float    *grad[ASGD_MAX_TABLES];
    uint8_t  *mark[ASGD_MAX_TABLES];    /* [rows] */
    uint32_t *touched[ASGD_MAX_TABLES]; /* [rows] */
    uint64_t  n_touched[ASGD_MAX_TABLES];
    /* private scratch */
    asgdi_columns columns;
    uint32_t      max_n;      /* examples that `packed` has room for */
    float        *row, *row2; /* [largest pad] */
    float        *packed; /* [max_n][largest pad]: examples' vectors that come without padding */
    float        *dense;  /* gradients of a run of rows of a dense layer */
    /* twice the core's second cache; kept, as asgdi_core_cache() asks the processor, which is slow */
    uint64_t  far_floats;
    uint32_t *count; /* 0, 1, 2, ...: row numbers of a run of a table with dim 1 */
};

/* Reserves scratch for batches of at most n examples and `nonzeros` entries.  The rule is set to
 * p's kind and zeros.  local: the workers' slots of asgdi_private; NULL where the rule has none. */
asgd_status asgdi_sink_init(asgd_sink *s, asgdi_sink_kind kind, const asgd_kern *k,
                            const asgdi_params *p, const asgd_view *views, float *const *local,
                            uint32_t features, uint32_t n, uint64_t nonzeros, bool dense_input);
void        asgdi_sink_free(asgd_sink *s);
/* ACCUMULATE: applies scale * the sum by the rule to s->views and forgets it. */
void asgdi_sink_flush(asgd_sink *s, float scale);
/* ACCUMULATE: adds another's sum to this one's and forgets it there. */
void asgdi_sink_take(asgd_sink *s, asgd_sink *from);
void asgdi_sink_forget(asgd_sink *s);
/* ACCUMULATE: applies the mean of n sinks' sums to s->views, of each table that share of the rows which
 * is number `mine` of n: n threads, each with its own `mine`, do it together.  local: the slots to use.
 * Afterwards every part is to be forgotten by its owner. */
void asgdi_sink_apply_parts(asgd_sink *s, asgd_sink *const *parts, uint32_t n, uint32_t mine,
                            float *const *local);

/* ---- sink_columns.c ---- */

asgd_status asgdi_columns_init(asgdi_columns *c, uint32_t features, uint64_t entries);
void        asgdi_columns_free(asgdi_columns *c);
/* The columns of a sparse batch; false: it is larger than what was reserved. */
bool asgdi_transpose(asgdi_columns *c, const asgd_batch *x, asgdk_columns *out);

/* Floats at the beginning of a table that live in the core's own cache: where rows are numbered by
 * falling frequency, those everybody reads. */
enum { ASGDI_NEAR_FLOATS = 1 << 16 };

/* ---- sink_single.c ---- */

/* A model of one score: tables of weights and bias, both of dim 1, and of factors; -1: none. */
typedef struct asgdi_steps {
    int        weight, bias, factors;
    asgdk_loss loss;
    bool       normalize;
    float     *sum; /* fm: scratch, [pad of factors] */
    asgdk_ffm *ffm; /* ffm's; NULL: it is fm */
} asgdi_steps;

/* Scores and emissions, example after example: what the functions for each do, with the slope between
 * them.  score [b->n]: of each just before its update.  false: nothing is done, as the sink does not
 * apply, or the batch is dense. */
bool asgdi_sink_steps(asgd_sink *s, const asgdi_steps *m, const asgd_batch *b, float *score);

/* ---- sink_factors.c: factorization machines, one example at a time ---- */

/* The interactions' part of the score of an example whose idx increase; x = xs * val (val NULL: all
 * 1).  sum [pad of the table] and p are scratch that the emission of the same example wants back;
 * field [n] below p->fields. */
float asgdi_fm_score(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                     const float *val, float xs, float *sum);
float asgdi_ffm_score(const asgd_sink *s, int table, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                      const uint16_t *field, const float *val, float xs);
/* slope: d loss / d score. */
void asgdi_emit_fm(asgd_sink *s, int table, uint32_t n, const uint32_t *idx, const float *val,
                   float xs, float slope, const float *sum);
void asgdi_emit_ffm(asgd_sink *s, int table, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                    const uint16_t *field, const float *val, float xs, float slope);
/* Brings rows that the example after next will want nearer, where the table is larger than caches. */
void asgdi_prefetch(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx);

#endif
