/* inspect_data.c -- asgd inspect DATA: what examples, features, fields, labels and weights there are, and
 * how a table's columns were read.
 *
 * Data are looked at through the public interface: a model that adds up what it is shown reads every
 * example once. */
#include "inspect_data.h"

#include "classes.h"
#include "json.h"
#include "reading.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/encoding.h" /* the recipe */

/* ---- counting ---- */

typedef struct facts {
    uint64_t *count;  /* [classes] examples of each class, or with each label */
    uint64_t  labels; /* of sets: all together */
    uint32_t  most;   /* of a set */
    bool      weighted;
    double    weight_min, weight_max, weight;
} facts;

typedef struct counter {
    facts   *facts;
    uint32_t classes;
} counter;

static asgd_status counter_shape(void *self, const asgd_schema *d, asgd_table *tables,
                                 int *n_tables, asgd_task *task, uint32_t *outputs)
{
    (void)self;
    (void)d;
    tables[0] = (asgd_table){.name = "nothing", .rows = 1, .dim = 1};
    *n_tables = 1;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    return ASGD_OK;
}

static void counter_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                         void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self;
    (void)w;
    (void)g;
    (void)scratch;
    (void)random;
    st->weight += b->n;
}

static void count_labels(facts *f, const asgd_batch *b, uint32_t i, uint32_t classes)
{
    const uint32_t *label = b->label + b->label_begin[i], n = b->label_len[i];
    f->labels += n;
    if (n > f->most) f->most = n;
    for (uint32_t j = 0; j < n && label[j] < classes; j++) f->count[label[j]]++;
}

/* One thread calls it: the facts are shared. */
static void counter_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                            const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    const counter *c = self;
    facts         *f = c->facts;
    (void)w;
    (void)g;
    (void)scratch;
    for (uint32_t i = 0; i < b->n; i++) {
        double weight = b->weight ? (double)b->weight[i] : 1;
        f->weighted   = f->weighted || b->weight;
        f->weight += weight;
        f->weight_min = fmin(f->weight_min, weight);
        f->weight_max = fmax(f->weight_max, weight);
        if (b->label_begin) {
            count_labels(f, b, i, c->classes);
        } else if (b->y[i] >= 0 && b->y[i] < (float)c->classes) {
            f->count[(uint32_t)b->y[i]]++;
        }
        out[i] = 0;
    }
    if (st) st->weight += b->n;
}

static const asgd_model_ops ops = {.name       = "counter",
                                   .self_bytes = sizeof(counter),
                                   .shape      = counter_shape,
                                   .step       = counter_step,
                                   .predict    = counter_predict};

static asgd_status count(asgd_source *data, facts *f)
{
    const asgd_schema *d = asgd_source_schema(data);
    const counter      c = {.facts = f, .classes = d->classes};
    asgd_model        *m = NULL;
    float             *y = malloc((size_t)d->examples * sizeof *y + 1);
    asgd_status        s = y ? asgd_model_new(&m, &ops, &c, d) : ASGD_ENOMEM;
    if (s == ASGD_OK) s = asgd_predict(m, data, 1, y);
    asgd_model_free(m);
    free(y);
    return s;
}

/* ---- telling ---- */

typedef struct view {
    const cli_options *o;
    asgd_source       *data;
    const facts       *facts;
    char             **class_text; /* [classes] */
    json_t            *recipe;     /* NULL: there is none */
} view;

static json_t *classes_json(const view *v)
{
    json_t *list = json_array();
    for (uint32_t c = 0; c < asgd_source_schema(v->data)->classes; c++) {
        const float *labels = asgd_source_labels(v->data);
        const bool   named  = json_object_get(json_object_get(v->recipe, "label"), "classes");
        json_t      *one    = json_object();
        json_object_set_new(one, "label",
                            named ? json_string(v->class_text[c])
                                  : json_number(labels ? (double)labels[c] : (double)c));
        json_object_set_new(one, "examples", json_integer((json_int_t)v->facts->count[c]));
        json_array_append_new(list, one);
    }
    return list;
}

static int data_json(const view *v)
{
    const asgd_schema *d = asgd_source_schema(v->data);
    const facts       *f = v->facts;
    json_t            *o = json_object();
    char               format[16];
    reading_format(format, v->data);
    json_object_set_new(o, "kind", json_string("data"));
    json_object_set_new(o, "format", json_string(format));
    json_object_set_new(o, "describe", json_string(asgd_source_describe(v->data)));
    json_object_set_new(o, "examples", json_integer((json_int_t)d->examples));
    json_object_set_new(o, "features", json_integer((json_int_t)d->features));
    json_object_set_new(o, "fields", json_integer((json_int_t)d->fields));
    json_object_set_new(o, "nonzeros", json_integer((json_int_t)d->nonzeros));
    json_object_set_new(o, "dense", json_boolean(d->dense));
    json_object_set_new(o, "label_sets", json_boolean(d->label_sets));
    json_object_set_new(o, "y_min", json_number((double)d->y_min));
    json_object_set_new(o, "y_max", json_number((double)d->y_max));
    if (f->weighted) {
        json_t *weight = json_object();
        json_object_set_new(weight, "min", json_number(f->weight_min));
        json_object_set_new(weight, "max", json_number(f->weight_max));
        json_object_set_new(weight, "mean", json_number(f->weight / (double)d->examples));
        json_object_set_new(o, "weight", weight);
    }
    if (d->label_sets) {
        json_t *each = json_object();
        json_object_set_new(each, "mean", json_number((double)f->labels / (double)d->examples));
        json_object_set_new(each, "max", json_integer((json_int_t)f->most));
        json_object_set_new(o, "labels_per_example", each);
    }
    json_object_set_new(o, "classes", classes_json(v));
    if (v->recipe) json_object_set(o, "recipe", v->recipe);
    return json_print(stdout, o, false);
}

/* "category", "number", "number in 32 groups" */
static void print_column(const json_t *column)
{
    const json_t *edges = json_object_get(column, "edges");
    const char   *kind  = json_string_value(json_object_get(column, "kind"));
    const char   *name  = json_string_value(json_object_get(column, "name"));
    printf("  %4d  %s: %s", (int)json_integer_value(json_object_get(column, "column")),
           name ? name : "", kind ? kind : "");
    if (edges) printf(" in %zu groups", json_array_size(edges) + 1);
    putchar('\n');
}

static void print_role(const view *v, const char *role)
{
    const json_t *column = json_object_get(v->recipe, role);
    const char   *name   = json_string_value(json_object_get(column, "name"));
    if (!name) return;
    printf("  %4d  %s: %s\n", (int)json_integer_value(json_object_get(column, "column")), name,
           role);
}

/* The columns of a table, or the namespaces of Vowpal Wabbit text. */
static void print_recipe(const view *v)
{
    static const char *const lists[] = {"namespaces", "interactions"};
    const json_t            *columns = json_object_get(v->recipe, "features"), *one;
    size_t                   i;
    if (columns) {
        size_t all  = (size_t)json_integer_value(json_object_get(v->recipe, "columns"));
        size_t used = json_array_size(columns) + (json_object_get(v->recipe, "label") != NULL) +
                      (json_object_get(v->recipe, "weight") != NULL);
        printf("%-11s %zu", "columns", all);
        printf(all > used ? ", %zu of them left out\n" : "\n", all - used);
        print_role(v, "label");
        print_role(v, "weight");
        json_array_foreach(columns, i, one) print_column(one);
    }
    for (size_t k = 0; k < 2; k++) {
        const json_t *list = json_object_get(v->recipe, lists[k]);
        if (json_array_size(list) == 0) continue;
        printf("%-11s", lists[k]);
        json_array_foreach(list, i, one) printf(" %s", json_string_value(one));
        putchar('\n');
    }
}

/* Numbers of classes, where there are many by falling frequency. */
typedef struct ranked {
    uint64_t count;
    uint32_t class;
} ranked;

static int by_count(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return x->class < y->class ? -1 : 1;
}

static int print_classes(const view *v)
{
    enum { SHOWN = 32 };
    const asgd_schema *d    = asgd_source_schema(v->data);
    ranked            *rank = calloc((size_t)d->classes + 1, sizeof *rank);
    if (!rank) return cli_fail(CLI_FAILED, "out of memory");
    for (uint32_t c = 0; c < d->classes; c++) rank[c] = (ranked){v->facts->count[c], c};
    if (d->classes > SHOWN) qsort(rank, d->classes, sizeof *rank, by_count);
    printf("%-11s %u%s\n", d->label_sets ? "labels" : "classes", d->classes,
           d->classes > SHOWN ? ", the most frequent first" : "");
    for (uint32_t i = 0; i < d->classes && i < SHOWN; i++) {
        printf("  %-8s %10llu  %5.2f %%\n", v->class_text[rank[i].class],
               (unsigned long long)rank[i].count,
               100 * (double)rank[i].count / (double)d->examples);
    }
    if (d->classes > SHOWN) printf("  and %u more\n", d->classes - SHOWN);
    free(rank);
    return CLI_OK;
}

static int data_print(const view *v)
{
    const asgd_schema *d = asgd_source_schema(v->data);
    const facts       *f = v->facts;
    char               b[TEXT_BYTES];
    double             cells = (double)d->examples * d->features;
    printf("%s: %s\n", v->o->positional, asgd_source_describe(v->data));
    printf("%-11s %s\n", "examples", text_count(b, (double)d->examples));
    printf("%-11s %u, %s", "features", d->features, d->dense ? "dense" : "sparse");
    if (d->fields) printf(", in %u fields", d->fields);
    printf("\n%-11s %s (%.3g %%)\n", "entries", text_count(b, (double)d->nonzeros),
           cells > 0 ? 100 * (double)d->nonzeros / cells : 0);
    if (f->weighted) {
        printf("%-11s %g to %g, mean %.4g\n", "weights", f->weight_min, f->weight_max,
               f->weight / (double)d->examples);
    }
    print_recipe(v);
    if (d->label_sets) {
        printf("%-11s mean %.4g, at most %u\n", "labels each",
               (double)f->labels / (double)d->examples, f->most);
    }
    if (d->classes) return print_classes(v);
    printf("%-11s real values from %g to %g\n", "targets", (double)d->y_min, (double)d->y_max);
    return CLI_OK;
}

static int tell(view *v)
{
    const asgd_schema   *d = asgd_source_schema(v->data);
    const asgd_encoding *e = asgd_source_encoding(v->data);
    v->class_text          = classes_text(d->classes, asgd_source_labels(v->data), e);
    v->recipe              = e ? json_loads(e->recipe, 0, NULL) : NULL;
    int code               = CLI_OK;
    if (!v->class_text) {
        code = cli_fail(CLI_FAILED, "out of memory");
    } else {
        code = v->o->json ? data_json(v) : data_print(v);
    }
    classes_free(v->class_text, d->classes);
    json_decref(v->recipe);
    return code;
}

int inspect_data(const cli_options *o)
{
    asgd_source        *data    = NULL;
    asgd_source_options options = reading_options(o);
    facts               f       = {.weight_min = INFINITY, .weight_max = -INFINITY};
    options.test_part           = o->part && strcmp(o->part, "test") == 0;
    asgd_status s               = asgd_source_open(&data, o->positional, &options);
    int         code            = s == ASGD_OK ? reading_check_format(o, data) : cli_status(s);
    if (code == CLI_OK) {
        f.count = calloc((size_t)asgd_source_schema(data)->classes + 1, sizeof *f.count);
        if (!f.count) {
            code = cli_fail(CLI_FAILED, "out of memory");
        } else if ((s = count(data, &f)) != ASGD_OK) {
            code = cli_status(s);
        } else {
            view v = {.o = o, .data = data, .facts = &f};
            code   = tell(&v);
        }
    }
    free(f.count);
    asgd_source_close(data);
    return code;
}
