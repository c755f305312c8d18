/* fuzz_vw.c -- the vw parser on any bytes; the first byte chooses the options.  What could be read is
 * read again with its own encoding: the same features, and lines without a label are taken. */
#include <string.h>

#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/input.h"

static asgd_source *read_text(const uint8_t *data, size_t bytes, size_t window,
                              const asgd_source_options *o)
{
    asgdi_input  in;
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    if (!s || asgdi_own(s) != ASGD_OK || asgdi_input_memory(&in, "fuzz", data, bytes) != ASGD_OK)
        abort();
    if (in.bytes > 0) asgdi_format_vw.guess(in.path, in.data, in.bytes);
    in.window    = window;
    bool read_it = asgdi_format_vw.open(s, &in, o) == ASGD_OK;
    asgdi_input_close(&in);
    if (!read_it) {
        must(strstr(asgd_errmsg(), "fuzz"));
        asgd_source_close(s);
        return NULL;
    }
    check_source(s);
    must(s->encoding && s->field);
    for (uint64_t j = 0; j < s->schema.nonzeros; j++) must(s->field[j] < s->schema.fields);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const pairs[] = {NULL, "AB", "AA,B:", "::"};
    if (bytes < 1) return 0;
    uint8_t             choice = data[0];
    asgd_source_options o      = {.threads      = choice % 4u + 1,
                                  .interactions = pairs[choice / 4 % 4],
                                  .hash_bits    = choice & 16 ? 10 : 0};
    size_t              window = choice & 32 ? 24 : 1 << 16;
    asgd_source        *s      = read_text(data + 1, bytes - 1, window, &o);
    if (!s) return 0;
    o.encoding         = s->encoding;
    asgd_source *again = read_text(data + 1, bytes - 1, window, &o);
    must(again && again->schema.nonzeros == s->schema.nonzeros);
    must(memcmp(again->idx, s->idx, s->schema.nonzeros * sizeof *s->idx) == 0);
    asgd_source_close(again);
    asgd_source_close(s);
    return 0;
}
