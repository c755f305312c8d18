/* window.h -- text of any length, plain or compressed, as windows of whole lines. */
#ifndef ASGDI_WINDOW_H
#define ASGDI_WINDOW_H

#include "data/input.h"

typedef struct asgdi_windows {
    asgdi_input *in;
    size_t       size;            /* a window that is not mapped has about so many bytes */
    const char  *head, *head_end; /* the beginning: all of a mapped file, else the first window */
    const char  *at;              /* mapped: where the text given ends */
    void        *map;
    size_t       map_bytes;
    uint8_t     *given; /* not mapped: the window that was given last */
    size_t       given_room;
    size_t       pos;    /* not mapped: where the next window begins */
    asgd_status  status; /* of asgdi_windows_ahead() */
    char         error[600];
} asgdi_windows;

/* Errors: those of asgdi_input_fill(). */
asgd_status asgdi_windows_open(asgdi_windows *w, asgdi_input *in, size_t size);
/* The next window: whole lines, the last one perhaps without its '\n'; *begin == *end where the text
 * has ended.  The first begins at `from`, which is in the head.  It is valid until the next call, and
 * the ASGDI_SLACK bytes behind it can be read. */
asgd_status asgdi_windows_next(asgdi_windows *w, const char *from, const char **begin,
                               const char **end);
/* Lines of the window that are not wanted any more; any thread. */
void asgdi_windows_parsed(const asgdi_windows *w, const char *begin, const char *end);
/* Decodes the window after the one given; may run while that is in use. */
bool asgdi_windows_can_go_ahead(const asgdi_windows *w);
void asgdi_windows_ahead(asgdi_windows *w);
/* Part of the text that was given or decoded, 0..1; 0: not known. */
double asgdi_windows_share(const asgdi_windows *w);
/* Bytes of text so far. */
uint64_t asgdi_windows_bytes(const asgdi_windows *w);
void     asgdi_windows_close(asgdi_windows *w);

#endif
