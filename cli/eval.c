/* eval.c -- asgd eval: the metrics of a trained model on data. */
#include "json.h"
#include "text.h"

#include <math.h>
#include <string.h>

static void print_metrics(const asgd_metrics *m)
{
    char b[TEXT_BYTES];
    printf("%-11s %s\n", "examples", text_count(b, (double)m->examples));
#define X(name, better)  \
    if (!isnan(m->name)) \
        printf("%-11s %s\n", text_metric_name(#name), text_metric(b, #name, m->name));
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
        s            = asgd_eval(m, data, threads, &metrics);
        double took  = clock_now() - start;
        if (s != ASGD_OK) {
            code = cli_status(s);
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
