/* fuzz_xc.c -- the parser of the Extreme Classification Repository's text on any bytes; the first byte
 * chooses the options. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_text(&asgdi_format_xc, data, bytes);
    return 0;
}
