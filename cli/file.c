/* file.c -- output files: checked before the work, written beside, renamed when whole.
 *
 * Invariant: PATH holds the old content or all of the new, whatever happens between. */
#define _POSIX_C_SOURCE 200809L
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static char *beside(const char *path)
{
    size_t bytes = strlen(path) + 32;
    char  *name  = malloc(bytes);
    if (name) snprintf(name, bytes, "%s.tmp-%ld", path, (long)getpid());
    return name;
}

int out_check(const char *option, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return cli_fail(CLI_FAILED, "%s %s: is %s; name a file", option, path,
                        S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    }
    char *name = beside(path);
    if (!name) return cli_fail(CLI_FAILED, "out of memory");
    int fd  = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int why = errno;
    if (fd >= 0) {
        close(fd);
        unlink(name);
    }
    free(name);
    if (fd < 0) {
        return cli_fail(CLI_FAILED, "%s %s: cannot write there: %s; nothing was run", option, path,
                        strerror(why));
    }
    return CLI_OK;
}

void out_abandon(out_file *out)
{
    if (out->f) fclose(out->f);
    if (out->temporary) unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    *out = (out_file){0};
}

int out_open(out_file *out, const char *path)
{
    *out           = (out_file){0};
    out->path      = strdup(path);
    out->temporary = out->path ? beside(path) : NULL;
    if (!out->temporary) {
        out_abandon(out);
        return cli_fail(CLI_FAILED, "out of memory");
    }
    int fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) out->f = fdopen(fd, "w");
    if (!out->f) {
        int code = cli_fail(CLI_FAILED, "%s: %s", out->temporary, strerror(errno));
        if (fd >= 0) close(fd);
        out_abandon(out);
        return code;
    }
    return CLI_OK;
}

int out_commit(out_file *out)
{
    bool good = !ferror(out->f) && fflush(out->f) == 0 && fsync(fileno(out->f)) == 0;
    good      = good && rename(out->temporary, out->path) == 0;
    int why   = errno;
    int code  = CLI_OK;
    if (good) {
        free(out->temporary);
        out->temporary = NULL;
    } else {
        code = cli_fail(CLI_FAILED, "%s: %s", out->path, strerror(why));
    }
    out_abandon(out);
    return code;
}
