/* wire.h -- how frames are laid out.
 *
 * Every frame begins with a head: who sent it in which run, and the view of the membership it was sent in.  Numbers
 * are little-endian, as they lie in memory on every machine this runs on; processes of one run are of one
 * build.  Reading is bounded: past the end everything is 0, and `bad` says so. */
#ifndef ASGDI_WIRE_H
#define ASGDI_WIRE_H

#include <string.h>

#include "exchange/link.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian");

typedef enum asgdi_frame_type {
    ASGDI_HELLO = 1, /* while processes find each other: what this run is about */
    ASGDI_BEAT,      /* a sign of life, and where its sender is */
    ASGDI_VIEW,      /* who is in from now on */
    ASGDI_DELTA,     /* progress in a block, to its owner */
    ASGDI_REPLY,     /* to that: what the sender lacks */
    ASGDI_ASK,       /* a new owner: which master of these blocks do you hold? */
    ASGDI_HOLD,      /* to that */
    ASGDI_FETCH,     /* a new owner, to who holds the newest: give it to me */
    ASGDI_DATA,      /* to that */
    ASGDI_LEASE,     /* to the keeper: these positions are done; more, please */
    ASGDI_GRANT,     /* to that */
    ASGDI_QUEUE_ASK, /* a new keeper: what do you hold, what do you know to be done? */
    ASGDI_QUEUE,     /* to that */
    ASGDI_HERE,      /* a sign of life of one who has not begun */
    ASGDI_FRAME_TYPES
} asgdi_frame_type;

enum { ASGDI_WIRE_MAGIC = 0x58474153, ASGDI_WIRE_VERSION = 4 };

typedef struct asgdi_head {
    uint32_t magic;
    uint8_t  version, type;
    uint16_t from;
    uint64_t run, view;
} asgdi_head;
_Static_assert(sizeof(asgdi_head) == 24, "no padding in a head");

typedef struct asgdi_writer {
    asgdi_frame *frame;
    size_t       at;
} asgdi_writer; /* into a frame that is large enough: its maker has counted */

static inline void asgdi_put(asgdi_writer *w, const void *from, size_t bytes)
{
    memcpy(w->frame->data + w->at, from, bytes);
    w->at += bytes;
}

static inline void asgdi_put_u8(asgdi_writer *w, uint8_t v)
{
    asgdi_put(w, &v, sizeof v);
}

static inline void asgdi_put_u32(asgdi_writer *w, uint32_t v)
{
    asgdi_put(w, &v, sizeof v);
}

static inline void asgdi_put_u64(asgdi_writer *w, uint64_t v)
{
    asgdi_put(w, &v, sizeof v);
}

static inline void asgdi_put_double(asgdi_writer *w, double v)
{
    asgdi_put(w, &v, sizeof v);
}

typedef struct asgdi_reader {
    const uint8_t *at;
    size_t         left;
    bool           bad;
} asgdi_reader;

static inline void asgdi_get(asgdi_reader *r, void *to, size_t bytes)
{
    if (bytes > r->left) {
        r->bad  = true;
        r->left = 0;
        memset(to, 0, bytes);
        return;
    }
    memcpy(to, r->at, bytes);
    r->at += bytes;
    r->left -= bytes;
}

static inline uint8_t asgdi_get_u8(asgdi_reader *r)
{
    uint8_t v;
    asgdi_get(r, &v, sizeof v);
    return v;
}

static inline uint32_t asgdi_get_u32(asgdi_reader *r)
{
    uint32_t v;
    asgdi_get(r, &v, sizeof v);
    return v;
}

static inline uint64_t asgdi_get_u64(asgdi_reader *r)
{
    uint64_t v;
    asgdi_get(r, &v, sizeof v);
    return v;
}

static inline double asgdi_get_double(asgdi_reader *r)
{
    double v;
    asgdi_get(r, &v, sizeof v);
    return v;
}

/* The next `bytes` bytes where they lie; NULL: there are not so many. */
static inline const uint8_t *asgdi_get_bytes(asgdi_reader *r, size_t bytes)
{
    const uint8_t *at = r->at;
    if (bytes > r->left) {
        r->bad  = true;
        r->left = 0;
        return NULL;
    }
    r->at += bytes;
    r->left -= bytes;
    return at;
}

#endif
