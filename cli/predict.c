/* predict.c -- asgd predict: one line for each example, in the order of the data. */
#include "file.h"
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The label of the best class; with `all`, the probabilities of all classes behind it. */
static void write_classes(FILE *f, const asgd_model *m, const float *out, bool all)
{
    uint32_t     n_labels = 0, n = asgd_model_outputs(m), best = 0;
    const float *labels = asgd_model_labels(m, &n_labels);
    for (uint32_t c = 1; c < n; c++) {
        if (out[c] > out[best]) best = c;
    }
    fprintf(f, "%.9g", labels && best < n_labels ? (double)labels[best] : (double)best);
    for (uint32_t c = 0; all && c < n; c++) fprintf(f, "\t%.6g", (double)out[c]);
    fputc('\n', f);
}

static void write_all(FILE *f, const asgd_model *m, const float *out, uint64_t examples, bool all)
{
    uint32_t n = asgd_model_outputs(m);
    for (uint64_t i = 0; i < examples && !ferror(f); i++) {
        if (asgd_model_task(m) == ASGD_TASK_CLASSES) {
            write_classes(f, m, out + i * n, all);
        } else {
            fprintf(f, "%.9g\n", (double)out[i * n]);
        }
    }
}

static int predict(const cli_options *o, const asgd_model *m, asgd_source *data, uint32_t threads)
{
    uint64_t examples = asgd_source_schema(data)->examples;
    uint32_t outputs  = asgd_model_outputs(m);
    if (examples > SIZE_MAX / sizeof(float) / (outputs ? outputs : 1)) {
        return cli_fail(CLI_FAILED, "out of memory");
    }
    float *out = malloc(((size_t)examples * outputs + 1) * sizeof *out);
    if (!out) return cli_fail(CLI_FAILED, "out of memory for the predictions");
    int         code = CLI_OK;
    asgd_status s    = asgd_predict(m, data, threads, out);
    if (s != ASGD_OK) {
        code = cli_status(s);
    } else if (o->output) {
        out_file file;
        code = out_open(&file, o->output);
        if (code == CLI_OK) {
            write_all(file.f, m, out, examples, o->probabilities);
            code = out_commit(&file);
        }
    } else {
        write_all(stdout, m, out, examples, o->probabilities);
    }
    free(out);
    return code;
}

int cmd_predict(const cli_options *o)
{
    if (!o->data) return cli_fail(CLI_USAGE, "asgd predict needs --data PATH");
    uint32_t     threads, second;
    asgd_model  *m    = NULL;
    asgd_source *data = NULL;
    workers_item(o, 0, &threads);
    if (workers_item(o, 1, &second)) {
        return cli_fail(CLI_USAGE, "--workers %s: must be one number", o->workers);
    }
    int code = o->output ? out_check("-o", o->output) : CLI_OK;
    if (code != CLI_OK) return code;
    asgd_status s = asgd_load(&m, o->positional);
    code          = s == ASGD_OK ? CLI_OK : cli_status(s);
    if (code == CLI_OK && o->probabilities && asgd_model_task(m) != ASGD_TASK_CLASSES) {
        code = cli_fail(CLI_USAGE,
                        "--probabilities: %s is not a model of classes; leave it out, a line is "
                        "the prediction itself",
                        o->positional);
    }
    if (code == CLI_OK) code = run_open_for(&data, m, o);
    if (code == CLI_OK) code = predict(o, m, data, threads);
    asgd_source_close(data);
    asgd_model_free(m);
    return code;
}
