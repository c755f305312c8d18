/* fuzz_idx.c -- the IDX reader: byte 0 chooses options, byte 1 says how much is the labels' file. */
#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/source_idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2) return 0;
    asgd_source_options o = {.threads = data[0] % 4u + 1, .rank_features = (data[0] & 4) != 0};
    size_t              n = data[1] < bytes - 2 ? data[1] : bytes - 2;
    asgdi_input         images, labels;
    asgd_source        *s = asgdi_calloc(1, sizeof *s);
    if (!s || asgdi_own(s) != ASGD_OK ||
        asgdi_input_memory(&labels, "labels", data + 2, n) != ASGD_OK ||
        asgdi_input_memory(&images, "images", data + 2 + n, bytes - 2 - n) != ASGD_OK)
        abort();
    if (asgdi_idx_read(s, &images, &labels, &o) == ASGD_OK) check_source(s);
    asgdi_input_close(&images);
    asgdi_input_close(&labels);
    asgd_source_close(s);
    return 0;
}
