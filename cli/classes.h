/* classes.h -- what classes are called. */
#ifndef CLI_CLASSES_H
#define CLI_CLASSES_H

#include "cli.h"

/* [n] the text of each class as the file has it: a name, or the number it stands for (labels NULL:
 * the class number).  For classes_free(); NULL: no memory. */
char **classes_text(uint32_t n, const float *labels, const asgd_encoding *e);
void   classes_free(char **text, uint32_t n);

#endif
