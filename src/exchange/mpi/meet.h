/* meet.h -- processes that can already say something to all get a TCP connection between each two of them. */
#ifndef ASGDI_MEET_H
#define ASGDI_MEET_H

#include <stddef.h>
#include <stdint.h>

enum { ASGDI_SECRET = 16 }; /* bytes */

typedef struct asgdi_meeting {
    uint32_t self, size;
    uint8_t  secret[ASGDI_SECRET]; /* of this job; the same in all its processes */
    double   seconds;              /* that all may take to find each other */
    /* What each process tells all, `bytes` of it, into all [size][bytes]; it waits for all.  0: done. */
    int (*gather)(void *user, const void *mine, size_t bytes, void *all);
    void *user;
} asgdi_meeting;

/* All processes call it.  0: fd [size] are connected stream sockets, non-blocking, the caller's, and -1 to itself; else, in
 * all processes, none is open and `why` [bytes] says what is wrong. */
int asgdi_meet(const asgdi_meeting *m, int *fd, char *why, size_t bytes);

#endif
