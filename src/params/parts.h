/* parts.h -- a checkpoint's rows in several files, each written by one process: see docs/formats.md. */
#ifndef ASGDI_PARTS_H
#define ASGDI_PARTS_H

#include "params/params.h"
#include "params/safetensors.h"

/* Rows of a table that follow each other. */
typedef struct asgdi_piece {
    uint64_t first;
    uint32_t rows;
    int      table;
} asgdi_piece;

/* A file, as its writer knows it. */
typedef struct asgdi_part {
    uint32_t process;
    uint64_t bytes, checksum;
} asgdi_part;

char *asgdi_part_path(const char *folder, uint64_t generation,
                      uint32_t process); /* NULL: no memory */

/* Writes a process's part: its pieces [n], whose rows lie in rows[table] in their order, and a list of numbers of the
 * caller's.  Which process, out->process says; the rest of out is filled. */
asgd_status asgdi_part_write(const char *folder, uint64_t generation, const asgdi_params *p,
                             const asgdi_piece *piece, uint32_t n, float *const *rows,
                             const uint32_t *extra, size_t n_extra, asgdi_part *out);

typedef struct asgdi_parts {
    uint32_t              n;
    asgdi_tensors        *file; /* [n] */
    struct asgdi_stretch *stretch;
    size_t                n_stretches, room;
} asgdi_parts;

/* Opens parts [n] and checks every bit of them, and that together they hold each row of p once. */
asgd_status asgdi_parts_open(asgdi_parts *f, const char *folder, uint64_t generation,
                             const asgdi_params *p, const asgdi_part *part, uint32_t n);
void        asgdi_parts_copy(const asgdi_parts *f, asgdi_params *p);
/* The callers' lists, one part's after another's; the caller's to free. */
asgd_status asgdi_parts_extra(const asgdi_parts *f, uint32_t **extra, size_t *n);
void        asgdi_parts_close(asgdi_parts *f);

#endif
