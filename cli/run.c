/* run.c -- from options to a run: data, model, configuration, interruption, the record of a run. */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include "file.h"
#include "paths.h"
#include "processes.h"
#include "reading.h"
#include "text.h"

#include <errno.h>
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- checks ---- */

/* "loss, accuracy, ...": what --target takes. */
static void target_names(char *out, size_t bytes)
{
    size_t used = 0;
#define X(name, better)                \
    if ((better) != 0 && used < bytes) \
        used += (size_t)snprintf(out + used, bytes - used, "%s" #name, used ? ", " : "");
    ASGD_METRIC_MAP(X)
#undef X
}

static int target_metric(const char *target, const char *metric)
{
    const asgd_metrics none = {0};
    char               list[256];
    int                better;
    double             value = asgd_metric_get(&none, metric, &better);
    if (better != 0) return CLI_OK;
    target_names(list, sizeof list);
    if (!isnan(value)) {
        return cli_fail(CLI_USAGE,
                        "--target %s: the best %s is 1, neither high nor low, so it cannot be a "
                        "target; there are: %s",
                        target, metric, list);
    }
#define X(name, sign) #name,
    static const char *const names[] = {ASGD_METRIC_MAP(X)};
#undef X
    const size_t n    = sizeof names / sizeof *names;
    const char  *near = nearest_name(metric, names, n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(metric, text_metric_name(names[i])) == 0) near = names[i];
    }
    return cli_fail(CLI_USAGE, "--target %s: there is no metric %s%s%s%s; there are: %s", target,
                    metric, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "",
                    list);
}

static int target_check(const cli_options *o)
{
    const char *equals = strchr(o->target, '=');
    char        metric[32], *end;
    if (!equals || (size_t)(equals - o->target) >= sizeof metric) {
        return cli_fail(CLI_USAGE, "--target %s: must be METRIC=VALUE, as in accuracy=0.97",
                        o->target);
    }
    snprintf(metric, sizeof metric, "%.*s", (int)(equals - o->target), o->target);
    int code = target_metric(o->target, metric);
    if (code != CLI_OK) return code;
    double value = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !isfinite(value)) {
        return cli_fail(CLI_USAGE, "--target %s: %s is not a number; write it as in %s=0.97",
                        o->target, equals[1] ? equals + 1 : "nothing", metric);
    }
    return CLI_OK;
}

static int progressive_check(const cli_options *o)
{
    if (!o->progressive) return CLI_OK;
    if (o->epochs > 1) {
        return cli_fail(CLI_USAGE, "--epochs %g: --progressive is one pass; leave one of them out",
                        o->epochs);
    }
    if (o->order && strcmp(o->order, "file") != 0) {
        return cli_fail(CLI_USAGE,
                        "--order %s: --progressive takes the examples as they come; leave one of "
                        "them out",
                        o->order);
    }
    return CLI_OK;
}

int run_check(const cli_options *o)
{
    if (!o->train) {
        return cli_fail(CLI_USAGE, "asgd %s needs --train PATH", o->command->name);
    }
    int code = model_check(o->positional);
    if (code != CLI_OK) return code;
    if (o->valid && strcmp(o->train, "-") == 0 && strcmp(o->valid, "-") == 0) {
        return cli_fail(CLI_USAGE, "--valid -: standard input is --train already; name a file");
    }
    const bool patience = o->patience && o->patience != ASGD_NEVER;
    if (!o->valid && !(o->holdout > 0) && (o->target || patience || o->eval_every > 0)) {
        return cli_fail(CLI_USAGE, "--%s needs --valid PATH, the data to evaluate on",
                        o->target  ? "target"
                        : patience ? "patience"
                                   : "eval-every");
    }
    if (o->target) code = target_check(o);
    if (code == CLI_OK) code = progressive_check(o);
    if (code == CLI_OK && o->resume && !o->checkpoint) {
        code = cli_fail(CLI_USAGE, "--resume needs --checkpoint DIR, the folder to go on from");
    }
    uint32_t process, size;
    if (processes_told(&process, &size) && process > 0) return code; /* process 0 writes */
    if (code == CLI_OK && o->output) code = out_check("-o", o->output);
    if (code == CLI_OK && o->report) code = out_check("--report", o->report);
    if (code == CLI_OK && o->log && !o->resume) code = out_check("--log", o->log);
    return code;
}

/* ---- data ---- */

void run_close(run_data *d)
{
    asgd_source_close(d->train);
    asgd_source_close(d->valid);
    *d = (run_data){0};
}

/* What class numbers stand for, with plain numbers written out, so that data opened for a trained
 * model always get the model's classes; none of them tells that targets are real. */
static float *label_values(const float *labels, uint32_t classes)
{
    float *values = malloc(((size_t)classes + 1) * sizeof *values);
    for (uint32_t c = 0; values && c < classes; c++) values[c] = labels ? labels[c] : (float)c;
    return values;
}

/* As the model's training data were read. */
static int open_with(asgd_source **out, const char *path, asgd_source_options *options,
                     const asgd_schema *schema, const float *labels, const asgd_encoding *encoding)
{
    float *values = label_values(labels, schema->classes);
    if (!values) return cli_fail(CLI_FAILED, "out of memory");
    options->encoding       = encoding;
    options->features       = encoding ? 0 : schema->features;
    options->label_values   = values;
    options->n_label_values = schema->classes;
    asgd_status s           = asgd_source_open(out, path, options);
    free(values);
    return s == ASGD_OK ? CLI_OK : cli_status(s);
}

/* Ratings are what the models of ratings read, whatever the file looks like. */
bool run_rates(const cli_options *o)
{
    return o->positional && (strcmp(o->positional, "mf") == 0 || strcmp(o->positional, "bpr") == 0);
}

static int run_open_train(run_data *d, const cli_options *o, const asgd_source_options *options)
{
    if (o->holdout > 0) {
        return cli_fail(CLI_USAGE,
                        "--holdout: it is for mf and bpr; give a file of its own to --valid");
    }
    asgd_status s = asgd_source_open(&d->train, o->train, options);
    return s == ASGD_OK ? CLI_OK : cli_status(s);
}

static int run_open_ratings(run_data *d, const cli_options *o, asgd_source_options *options)
{
    if (o->holdout > 0 && o->valid) {
        return cli_fail(CLI_USAGE, "--holdout: --valid is given already; leave one out");
    }
    if (o->holdout_by && !(o->holdout > 0)) {
        return cli_fail(CLI_USAGE, "--holdout-by needs --holdout PART, as in --holdout 0.1");
    }
    path_list paths;
    int       code = path_list_make(&paths, o->train);
    if (code != CLI_OK) return code;
    asgd_holdout how = ASGD_HOLDOUT_RANDOM;
    if (o->holdout_by && strcmp(o->holdout_by, "time") == 0) how = ASGD_HOLDOUT_TIME;
    if (o->holdout_by && strcmp(o->holdout_by, "last") == 0) how = ASGD_HOLDOUT_LAST;
    if (!options->format) options->format = "ratings";
    options->also    = paths.path + 1;
    options->n_also  = paths.n - 1;
    options->times   = how != ASGD_HOLDOUT_RANDOM;
    asgd_source *all = NULL;
    asgd_status  s   = asgd_source_open(&all, paths.path[0], options);
    path_list_free(&paths);
    if (s == ASGD_OK && o->holdout > 0) {
        s = asgd_source_split(all, o->holdout, how, o->seed, &d->train, &d->valid);
        asgd_source_close(all);
    } else {
        d->train = all;
    }
    if (s != ASGD_OK) return cli_status(s);
    if (d->valid) cli_note(o, "valid: %s", asgd_source_describe(d->valid));
    return CLI_OK;
}

int run_open(run_data *d, const cli_options *o)
{
    double              start   = clock_now();
    asgd_source_options options = reading_options(o);
    options.rank_features       = true;
    *d                          = (run_data){0};
    int code = run_rates(o) ? run_open_ratings(d, o, &options) : run_open_train(d, o, &options);
    if (code == CLI_OK) code = reading_check_format(o, d->train);
    if (code == CLI_OK) cli_note(o, "train: %s", asgd_source_describe(d->train));
    if (code == CLI_OK && o->valid) {
        options           = reading_options(o);
        options.test_part = true;
        code              = open_with(&d->valid, o->valid, &options, asgd_source_schema(d->train),
                                      asgd_source_labels(d->train), asgd_source_encoding(d->train));
        if (code == CLI_OK) cli_note(o, "valid: %s", asgd_source_describe(d->valid));
    }
    d->load_seconds = clock_now() - start;
    if (code != CLI_OK) run_close(d);
    return code;
}

int run_exclude(asgd_source **out, const asgd_model *m, const char *text)
{
    path_list paths;
    int       code = path_list_make(&paths, text);
    if (code != CLI_OK) return code;
    asgd_source_options options = {
        .encoding = asgd_model_encoding(m), .also = paths.path + 1, .n_also = paths.n - 1};
    if (!options.encoding) options.format = "ratings";
    asgd_status s = asgd_source_open(out, paths.path[0], &options);
    path_list_free(&paths);
    return s == ASGD_OK ? CLI_OK : cli_status(s);
}

int run_open_for(asgd_source **out, const asgd_model *m, const cli_options *o)
{
    uint32_t            n;
    asgd_source_options options = reading_options(o);
    options.test_part           = !o->part || strcmp(o->part, "test") == 0;
    int code                    = reading_check_model(o, m);
    if (code != CLI_OK) return code;
    code = open_with(out, o->data, &options, asgd_model_schema(m), asgd_model_labels(m, &n),
                     asgd_model_encoding(m));
    if (code == CLI_OK) code = reading_check_format(o, *out);
    if (code == CLI_OK) cli_note(o, "data: %s", asgd_source_describe(*out));
    return code;
}

/* ---- model and configuration ---- */

int run_model(asgd_model **m, const cli_options *o, const run_data *d)
{
    char l2[40] = "";
    if (o->l2 > 0) snprintf(l2, sizeof l2, "%.9g", o->l2);
    const struct {
        const char *name, *value;
    } given[]            = {{"hidden", o->hidden},
                            {"activation", o->activation},
                            {"dropout", o->dropout},
                            {"init", o->init},
                            {"loss", o->loss},
                            {"bias", o->bias},
                            {"k", o->k},
                            {"normalize", o->normalize},
                            {"nonnegative", o->nonnegative},
                            {"l2", run_rates(o) ? l2 : NULL},
                            {"l2_user", o->l2_user},
                            {"l2_item", o->l2_item},
                            {"l2_bias", o->l2_bias},
                            {"negatives", o->negatives},
                            {"draw", o->draw},
                            {"positive", o->positive}};
    char   options[1024] = "";
    size_t used          = 0;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        if (!given[i].value || !*given[i].value) continue;
        if (strpbrk(given[i].value, " \t\n=")) {
            return cli_fail(CLI_USAGE, "--%s %s: must not contain spaces or =", given[i].name,
                            given[i].value);
        }
        used += (size_t)snprintf(options + used, sizeof options - used, "%s%s=%s", used ? " " : "",
                                 given[i].name, given[i].value);
        if (used >= sizeof options) {
            return cli_fail(CLI_USAGE, "--%s: the value is too long", given[i].name);
        }
    }
    asgd_status s = asgd_model_named(m, o->positional, options, asgd_source_schema(d->train));
    return s == ASGD_OK ? CLI_OK : cli_status(s);
}

void run_config(asgd_config *c, const cli_options *o, const run_data *d)
{
    *c = (asgd_config){
        .batch            = (uint32_t)o->batch,
        .epochs           = o->epochs,
        .seed             = o->seed,
        .lr               = o->lr,
        .schedule_set     = o->schedule != NULL,
        .warmup           = o->warmup,
        .progressive      = o->progressive,
        .merge            = (uint32_t)o->merge,
        .hot              = (uint32_t)o->hot,
        .damp             = o->damp,
        .pin              = o->pin,
        .valid            = d->valid,
        .eval_every       = o->eval_every,
        .target           = o->target,
        .patience         = (uint32_t)o->patience,
        .max_seconds      = o->max_seconds,
        .checkpoint       = o->checkpoint,
        .checkpoint_every = o->checkpoint_every,
        .resume           = o->resume,
        .pace             = o->pace,
    };
    c->rule = (asgd_rule){.beta1 = (float)o->beta1,
                          .beta2 = (float)o->beta2,
                          .eps   = (float)o->eps,
                          .l1    = (float)o->l1,
                          .l2    = run_rates(o) ? 0 : (float)o->l2};
    if (o->rule) asgd_rule_parse(o->rule, &c->rule.kind);
    if (o->schedule) asgd_schedule_parse(o->schedule, &c->schedule);
    if (o->blocks && strcmp(o->blocks, "off") == 0) c->blocks = ASGD_BLOCKS_OFF;
    if (o->share) asgd_share_parse(o->share, &c->share);
    if (o->order) asgd_order_parse(o->order, &c->order);
}

bool workers_item(const cli_options *o, size_t i, uint32_t *out)
{
    char item[32];
    *out = processes_cores();
    if (!o->workers) return i == 0;
    if (!list_item(o->workers, i, item, sizeof item)) return false;
    *out = (uint32_t)strtod(item, NULL); /* validated when it was read; may be 1e2 */
    return true;
}

/* One of "none", "W:FACTORx", "FACTORx". */
static int straggler_one(const char *text, uint32_t workers, double *factor)
{
    if (strcmp(text, "none") == 0) return CLI_OK;
    const char   *colon = strchr(text, ':');
    const char   *times = colon ? colon + 1 : text;
    char         *end;
    unsigned long worker = workers - 1;
    if (colon) {
        worker = strtoul(text, &end, 10);
        if (!isdigit((unsigned char)*text) || end != colon) {
            return cli_fail(CLI_USAGE, "--straggler %s: must be W:FACTORx, as in 3:10x", text);
        }
        if (worker >= workers) {
            return cli_fail(CLI_USAGE,
                            "--straggler %s: there is no worker %lu; %u worker%s numbered from 0",
                            text, worker, workers, workers == 1 ? " is" : "s are");
        }
    }
    double value = strtod(times, &end);
    if (!isdigit((unsigned char)*times) || (strcmp(end, "x") != 0 && *end)) {
        return cli_fail(CLI_USAGE, "--straggler %s: must be W:FACTORx, as in 3:10x", text);
    }
    if (!(value >= 1 && value <= 1e6)) {
        return cli_fail(CLI_USAGE, "--straggler %s: the factor must be from 1 to 1000000", text);
    }
    factor[worker] = value;
    return CLI_OK;
}

int straggler_parse(const char *text, uint32_t workers, double *factor)
{
    int code = CLI_OK;
    while (code == CLI_OK) {
        char   item[64];
        size_t n = strcspn(text, ",+");
        snprintf(item, sizeof item, "%.*s", n < sizeof item ? (int)n : 60, text);
        code = straggler_one(item, workers, factor);
        if (text[n] == 0) break;
        text += n + 1;
    }
    return code;
}

void run_metric(char out[32], const cli_options *o, const asgd_model *m)
{
    if (o->target) {
        snprintf(out, 32, "%.*s", (int)strcspn(o->target, "="), o->target);
        return;
    }
    switch (asgd_model_task(m)) {
    case ASGD_TASK_CLASSES: snprintf(out, 32, "accuracy"); return;
    case ASGD_TASK_LABELS: snprintf(out, 32, "p1"); return;
    case ASGD_TASK_BINARY: snprintf(out, 32, "auc"); return;
    case ASGD_TASK_REGRESSION: snprintf(out, 32, "rmse"); return;
    case ASGD_TASK_RANKING: snprintf(out, 32, "ndcg"); return;
    }
}

/* ---- interruption ---- */

static volatile int interrupted;

static void on_signal(int signal_number)
{
    static const char text[] = "\nasgd: finishing; once more ends at once\n";
    (void)signal_number;
    const int kept = errno; /* of the call that was interrupted */
    if (interrupted) _exit(CLI_INTERRUPTED);
    interrupted = 1;
    if (isatty(STDERR_FILENO) && write(STDERR_FILENO, text, sizeof text - 1) < 0)
        interrupted = 1; /* nobody reads it, then */
    errno = kept;
}

const volatile int *interrupt_begin(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}

bool interrupt_end(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    return interrupted != 0;
}

/* ---- records ---- */

void record_init(run_record *r, const cli_options *o, const asgd_model *m, const run_data *d)
{
    *r = (run_record){.model        = o->positional,
                      .load_seconds = d->load_seconds,
                      .seed         = o->seed,
                      .target       = NAN,
                      .speed        = NAN};
    run_metric(r->metric, o, m);
    if (o->target) r->target = strtod(strchr(o->target, '=') + 1, NULL);
}

void record_name(run_record *r, const asgd_config *c, const char *straggler)
{
    bool slowed = straggler && strcmp(straggler, "none") != 0;
    snprintf(r->mode, sizeof r->mode, "%s", asgd_mode_name(c->mode));
    if (c->backup) snprintf(r->mode, sizeof r->mode, "%s+%u", asgd_mode_name(c->mode), c->backup);
    snprintf(r->straggler, sizeof r->straggler, "%s", slowed ? straggler : "");
    char           processes[32] = "";
    const uint32_t n             = asgd_group_size(c->group);
    if (n > 1) snprintf(processes, sizeof processes, "%u processes, ", n);
    snprintf(r->name, sizeof r->name, "%s, %s%u worker%s%s%s%.30s", r->mode, processes, c->workers,
             c->workers == 1 ? "" : "s", n > 1 ? " each" : "", slowed ? ", " : "", r->straggler);
}

double record_rate(const run_record *r)
{
    return r->result.seconds > 0 ? (double)r->result.examples / r->result.seconds : 0;
}

const char *end_name(asgd_end e)
{
    switch (e) {
    case ASGD_END_EPOCHS: return "epochs";
    case ASGD_END_TARGET: return "target";
    case ASGD_END_PATIENCE: return "patience";
    case ASGD_END_SECONDS: return "seconds";
    case ASGD_END_STOPPED: return "stopped";
    }
    return "";
}
