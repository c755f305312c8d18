/* cache.h -- parsed text in a binary file beside it, memory-mapped on the next run. */
#ifndef ASGDI_CACHE_H
#define ASGDI_CACHE_H

#include "data/input.h"
#include "data/source.h"

typedef struct asgdi_cache {
    char    *path;   /* NULL: this input has none */
    char    *folder; /* to make before writing, or NULL */
    uint64_t source_bytes, options;
    int64_t  source_mtime;
    const asgd_encoding
        *encoding; /* that the text is read with, borrowed; NULL: it makes its own */
} asgdi_cache;

/* Only ENOMEM is an error; a cache that cannot be used is none. */
asgd_status asgdi_cache_open(asgdi_cache *c, const asgdi_input *in, const asgd_source_options *o,
                             const char *format);
/* true: s is filled from the cache.  false: there is none that fits, s is untouched. */
bool asgdi_cache_load(const asgdi_cache *c, asgd_source *s, uint32_t threads, uint64_t *dropped);
/* Writes s, read from text of text_bytes; returns a note for people, "" where all is well. */
const char *asgdi_cache_store(const asgdi_cache *c, const asgd_source *s, uint64_t text_bytes,
                              uint64_t dropped);
void        asgdi_cache_close(asgdi_cache *c);

/* The file's image in memory, at a multiple of 64.  attach points s into it; false: it is not a valid
 * cache of this source.  seal makes a forged image's signature and checksums right. */
bool asgdi_cache_attach(asgd_source *s, const uint8_t *image, uint64_t bytes, const asgdi_cache *c,
                        uint32_t threads, uint64_t *dropped);
void asgdi_cache_seal(uint8_t *image, uint64_t bytes, const asgdi_cache *c);

#endif
