/* run.h -- from options to a run: data, model, configuration, interruption, the record of a run. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "opts.h"

typedef struct run_data {
    asgd_source *train, *valid;
    double       load_seconds;
} run_data;

/* Everything that can be found wrong before data are read: paths to write, target, sizes. */
int  run_check(const cli_options *o);
int  run_open(run_data *d, const cli_options *o);
void run_close(run_data *d);
/* The model MODEL with the options given for it. */
int run_model(asgd_model **m, const cli_options *o, const run_data *d);
/* All of *c but mode, workers, backup and straggler. */
void run_config(asgd_config *c, const cli_options *o, const run_data *d);

/* Data to use a model on: read with the model's features and labels. */
/* --exclude: ratings by the model's numbers. */
int run_exclude(asgd_source **out, const asgd_model *m, const char *text);
int run_open_for(asgd_source **out, const asgd_model *m, const cli_options *o);
/* Worker numbers: element i of --workers; the number of cores where it is not given. */
bool workers_item(const cli_options *o, size_t i, uint32_t *out);

/* factor [workers], 0 where a worker is not slowed.  "none", "3:10x", "10x", "0:2x+3:10x". */
int straggler_parse(const char *text, uint32_t workers, double *factor);

/* The metric people look at: that of --target, else the task's own. */
void run_metric(char out[32], const cli_options *o, const asgd_model *m);

/* Ctrl-C and SIGTERM set the flag returned; a second one ends the program at once. */
const volatile int *interrupt_begin(void);
bool                interrupt_end(void); /* true: it came */

double clock_now(void);

/* What is kept of a run for tables, JSON and the report. */
typedef struct run_record {
    char        name[128];     /* "async, 4 workers, 3:10x" */
    char        mode[32];      /* "sync+1" */
    char        straggler[96]; /* "" where there is none */
    const char *model;
    char        metric[32];
    double      load_seconds;
    uint64_t    seed;
    asgd_status status;
    char        message[256]; /* why it failed */
    asgd_result result;
    double      target; /* NaN: none */
    double      speed;  /* examples/s relative to the sequential or first run; NaN: alone */
} run_record;

void record_init(run_record *r, const cli_options *o, const asgd_model *m, const run_data *d);
/* mode, straggler and name of a run, as tables and reports call it */
void        record_name(run_record *r, const asgd_config *c, const char *straggler);
double      record_rate(const run_record *r); /* examples/s */
const char *end_name(asgd_end e);

#endif
