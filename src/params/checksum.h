/* checksum.h -- a 64-bit checksum of a stream of bytes, against damage, not against malice.
 *
 * Words of eight bytes, each through xor, a multiplication by an odd number and a shift down (the
 * scheme of FNV-1a, by words; the shift lets high bits reach low ones).  Every step is invertible,
 * so two streams that differ in a single word never agree. */
#ifndef ASGDI_CHECKSUM_H
#define ASGDI_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct asgdi_checksum {
    uint64_t      h, bytes;
    unsigned char rest[8]; /* the first bytes % 8 of it wait for their word to be full */
} asgdi_checksum;

static inline uint64_t asgdi_checksum_word(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static inline void asgdi_checksum_add(asgdi_checksum *c, const void *data, size_t bytes)
{
    const unsigned char *p    = data;
    size_t               have = c->bytes % 8;
    uint64_t             word;
    c->bytes += bytes;
    if (have) {
        size_t take = bytes < 8 - have ? bytes : 8 - have;
        memcpy(c->rest + have, p, take);
        if (have + take < 8) return;
        memcpy(&word, c->rest, 8);
        c->h = asgdi_checksum_word(c->h, word);
        p += take;
        bytes -= take;
    }
    for (; bytes >= 8; p += 8, bytes -= 8) {
        memcpy(&word, p, 8);
        c->h = asgdi_checksum_word(c->h, word);
    }
    if (bytes) memcpy(c->rest, p, bytes);
}

static inline uint64_t asgdi_checksum_end(const asgdi_checksum *c)
{
    uint64_t word = 0, h = c->h;
    memcpy(&word, c->rest, c->bytes % 8);
    h = asgdi_checksum_word(h, word);
    return asgdi_checksum_word(h, c->bytes);
}

#endif
