/* predict.c -- asgd predict: one line for each example, in the order of the data.
 *
 *     classes       the name of the best one; --probabilities: TAB and the probability of each
 *     sets of       the labels predicted first, best first, blanks between; --probabilities as above
 *     labels
 *     two classes   the probability, or margin, of the second
 *     amounts       the amount */
#include "classes.h"
#include "decimal.h"
#include "file.h"
#include "lines.h"
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/labels.h"

enum { PROBABILITY_DIGITS = 6, AMOUNT_DIGITS = 7 };

/* What it takes to make a line. */
typedef struct prediction {
    const float *out; /* [examples][outputs] */
    uint32_t     outputs;
    int          digits;
    char       **text; /* [outputs] of classes; NULL: a line is a number */
    size_t      *bytes;
    bool         sets, all; /* sets of labels; with the probability of every class */
} prediction;

static size_t number_line(const void *self, uint64_t i, char *out)
{
    const prediction *p = self;
    size_t            n = decimal_float(out, p->out[i], p->digits);
    out[n]              = '\n';
    return n + 1;
}

static char *put_class(const prediction *p, uint32_t c, char *at)
{
    memcpy(at, p->text[c], p->bytes[c]);
    return at + p->bytes[c];
}

static size_t class_line(const void *self, uint64_t i, char *out)
{
    const prediction *p = self;
    const float      *x = p->out + i * p->outputs;
    uint32_t          top[ASGDI_TOP], n = asgdi_labels_top(x, p->outputs, top);
    char             *at = out;
    for (uint32_t j = 0; j < (p->sets ? n : 1); j++) {
        if (j) *at++ = ' ';
        at = put_class(p, top[j], at);
    }
    for (uint32_t c = 0; p->all && c < p->outputs; c++) {
        *at++ = '\t';
        at += decimal_float(at, x[c], PROBABILITY_DIGITS);
    }
    *at++ = '\n';
    return (size_t)(at - out);
}

static void prediction_free(prediction *p)
{
    classes_free(p->text, p->outputs);
    free(p->bytes);
}

/* *most: bytes of the longest line. */
static int prediction_init(prediction *p, const cli_options *o, const asgd_model *m,
                           const float *out, size_t *most)
{
    const asgd_task task   = asgd_model_task(m);
    size_t          widest = 0;
    uint32_t        n_labels;
    const float    *labels = asgd_model_labels(m, &n_labels);
    *p                     = (prediction){.out     = out,
                                          .outputs = asgd_model_outputs(m),
                                          .digits  = task == ASGD_TASK_REGRESSION ? AMOUNT_DIGITS : PROBABILITY_DIGITS,
                                          .sets    = task == ASGD_TASK_LABELS,
                                          .all     = o->probabilities};
    *most                  = DECIMAL_BYTES + 1;
    if (task != ASGD_TASK_CLASSES && task != ASGD_TASK_LABELS) return CLI_OK;
    p->text =
        classes_text(p->outputs, n_labels == p->outputs ? labels : NULL, asgd_model_encoding(m));
    p->bytes = calloc(p->outputs, sizeof *p->bytes);
    if (!p->text || !p->bytes) {
        prediction_free(p);
        return cli_fail(CLI_FAILED, "out of memory for the names of classes");
    }
    for (uint32_t c = 0; c < p->outputs; c++) {
        p->bytes[c] = strlen(p->text[c]);
        if (p->bytes[c] > widest) widest = p->bytes[c];
    }
    *most = (p->sets ? ASGDI_TOP : 1) * (widest + 1) + 1;
    if (p->all) *most += (size_t)p->outputs * (DECIMAL_BYTES + 1);
    return CLI_OK;
}

static int write_all(FILE *f, const cli_options *o, const asgd_model *m, const float *out,
                     uint64_t examples, uint32_t threads)
{
    prediction p;
    size_t     most;
    int        code = prediction_init(&p, o, m, out, &most);
    if (code != CLI_OK) return code;
    code     = lines_write(f, examples, most, threads, p.text ? class_line : number_line, &p);
    int kept = errno;
    prediction_free(&p);
    errno = kept;
    return code;
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
            code = write_all(file.f, o, m, out, examples, threads);
            if (code == CLI_OK) {
                code = out_commit(&file);
            } else {
                out_abandon(&file);
            }
        }
    } else {
        code = write_all(stdout, o, m, out, examples, threads);
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
    if (code == CLI_OK && o->probabilities && asgd_model_task(m) != ASGD_TASK_CLASSES &&
        asgd_model_task(m) != ASGD_TASK_LABELS) {
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
