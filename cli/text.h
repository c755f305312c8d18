/* text.h -- numbers for people, and aligned tables. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdio.h>

#include "cli.h"

enum { TEXT_BYTES = 48 };

/* All write at most TEXT_BYTES into buf and return it. */
const char *text_count(char *buf, double x);   /* 60000, 1.21 M */
const char *text_seconds(char *buf, double s); /* 850 ms, 12.3 s, 4 min 05 s; - for NaN */
/* 97.31 % where the metric is a part of all, else four or more significant digits; - for NaN. */
const char *text_metric(char *buf, const char *metric, double value);
bool        text_metric_is_part(const char *metric);
/* What people call it: precision@1 for p1. */
const char *text_metric_name(const char *metric);

/* What the guard of a group has done; n: asgd_exchange_result.interventions.  Needs 2 * TEXT_BYTES. */
const char *text_interventions(char *buf, uint32_t n);

enum { TABLE_COLUMNS = 12, TABLE_CELL = 64 };
typedef struct text_table {
    size_t columns, rows, capacity;
    char (*cells)[TABLE_COLUMNS][TABLE_CELL];
} text_table;
/* A new row to fill in, NULL when out of memory.  Row 0 is the heading. */
char (*table_row(text_table *t))[TABLE_CELL];
void table_print(FILE *f, const text_table *t); /* first column left, all others right */
void table_free(text_table *t);

#endif
