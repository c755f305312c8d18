/* paths.h -- an option's value as one path or, where there is no such file, several with commas between. */
#ifndef CLI_PATHS_H
#define CLI_PATHS_H

#include "cli.h"

enum { PATHS_MAX = 64 };
typedef struct path_list {
    const char *path[PATHS_MAX];
    uint32_t    n; /* at least 1 */
    char       *memory;
} path_list;
int  path_list_make(path_list *l, const char *text);
void path_list_free(path_list *l);

#endif
