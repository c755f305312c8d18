/* inspect.c -- asgd inspect: what is in a model file, in data (inspect_data.c), in this machine. */
#include "file.h"
#include "heaviest.h"
#include "inspect_data.h"
#include "json.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINE_BYTES = 4096, HEADER_MAX = 100 << 20 };

static bool can_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

/* A safetensors file starts with the length of its header and the header, an object. */
static json_t *safetensors_header(const char *path)
{
    unsigned char head[9];
    json_t       *j = NULL;
    FILE         *f = is_folder(path) ? NULL : fopen(path, "rb");
    if (!f) return NULL;
    if (fread(head, 1, sizeof head, f) == sizeof head && head[8] == '{') {
        uint64_t n = 0;
        for (int i = 7; i >= 0; i--) n = n << 8 | head[i];
        char *text = n >= 2 && n <= HEADER_MAX ? malloc(n) : NULL;
        if (text && fseek(f, 8, SEEK_SET) == 0 && fread(text, 1, n, f) == n) {
            j = json_loadb(text, n, 0, NULL);
        }
        free(text);
    }
    fclose(f);
    return j;
}

typedef struct table_stats {
    double min, max, mean, norm;
} table_stats;

static table_stats stats_of(asgd_model *m, int table)
{
    const asgd_table *t   = asgd_model_table(m, table);
    table_stats       s   = {INFINITY, -INFINITY, 0, 0};
    double            sum = 0, squares = 0;
    for (uint64_t r = 0; r < t->rows; r++) {
        const float *row = asgd_model_row(m, table, r);
        for (uint32_t c = 0; row && c < t->dim; c++) {
            double x = (double)row[c];
            if (x < s.min) s.min = x;
            if (x > s.max) s.max = x;
            sum += x;
            squares += x * x;
        }
    }
    s.mean = sum / ((double)t->rows * t->dim);
    s.norm = sqrt(squares);
    return s;
}

static json_t *model_json(asgd_model *m, json_t *header, const heaviest *h)
{
    json_t            *o      = json_object();
    json_t            *tables = json_array();
    const asgd_schema *d      = asgd_model_schema(m);
    const char        *given  = asgd_model_options(m);
    json_object_set_new(o, "kind", json_string("model"));
    json_object_set_new(o, "model", json_string(asgd_model_name(m)));
    json_object_set_new(o, "options", json_string(given ? given : ""));
    json_object_set_new(o, "features", json_integer((json_int_t)d->features));
    json_object_set_new(o, "fields", json_integer((json_int_t)d->fields));
    json_object_set_new(o, "classes", json_integer((json_int_t)d->classes));
    for (int i = 0; i < asgd_model_tables(m); i++) {
        const asgd_table *t = asgd_model_table(m, i);
        table_stats       s = stats_of(m, i);
        json_t           *j = json_object();
        json_object_set_new(j, "name", json_string(t->name));
        json_object_set_new(j, "rows", json_integer((json_int_t)t->rows));
        json_object_set_new(j, "dim", json_integer((json_int_t)t->dim));
        json_object_set_new(j, "min", json_number(s.min));
        json_object_set_new(j, "max", json_number(s.max));
        json_object_set_new(j, "mean", json_number(s.mean));
        json_object_set_new(j, "norm", json_number(s.norm));
        json_array_append_new(tables, j);
    }
    json_object_set_new(o, "tables", tables);
    if (h->n) json_object_set_new(o, "top", heaviest_json(h));
    json_t *metadata = json_object_get(header, "__metadata__");
    if (metadata) json_object_set(o, "metadata", metadata);
    return o;
}

static void model_print(const char *path, asgd_model *m, json_t *header)
{
    const asgd_schema *d       = asgd_model_schema(m);
    const char        *options = asgd_model_options(m);
    text_table         t       = {.columns = 7};
    double             all     = 0;
    printf("%s: model %s%s%s, %u features, ", path, asgd_model_name(m),
           options && *options ? " " : "", options ? options : "", d->features);
    if (d->fields) printf("%u fields, ", d->fields);
    if (d->classes) {
        printf("%u %s\n\n", d->classes, d->label_sets ? "labels" : "classes");
    } else {
        printf("real-valued targets\n\n");
    }
    for (int i = -1; i < asgd_model_tables(m); i++) {
        static const char *const heading[] = {"table", "rows", "dim", "min", "max", "mean", "norm"};
        char(*cell)[TABLE_CELL]            = table_row(&t);
        if (!cell) break;
        for (size_t c = 0; i < 0 && c < 7; c++) snprintf(cell[c], TABLE_CELL, "%s", heading[c]);
        if (i < 0) continue;
        const asgd_table *info = asgd_model_table(m, i);
        table_stats       s    = stats_of(m, i);
        snprintf(cell[0], TABLE_CELL, "%s", info->name);
        snprintf(cell[1], TABLE_CELL, "%llu", (unsigned long long)info->rows);
        snprintf(cell[2], TABLE_CELL, "%u", info->dim);
        snprintf(cell[3], TABLE_CELL, "%.4g", s.min);
        snprintf(cell[4], TABLE_CELL, "%.4g", s.max);
        snprintf(cell[5], TABLE_CELL, "%.4g", s.mean);
        snprintf(cell[6], TABLE_CELL, "%.4g", s.norm);
        all += (double)info->rows * info->dim;
    }
    table_print(stdout, &t);
    table_free(&t);
    char b[TEXT_BYTES];
    printf("\n%s parameters\n", text_count(b, all));

    json_t     *metadata = json_object_get(header, "__metadata__"), *value;
    const char *key;
    if (json_object_size(metadata)) printf("\nmetadata\n");
    json_object_foreach(metadata, key, value)
    {
        printf("  %-16s %.200s\n", key, json_is_string(value) ? json_string_value(value) : "");
    }
}

static int inspect_model(const cli_options *o, json_t *header)
{
    asgd_model *m;
    asgd_status s = asgd_load(&m, o->positional);
    if (s != ASGD_OK) return cli_status(s);
    heaviest h;
    int      code = heaviest_find(&h, o, m);
    if (code == CLI_OK && o->json) {
        code = json_print(stdout, model_json(m, header, &h), false);
    } else if (code == CLI_OK) {
        model_print(o->positional, m, header);
        heaviest_print(&h, o);
    }
    heaviest_free(&h);
    asgd_model_free(m);
    return code;
}

int cmd_inspect(const cli_options *o)
{
    if (o->machine) {
        char text[MACHINE_BYTES];
        asgd_machine(text, sizeof text);
        size_t n = strlen(text);
        printf("%s%s", text, n && text[n - 1] == '\n' ? "" : "\n");
        return CLI_OK;
    }
    if (!o->positional) return cli_fail(CLI_USAGE, "asgd inspect needs PATH or --machine");
    json_t *header = safetensors_header(o->positional);
    if (!header && (o->data || o->top) && can_read(o->positional)) {
        return cli_fail(CLI_USAGE, "--%s: %s is no model; leave it out", o->data ? "data" : "top",
                        o->positional);
    }
    int code = header ? inspect_model(o, header) : inspect_data(o);
    json_decref(header);
    return code;
}
