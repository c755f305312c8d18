/* encoding.h -- how text became features: which feature of the file each row of a model is.
 *
 * Every sparse text format gives 32-bit feature numbers: those in the file (LIBSVM, libFFM), or a
 * hash of the feature's name.  The features that occur in the training data become rows 0, 1, 2, ...
 * by falling frequency (ties by number): tables are then no larger than what was seen, and the rows
 * that every worker touches are the first.  The recipe is what else the format decided, as JSON. */
#ifndef ASGDI_ENCODING_H
#define ASGDI_ENCODING_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/status.h"
#include "data/vocab.h"

typedef struct asgdi_slot {
    uint32_t key, row; /* row + 1; 0: empty */
} asgdi_slot;

struct asgd_encoding {
    uint32_t  rows, fields;
    uint32_t *key;    /* [rows] */
    char     *recipe; /* a JSON object: {"format": "csv", ...}; never NULL */
    /* key -> row: open addressing.  Made when first needed, under the lock */
    asgdi_slot     *slot;
    uint32_t        mask; /* slots - 1 */
    asgdi_u32       indexed;
    pthread_mutex_t lock;
    asgdi_vocab     vocab[2]; /* ratings: users, items; they are rows by their own numbers */
    asgdi_u32       holders;  /* it is freed by the last */
};

#define ASGDI_UNSEEN UINT32_MAX
enum { ASGDI_ROWS_MAX = 1 << 30, ASGDI_FIELDS_MAX = 4096 };

/* Copies what it is given.  EFORMAT: a key stands twice. */
asgd_status asgdi_encoding_new(asgd_encoding **out, const uint32_t *key, uint32_t rows,
                               uint32_t fields, const char *recipe);
/* The same of keys that are known to be different, and it takes the malloc'ed keys over (also after a
 * failure). */
asgd_status asgdi_encoding_take(asgd_encoding **out, uint32_t *key, uint32_t rows, uint32_t fields,
                                const char *recipe);
/* Call before asgdi_encoding_row(), any thread.  ENOMEM. */
asgd_status asgdi_encoding_index(const asgd_encoding *e);
/* Another holder of the same; e NULL: NULL. */
asgd_status asgdi_encoding_copy(asgd_encoding **out, const asgd_encoding *e);
void        asgdi_encoding_free(asgd_encoding *e);
/* The same rows, fields and recipe; NULL is equal to NULL. */
bool asgdi_encoding_equal(const asgd_encoding *a, const asgd_encoding *b);
/* The recipe's "format"; buf where it has one, else NULL. */
const char *asgdi_encoding_format(const asgd_encoding *e, char buf[16]);

static inline uint32_t asgdi_encoding_home(uint32_t key, uint32_t mask)
{
    return (uint32_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & mask;
}

/* The row of a feature; ASGDI_UNSEEN where the training data lacked it. */
static inline uint32_t asgdi_encoding_row(const asgd_encoding *e, uint32_t key)
{
    for (uint32_t at = asgdi_encoding_home(key, e->mask);; at = (at + 1) & e->mask) {
        const asgdi_slot s = e->slot[at];
        if (s.row == 0 || s.key == key) return s.row - 1; /* 0 becomes ASGDI_UNSEEN */
    }
}

/* ---- hashing, for the formats whose features are names ---- */

/* A name's 64-bit hash: bytes 8 at a time (rest zero-padded, length mixed in), each multiplied and
 * folded; documented in docs/formats.md, and never to change, as models depend on it. */
uint64_t asgdi_hash(const char *p, size_t n, uint64_t seed);
/* Two features' product. */
static inline uint64_t asgdi_hash_pair(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
}
/* The feature number of a hash, for hash_bits 10..32. */
static inline uint32_t asgdi_hash_feature(uint64_t h, uint32_t bits)
{
    return (uint32_t)(h >> (64 - bits));
}

#endif
