/* lines.c -- many lines of text, made by several threads, written in order.
 *
 * A thread takes the next chunk, makes its lines in memory of its own, waits for its turn and writes
 * them: while one writes, the others make lines.  Each chunk's turn comes, also after an error, so
 * that nobody waits in vain. */
#define _POSIX_C_SOURCE 200809L
#include "lines.h"

#include "cli.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 20, THREADS_MAX = 64 };

typedef struct job {
    FILE       *f;
    lines_make *make;
    const void *self;
    uint64_t    lines, each, chunks; /* each: lines a chunk */
    /* guarded by the lock */
    pthread_mutex_t lock;
    pthread_cond_t  turned;
    uint64_t        next, turn; /* chunks: to be taken, to be written */
    int             error;      /* errno of the first write that failed */
} job;

typedef struct writer {
    job      *job;
    char     *buffer;
    pthread_t thread;
} writer;

static bool take(job *j, uint64_t *chunk)
{
    pthread_mutex_lock(&j->lock);
    bool taken = j->next < j->chunks && j->error == 0;
    if (taken) *chunk = j->next++;
    pthread_mutex_unlock(&j->lock);
    return taken;
}

static void write_in_turn(job *j, uint64_t chunk, const char *text, size_t bytes)
{
    pthread_mutex_lock(&j->lock);
    while (j->turn != chunk) pthread_cond_wait(&j->turned, &j->lock);
    bool good = j->error == 0;
    pthread_mutex_unlock(&j->lock);
    /* nobody else's turn comes before the end of this one */
    int error = good && fwrite(text, 1, bytes, j->f) != bytes ? (errno ? errno : EIO) : 0;
    pthread_mutex_lock(&j->lock);
    if (error) j->error = error;
    j->turn++;
    pthread_cond_broadcast(&j->turned);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *argument)
{
    writer  *w = argument;
    job     *j = w->job;
    uint64_t chunk;
    while (take(j, &chunk)) {
        uint64_t first = chunk * j->each;
        uint64_t end   = j->lines - first < j->each ? j->lines : first + j->each;
        char    *at    = w->buffer;
        for (uint64_t i = first; i < end; i++) at += j->make(j->self, i, at);
        write_in_turn(j, chunk, w->buffer, (size_t)(at - w->buffer));
    }
    return NULL;
}

int lines_write(FILE *f, uint64_t n, size_t most, uint32_t threads, lines_make *make,
                const void *self)
{
    writer         writers[THREADS_MAX] = {0};
    const uint64_t each                 = most < CHUNK_BYTES ? CHUNK_BYTES / most : 1;
    job            j                    = {.f      = f,
                                           .make   = make,
                                           .self   = self,
                                           .lines  = n,
                                           .each   = each,
                                           .chunks = n / each + (n % each != 0),
                                           .lock   = PTHREAD_MUTEX_INITIALIZER,
                                           .turned = PTHREAD_COND_INITIALIZER};
    uint32_t       ready = 0, running = 0;
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    if (threads > j.chunks) threads = (uint32_t)j.chunks;
    for (; ready < threads || ready == 0; ready++) {
        writers[ready] = (writer){.job = &j, .buffer = malloc(each * most)};
        if (!writers[ready].buffer) break;
    }
    if (ready == 0) return cli_fail(CLI_FAILED, "out of memory for the lines to write");
    for (; running + 1 < ready; running++) {
        if (pthread_create(&writers[running].thread, NULL, work, &writers[running]) != 0) break;
    }
    work(&writers[running]); /* this thread takes part, alone if need be */
    for (uint32_t i = 0; i < running; i++) pthread_join(writers[i].thread, NULL);
    for (uint32_t i = 0; i < ready; i++) free(writers[i].buffer);
    errno = j.error;
    return CLI_OK;
}
