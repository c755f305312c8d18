/* heaviest.h -- the features of a model that weigh most. */
#ifndef CLI_HEAVIEST_H
#define CLI_HEAVIEST_H

#include <jansson.h>

#include "opts.h"

enum { HEAVIEST_TABLES = 4 };

typedef struct heaviest_row {
    double   score; /* what it is ordered by */
    uint64_t row;
    char    *name;  /* malloc'ed */
    bool     named; /* false: a number stands for the name */
} heaviest_row;

typedef struct heaviest {
    asgd_model   *model;
    int           table[HEAVIEST_TABLES], tables; /* with a row for each feature */
    heaviest_row *list;
    size_t        n;
} heaviest;

/* The --top features; none where the model has no table of features, or a dense one that nobody asked
 * for. */
int     heaviest_find(heaviest *h, const cli_options *o, asgd_model *m);
void    heaviest_print(const heaviest *h, const cli_options *o);
json_t *heaviest_json(const heaviest *h); /* an array */
void    heaviest_free(heaviest *h);

#endif
