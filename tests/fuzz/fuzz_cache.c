/* fuzz_cache.c -- forged caches: signature and checksums are made right, everything else is the
 * fuzzer's, so that what is left to refuse them are the checks of sizes, starts and indices. */
#include <string.h>

#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    asgdi_cache  c     = {.source_bytes = 1, .options = 2, .source_mtime = 3};
    asgd_source *s     = asgdi_calloc(1, sizeof *s);
    uint8_t     *image = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (!s || !image) abort();
    if (bytes) memcpy(image, data, bytes);
    asgdi_cache_seal(image, bytes, &c);
    uint64_t dropped;
    if (asgdi_cache_attach(s, image, bytes, &c, 1, &dropped)) {
        asgdi_summarize(s);
        check_source(s);
    }
    asgd_source_close(s);
    free(image);
    return 0;
}
