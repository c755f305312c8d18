/* fuzz_libsvm.c -- the libsvm parser on any bytes; the first byte chooses the options. */
#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    static const float  labels[] = {0, 1};
    uint8_t             choice   = data[0];
    asgd_source_options o        = {.threads = choice % 4u + 1};
    if (choice & 4) o.features = 5;
    if (choice & 8) {
        o.rank_features = true;
        if (!o.features) o.features = 1000; /* a table this long is made and cleared */
    }
    if (choice & 16) {
        o.label_values   = labels;
        o.n_label_values = 2;
    }
    asgdi_input  in;
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    if (!s || asgdi_own(s) != ASGD_OK ||
        asgdi_input_memory(&in, "fuzz", data + 1, bytes - 1) != ASGD_OK)
        abort();
    if (in.bytes > 0) asgdi_format_libsvm.guess(in.path, in.data, in.bytes);
    if (asgdi_format_libsvm.open(s, &in, &o) == ASGD_OK) check_source(s);
    asgdi_input_close(&in);
    asgd_source_close(s);
    return 0;
}
