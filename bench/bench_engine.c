/* bench_engine.c -- where the time of a training step goes.
 *
 *   discard  the model alone: forward, loss, backward; gradients are thrown away
 *   apply    the same with the rule changing private rows
 *   train    asgd_train(): with leases, shuffling, gathering, counters and merging as well
 *
 * on one core, then asgd_train() with every core.  Data are the program's own digits, or a folder of IDX
 * files given as argument.  Prints Markdown. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "data/source.h"
#include "kern/gemm.h"
#include "model/model.h"
#include "rule/sink.h"

enum { RUNS = 5 };

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, asgd_errmsg());
    exit(1);
}

#define need(call)              \
    do {                        \
        if ((call)) die(#call); \
    } while (0)

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, RUNS, sizeof *v, by_size);
    return v[RUNS / 2];
}

/* Examples/s of model steps over the whole source in order. */
static double step_rate(const char *name, const char *options, asgd_source *data, uint32_t batch,
                        asgdi_sink_kind kind)
{
    asgd_model      *m;
    asgd_view        views[ASGD_MAX_TABLES];
    asgd_sink        sink;
    asgdi_cursor     cursor;
    const asgd_kern *k = asgdk_best();
    need(asgd_model_named(&m, name, options, asgd_source_schema(data)));
    need(asgdi_params_set_rule(&m->params, ASGD_RULE_sgd));
    for (int t = 0; t < m->params.n_tables; t++)
        views[t] = (asgd_view){m->params.table[t].master, m->params.table[t].master,
                               m->params.table[t].info.rows, m->params.table[t].stride};
    need(asgdi_cursor_init(&cursor, data, batch));
    need(asgdi_sink_init(&sink, kind, k, &m->params, views, NULL, data->schema.features, batch,
                         data->schema.dense ? 0 : (uint64_t)data->max_len * batch,
                         data->schema.dense));
    asgd_rule rule = {.kind = ASGD_RULE_sgd};
    need(asgdi_rule_defaults(&rule));
    sink.rule = rule;
    asgdi_rule_step(&rule, 0.01, 1, &sink.step);
    void     *scratch = asgdi_calloc(1, m->ops.scratch(m->self, batch));
    uint64_t *order   = asgdi_calloc(batch, sizeof *order);
    if (!scratch || !order) die("memory");
    double rates[RUNS];
    for (int r = 0; r < RUNS; r++) {
        asgd_stats st    = {0};
        double     began = asgdi_now();
        for (uint64_t lo = 0; lo + batch <= data->schema.examples; lo += batch) {
            asgd_batch b;
            for (uint32_t i = 0; i < batch; i++) order[i] = lo + i;
            asgdi_cursor_batch(&cursor, k, order, batch, &b);
            m->ops.step(m->self, &b, views, &sink, scratch, lo, &st);
        }
        rates[r] = st.weight / (asgdi_now() - began);
    }
    asgdi_free(order);
    asgdi_free(scratch);
    asgdi_sink_free(&sink);
    asgdi_cursor_free(&cursor);
    asgd_model_free(m);
    return median(rates);
}

static double train_rate(const char *name, const char *options, asgd_source *data, uint32_t batch,
                         uint32_t workers, asgd_share share, double *merging)
{
    double rates[RUNS], merge[RUNS];
    for (int r = 0; r < RUNS; r++) {
        asgd_model *m;
        asgd_result result;
        asgd_config c = {.workers = workers,
                         .batch   = batch,
                         .epochs  = 2,
                         .lr      = 0.01,
                         .share   = share,
                         .rule    = {.kind = ASGD_RULE_sgd}};
        need(asgd_model_named(&m, name, options, asgd_source_schema(data)));
        need(asgd_train(m, data, &c, &result));
        rates[r] = (double)result.examples / result.seconds;
        merge[r] = result.merge_seconds / result.seconds / result.workers;
        asgd_result_free(&result);
        asgd_model_free(m);
    }
    *merging = median(merge);
    return median(rates);
}

int main(int argc, char **argv)
{
    char        folder[] = "/tmp/bench-engine-XXXXXX";
    char        text[1024];
    const char *path = argc > 1 ? argv[1] : mkdtemp(folder);
    if (!path) die("a temporary folder");
    if (argc <= 1) need(asgd_synth_digits(path, 20000, 100, 1));
    asgd_source *data;
    need(asgd_source_open(&data, path, NULL));
    asgdk_gemm_thread();
    asgd_machine(text, sizeof text);
    printf("%s\n\n%s; thousand examples/s, medians of %d\n\n", text, asgd_source_describe(data),
           RUNS);
    printf("| model | batch | discard | apply | train, 1 worker | %u workers, auto | merging | "
           "shared |\n",
           asgd_cores());
    printf("|---|---|---|---|---|---|---|---|\n");
    static const struct {
        const char *name, *options;
    } models[] = {{"mlp", "hidden=100"}, {"mlp", "hidden=256,128"}, {"softmax", ""}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (uint32_t batch = 1; batch <= 256; batch *= 4) {
            const char *n = models[i].name, *o = models[i].options;
            double      none, merging, ignored;
            double      discard = step_rate(n, o, data, batch, ASGDI_DISCARD);
            double      apply   = step_rate(n, o, data, batch, ASGDI_APPLY);
            double      one     = train_rate(n, o, data, batch, 1, ASGD_SHARE_AUTO, &none);
            double      all     = train_rate(n, o, data, batch, 0, ASGD_SHARE_AUTO, &merging);
            double      shared  = train_rate(n, o, data, batch, 0, ASGD_SHARE_SHARED, &ignored);
            printf("| %s %s | %u | %.0f | %.0f | %.0f | %.0f | %.1f %% | %.0f |\n", n, o, batch,
                   discard / 1e3, apply / 1e3, one / 1e3, all / 1e3, 100 * merging, shared / 1e3);
            fflush(stdout);
        }
    asgd_source_close(data);
    if (argc <= 1) {
        static const char *const files[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                            "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
        for (int i = 0; i < 4; i++) {
            snprintf(text, sizeof text, "%s/%s", path, files[i]);
            unlink(text);
        }
        rmdir(path);
    }
    return 0;
}
