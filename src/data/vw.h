/* vw.h -- Vowpal Wabbit text: what the head of a file, the options or a recipe say about namespaces
 * and their products, and an example's products.
 *
 *     head or recipe, options --vw_setup.c--> asgdi_vw --source_vw.c--> entries --vw_pairs.c--> more
 *
 * The grammar is in source_vw.c. */
#ifndef ASGDI_VW_H
#define ASGDI_VW_H

#include "data/text.h"

enum {
    ASGDI_VW_NAMESPACES = ASGDI_FIELDS_MAX - 1, /* at most, with a field each; the rest share one */
    ASGDI_VW_ENTRIES    = 1 << 20,              /* at most, of an example with its products */
    ASGDI_VW_NONE       = UINT16_MAX,           /* no letter */
};

/* What is known of a namespace. */
typedef struct asgdi_vw_space {
    uint64_t hash; /* of its name: the seed of its features */
    uint16_t field, letter;
} asgdi_vw_space;

/* Namespaces that begin with the same character are one in products; such a character is a letter
 * here, with a number from 0. */
typedef struct asgdi_vw_pair {
    uint16_t first, second;
} asgdi_vw_pair;

typedef struct asgdi_vw {
    uint32_t bits;    /* of a hash */
    bool     lenient; /* lines may lack the label */
    float    absent;  /* y where they do */

    uint32_t  n_names; /* namespace i has field i, all that are not known n_names */
    char    **name;    /* [n_names] owned, zero-terminated: a name holds no zero */
    uint64_t *hash;    /* [n_names] of the names */
    uint32_t *slot;    /* [mask + 1] number from 1 by hash; 0: empty */
    uint32_t  mask;

    asgdi_vw_space nameless, short_name[256]; /* of names of no and one byte, known or not */

    uint32_t       n_letters, n_pairs;
    uint16_t       letter[256]; /* of the first character; the anonymous namespace's is a blank */
    unsigned char  character[256]; /* [n_letters] */
    asgdi_vw_pair *pair;           /* [n_pairs] */
    size_t         room_pairs;
    bool           paired[256][256]; /* by characters, in both orders */
} asgdi_vw;

/* The number of the namespace whose name has this hash; n_names: not known. */
static inline uint32_t asgdi_vw_find(const asgdi_vw *t, uint64_t hash)
{
    for (uint32_t at = (uint32_t)(hash >> 32) & t->mask;; at = (at + 1) & t->mask) {
        uint32_t i = t->slot[at];
        if (i == 0) return t->n_names;
        if (t->hash[i - 1] == hash) return i - 1;
    }
}

/* Namespaces and pairs by the recipe, else by the head and the options.  free() also after a
 * failure. */
asgd_status asgdi_vw_setup(asgdi_vw *t, const asgdi_text_setup *s);
void        asgdi_vw_free(asgdi_vw *t);
json_t     *asgdi_vw_recipe(const asgdi_vw *t);

/* Features of one namespace in an example: entries begin .. begin + n - 1. */
typedef struct asgdi_vw_range {
    uint32_t begin, n;
    uint32_t next; /* of the same letter: which of work.range, counted from 1; 0: the last */
} asgdi_vw_range;

/* Features of one letter in an example. */
typedef struct asgdi_vw_group {
    uint32_t       n;    /* features; 0: the rest is not set */
    uint32_t       last; /* range, as `next` has it; 0: the first */
    asgdi_vw_range first;
} asgdi_vw_group;

/* Where a feature's name is, where names are wanted. */
typedef struct asgdi_vw_span {
    const char *space, *space_end, *begin, *end;
} asgdi_vw_span;

/* What a thread needs for the example in hand. */
typedef struct asgdi_vw_work {
    size_t          room;
    uint64_t       *hash;  /* [room] of each feature */
    asgdi_vw_span  *span;  /* [room] names wanted only */
    asgdi_vw_group *group; /* [n_letters] */
    asgdi_vw_range *range; /* [ranges] all but the first of each letter */
    uint32_t        ranges;
    size_t          room_hash, room_span, room_range;
} asgdi_vw_work;

/* Adds the products of an example whose n features are in k->rows, up to rows.at. */
asgd_status asgdi_vw_multiply(const asgdi_vw *t, asgdi_vw_work *w, asgdi_text_part *k);
/* Adds the names of its features. */
void asgdi_vw_name(const asgdi_vw_work *w, asgdi_text_part *k);

#endif
