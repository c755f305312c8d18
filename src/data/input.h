/* input.h -- a file or stream, plain or compressed, as bytes in memory. */
#ifndef ASGDI_INPUT_H
#define ASGDI_INPUT_H

#include "base/status.h"

struct asgdi_decoder;

typedef struct asgdi_input {
    const char *path; /* as given, borrowed; "-" is standard input */
    const char *name; /* for messages: the path, or "standard input" */
    bool        folder;
    bool        regular; /* a file with a size and a time, so that a cache makes sense */
    uint64_t    file_bytes;
    int64_t     mtime_ns;
    uint8_t    *data; /* decoded so far, ASGDI_SLACK zeros behind; malloc'ed, NULL for a folder */
    size_t      bytes, capacity, limit;
    uint64_t    before; /* decoded bytes that are in `data` no longer */
    bool        complete;
    /* of text, see text.c; for tests to change */
    size_t                window; /* bytes that a thread parses at a time */
    size_t                memory; /* arrays larger than this go to a file */
    struct asgdi_decoder *decoder;
} asgdi_input;

/* Opens PATH and decodes its first bytes, at least ASGDI_HEAD unless it is shorter. */
enum { ASGDI_HEAD = 1 << 16, ASGDI_SLACK = 64 };
asgd_status asgdi_input_open(asgdi_input *in, const char *path);
/* Decodes the rest.  Errors: EIO, EFORMAT where compressed data are damaged or in->limit decoded
 * bytes do not suffice. */
asgd_status asgdi_input_read_all(asgdi_input *in);
/* Decodes until in->bytes is at least `want`, or the input ends. */
asgd_status asgdi_input_fill(asgdi_input *in, size_t want);
/* Part of the input that was read so far, 0..1; 0: not known. */
double asgdi_input_share(const asgdi_input *in);
/* All of a plain regular file, mapped, with ASGDI_SLACK bytes behind it that can be read; to be
 * unmapped by munmap(*map, *map_bytes).  NULL: it must be read. */
const char *asgdi_input_map(const asgdi_input *in, void **map, size_t *map_bytes);
/* A copy of (decoded) bytes in memory, for tests and fuzzers. */
asgd_status asgdi_input_memory(asgdi_input *in, const char *name, const void *data, size_t bytes);
void        asgdi_input_close(asgdi_input *in);

/* Length of a path without .gz, .xz, .bz2 or .zst. */
size_t asgdi_stem_length(const char *path);
/* The suffixes, "" first and NULL last. */
extern const char *const asgdi_suffixes[];

#endif
