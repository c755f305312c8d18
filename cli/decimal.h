/* decimal.h -- floats as decimal text, many of them. */
#ifndef CLI_DECIMAL_H
#define CLI_DECIMAL_H

#include <stddef.h>

enum { DECIMAL_BYTES = 24 };

/* What printf's %.*g gives for 1..9 digits, but nan without a sign.  Writes at most DECIMAL_BYTES,
 * no 0 behind; returns their number. */
size_t decimal_float(char *out, float x, int digits);

#endif
