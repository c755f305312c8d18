/* whole.h -- the arrays of all examples, put together from the rows that threads have parsed. */
#ifndef ASGDI_WHOLE_H
#define ASGDI_WHOLE_H

#include <pthread.h>

#include "data/array.h"
#include "data/rows.h"
#include "data/source.h"

typedef struct asgdi_whole {
    /* set before */
    bool        fielded, label_sets;
    uint32_t    dense;  /* values a row; 0: sparse */
    size_t      memory; /* arrays larger than this together go to files ... */
    const char *folder; /* ... in this folder, or in TMPDIR or /var/tmp where that cannot be */

    uint64_t    n, entries, labels;
    asgdi_array start, label_start; /* [n+1] of uint64_t */
    asgdi_array idx, label;         /* of uint32_t */
    asgdi_array val;                /* of float; empty as long as all values are 1 */
    asgdi_array field;              /* of uint16_t */
    asgdi_array y, weight;          /* [n] of float; weight: as val */
    bool        spilled;

    bool             locks;
    pthread_rwlock_t moving; /* held for writing where arrays grow, so move */
} asgdi_whole;

/* Where rows belong. */
typedef struct asgdi_place {
    uint64_t n, entries, labels;
} asgdi_place;

/* Call before place(), once what is set before is set. */
bool asgdi_whole_init(asgdi_whole *w);
/* Finds room behind the rows that have a place already.  share: the part of all examples that there
 * will then be, as far as known; 0: not known.  One call at a time; false: no memory. */
bool asgdi_whole_place(asgdi_whole *w, const asgdi_rows *r, double share, asgdi_place *at);
/* Copies them there, any thread. */
void asgdi_whole_put(asgdi_whole *w, const asgdi_rows *r, const asgdi_place *at);
/* Values, all 1 so far, that can be changed.  false: no memory. */
bool asgdi_whole_values(asgdi_whole *w);
/* s becomes the owner of the arrays. */
void asgdi_whole_give(asgdi_whole *w, asgd_source *s);
void asgdi_whole_free(asgdi_whole *w);

#endif
