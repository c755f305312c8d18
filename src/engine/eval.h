/* eval.h -- predictions and metrics of given parameters, in parallel. */
#ifndef ASGDI_EVAL_H
#define ASGDI_EVAL_H

#include "data/source.h"
#include "model/model.h"

/* p: the model's tables in the source's feature order; threads 0: one per core; 1: on this thread alone.
 * metrics and out [examples][outputs] may be NULL.  Errors: ENOMEM, EMISMATCH (data of another kind). */
asgd_status asgdi_evaluate(const asgd_model *m, const asgdi_params *p, const asgd_source *data,
                           uint32_t threads, asgd_metrics *metrics, float *out);
/* EMISMATCH unless the model can read this data. */
asgd_status asgdi_fits(const asgd_model *m, const asgd_source *data, const char *what);

#endif
