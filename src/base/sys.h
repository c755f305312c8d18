/* sys.h -- clock, cores, sleeping, files that appear whole or not at all. */
#ifndef ASGDI_SYS_H
#define ASGDI_SYS_H

#include <stdio.h>

#include "base/status.h"

double   asgdi_now(void);             /* seconds on a clock that never goes back */
double   asgdi_thread_seconds(void);  /* of a core that the calling thread has used */
void     asgdi_sleep(double seconds); /* may end early on a signal */
uint32_t asgdi_cores(void);           /* that this process may run on, at least 1 */

uint64_t asgdi_core_cache(void); /* bytes of a core's second cache, as far as is known */

/* A file written beside PATH and renamed onto it by asgdi_file_commit(): readers see the old file
 * or the new one.  Errors name the path and the system's reason. */
typedef struct asgdi_file {
    FILE *f;
    char *path, *temporary;
} asgdi_file;
asgd_status asgdi_file_create(asgdi_file *file, const char *path);
asgd_status asgdi_file_write(asgdi_file *file, const void *data, size_t bytes);
asgd_status
asgdi_file_commit(asgdi_file *file); /* flushes, syncs, renames, frees; on error as _abandon */
/* The same without waiting for the disk: after a crash of the system the file may be damaged. */
asgd_status asgdi_file_commit_later(asgdi_file *file);
void asgdi_file_abandon(asgdi_file *file); /* removes the temporary; harmless when done twice */

/* Makes a folder and its parents; fine if it exists. */
asgd_status asgdi_make_folder(const char *path);

#endif
