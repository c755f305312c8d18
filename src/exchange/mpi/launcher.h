/* launcher.h -- what a process tells scripts/asgd-mpirun, which started it. */
#ifndef ASGDI_LAUNCHER_H
#define ASGDI_LAUNCHER_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line for the launcher: into the file named by ASGD_VERDICT, with this behind its name; or, where that is on another
 * machine, to the standard error, which the launcher reads there. */
static inline void asgdi_tell_launcher_line(const char *behind, const char *line)
{
    const char *path = getenv("ASGD_VERDICT");
    char        file[4096];
    if (!path) return;
    const int   n    = snprintf(file, sizeof file, "%s%s", path, behind);
    const char *name = strrchr(path, '/');
    const int fd = n > 0 && n < (int)sizeof file ? open(file, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (fd < 0) {
        dprintf(STDERR_FILENO, "@asgd-verdict %s%s %s\n", name ? name + 1 : path, behind, line);
        return;
    }
    dprintf(fd, "%s\n", line);
    close(fd);
}

/* How it ends, an exit code: mpirun itself may never end, or report success whatever happened, where it was told to bear
 * losses.  Said where this process ends itself: by the program, or by the module where it ends the job. */
static inline void asgdi_tell_launcher(int code)
{
    char line[16];
    snprintf(line, sizeof line, "%d", code);
    asgdi_tell_launcher_line("", line);
}

/* How far it has come up.  While processes come up each waits for all, and the death of one leaves the others stuck; but
 * then nothing is done yet either, so the launcher starts such a job again. */
#define ASGDI_LAUNCH_OPENING "opening" /* from here on it waits for all */
#define ASGDI_LAUNCH_OPEN "open"       /* they are there: the death of one is borne */
#define ASGDI_LAUNCH_STUCK "stuck"     /* they did not come, and this one gives up */
static inline void asgdi_tell_launcher_start(const char *how_far)
{
    asgdi_tell_launcher_line(".start", how_far);
}

/* What went wrong before the processes were together: usually the same in all, and the launcher says it once. */
static inline void asgdi_tell_launcher_why(const char *message)
{
    asgdi_tell_launcher_line(".why", message);
}

/* Whether a launcher listens: it will say what went wrong, once and for all. */
static inline bool asgdi_has_launcher(void)
{
    return getenv("ASGD_VERDICT") != NULL;
}

#endif
