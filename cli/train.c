/* train.c -- asgd train: checks, loads, trains, saves, tells. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"
#include "processes.h"
#include "progress.h"
#include "report.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One run: what has to be freed at its end. */
typedef struct training {
    asgd_group *group; /* NULL: this process alone */
    run_data    data;
    asgd_model *model;
    double     *straggler;
    progress    progress;
    run_record  record;
} training;

static int settings(const cli_options *o, asgd_config *c, uint32_t processes, double **straggler)
{
    if (o->mode) asgd_mode_parse(o->mode, &c->mode);
    uint32_t second;
    workers_item(o, 0, &c->workers);
    if (workers_item(o, 1, &second)) {
        return cli_fail(CLI_USAGE, "--workers %s: must be one number; asgd compare takes a list",
                        o->workers);
    }
    if (c->mode == ASGD_SEQUENTIAL) {
        if (o->workers && c->workers > 1) {
            return cli_fail(CLI_USAGE, "--workers %s: --mode sequential has one worker",
                            o->workers);
        }
        c->workers = 1;
    }
    c->backup = (uint32_t)o->backup;
    if (c->backup && c->mode != ASGD_SYNC) {
        return cli_fail(CLI_USAGE, "--backup %u: only --mode sync has backup workers", c->backup);
    }
    const uint32_t of = processes > 1 ? processes : c->workers;
    if (c->backup && c->backup >= of) {
        return cli_fail(CLI_USAGE, "--backup %u: must be below the %u %s", c->backup, of,
                        processes > 1 ? "processes" : "workers");
    }
    if (!o->straggler) return CLI_OK;
    *straggler = calloc(c->workers, sizeof **straggler);
    if (!*straggler) return cli_fail(CLI_FAILED, "out of memory");
    c->straggler = *straggler;
    return straggler_parse(o->straggler, c->workers, *straggler);
}

static void row(text_table *t, const char *name, const char *value)
{
    char(*cells)[TABLE_CELL] = table_row(t);
    if (!cells) return;
    snprintf(cells[0], TABLE_CELL, "%s", name);
    snprintf(cells[1], TABLE_CELL, "%s", value);
}

static void summary_of_exchange(text_table *t, const asgd_exchange_result *x)
{
    char b[3][TEXT_BYTES], line[TABLE_CELL];
    int  n = snprintf(line, sizeof line, "%u", x->processes);
    if (x->lost) {
        snprintf(line + n, sizeof line - (size_t)n,
                 ", of which %u lost; examples done again %s, lost %s", x->lost,
                 text_count(b[0], (double)x->repeated), text_count(b[1], (double)x->missing));
    }
    row(t, "processes", line);
    snprintf(line, sizeof line, "%s bytes sent, %s an update; staleness mean %.0f",
             text_count(b[0], (double)x->bytes_out), text_count(b[1], x->bytes_per_update),
             x->tau_mean);
    row(t, "exchange", line);
    n = snprintf(line, sizeof line, "%.0f %% of deltas compressed",
                 x->deltas ? 100 * (double)x->coded / (double)x->deltas : 0);
    if (x->local_steps)
        snprintf(line + n, sizeof line - (size_t)n, "; %u updates between the last rounds",
                 x->local_steps);
    row(t, "", line);
    snprintf(line, sizeof line, "%s stopped for corrections, %s without work",
             text_seconds(b[0], x->stall_seconds), text_seconds(b[1], x->wait_seconds));
    row(t, "", line);
    if (x->dropped || x->clipped || x->quarantined) {
        snprintf(line, sizeof line, "dropped %llu, cut %llu, not finite %llu",
                 (unsigned long long)x->dropped, (unsigned long long)x->clipped,
                 (unsigned long long)x->quarantined);
        row(t, "deltas", line);
    }
    if (x->interventions) {
        char what[2 * TEXT_BYTES];
        snprintf(line, sizeof line, "%.63s", text_interventions(what, x->interventions));
        row(t, "guard", line);
        if (x->undone) {
            snprintf(line, sizeof line, "what %s examples had taught was given up",
                     text_count(b[0], (double)x->undone));
            row(t, "", line);
        }
    }
}

static void summary(const cli_options *o, const run_record *r)
{
    const asgd_result *a = &r->result;
    text_table         t = {.columns = 2};
    char               b[3][TEXT_BYTES], line[TABLE_CELL];
    snprintf(line, sizeof line, "%s examples, %.3g epoch%s, %s updates",
             text_count(b[0], (double)a->examples), a->epochs, a->epochs == 1 ? "" : "s",
             text_count(b[1], (double)a->updates));
    row(&t, "trained on", line);
    snprintf(line, sizeof line, "%s, %s examples/s (loading %s)", text_seconds(b[0], a->seconds),
             text_count(b[1], record_rate(r)), text_seconds(b[2], r->load_seconds));
    row(&t, "time", line);
    row(&t, "train loss", text_metric(b[0], "loss", a->train_loss));
    if (o->progressive) {
        row(&t, "progressive loss", text_metric(b[0], "logloss", a->online_loss));
    }
    if (a->evaluated) {
#define X(name, better)                                                   \
    if (!isnan(a->valid.name)) {                                          \
        snprintf(line, sizeof line, "valid %s", text_metric_name(#name)); \
        row(&t, line, text_metric(b[0], #name, a->valid.name));           \
    }
        ASGD_METRIC_MAP(X)
#undef X
    }
    if (o->target) {
        if (isnan(a->target_seconds)) {
            snprintf(line, sizeof line, "%s not reached", o->target);
        } else {
            snprintf(line, sizeof line, "%s after %s", o->target,
                     text_seconds(b[0], a->target_seconds));
        }
        row(&t, "target", line);
    }
    if (a->workers > 1) {
        snprintf(line, sizeof line, "mean %.2f, median %llu, p99 %llu, max %llu updates",
                 a->staleness.mean, (unsigned long long)a->staleness.p50,
                 (unsigned long long)a->staleness.p99, (unsigned long long)a->staleness.max);
        row(&t, "staleness", line);
    }
    if (a->exchange.processes > 1) summary_of_exchange(&t, &a->exchange);
    if (a->damped) row(&t, "damped", text_count(b[0], (double)a->damped));
    if (a->dropped) row(&t, "dropped", text_count(b[0], (double)a->dropped));
    for (size_t i = 0; i < t.rows; i++) printf("%-18s %s\n", t.cells[i][0], t.cells[i][1]);
    if (o->output) printf("%-18s %s\n", "model in", o->output);
    if (o->report) printf("%-18s %s\n", "report in", o->report);
    table_free(&t);
}

/* One argument as a shell would want it typed. */
static void print_quoted(const char *arg)
{
    if (*arg && strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "-_=./:,+@%") == strlen(arg)) {
        fprintf(stderr, " %s", arg);
        return;
    }
    fputs(" '", stderr);
    for (; *arg; arg++) {
        if (*arg == '\'') {
            fputs("'\\''", stderr);
        } else {
            fputc(*arg, stderr);
        }
    }
    fputc('\'', stderr);
}

static void tell_interrupted(const cli_options *o, const run_record *r)
{
    fprintf(stderr, "asgd: interrupted after %.3g epochs%s%s\n", r->result.epochs,
            o->output ? "; the model so far is in " : "", o->output ? o->output : "");
    if (!o->checkpoint) {
        fprintf(stderr, "asgd: without --checkpoint DIR this run cannot be resumed\n");
        return;
    }
    fprintf(stderr, "asgd: to go on:");
    for (int i = 0; i < o->argc; i++) print_quoted(o->argv[i]);
    fprintf(stderr, "%s\n", o->resume ? "" : " --resume");
}

/* After training: everything asked for is written, and the worst code is returned. */
static int finish(const cli_options *o, training *t, asgd_status s)
{
    int code = CLI_OK;
    if (s != ASGD_OK && s != ASGD_ESTOPPED) {
        code = cli_status(s);
        if (o->output && asgd_group_speaks(t->group)) {
            cli_note(o, "nothing was saved; %s is as it was", o->output);
        }
        return code;
    }
    if (o->output && (s = asgd_save(t->model, o->output)) != ASGD_OK) code = cli_status(s);
    if (s == ASGD_ELOST) return code; /* a larger part of the run has a result of its own */
    if (o->report) {
        int written = report_write(o->report, o, &t->data, &t->record, 1);
        if (code == CLI_OK) code = written;
    }
    if (o->json) {
        json_t *j = json_record(&t->record);
        if (j && o->output) json_object_set_new(j, "output", json_string(o->output));
        if (json_print(stdout, j, false) != CLI_OK) {
            code = cli_fail(CLI_FAILED, "the JSON result could not be written");
        }
    } else if (!o->quiet) {
        summary(o, &t->record);
    }
    return code;
}

static void say_start(const cli_options *o, const asgd_model *m, const asgd_config *c)
{
    const char    *options   = asgd_model_options(m);
    const uint32_t processes = asgd_group_size(c->group);
    char           of[40] = "", over[40] = "";
    if (processes > 1) {
        snprintf(of, sizeof of, "%u processes of ", processes);
        snprintf(over, sizeof over, ", exchange %.20s", asgd_group_link(c->group));
    }
    cli_note(o, "model: %s%s%s; mode %s, %s%u worker%s, share %s%s", o->positional,
             options && *options ? " " : "", options ? options : "", asgd_mode_name(c->mode), of,
             c->workers, c->workers == 1 ? "" : "s", asgd_share_name(c->share), over);
}

/* What the process that spoke would have done, had it lived. */
static void stand_in(training *t)
{
    asgd_result *a = &t->record.result;
    if (!a->evaluated && t->data.valid &&
        asgd_eval(t->model, t->data.valid, 0, &a->valid) == ASGD_OK) {
        a->evaluated = true;
    }
}

/* The end of a run: by the one process that speaks, where there are several. */
static int conclude(const cli_options *o, training *t, asgd_status s)
{
    const asgd_result *a    = &t->record.result;
    const bool         good = s == ASGD_OK || s == ASGD_ESTOPPED;
    const bool         mine = !good || asgd_group_await_turn(t->group);
    int                code = CLI_OK;
    if (good && mine) {
        cli_speak_as(0, 1, ""); /* for all */
        stand_in(t);
        cli_note(o, "shared: %s; rule %s, lr %g, batch %u", a->share, asgd_rule_name(a->rule),
                 a->lr, a->batch);
    }
    if (mine) code = finish(o, t, s);
    int  logged        = progress_close(&t->progress);
    bool was_interrupt = interrupt_end();
    if (code == CLI_OK) code = logged;
    if (good && mine && code == CLI_OK) {
        fflush(stdout);
        asgd_group_saved(t->group);
    }
    /* a signal to one process ends them all */
    if (code == CLI_OK && s == ASGD_ESTOPPED && (was_interrupt || t->group)) {
        if (mine) tell_interrupted(o, &t->record);
        code = CLI_INTERRUPTED;
    }
    return code;
}

static int run(const cli_options *o, training *t)
{
    const uint32_t process = asgd_group_process(t->group);
    cli_options    first   = *o; /* what all processes would say the same of, one says */
    asgd_config    c;
    asgd_config    early = {0};
    first.quiet          = o->quiet || process > 0;
    int code             = settings(o, &early, asgd_group_size(t->group), &t->straggler);
    if (code == CLI_OK) code = run_open(&t->data, &first);
    if (code == CLI_OK) code = run_model(&t->model, o, &t->data);
    if (code == CLI_OK) code = progress_open(&t->progress, o, process == 0);
    if (code != CLI_OK) return code;

    run_config(&c, o, &t->data);
    processes_config(&c, o, t->group);
    c.mode      = early.mode;
    c.workers   = early.workers;
    c.backup    = early.backup;
    c.straggler = early.straggler;
    c.observe   = progress_observe;
    if (o->progressive) c.report_every = 0.05; /* its table begins early */
    c.user   = &t->progress;
    c.notice = progress_notice;

    run_record *r = &t->record;
    record_init(r, o, t->model, &t->data);
    record_name(r, &c, o->straggler);

    say_start(&first, t->model, &c);
    progress_start(&t->progress, NULL, r->metric);
    c.stop        = interrupt_begin();
    asgd_status s = asgd_train(t->model, t->data.train, &c, &r->result);
    r->status     = s;
    progress_end(&t->progress);
    return conclude(o, t, s);
}

int cmd_train(const cli_options *o)
{
    int code = run_check(o);
    if (code != CLI_OK) return code;
    training t = {0};
    code       = processes_open(&t.group, o);
    if (code == CLI_OK) code = run(o, &t);
    if (t.progress.log) progress_close(&t.progress);
    asgd_result_free(&t.record.result);
    asgd_model_free(t.model);
    run_close(&t.data);
    free(t.straggler);
    if (t.group) fflush(stdout); /* where others are lost, it does not come back */
    asgd_group_close(t.group, code);
    return code;
}
