/* single.h -- what models of one score an example share: linear, fm, ffm.
 *
 *     s = bias + sum_j w_j x_j + interactions,  x_j = xs * val_j,  minimised by a loss of loss.h
 *
 * xs is 1, or with normalize=1 one over the Euclidean length of the example, so that examples with
 * many or large entries do not take larger steps.  Tables: 0 weight, 1 bias, 2 what the model adds. */
#ifndef ASGDI_SINGLE_H
#define ASGDI_SINGLE_H

#include "model/model.h"
#include "rule/sink.h"

typedef enum asgdi_loss {
    ASGDI_LOSS_AUTO,
    ASGDI_LOSS_SQUARED,
    ASGDI_LOSS_LOGISTIC,
    ASGDI_LOSS_HINGE,
    ASGDI_LOSSES
} asgdi_loss;

enum { ASGDI_WEIGHT, ASGDI_BIAS, ASGDI_FACTORS }; /* tables */

/* The first member of such a model's self. */
typedef struct asgdi_single {
    asgdi_loss loss; /* after asgdi_single_shape(): not AUTO */
    bool       bias, normalize;
} asgdi_single;

extern const asgdi_single asgdi_single_defaults;

/* Options loss, bias, normalize; *known: was it one of them? */
asgd_status asgdi_single_option(asgdi_single *m, const char *model, const char *key,
                                const char *value, bool *known);
/* The first two tables, task and outputs. */
asgd_status asgdi_single_shape(asgdi_single *m, const char *model, const asgd_schema *d,
                               asgd_table *tables, int *n_tables, asgd_task *task,
                               uint32_t *outputs);

/* Where examples are scaled to length 1, a single pass needs long steps whatever they are. */
double asgdi_single_one_pass(const void *self);

/* ---- the hot path ---- */

/* One example's sparse entries. */
typedef struct asgdi_example {
    uint32_t        n;
    const uint32_t *idx;
    const float    *val;   /* NULL: all 1 */
    const uint16_t *field; /* NULL: none */
    float           xs;
} asgdi_example;

asgdi_example asgdi_single_example(const asgdi_single *m, const asgd_batch *b, uint32_t i);
/* bias + sum of w x; a model without bias: the sum alone. */
float asgdi_single_linear(const asgdi_single *m, const asgd_sink *g, const asgdi_example *x);
float asgdi_single_bias(const asgdi_single *m, const asgd_sink *g);
/* Adds example i with score s to *st; returns its weight times d loss / d s. */
float asgdi_single_account(const asgdi_single *m, const asgd_batch *b, uint32_t i, float s,
                           asgd_stats *st);
/* d loss / d weight and d loss / d bias, for d loss / d s = slope. */
void asgdi_single_emit(const asgdi_single *m, asgd_sink *g, const asgdi_example *x, float slope);
void asgdi_single_emit_bias(const asgdi_single *m, asgd_sink *g, float slope);
/* An update for each example of b, in order, by the fused kernel; but for loss and scaling, `tables` is the
 * model's to say.  false: nothing is done, as there is no such kernel for this. */
bool asgdi_single_steps(const asgdi_single *m, const asgd_batch *b, asgd_sink *g,
                        const asgdi_steps *tables, asgd_stats *st);
/* What predict() gives for a score. */
float asgdi_single_output(const asgdi_single *m, float s);

#endif
