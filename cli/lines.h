/* lines.h -- many lines of text, made by several threads, written in order. */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdint.h>
#include <stdio.h>

/* Puts line i, with its line end, at out; returns its bytes. */
typedef size_t lines_make(const void *self, uint64_t i, char *out);

/* Writes lines 0..n-1, none longer than `most` bytes.  CLI_OK, or CLI_FAILED: said why, but an error
 * of f is left in ferror(f) and errno, for whoever closes it. */
int lines_write(FILE *f, uint64_t n, size_t most, uint32_t threads, lines_make *make,
                const void *self);

#endif
