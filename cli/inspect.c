/* inspect.c -- asgd inspect: what is in a model file, in data, in this machine.
 *
 * Data are looked at through the public interface: a model whose prediction is the target itself
 * reads every example's target. */
#include "file.h"
#include "json.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINE_BYTES = 4096, HEADER_MAX = 100 << 20 };

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

static json_t *model_json(asgd_model *m, json_t *header)
{
    json_t            *o      = json_object();
    json_t            *tables = json_array();
    const asgd_schema *d      = asgd_model_schema(m);
    const char        *given  = asgd_model_options(m);
    json_object_set_new(o, "kind", json_string("model"));
    json_object_set_new(o, "model", json_string(asgd_model_name(m)));
    json_object_set_new(o, "options", json_string(given ? given : ""));
    json_object_set_new(o, "features", json_integer((json_int_t)d->features));
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
    if (d->classes) {
        printf("%u classes\n\n", d->classes);
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
    int code = CLI_OK;
    if (o->json) {
        code = json_print(stdout, model_json(m, header), false);
    } else {
        model_print(o->positional, m, header);
    }
    asgd_model_free(m);
    return code;
}

/* ---- data ---- */

static asgd_status mirror_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                                asgd_task *task, uint32_t *outputs)
{
    (void)self;
    (void)d;
    tables[0] = (asgd_table){.name = "nothing", .rows = 1, .dim = 1};
    *n_tables = 1;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    return ASGD_OK;
}

static void mirror_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                        void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self;
    (void)w;
    (void)g;
    (void)scratch;
    (void)random;
    st->weight += b->n;
}

static void mirror_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                           const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    (void)self;
    (void)w;
    (void)g;
    (void)scratch;
    memcpy(out, b->y, b->n * sizeof *out);
    if (st) st->weight += b->n;
}

static const asgd_model_ops mirror = {
    .name = "mirror", .shape = mirror_shape, .step = mirror_step, .predict = mirror_predict};

/* counts [classes]: examples of each class. */
static asgd_status count_classes(asgd_source *data, uint64_t *counts)
{
    const asgd_schema *d = asgd_source_schema(data);
    asgd_model        *m = NULL;
    float             *y = malloc((size_t)d->examples * sizeof *y + 1);
    asgd_status        s = y ? asgd_model_new(&m, &mirror, NULL, d) : ASGD_ENOMEM;
    if (s == ASGD_OK) s = asgd_predict(m, data, 1, y);
    for (uint64_t i = 0; s == ASGD_OK && i < d->examples; i++) {
        if (y[i] >= 0 && y[i] < (float)d->classes) counts[(uint32_t)y[i]]++;
    }
    asgd_model_free(m);
    free(y);
    return s;
}

static int data_json(asgd_source *data, const uint64_t *counts)
{
    const asgd_schema *d       = asgd_source_schema(data);
    const float       *labels  = asgd_source_labels(data);
    json_t            *o       = json_object();
    json_t            *classes = json_array();
    json_object_set_new(o, "kind", json_string("data"));
    json_object_set_new(o, "describe", json_string(asgd_source_describe(data)));
    json_object_set_new(o, "examples", json_integer((json_int_t)d->examples));
    json_object_set_new(o, "features", json_integer((json_int_t)d->features));
    json_object_set_new(o, "nonzeros", json_integer((json_int_t)d->nonzeros));
    json_object_set_new(o, "dense", json_boolean(d->dense));
    json_object_set_new(o, "y_min", json_number((double)d->y_min));
    json_object_set_new(o, "y_max", json_number((double)d->y_max));
    for (uint32_t c = 0; c < d->classes; c++) {
        json_t *one = json_object();
        json_object_set_new(one, "label", json_number(labels ? (double)labels[c] : (double)c));
        json_object_set_new(one, "examples", json_integer((json_int_t)counts[c]));
        json_array_append_new(classes, one);
    }
    json_object_set_new(o, "classes", classes);
    return json_print(stdout, o, false);
}

static void data_print(const cli_options *o, asgd_source *data, const uint64_t *counts)
{
    enum { SHOWN = 32 };
    const asgd_schema *d      = asgd_source_schema(data);
    const float       *labels = asgd_source_labels(data);
    char               b[TEXT_BYTES];
    double             cells = (double)d->examples * d->features;
    printf("%s: %s\n", o->positional, asgd_source_describe(data));
    printf("%-10s %s\n", "examples", text_count(b, (double)d->examples));
    printf("%-10s %u, %s\n", "features", d->features, d->dense ? "dense" : "sparse");
    printf("%-10s %s (%.3g %%)\n", "entries", text_count(b, (double)d->nonzeros),
           cells > 0 ? 100 * (double)d->nonzeros / cells : 0);
    if (d->classes == 0) {
        printf("%-10s real values from %g to %g\n", "targets", (double)d->y_min, (double)d->y_max);
        return;
    }
    printf("%-10s %u\n", "classes", d->classes);
    for (uint32_t c = 0; c < d->classes && c < SHOWN; c++) {
        printf("  %-8.9g %10llu  %5.2f %%\n", labels ? (double)labels[c] : (double)c,
               (unsigned long long)counts[c], 100 * (double)counts[c] / (double)d->examples);
    }
    if (d->classes > SHOWN) printf("  and %u more\n", d->classes - SHOWN);
}

static int inspect_data(const cli_options *o)
{
    asgd_source        *data;
    asgd_source_options options = {.format    = o->format,
                                   .label     = o->label,
                                   .cache     = o->cache,
                                   .test_part = o->part && strcmp(o->part, "test") == 0};
    asgd_status         s       = asgd_source_open(&data, o->positional, &options);
    if (s != ASGD_OK) return cli_status(s);
    uint64_t *counts = calloc(asgd_source_schema(data)->classes + 1u, sizeof *counts);
    int       code   = CLI_OK;
    if (!counts) {
        code = cli_fail(CLI_FAILED, "out of memory");
    } else if ((s = count_classes(data, counts)) != ASGD_OK) {
        code = cli_status(s);
    } else if (o->json) {
        code = data_json(data, counts);
    } else {
        data_print(o, data, counts);
    }
    free(counts);
    asgd_source_close(data);
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
    int     code   = header ? inspect_model(o, header) : inspect_data(o);
    json_decref(header);
    return code;
}
