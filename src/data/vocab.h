/* vocab.h -- the names of users or items, numbered from 0 as they are added. */
#ifndef ASGDI_VOCAB_H
#define ASGDI_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASGDI_NAME_MAX = 255, ASGDI_VOCAB_MAX = 1 << 30 };
#define ASGDI_NO_NAME UINT32_MAX

typedef struct asgdi_vocab_slot {
    uint64_t key;    /* a name of up to 8 bytes itself, else its hash */
    uint32_t number; /* + 1; 0: empty */
    uint32_t bytes;
} asgdi_vocab_slot;

/* Zeroed: empty.  Open addressing. */
typedef struct asgdi_vocab {
    uint32_t          n;
    size_t            mask; /* slots - 1 */
    asgdi_vocab_slot *slot;
    char             *text; /* names, each with a zero behind it */
    size_t            used, text_room;
    uint64_t         *start; /* [n] where in text */
    size_t            start_room;
} asgdi_vocab;

/* The number of a name of 1 to ASGDI_NAME_MAX bytes without zeros, which is new if need be.
 * ASGDI_NO_NAME: no memory, or there are too many. */
uint32_t asgdi_vocab_add(asgdi_vocab *v, const char *name, size_t bytes);
/* ASGDI_NO_NAME: it has none. */
uint32_t    asgdi_vocab_find(const asgdi_vocab *v, const char *name, size_t bytes);
const char *asgdi_vocab_name(const asgdi_vocab *v, uint32_t number);
bool        asgdi_vocab_equal(const asgdi_vocab *a, const asgdi_vocab *b);
void        asgdi_vocab_free(asgdi_vocab *v); /* what it holds */

#endif
