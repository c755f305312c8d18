/* compare.c -- asgd compare: the same training in several modes, one after the other, with one
 * seed and one set of settings, and what each was worth. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"
#include "progress.h"
#include "report.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 64 };

typedef struct plan {
    asgd_mode mode;
    uint32_t  workers, backup;
    char      straggler[64]; /* "none" where there is none */
} plan;

typedef struct comparison {
    plan       plans[MAX_RUNS];
    size_t     n;
    run_data   data;
    progress   progress;
    run_record runs[MAX_RUNS];
    size_t     done;
} comparison;

/* "sync+1": the mode and the number of backup workers. */
static int mode_parse(const char *text, plan *p)
{
    char        name[32];
    const char *plus = strchr(text, '+');
    snprintf(name, sizeof name, "%.*s", plus ? (int)(plus - text) : 31, text);
    p->backup = 0;
    if (!asgd_mode_parse(name, &p->mode)) {
        static const char *const names[] = {"async", "sync", "locked", "sequential"};
        const char              *near    = nearest_name(name, names, 4);
        return cli_fail(CLI_USAGE, "--modes %s: %s%s%s", text, near ? "did you mean " : "",
                        near ? near : "must be async, sync, locked, sequential or, say, sync+1",
                        near ? "?" : "");
    }
    if (!plus) return CLI_OK;
    char *end;
    long  backup = strtol(plus + 1, &end, 10);
    if (p->mode != ASGD_SYNC || end == plus + 1 || *end || backup < 1 || backup > 1023) {
        return cli_fail(CLI_USAGE, "--modes %s: only sync takes backup workers, as in sync+1",
                        text);
    }
    p->backup = (uint32_t)backup;
    return CLI_OK;
}

static int plan_add(comparison *x, const plan *p)
{
    double *factor = calloc(p->workers, sizeof *factor);
    if (!factor) return cli_fail(CLI_FAILED, "out of memory");
    int code = straggler_parse(p->straggler, p->workers, factor);
    free(factor);
    if (code != CLI_OK) return code;
    if (p->backup >= p->workers) {
        return cli_fail(CLI_USAGE, "--modes sync+%u: must be below the %u worker%s", p->backup,
                        p->workers, p->workers == 1 ? "" : "s");
    }
    if (x->n == MAX_RUNS) return cli_fail(CLI_USAGE, "compare: more than %d runs", MAX_RUNS);
    x->plans[x->n++] = *p;
    return CLI_OK;
}

/* Every mode with every number of workers and straggler; sequential once. */
static int plan_all(comparison *x, const cli_options *o)
{
    const char *modes      = o->modes ? o->modes : "sequential,sync,async";
    const char *stragglers = o->straggler ? o->straggler : "none";
    bool        sequential = false;
    plan        p;
    char        mode[32];
    for (size_t s = 0; s < list_count(stragglers); s++) {
        if (!list_item(stragglers, s, p.straggler, sizeof p.straggler)) {
            return cli_fail(CLI_USAGE, "--straggler %s: an element is too long", stragglers);
        }
        for (size_t w = 0; workers_item(o, w, &p.workers); w++) {
            for (size_t i = 0; i < list_count(modes); i++) {
                plan q = p;
                if (!list_item(modes, i, mode, sizeof mode)) *mode = 0;
                int code = mode_parse(mode, &q);
                if (code != CLI_OK) return code;
                if (q.mode == ASGD_SEQUENTIAL) {
                    if (sequential) continue;
                    sequential = true;
                    q.workers  = 1;
                    snprintf(q.straggler, sizeof q.straggler, "none");
                }
                code = plan_add(x, &q);
                if (code != CLI_OK) return code;
            }
        }
    }
    return CLI_OK;
}

static int run_one(comparison *x, const cli_options *o, const plan *p, const volatile int *stop)
{
    asgd_model *m = NULL;
    asgd_config c;
    run_record *r    = &x->runs[x->done];
    int         code = run_model(&m, o, &x->data);
    if (code != CLI_OK) return code;
    double *factor = calloc(p->workers, sizeof *factor);
    if (!factor) {
        asgd_model_free(m);
        return cli_fail(CLI_FAILED, "out of memory");
    }
    run_config(&c, o, &x->data);
    straggler_parse(p->straggler, p->workers, factor);
    c.mode      = p->mode;
    c.workers   = p->workers;
    c.backup    = p->backup;
    c.straggler = factor;
    c.observe   = progress_observe;
    c.user      = &x->progress;
    c.stop      = stop;
    record_init(r, o, m, &x->data);
    record_name(r, &c, p->straggler);
    progress_start(&x->progress, r->name, r->metric);
    r->status = asgd_train(m, x->data.train, &c, &r->result);
    progress_end(&x->progress);
    x->done++;
    if (r->status == ASGD_EINVAL) {
        code = cli_status(r->status);
    } else if (r->status != ASGD_OK && r->status != ASGD_ESTOPPED) {
        /* that one mode fails, say diverges, is a result: the others go on */
        snprintf(r->message, sizeof r->message, "%s", asgd_errmsg());
        cli_fail(CLI_FAILED, "%s: %s", r->name, r->message);
    }
    free(factor);
    asgd_model_free(m);
    return code;
}

static bool failed(const run_record *r)
{
    return r->status != ASGD_OK && r->status != ASGD_ESTOPPED;
}

/* Speed is relative to the sequential run, else to the first that did not fail. */
static void set_speeds(comparison *x)
{
    const run_record *base = NULL;
    for (size_t i = 0; i < x->done; i++) {
        const run_record *r = &x->runs[i];
        if (failed(r) || record_rate(r) <= 0) continue;
        if (!base || (r->result.mode == ASGD_SEQUENTIAL && base->result.mode != ASGD_SEQUENTIAL)) {
            base = r;
        }
    }
    for (size_t i = 0; base && i < x->done; i++) {
        if (!failed(&x->runs[i])) x->runs[i].speed = record_rate(&x->runs[i]) / record_rate(base);
    }
}

static void print_row(text_table *t, const cli_options *o, const run_record *r)
{
    const asgd_result *a = &r->result;
    char               b[TEXT_BYTES];
    int                better;
    char(*cell)[TABLE_CELL] = table_row(t);
    if (!cell) return;
    snprintf(cell[0], TABLE_CELL, "%s", r->mode);
    snprintf(cell[1], TABLE_CELL, "%u", a->workers);
    if (o->straggler) snprintf(cell[2], TABLE_CELL, "%.40s", *r->straggler ? r->straggler : "-");
    if (failed(r)) {
        snprintf(cell[3], TABLE_CELL, "failed");
        return;
    }
    snprintf(cell[3], TABLE_CELL, "%s", text_count(b, record_rate(r)));
    snprintf(cell[4], TABLE_CELL, "%.2fx", r->speed);
    snprintf(cell[5], TABLE_CELL, "%s", text_seconds(b, a->seconds));
    if (o->target) {
        snprintf(cell[6], TABLE_CELL, "%s",
                 isnan(a->target_seconds) ? "not reached" : text_seconds(b, a->target_seconds));
    }
    double value = a->evaluated ? asgd_metric_get(&a->valid, r->metric, &better) : NAN;
    if (a->evaluated) snprintf(cell[7], TABLE_CELL, "%s", text_metric(b, r->metric, value));
    snprintf(cell[8], TABLE_CELL, "%s", text_metric(b, "loss", a->train_loss));
    snprintf(cell[9], TABLE_CELL, "%.2f", a->staleness.mean);
    snprintf(cell[10], TABLE_CELL, "%llu", (unsigned long long)a->staleness.p99);
}

static void print_comparison(const comparison *x, const cli_options *o)
{
    text_table t            = {.columns = 11};
    char(*cell)[TABLE_CELL] = table_row(&t);
    if (!cell || x->done == 0) return;
    static const char *const heading[] = {"mode",       "workers",   "straggler", "examples/s",
                                          "speed",      "time",      "",          "",
                                          "train loss", "staleness", "p99"};
    for (size_t c = 0; c < sizeof heading / sizeof *heading; c++) {
        snprintf(cell[c], TABLE_CELL, "%s", heading[c]);
    }
    if (!o->straggler) cell[2][0] = 0;
    if (o->target) snprintf(cell[6], TABLE_CELL, "to %.40s", o->target);
    if (o->valid) snprintf(cell[7], TABLE_CELL, "valid %.40s", text_metric_name(x->runs[0].metric));
    for (size_t i = 0; i < x->done; i++) print_row(&t, o, &x->runs[i]);
    table_print(stdout, &t);
    table_free(&t);
}

static int finish(comparison *x, const cli_options *o)
{
    int code = CLI_OK;
    set_speeds(x);
    for (size_t i = 0; i < x->done; i++) {
        if (failed(&x->runs[i])) code = CLI_FAILED;
    }
    if (o->report && x->done) {
        int written = report_write(o->report, o, &x->data, x->runs, x->done);
        if (code == CLI_OK) code = written;
    }
    if (o->json) {
        json_t *all = json_array();
        for (size_t i = 0; i < x->done; i++) json_array_append_new(all, json_record(&x->runs[i]));
        if (json_print(stdout, all, true) != CLI_OK) {
            code = cli_fail(CLI_FAILED, "the JSON result could not be written");
        }
    } else {
        print_comparison(x, o);
    }
    return code;
}

static int compare(comparison *x, const cli_options *o)
{
    int code = plan_all(x, o);
    if (code == CLI_OK) code = run_open(&x->data, o);
    if (code == CLI_OK) code = progress_open(&x->progress, o, true);
    if (code != CLI_OK) return code;
    const volatile int *stop = interrupt_begin();
    for (size_t i = 0; i < x->n && code == CLI_OK && !*stop; i++) {
        code = run_one(x, o, &x->plans[i], stop);
    }
    if (code == CLI_OK) code = finish(x, o);
    int logged = progress_close(&x->progress);
    if (interrupt_end() && code == CLI_OK) code = CLI_INTERRUPTED;
    return code == CLI_OK ? logged : code;
}

int cmd_compare(const cli_options *o)
{
    int code = run_check(o);
    if (code != CLI_OK) return code;
    comparison *x = calloc(1, sizeof *x);
    if (!x) return cli_fail(CLI_FAILED, "out of memory");
    code = compare(x, o);
    if (x->progress.log) progress_close(&x->progress);
    for (size_t i = 0; i < x->done; i++) asgd_result_free(&x->runs[i].result);
    run_close(&x->data);
    free(x);
    return code;
}
