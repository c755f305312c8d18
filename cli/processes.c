/* processes.c -- asgd as one of several processes that train together.
 *
 * mpirun and srun start the same command several times and tell each in its environment which one it is.
 * What goes wrong before training usually goes wrong in all of them: so the first one speaks at once and ends the
 * job, and the others wait a little before they do.  Before they are together none can end the job: asgd-mpirun, where it is
 * there, hears it from all and says it once. */
#define _POSIX_C_SOURCE 200809L
#include "processes.h"

#include "exchange/mpi/launcher.h"
#include "opts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number in a variable; false: it is not there, or none. */
static bool number(const char *variable, uint32_t *out)
{
    const char *text = getenv(variable);
    char       *end;
    if (!text || !*text) return false;
    const unsigned long x = strtoul(text, &end, 10);
    if (*end || x > UINT32_MAX) return false;
    *out = (uint32_t)x;
    return true;
}

bool processes_told(uint32_t *process, uint32_t *size)
{
    static const char *const known[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                           {"PMI_RANK", "PMI_SIZE"},
                                           {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (number(known[i][0], process) && number(known[i][1], size)) return *size > 1;
    return false;
}

int processes_open(asgd_group **g, const cli_options *o)
{
    uint32_t process, size;
    *g = NULL;
    if (o->exchange && strcmp(o->exchange, "none") == 0) return CLI_OK;
    if ((!o->exchange || strcmp(o->exchange, "auto") == 0) && !processes_told(&process, &size)) {
        return CLI_OK;
    }
    const asgd_status s = asgd_group_open(g, o->exchange);
    if (s == ASGD_ELOST && asgdi_has_launcher()) { /* all say so, to one who speaks for all */
        asgdi_tell_launcher_start(ASGDI_LAUNCH_STUCK);
        return CLI_FAILED;
    }
    if (s != ASGD_OK) return cli_status(s);
    cli_speak_as(asgd_group_process(*g), asgd_group_size(*g), asgd_group_host(*g));
    return CLI_OK;
}

uint32_t processes_cores(void)
{
    static const char *const known[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"};
    const uint32_t           cores   = asgd_cores();
    const long               all     = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t                 here    = 1;
    if (all > 0 && cores < (uint32_t)all) return cores; /* it was given some of its own */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (number(known[i], &here)) break;
    return here > 1 ? (cores > here ? cores / here : 1) : cores;
}

/* NAME, of all tables, and TABLE=NAME of single ones, with commas in between. */
static void merging(asgd_config *c, const char *text)
{
    char         name[16];
    const size_t length = text ? strcspn(text, ",") : 0;
    if (!text) return;
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    if (asgd_merging_parse(name, &c->merging)) text += length + (text[length] == ',');
    c->table_merging = text; /* looked at when the tables are known */
}

void processes_config(asgd_config *c, const cli_options *o, asgd_group *g)
{
    c->group          = g;
    c->max_lag        = o->max_lag;
    c->local_steps    = (uint32_t)o->local_steps; /* auto is ASGD_STEPS_AUTO, the word's number */
    c->dead_after     = o->dead_after;
    c->min_processes  = (uint32_t)o->min_processes;
    c->drop           = o->drop;
    c->clip_deltas    = o->clip_deltas;
    c->outer_momentum = o->outer_momentum;
    if (o->guard && strcmp(o->guard, "on") == 0) c->guard = ASGD_GUARD_ON;
    if (o->guard && strcmp(o->guard, "off") == 0) c->guard = ASGD_GUARD_OFF;
    merging(c, o->merging);
    if (o->compress) asgd_compress_parse(o->compress, &c->compress);
}
