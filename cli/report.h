/* report.h -- one HTML page about one run or several, complete in itself. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "run.h"

/* Writes PATH; the data are described as they were found. */
int report_write(const char *path, const cli_options *o, const run_data *d, const run_record *runs,
                 size_t n);

#endif
