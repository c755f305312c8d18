/* eval.c -- asgd eval: the metrics of a trained model on data. */
#include "json.h"
#include "run.h"
#include "text.h"

#include <math.h>
#include <string.h>

/* precision@20, not @10, where 20 items were looked at. */
static const char *name_of(char buf[32], const char *metric, uint32_t top)
{
    const char *name = text_metric_name(metric);
    const char *at   = strstr(name, "@10");
    if (!top || !at) return name;
    snprintf(buf, 32, "%.*s@%u", (int)(at - name), name, top);
    return buf;
}

static int ranking(const cli_options *o, const asgd_model *m, const asgd_source *data,
                   uint32_t threads, asgd_metrics *out)
{
    asgd_source *seen = NULL;
    int          code = o->exclude ? run_exclude(&seen, m, o->exclude) : CLI_OK;
    if (code == CLI_OK && !seen) {
        cli_note(o, "without --exclude TRAIN the items of the training data are ranked too");
    }
    if (code == CLI_OK) {
        asgd_status s = asgd_eval_ranking(m, data, seen, (uint32_t)o->top, threads, out);
        if (s != ASGD_OK) code = cli_status(s);
    }
    asgd_source_close(seen);
    return code;
}

static void print_metrics(const asgd_metrics *m)
{
    char label[32];
    char b[TEXT_BYTES];
    printf("%-11s %s\n", "examples", text_count(b, (double)m->examples));
#define X(name, better)  \
    if (!isnan(m->name)) \
        printf("%-11s %s\n", name_of(label, #name, m->top), text_metric(b, #name, m->name));
    ASGD_METRIC_MAP(X)
#undef X
}

int cmd_eval(const cli_options *o)
{
    if (!o->data) return cli_fail(CLI_USAGE, "asgd eval needs --data PATH");
    uint32_t     threads, second;
    asgd_model  *m    = NULL;
    asgd_source *data = NULL;
    asgd_metrics metrics;
    workers_item(o, 0, &threads);
    if (workers_item(o, 1, &second)) {
        return cli_fail(CLI_USAGE, "--workers %s: must be one number", o->workers);
    }
    asgd_status s    = asgd_load(&m, o->positional);
    int         code = s == ASGD_OK ? run_open_for(&data, m, o) : cli_status(s);
    if (code == CLI_OK) {
        double start = clock_now();
        if (asgd_model_task(m) == ASGD_TASK_RANKING) {
            code = ranking(o, m, data, threads, &metrics);
        } else if (o->exclude || o->top) {
            code =
                cli_fail(CLI_USAGE, "--%s: it is for models that rank, as bpr does; leave it out",
                         o->exclude ? "exclude" : "top");
        } else {
            s = asgd_eval(m, data, threads, &metrics);
            if (s != ASGD_OK) code = cli_status(s);
        }
        double took = clock_now() - start;
        if (code != CLI_OK) {
            /* said already */
        } else if (o->json) {
            json_t *j = json_object();
            json_object_set_new(j, "model", json_string(asgd_model_name(m)));
            json_object_set_new(j, "examples", json_integer((json_int_t)metrics.examples));
            json_object_set_new(j, "seconds", json_number(took));
            json_object_set_new(j, "valid", json_metrics(&metrics));
            code = json_print(stdout, j, false);
        } else {
            print_metrics(&metrics);
        }
    }
    asgd_source_close(data);
    asgd_model_free(m);
    return code;
}
