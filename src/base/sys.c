/* sys.c -- what the operating system does for us. */
#define _GNU_SOURCE
#include "base/sys.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

enum { SUFFIX = 64 }; /* bytes of ".tmp-..." */

double asgdi_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double asgdi_thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void asgdi_sleep(double seconds)
{
    if (!(seconds > 0)) return;
    struct timespec t;
    t.tv_sec  = (time_t)seconds;
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

uint32_t asgdi_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

uint64_t asgdi_core_cache(void)
{
    enum { LEAST = 1 << 18, USUAL = 1 << 20, MOST = 1 << 22 };
    long n = -1;
#ifdef _SC_LEVEL2_CACHE_SIZE
    n = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    if (n <= 0) return USUAL;
    return n < LEAST ? LEAST : n > MOST ? MOST : (uint64_t)n;
}

uint32_t asgd_cores(void)
{
    return asgdi_cores();
}

/* A number that other threads, and processes of other hosts that write to the same folder, do not come upon. */
static uint64_t unlike(const void *address)
{
    struct timespec t;
    char            host[64] = "";
    uint64_t        x        = (uint64_t)(uintptr_t)address;
    clock_gettime(CLOCK_REALTIME, &t);
    (void)gethostname(host, sizeof host - 1);
    for (const char *c = host; *c; c++) x = asgdi_mix(x ^ (uint8_t)*c);
    return asgdi_mix(x ^ asgdi_mix((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec));
}

asgd_status asgdi_file_create(asgdi_file *file, const char *path)
{
    *file           = (asgdi_file){0};
    size_t length   = strlen(path);
    file->path      = asgdi_strdup(path);
    file->temporary = asgdi_calloc(length + SUFFIX, 1);
    if (!file->path || !file->temporary) {
        asgdi_file_abandon(file);
        return ASGD_FAIL(ENOMEM, "no memory to write %s", path);
    }
    for (int tries = 0; tries < 10 && !file->f; tries++) {
        snprintf(file->temporary, length + SUFFIX, "%s.tmp-%ld-%016llx", path, (long)getpid(),
                 (unsigned long long)unlike(file->temporary));
        file->f = fopen(file->temporary, "wbx");
        if (!file->f && errno != EEXIST) break;
    }
    if (!file->f) {
        int e = errno;
        asgdi_free(file->temporary);
        file->temporary = NULL; /* nothing of ours to remove */
        asgdi_file_abandon(file);
        return ASGD_FAIL(EIO, "%s: cannot create it: %s", path, strerror(e));
    }
    return ASGD_OK;
}

asgd_status asgdi_file_write(asgdi_file *file, const void *data, size_t bytes)
{
    if (bytes && fwrite(data, 1, bytes, file->f) != bytes)
        return ASGD_FAIL(EIO, "%s: cannot write: %s", file->path, strerror(errno));
    return ASGD_OK;
}

static asgd_status commit(asgdi_file *file, bool sync)
{
    int e = 0;
    if (fflush(file->f) != 0 || (sync && fsync(fileno(file->f)) != 0)) e = errno;
    if (fclose(file->f) != 0 && !e) e = errno;
    file->f = NULL;
    if (!e && rename(file->temporary, file->path) != 0) e = errno;
    asgd_status s = ASGD_OK;
    if (e) {
        s = ASGD_FAIL(EIO, "%s: cannot write: %s", file->path, strerror(e));
    } else {
        asgdi_free(file->temporary);
        file->temporary = NULL;
    }
    asgdi_file_abandon(file);
    return s;
}

asgd_status asgdi_file_commit(asgdi_file *file)
{
    return commit(file, true);
}

asgd_status asgdi_file_commit_later(asgdi_file *file)
{
    return commit(file, false);
}

void asgdi_file_abandon(asgdi_file *file)
{
    if (file->f) fclose(file->f);
    if (file->temporary) unlink(file->temporary);
    asgdi_free(file->temporary);
    asgdi_free(file->path);
    *file = (asgdi_file){0};
}

asgd_status asgdi_make_folder(const char *path)
{
    char *copy = asgdi_strdup(path);
    if (!copy) return ASGD_FAIL(ENOMEM, "no memory for a path");
    int e = 0;
    for (char *p = copy + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p       = 0;
        e        = mkdir(copy, 0777) != 0 && errno != EEXIST ? errno : 0;
        *p       = end;
        if (!end) break;
    }
    asgdi_free(copy);
    struct stat st;
    if (!e && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) e = ENOTDIR;
    return e ? ASGD_FAIL(EIO, "%s: cannot make this folder: %s", path, strerror(e)) : ASGD_OK;
}
