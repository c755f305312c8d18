/* safetensors.h -- files of named arrays (the safetensors format), read and written: of floats, and
 * lists of 32-bit whole numbers.
 *
 * A file is the length of its header (8 bytes, little end first), the header, and the data.  The
 * header is a JSON object: name -> {"dtype", "shape", "data_offsets"}, and "__metadata__" -> an
 * object of strings. */
#ifndef ASGDI_SAFETENSORS_H
#define ASGDI_SAFETENSORS_H

#include <jansson.h>

#include "base/status.h"

enum { ASGDI_TENSOR_DIMS = 8 };

typedef struct asgdi_tensor {
    const char          *name;
    int                  n_dims;
    uint64_t             shape[ASGDI_TENSOR_DIMS];
    bool                 u32;    /* type U32; else F32 */
    uint64_t             floats; /* product of shape: numbers, of 4 bytes each */
    const unsigned char *data;   /* they, at any alignment: copy them out with memcpy */
} asgdi_tensor;

/* An open file: everything in it is checked, and valid until it is closed. */
typedef struct asgdi_tensors {
    json_t              *header;
    int                  n;
    asgdi_tensor        *tensor;
    const unsigned char *bytes; /* the whole file */
    size_t               size;
    void                *map;
} asgdi_tensors;

asgd_status asgdi_tensors_open(asgdi_tensors *f, const char *path);
/* The same for a file in memory, which is borrowed; `path` is for messages. */
asgd_status asgdi_tensors_parse(asgdi_tensors *f, const char *path, const unsigned char *bytes,
                                size_t size);
void        asgdi_tensors_close(asgdi_tensors *f);
/* The floats, or the list of whole numbers, of this name; or NULL. */
const asgdi_tensor *asgdi_tensors_find(const asgdi_tensors *f, const char *name);
const asgdi_tensor *asgdi_tensors_find_u32(const asgdi_tensors *f, const char *name);
const char         *asgdi_tensors_meta(const asgdi_tensors *f, const char *key); /* or NULL */

/* A matrix to be written: `cols` floats of each row, which lie stride apart in memory. */
typedef struct asgdi_matrix {
    const char  *name;
    const float *data;
    uint64_t     rows;
    size_t       cols, stride;
    /* not NULL: a list of `rows` whole numbers instead, of shape [rows]; cols and stride are 1 */
    const uint32_t *u32;
} asgdi_matrix;

/* Writes the file whole or not at all.  metadata: an object of strings, or NULL.  Size and checksum
 * of what was written are given back where wanted. */
asgd_status asgdi_tensors_write(const char *path, const asgdi_matrix *m, int n,
                                const json_t *metadata, uint64_t *size, uint64_t *checksum);

#endif
