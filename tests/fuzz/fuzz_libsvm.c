/* fuzz_libsvm.c -- the libsvm parser on any bytes; the first byte chooses the options. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_text(&asgdi_format_libsvm, data, bytes);
    return 0;
}
