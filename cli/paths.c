/* paths.c -- "fold1.tsv,fold2.tsv". */
#define _POSIX_C_SOURCE 200809L
#include "paths.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int path_list_make(path_list *l, const char *text)
{
    *l = (path_list){.path = {text}, .n = 1};
    if (!strchr(text, ',') || access(text, F_OK) == 0) return CLI_OK;
    l->memory = strdup(text);
    if (!l->memory) return cli_fail(CLI_FAILED, "out of memory");
    l->n = 0;
    for (char *p = l->memory; p;) {
        char *comma = strchr(p, ',');
        if (comma) *comma = '\0';
        if (l->n == PATHS_MAX || !*p) {
            path_list_free(l);
            return cli_fail(CLI_USAGE, "%s: give 1 to %d files with commas between", text,
                            PATHS_MAX);
        }
        l->path[l->n++] = p;
        p               = comma ? comma + 1 : NULL;
    }
    return CLI_OK;
}

void path_list_free(path_list *l)
{
    free(l->memory);
    l->memory = NULL;
}
