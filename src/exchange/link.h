/* link.h -- how processes talk: frames go out, frames come in, nothing else.
 *
 * A link may lose, repeat and reorder frames, and a process may be gone without anybody being told; the
 * exchange bears all of that.  It never damages a frame, and never invents one.  All functions are called by
 * one thread, the one that opened the link, and none of them waits, but rest() for as long as it is told. */
#ifndef ASGDI_LINK_H
#define ASGDI_LINK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <asgd/asgd.h>

#include "base/set.h"

enum { ASGDI_FRAME_MAX = 1 << 20 }; /* bytes */

/* What travels.  Counted, since the sender keeps what it may have to send again; whoever holds one only
 * reads it.  Plain malloc, so that a link may live in a module of its own. */
typedef struct asgdi_frame {
    uint32_t refs, bytes;
    _Alignas(16) uint8_t data[];
} asgdi_frame;

static inline asgdi_frame *
asgdi_frame_new(size_t bytes) /* NULL: no memory, or above ASGDI_FRAME_MAX */
{
    asgdi_frame *f = bytes <= ASGDI_FRAME_MAX ? malloc(sizeof *f + bytes) : NULL;
    if (f) f->refs = 1;
    if (f) f->bytes = (uint32_t)bytes;
    return f;
}

static inline asgdi_frame *asgdi_frame_hold(asgdi_frame *f)
{
    f->refs++;
    return f;
}

static inline void asgdi_frame_free(asgdi_frame *f)
{
    if (f && --f->refs == 0) free(f);
}

typedef struct asgdi_link asgdi_link;
struct asgdi_link {
    const char *name;       /* "tcp" or "mpi": what carries frames */
    uint32_t    self, size; /* processes are numbered 0..size-1, and stay so */
    uint64_t    run;        /* the same in all processes of this run, and in no other run */
    char        host[64];

    /* Takes the caller's hold on the frame, and lets go of it when it is sent, or dropped.  to != self. */
    void (*send)(asgdi_link *l, uint32_t to, asgdi_frame *f);
    /* The next frame that has come, the caller's now, and who sent it; NULL: none at the moment. */
    asgdi_frame *(*receive)(asgdi_link *l, uint32_t *from);
    /* Nothing goes to or comes from that process any more; what was on the way is dropped.  self: the others have given this
     * process up, and close() is to end nothing but it. */
    void (*drop)(asgdi_link *l, uint32_t process);
    /* Bytes given to send() for that process that are not on their way yet. */
    size_t (*waiting)(const asgdi_link *l, uint32_t process);
    /* Lets up to so many seconds pass, less where something comes. */
    void (*rest)(asgdi_link *l, double seconds);
    /* Ends it in good order, at the latest `seconds` from now, and frees it.  lost: some process is gone, so
     * that nothing may be waited for that all would have to do.  code: what the process will exit with. */
    void (*close)(asgdi_link *l, double seconds, bool lost, int code);
};

/* A link in a module, loaded when it is asked for: the symbol ASGDI_LINK_SYMBOL of module asgd_<name>.so is a
 * constant of this type. */
typedef struct asgdi_link_module {
    uint32_t    abi;      /* ASGDI_LINK_ABI */
    const char *made_for; /* "Open MPI 4.1.4" */
    /* On the thread that is to use it; carrier: "tcp", "mpi" or "auto".  0: done; else nothing is open, and `why` [bytes]
     * says why. */
    int (*open)(asgdi_link **out, const char *carrier, char *why, size_t bytes);
} asgdi_link_module;
enum { ASGDI_LINK_ABI = 2 };
#define ASGDI_LINK_SYMBOL "asgdi_module"

/* link.c: finds and loads the module.  EIO: there is none, or it cannot be loaded here; the message says where
 * it was looked for. */
asgd_status asgdi_link_open(asgdi_link **out, const char *name);

#endif
