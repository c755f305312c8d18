/* access.h -- the master's rows for threads other than the workers: read as they are while workers run, and
 * changed.
 *
 * Rows that are private to workers are changed under their block's lock at any time: each worker takes
 * the change in with its next merge, and none is lost, since own - seen does not depend on the master.
 * Rows that workers write in place may be changed only while none of them is inside a step. */
#ifndef ASGDI_ACCESS_H
#define ASGDI_ACCESS_H

#include "params/params.h"

typedef struct asgdi_access {
    asgdi_params    *p;
    asgdi_locks     *locks;
    const uint64_t  *n_own; /* [n_tables] as the locks were made for */
    const asgd_kern *k;
    asgdk_step       step; /* derived weights are computed with it */
    float           *row;  /* scratch of the one thread that this is for */
} asgdi_access;

asgd_status asgdi_access_init(asgdi_access *a, asgdi_params *p, asgdi_locks *l,
                              const uint64_t *n_own, const asgd_kern *k, const asgdk_step *step);
void        asgdi_access_free(asgdi_access *a);
/* Rows first..first+n-1, w and slots, to [n][stride]. */
void asgdi_access_read(const asgdi_access *a, int table, uint64_t first, uint32_t n, float *to);
/* Those rows += by [n][stride], or = by.  Derived weights are computed again instead. */
void asgdi_access_change(const asgdi_access *a, int table, uint64_t first, uint32_t n, bool replace,
                         const float *by);

#endif
