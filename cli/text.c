/* text.c -- numbers for people, and aligned tables. */
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *text_count(char *buf, double x)
{
    static const struct {
        double      size;
        const char *unit;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    if (!isfinite(x)) {
        snprintf(buf, TEXT_BYTES, "-");
        return buf;
    }
    if (x >= 1e5 || (x >= 1e3 && x != floor(x))) {
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            if (x < units[i].size) continue;
            double v = x / units[i].size;
            snprintf(buf, TEXT_BYTES, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, units[i].unit);
            return buf;
        }
    }
    snprintf(buf, TEXT_BYTES, x == floor(x) ? "%.0f" : "%.3g", x);
    return buf;
}

const char *text_seconds(char *buf, double s)
{
    if (!isfinite(s)) {
        snprintf(buf, TEXT_BYTES, "-");
    } else if (s < 1) {
        snprintf(buf, TEXT_BYTES, "%.0f ms", s * 1e3);
    } else if (s < 100) {
        snprintf(buf, TEXT_BYTES, s < 10 ? "%.2f s" : "%.1f s", s);
    } else if (s < 5999.5) {
        snprintf(buf, TEXT_BYTES, "%.0f min %02.0f s", floor(round(s) / 60), fmod(round(s), 60));
    } else {
        snprintf(buf, TEXT_BYTES, "%.0f h %02.0f min", floor(round(s / 60) / 60),
                 fmod(round(s / 60), 60));
    }
    return buf;
}

static const struct {
    const char *name, *people;
    bool        part;
    int         decimals;
} metrics[] = {
    {"accuracy", "accuracy", true, 2},
    {"error", "error", true, 2},
    {"p1", "precision@1", true, 2},
    {"p3", "precision@3", true, 2},
    {"p5", "precision@5", true, 2},
    {"precision", "precision@10", true, 2},
    {"recall", "recall@10", true, 2},
    {"ndcg", "ndcg@10", false, 4},
    {"map", "map@10", false, 4},
    {"logloss", "logloss", false, 5},
    {"ne", "ne", false, 5},
};

/* Its place in the table above, -1: like most. */
static int metric_find(const char *metric)
{
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (strcmp(metric, metrics[i].name) == 0) return (int)i;
    }
    return -1;
}

bool text_metric_is_part(const char *metric)
{
    const int i = metric_find(metric);
    return i >= 0 && metrics[i].part;
}

const char *text_interventions(char *buf, uint32_t n)
{
    if (n == 0)
        snprintf(buf, 2 * TEXT_BYTES, "nothing");
    else if (n < 3)
        snprintf(buf, 2 * TEXT_BYTES, "deltas count 1/2%s",
                 n == 2 ? ", processes keep together" : " until losses are well again");
    else
        snprintf(buf, 2 * TEXT_BYTES,
                 "deltas count 1/%u, processes keep together, went back %u time%s", 1u << (n - 1),
                 n - 2, n == 3 ? "" : "s");
    return buf;
}

const char *text_metric_name(const char *metric)
{
    const int i = metric_find(metric);
    return i >= 0 ? metrics[i].people : metric;
}

const char *text_metric(char *buf, const char *metric, double value)
{
    const int i        = metric_find(metric);
    const int decimals = i >= 0 ? metrics[i].decimals : 4;
    if (!isfinite(value)) {
        snprintf(buf, TEXT_BYTES, "-");
    } else if (text_metric_is_part(metric)) {
        snprintf(buf, TEXT_BYTES, "%.*f %%", decimals, value * 100);
    } else if (fabs(value) < 10 && fabs(value) >= 1e-3) {
        snprintf(buf, TEXT_BYTES, "%.*f", decimals, value);
    } else {
        snprintf(buf, TEXT_BYTES, "%.4g", value);
    }
    return buf;
}

char (*table_row(text_table *t))[TABLE_CELL]
{
    if (t->rows == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 16;
        void  *cells    = realloc(t->cells, capacity * sizeof *t->cells);
        if (!cells) return NULL;
        t->cells    = cells;
        t->capacity = capacity;
    }
    memset(t->cells[t->rows], 0, sizeof *t->cells);
    return t->cells[t->rows++];
}

void table_print(FILE *f, const text_table *t)
{
    size_t width[TABLE_COLUMNS] = {0};
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            size_t n = strlen(t->cells[r][c]);
            if (n > width[c]) width[c] = n;
        }
    }
    for (size_t r = 0; r < t->rows; r++) {
        fprintf(f, "%-*s", (int)width[0], t->cells[r][0]);
        for (size_t c = 1; c < t->columns; c++) {
            if (width[c]) fprintf(f, "  %*s", (int)width[c], t->cells[r][c]);
        }
        fputc('\n', f);
    }
}

void table_free(text_table *t)
{
    free(t->cells);
    *t = (text_table){0};
}
