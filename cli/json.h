/* json.h -- results and points as JSON. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "run.h"

json_t *json_number(double x); /* null for NaN and infinities, which JSON does not have */
json_t *json_metrics(const asgd_metrics *m);
json_t *json_point(const asgd_point *p);
/* With the keys that docs/cli.md lists. */
json_t *json_record(const run_record *r);
/* Prints *j and a line end, and gives it back; CLI_OK or CLI_FAILED. */
int json_print(FILE *f, json_t *j, bool pretty);

#endif
