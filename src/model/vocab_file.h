/* vocab_file.h -- names of users and items in a model file. */
#ifndef ASGDI_VOCAB_FILE_H
#define ASGDI_VOCAB_FILE_H

#include "data/encoding.h"
#include "params/safetensors.h"

/* Adds what there is to list[*n]; words[2] are freed by the caller, also after a failure. */
asgd_status asgdi_vocab_pack(const asgd_encoding *e, uint32_t *words[2], asgdi_matrix *list,
                             int *n);
/* EFORMAT: not exactly the names that the schema says. */
asgd_status asgdi_vocab_unpack(const char *path, const asgdi_tensors *f, const asgd_schema *d,
                               asgd_encoding *e);

#endif
