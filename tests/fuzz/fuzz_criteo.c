/* fuzz_criteo.c -- the parser of Criteo's click logs on any bytes; the first chooses the options. */
#include "two_texts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    asgd_source_options o = {.threads = data[0] % 4u + 1, .hash_bits = data[0] & 4 ? 10 : 0};
    two_texts(&asgdi_format_criteo, data + 1, bytes - 1, &o);
    return 0;
}
