/* rule.h -- update rules: defaults, validation, constants of a step; learning-rate schedules. */
#ifndef ASGDI_RULE_H
#define ASGDI_RULE_H

#include "params/params.h"

/* Fills in zero fields; refuses what is out of range (EINVAL). */
asgd_status asgdi_rule_defaults(asgd_rule *r);
/* t: updates this worker has made with this one, from 1 (adam's bias correction). */
void asgdi_rule_step(const asgd_rule *r, double lr, uint64_t t, asgdk_step *out);

/* Gives slots their first values, after asgdi_params_set_rule(): ftrl's z is what makes its w the
 * initial one. */
void asgdi_rule_start(const asgd_rule *r, double lr, asgdi_params *p);

/* Factor on lr at `done` of the run (0..1); warmup: its first part, lr rising linearly from 0. */
double asgdi_schedule(asgd_schedule s, double warmup, double done);

#endif
