/* two_texts.h -- a text, and another that is read with the encoding of the first. */
#ifndef TWO_TEXTS_H
#define TWO_TEXTS_H

#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/encoding.h"
#include "data/input.h"

/* NULL where it is refused. */
static inline asgd_source *open_text(const asgdi_format *f, const uint8_t *data, size_t bytes,
                                     const asgd_source_options *o)
{
    asgdi_input  in;
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    if (!s || asgdi_own(s) != ASGD_OK || asgdi_input_memory(&in, "fuzz", data, bytes) != ASGD_OK)
        abort();
    if (in.bytes > 0) f->guess(in.path, in.data, in.bytes);
    asgd_status status = f->open(s, &in, o);
    asgdi_input_close(&in);
    if (status == ASGD_OK) {
        check_source(s);
        for (uint64_t j = 0; s->field && j < s->schema.nonzeros; j++)
            must(s->field[j] < s->schema.fields);
        for (uint64_t i = 0; s->weight && i < s->schema.examples; i++)
            must(s->weight[i] > 0 && isfinite(s->weight[i]));
        return s;
    }
    asgd_source_close(s);
    return NULL;
}

/* The first byte says where the second text begins. */
static inline void two_texts(const asgdi_format *f, const uint8_t *data, size_t bytes,
                             asgd_source_options *o)
{
    if (bytes < 1) return;
    size_t       first = (bytes - 1) * data[0] / 255;
    asgd_source *a     = open_text(f, data + 1, first, o);
    if (!a) return;
    o->encoding       = a->encoding;
    o->label_values   = a->labels;
    o->n_label_values = a->schema.classes;
    asgd_source *b    = open_text(f, data + 1 + first, bytes - 1 - first, o);
    if (b && a->encoding)
        must(b->schema.features == a->schema.features && b->schema.fields == a->schema.fields &&
             b->schema.dense == a->schema.dense);
    asgd_source_close(b);
    asgd_source_close(a);
}

#endif
