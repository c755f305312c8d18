/* whole.h -- the arrays of all examples, put together from the rows that threads have parsed. */
#ifndef ASGDI_WHOLE_H
#define ASGDI_WHOLE_H

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
} asgdi_whole;

/* Appends the rows of `parts` structures, stride bytes apart, the first at *rows.  share: the part of
 * all examples that there will then be, as far as known; 0: not known.  false: no memory. */
bool asgdi_whole_append(asgdi_whole *w, asgdi_rows *rows, size_t stride, uint32_t parts,
                        double share);
/* Values, all 1 so far, that can be changed.  false: no memory. */
bool asgdi_whole_values(asgdi_whole *w);
/* s becomes the owner of the arrays. */
void asgdi_whole_give(asgdi_whole *w, asgd_source *s);
void asgdi_whole_free(asgdi_whole *w);

#endif
