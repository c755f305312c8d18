/* sink.h -- where gradients go.  A model emits; what happens then is one of
 *   APPLY       the rule changes the rows at once: asynchronous and sequential training
 *   ACCUMULATE  the gradient is summed into a private buffer: gradient checks, sync and locked
 * modes DISCARD     nothing: benchmarks of the models alone */
#ifndef ASGDI_SINK_H
#define ASGDI_SINK_H

#include "params/params.h"
#include "rule/rule.h"

typedef enum asgdi_sink_kind { ASGDI_APPLY, ASGDI_ACCUMULATE, ASGDI_DISCARD } asgdi_sink_kind;

/* Scratch to turn a batch's examples into columns; grown by asgdi_sink_reserve() only. */
typedef struct asgdi_columns {
    uint32_t   *count; /* [features], zero between uses */
    uint32_t   *rows, *start, *ex;
    float      *val;
    uint32_t    n; /* made for the batch in `of` */
    const void *of;
} asgdi_columns;

struct asgd_sink {
    asgdi_sink_kind     kind;
    const asgd_kern    *k;
    const asgdi_params *p;
    const asgd_view    *views; /* [n_tables] */
    float *const       *local; /* [n_tables] */
    asgd_rule           rule;
    asgdk_step          step;
    /* ACCUMULATE: grad[t] is [rows][pad]; touched rows are listed once */
    float    *grad[ASGD_MAX_TABLES];
    uint8_t  *mark[ASGD_MAX_TABLES];    /* [rows] */
    uint32_t *touched[ASGD_MAX_TABLES]; /* [rows] */
    uint64_t  n_touched[ASGD_MAX_TABLES];
    /* private scratch */
    asgdi_columns columns;
    float        *row;   /* [largest pad] */
    float        *dense; /* [rows][pad] of the largest table that asgd_emit_outer sees dense */
};

/* Reserves scratch for batches of at most n examples and `nonzeros` entries. */
asgd_status asgdi_sink_init(asgd_sink *s, asgdi_sink_kind kind, const asgd_kern *k,
                            const asgdi_params *p, const asgd_view *views, float *const *local,
                            uint32_t features, uint32_t n, uint64_t nonzeros, bool dense_input);
void        asgdi_sink_free(asgd_sink *s);
/* ACCUMULATE: applies scale * the sum by the rule to s->views and forgets it. */
void asgdi_sink_flush(asgd_sink *s, float scale);
/* ACCUMULATE: adds another's sum to this one's and forgets it there. */
void asgdi_sink_take(asgd_sink *s, asgd_sink *from);
void asgdi_sink_forget(asgd_sink *s);

#endif
