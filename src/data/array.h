/* array.h -- a long array that grows without being copied, in memory or in a file without a name. */
#ifndef ASGDI_ARRAY_H
#define ASGDI_ARRAY_H

#include <stdbool.h>
#include <stddef.h>

typedef struct asgdi_array {
    void  *p;
    size_t bytes;  /* there is room for */
    bool   mapped; /* else from asgdi_calloc() */
    int    file;   /* descriptor + 1; 0: in memory */
} asgdi_array;

/* Room for at least `least` bytes, rather `wish`; what is in it stays.  false: nothing changed. */
bool asgdi_array_grow(asgdi_array *a, size_t least, size_t wish);
/* Moves the array, of which `used` bytes count, into a new file in the folder, which is removed by
 * the system when nobody maps it any more.  false: nothing changed. */
bool asgdi_array_spill(asgdi_array *a, size_t used, const char *folder);
/* Gives back what is beyond `used` bytes.  The array cannot grow after that. */
void asgdi_array_trim(asgdi_array *a, size_t used);
void asgdi_array_free(asgdi_array *a);

#endif
