/* control.h -- the control loop of a run, and what it decides by. */
#ifndef ASGDI_CONTROL_H
#define ASGDI_CONTROL_H

#include "engine/rank.h"
#include "engine/run.h"

typedef struct asgdi_sums {
    uint64_t examples, dropped, updates;
    double   loss, weight;
    double   tau_sum, tau_count;
    double   ended_at; /* the last worker's */
    bool     ended;    /* all have */
} asgdi_sums;

typedef struct asgdi_control {
    asgdi_run   *run;
    asgd_result *result;
    size_t       capacity;      /* of the result's history */
    double       began, waited; /* waited: for evaluations that workers waited for */
    bool         gated;
    /* evaluation */
    uint64_t      eval_every, next_eval; /* examples */
    asgdi_params  snapshot;              /* w alone, in the file's feature order */
    char          target[32];
    double        target_value;
    int           target_better; /* 0: no target */
    double        best_loss;
    uint32_t      without_better;
    asgdi_params  best; /* patience: of the best loss */
    asgd_metrics  best_metrics;
    bool          best_kept;
    bool          target_kept; /* in a group: they are those that met the target */
    asgdi_ranking ranking;     /* of a ranking model's validation data, made when first needed */
    /* the last point, and the last look at the loss */
    double     point_seconds;
    asgdi_sums point_sums, loss_sums;
    double     saved_at;
    bool     asked, saved_any; /* a group's: a snapshot is under way; there has been a checkpoint */
    bool     ending;           /* STOP was given */
    uint32_t interventions;    /* of the guard, that were told */
} asgdi_control;

/* Checks target, patience and evaluation settings; takes memory.  EINVAL, ENOMEM. */
asgd_status asgdi_control_init(asgdi_control *c, asgdi_run *run, asgd_result *result);
void        asgdi_control_free(asgdi_control *c);
/* From the workers' start to their end; the threads are running, waiting for run->go. */
asgd_status asgdi_control_loop(asgdi_control *c);

#endif
