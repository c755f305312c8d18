/* processes.h -- asgd as one of several processes that train together. */
#ifndef CLI_PROCESSES_H
#define CLI_PROCESSES_H

#include "cli.h"

/* Which of how many processes this one is, as who started it says; false: it is alone, or nobody says. */
bool processes_told(uint32_t *process, uint32_t *size);
/* Joins the others, as --exchange says: *g NULL where there are none. */
int processes_open(asgd_group **g, const cli_options *o);
/* Worker threads for each process, where --workers does not say: the cores of this machine, shared with
 * its processes here. */
uint32_t processes_cores(void);
/* The settings of a group. */
void processes_config(asgd_config *c, const cli_options *o, asgd_group *g);

#endif
