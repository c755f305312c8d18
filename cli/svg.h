/* svg.h -- charts as inline SVG, coloured by the page's style sheet (classes c0..c7). */
#ifndef CLI_SVG_H
#define CLI_SVG_H

#include <stdio.h>

#include "cli.h"

enum { SVG_COLOURS = 8 };

typedef struct svg_series {
    const char   *name;
    const double *x, *y; /* [n]; points that are not finite are left out */
    size_t        n;
    size_t        number; /* colour and dash */
} svg_series;

typedef struct svg_chart {
    const char       *x_label, *y_label;
    const svg_series *series; /* [n] */
    size_t            n;
    double            mark; /* a dashed level with the name "target"; NaN: none */
    bool              percent;
    bool              may_log; /* the y axis is logarithmic where values span decades */
} svg_chart;

void svg_lines(FILE *f, const svg_chart *c);

/* One bar a bucket; label and tip say what it stands for. */
typedef struct svg_bar {
    char   label[24], tip[96];
    double value;
} svg_bar;
void svg_histogram(FILE *f, const char *x_label, const char *y_label, const svg_bar *bars, size_t n,
                   size_t number);

/* Horizontal bars, one a row. */
typedef struct svg_row {
    const char *name;
    char        text[48]; /* at the end of the bar */
    double      value;
    size_t      number;
} svg_row;
void svg_rows(FILE *f, const svg_row *rows, size_t n);

/* One bar divided into shares. */
void svg_shares(FILE *f, const char *name, const uint64_t *parts, size_t n, size_t number);

void html_text(FILE *f, const char *text); /* & < > " ' escaped */

#endif
