/* factors.h -- the loop that fm and ffm share: examples one after another, each with a score that its
 * emission needs again. */
#ifndef ASGDI_FACTOR_MODEL_H
#define ASGDI_FACTOR_MODEL_H

#include "model/single.h"

typedef struct asgdi_factor_ops {
    /* The interactions' part of the score; keeps in scratch what emit() of the same example needs. */
    float (*score)(const void *self, const asgd_sink *g, const asgdi_example *x, void *scratch);
    void (*emit)(const void *self, asgd_sink *g, const asgdi_example *x, float slope,
                 void *scratch);
    /* ffm's part of scratch; NULL: fm, whose scratch is the sum */
    asgdk_ffm *(*ffm)(const void *self, void *scratch);
    size_t (*bytes)(const void *self); /* of scratch, a multiple of 64 */
} asgdi_factor_ops;

size_t asgdi_factor_scratch(const asgdi_factor_ops *f, const void *self, uint32_t n);

/* asgd_model_ops members in all but their first argument. */
void asgdi_factor_step(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                       asgd_sink *g, void *scratch, asgd_stats *st);
void asgdi_factor_steps(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                        asgd_sink *g, void *scratch, asgd_stats *st);
void asgdi_factor_predict(const asgdi_factor_ops *f, const void *self, const asgd_batch *b,
                          const asgd_sink *g, void *scratch, float *out, asgd_stats *st);
/* Refuses dense data. */
asgd_status asgdi_factor_check(const char *model, const asgd_schema *d);

#endif
