/* kern_atomic.c -- the scalar variant with every float of a row, and of the arrays that merge, load,
 * store and add share, read and written by a relaxed atomic operation.  For ThreadSanitizer: with
 * ASGD_ISA=atomic the program has no data race left, by construction, and needs no suppressions.
 * The results have the same bits as scalar's.
 *
 * Flags: those of kern_scalar.c. */
#include "kern/kern.h"

#define KERN_TABLE asgdk_atomic
#define KERN_NAME "atomic"

typedef uint32_t __attribute__((may_alias)) word; /* the 32 bits of a float */

static inline float rload(const float *p)
{
    union {
        uint32_t bits;
        float    x;
    } u = {.bits = __atomic_load_n((const word *)p, __ATOMIC_RELAXED)};
    return u.x;
}
static inline void rstore(float *p, float x)
{
    union {
        float    x;
        uint32_t bits;
    } u = {.x = x};
    __atomic_store_n((word *)p, u.bits, __ATOMIC_RELAXED);
}
#define rload1 rload
#define rstore1 rstore

#include "kern/kern_lane1.h"
#include "kern/kern_body.h"
