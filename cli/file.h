/* file.h -- output files: checked before the work, written beside, renamed when whole. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stdio.h>

#include "cli.h"

/* Can PATH be written?  Makes and removes a file beside it; PATH itself is not touched. */
int out_check(const char *option, const char *path);

typedef struct out_file {
    FILE *f;
    char *path, *temporary;
} out_file;
int  out_open(out_file *out, const char *path);
int  out_commit(out_file *out); /* syncs and renames; on an error the old file stays */
void out_abandon(out_file *out);

bool is_folder(const char *path);

#endif
