/* fuzz_text.h -- what the fuzzers of the text formats have in common. */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/input.h"

/* Opens text in memory; NULL where it is refused, with a message that names the file. */
static inline asgd_source *fuzz_open(const asgdi_format *f, const uint8_t *data, size_t bytes,
                                     const asgd_source_options *o)
{
    asgdi_input  in;
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    must(s && asgdi_own(s) == ASGD_OK);
    must(asgdi_input_memory(&in, "fuzz", data, bytes) == ASGD_OK);
    if (in.bytes > 0) f->guess(in.path, in.data, in.bytes);
    asgd_status status = f->open(s, &in, o);
    asgdi_input_close(&in);
    if (status == ASGD_OK) {
        check_source(s);
        return s;
    }
    must(strncmp(asgd_errmsg(), "fuzz:", 5) == 0);
    asgd_source_close(s);
    return NULL;
}

/* The first byte chooses the options; what could be opened is opened again with its own encoding,
 * and so has the same entries. */
static inline void fuzz_text(const asgdi_format *f, const uint8_t *data, size_t bytes)
{
    static const float labels[] = {0, 1};
    if (bytes < 1) return;
    uint8_t             choice = data[0];
    asgd_source_options o      = {.threads = choice % 4u + 1, .rank_features = (choice & 8) != 0};
    if (choice & 4) o.features = 5;
    if (choice & 16) {
        o.label_values   = labels;
        o.n_label_values = 2;
    }
    asgd_source *s = fuzz_open(f, data + 1, bytes - 1, &o);
    if (s && s->encoding) {
        o.encoding         = s->encoding;
        o.features         = 0;
        asgd_source *again = fuzz_open(f, data + 1, bytes - 1, &o);
        must(again && again->schema.nonzeros == s->schema.nonzeros);
        for (uint64_t j = 0; j < s->schema.nonzeros; j++) must(again->idx[j] == s->idx[j]);
        asgd_source_close(again);
    }
    asgd_source_close(s);
}

#endif
