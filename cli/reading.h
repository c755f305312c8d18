/* reading.h -- the options that say how data are read. */
#ifndef CLI_READING_H
#define CLI_READING_H

#include "opts.h"

asgd_source_options reading_options(const cli_options *o);
/* Before data are opened for a trained model, which remembers how its training data were read: says
 * so where an option would have it read otherwise. */
int reading_check_model(const cli_options *o, const asgd_model *m);
/* After data are opened: is there an option that does nothing for this format? */
int reading_check_format(const cli_options *o, const asgd_source *s);
/* The format, as --format has it. */
void reading_format(char out[16], const asgd_source *s);

#endif
