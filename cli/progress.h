/* progress.h -- the observer of a run: what people see while it goes on, and the log. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <jansson.h>
#include <stdio.h>

#include "run.h"
#include "text.h"

typedef struct progress {
    bool        shown, terminal;
    bool        drawn; /* a line without its end is on the terminal */
    const char *name;  /* of the run, in compare; else NULL */
    const char *metric;
    double      printed; /* clock at the last plain line */
    char        valid[TEXT_BYTES + 40];
    uint32_t    interventions; /* of a group's guard, that were told */
    /* progressive validation: sums over the run and since the last line of the table */
    bool        progressive;
    uint64_t    examples, table_examples;
    double      loss, table_loss;
    FILE       *log;
    double      logged; /* clock at the last point in the log */
    const char *log_path;
    bool        log_again; /* goes on with what is there */
    bool        log_failed;
} progress;

/* speaks: of several processes only one writes the log, as long as it lives. */
int  progress_open(progress *p, const cli_options *o, bool speaks);
void progress_start(progress *p, const char *name, const char *metric);
int  progress_observe(const asgd_point *point, void *p); /* an asgd_observer */
void progress_notice(const char *text, void *p);         /* an asgd_notice */
void progress_end(progress *p);   /* of one run: leaves the terminal's line clean */
int  progress_close(progress *p); /* CLI_FAILED where the log could not be written */

#endif
