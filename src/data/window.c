/* window.c -- windows of whole lines.
 *
 * A plain file is mapped, and one window; pages that are parsed are given back.  Other input
 * is decoded into two buffers in turn: one is being parsed, into the other goes what is decoded
 * meanwhile, after the unfinished line that the first ended with.  A window is never empty and has
 * at least one whole line, so a line longer than a window makes the window longer. */
#define _GNU_SOURCE
#include "data/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where the last whole line of the buffer ends; all of it where the input has ended. */
static size_t whole_lines(const asgdi_input *in, size_t pos)
{
    if (in->complete) return in->bytes;
    const uint8_t *line = memrchr(in->data + pos, '\n', in->bytes - pos);
    return line ? (size_t)(line + 1 - in->data) : pos;
}

static asgd_status fill_lines(asgdi_windows *w)
{
    asgdi_input *in = w->in;
    while (!in->complete && whole_lines(in, w->pos) == w->pos)
        ASGD_TRY(asgdi_input_fill(in, in->bytes + w->size));
    return ASGD_OK;
}

asgd_status asgdi_windows_open(asgdi_windows *w, asgdi_input *in, size_t size)
{
    *w      = (asgdi_windows){.in = in, .size = size};
    w->head = asgdi_input_map(in, &w->map, &w->map_bytes);
    if (w->head) {
        w->head_end = w->head + in->file_bytes;
        return ASGD_OK;
    }
    if (in->bytes < size) ASGD_TRY(asgdi_input_fill(in, size));
    ASGD_TRY(fill_lines(w));
    static const char nothing[ASGDI_SLACK] = {0};
    w->head                                = in->data ? (const char *)in->data : nothing;
    w->head_end                            = w->head + whole_lines(in, 0);
    return ASGD_OK;
}

void asgdi_windows_parsed(const asgdi_windows *w, const char *begin, const char *end)
{
    if (!w->map) return;
    const size_t page  = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = ((size_t)(begin - w->head) + page - 1) / page * page,
                 last  = (size_t)(end - w->head) / page * page;
    if (first < last) /* a hint; it can be read again */
        (void)madvise((char *)w->map + first, last - first, MADV_DONTNEED);
}

asgd_status asgdi_windows_next(asgdi_windows *w, const char *from, const char **begin,
                               const char **end)
{
    asgdi_input *in = w->in;
    if (w->map) {
        *begin = w->at ? w->at : from;
        *end = w->at = w->head_end;
        return ASGD_OK;
    }
    if (w->status != ASGD_OK) return asgdi_fail(w->status, "%s", w->error);
    if (!w->given) w->pos = (size_t)(from - w->head);
    ASGD_TRY(fill_lines(w));
    size_t stop = whole_lines(in, w->pos), rest = in->bytes - stop, room = rest + ASGDI_SLACK;
    *begin = in->data ? (const char *)in->data + w->pos : from;
    *end   = in->data ? (const char *)in->data + stop : from;
    if (w->given_room < room) {
        if (room < in->capacity) room = in->capacity;
        free(w->given);
        w->given      = malloc(room);
        w->given_room = w->given ? room : 0;
        if (!w->given)
            return ASGD_FAIL(ENOMEM, "%s: no memory for %zu bytes of it", in->name, room);
    }
    memcpy(w->given, *end, rest);
    memset(w->given + rest, 0, ASGDI_SLACK);
    uint8_t *data = in->data;
    size_t   n    = in->capacity;
    in->data      = w->given;
    in->capacity  = w->given_room;
    in->bytes     = rest;
    in->before += stop;
    w->given      = data;
    w->given_room = n;
    w->pos        = 0;
    return ASGD_OK;
}

bool asgdi_windows_can_go_ahead(const asgdi_windows *w)
{
    return !w->map && !w->in->complete;
}

void asgdi_windows_ahead(asgdi_windows *w)
{
    w->status = asgdi_input_fill(w->in, w->in->bytes + w->size);
    if (w->status != ASGD_OK) snprintf(w->error, sizeof w->error, "%s", asgd_errmsg());
}

double asgdi_windows_share(const asgdi_windows *w)
{
    if (w->map) return (double)(w->at - w->head) / (double)w->in->file_bytes;
    return asgdi_input_share(w->in);
}

uint64_t asgdi_windows_bytes(const asgdi_windows *w)
{
    return w->map ? w->in->file_bytes : w->in->before + w->in->bytes;
}

void asgdi_windows_close(asgdi_windows *w)
{
    if (w->map) munmap(w->map, w->map_bytes);
    free(w->given);
    *w = (asgdi_windows){0};
}
