/* inspect_data.h -- asgd inspect DATA. */
#ifndef CLI_INSPECT_DATA_H
#define CLI_INSPECT_DATA_H

#include "opts.h"

int inspect_data(const cli_options *o);

#endif
