/* source.h -- what a source is inside the library: examples in memory, in random access.
 *
 * Storage is one of: dense bytes (images), dense floats, sparse rows.  Images with few non-zero
 * pixels are kept as sparse rows: the kernels then skip the zeros. */
#ifndef ASGDI_SOURCE_H
#define ASGDI_SOURCE_H

#include <stdio.h>

#include "base/status.h"
#include "kern/kern.h"

struct asgd_source {
    asgd_schema schema;
    /* dense: one of these, [examples][features] */
    const uint8_t *bytes; /* value = byte_scale * byte */
    float          byte_scale;
    const float   *dense;
    /* sparse */
    const uint64_t    *start; /* [examples+1] */
    const uint32_t    *idx;
    const float       *val;    /* NULL: all 1 */
    const uint16_t    *field;  /* NULL: no fields */
    const asgd_rating *rating; /* [examples] of users and items: then all above is NULL, and y */
    const double      *time;   /* [examples] of ratings, or NULL: not wanted */
    const float       *y;      /* [examples] */
    const float       *weight; /* [examples] or NULL: all 1 */
    float             *labels; /* [classes] or NULL: what class numbers stand for */
    const uint64_t    *label_start; /* [examples+1] or NULL: label_sets */
    const uint32_t    *label;
    /* idx are rows of this, by falling frequency; NULL: they are the file's numbers */
    asgd_encoding *encoding; /* owned */
    uint32_t       max_len;  /* most entries an example has */
    char           describe[256];
    void (*release)(asgd_source *s); /* frees or unmaps the arrays; NULL: borrowed */
    void  *memory;                   /* release's own */
    size_t memory_bytes;
};

/* A worker's place to put a batch.  gather is [batch][features] for dense sources, else NULL. */
typedef struct asgdi_cursor {
    const asgd_source *source;
    float             *dense;
    float             *y, *weight;
    uint64_t          *begin, *label_begin;
    uint32_t          *len, *label_len;
    asgd_rating       *rating;
    uint32_t           capacity;
} asgdi_cursor;
asgd_status asgdi_cursor_init(asgdi_cursor *c, const asgd_source *s, uint32_t capacity);
void        asgdi_cursor_free(asgdi_cursor *c);
/* The n <= capacity examples order[0..n), e.g. of a permutation, as one batch; cannot fail. */
void asgdi_cursor_batch(asgdi_cursor *c, const asgd_kern *k, const uint64_t *order, uint32_t n,
                        asgd_batch *out);

/* Reads one format from an input whose head is decoded; fills *out with memory it owns.  In file
 * source_<format>.c. */
struct asgdi_input;
struct asgdi_text_format;
typedef struct asgdi_format {
    const char *name;
    bool (*guess)(const char *path, const uint8_t *head, size_t bytes);
    asgd_status (*open)(asgd_source *out, struct asgdi_input *in, const asgd_source_options *o);
    const struct asgdi_text_format *text; /* NULL: it is no text of features */
} asgdi_format;
extern const asgdi_format asgdi_format_idx, asgdi_format_libsvm, asgdi_format_libffm,
    asgdi_format_criteo, asgdi_format_csv, asgdi_format_vw, asgdi_format_xc, asgdi_format_ratings;

#endif
