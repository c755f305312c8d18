/* report.c -- one HTML page about one run or several, complete in itself: no script, no font, no
 * picture from elsewhere.  All text that comes from outside passes html_text(). */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include "file.h"
#include "report_style.h"
#include "svg.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct page {
    FILE              *f;
    const cli_options *o;
    const run_data    *data;
    const run_record  *runs;
    size_t             n;
} page;

static bool failed(const run_record *r)
{
    return r->status != ASGD_OK && r->status != ASGD_ESTOPPED;
}

static double final_metric(const run_record *r)
{
    int better;
    return r->result.evaluated ? asgd_metric_get(&r->result.valid, r->metric, &better) : NAN;
}

static void tag_text(FILE *f, const char *open, const char *text, const char *close)
{
    fputs(open, f);
    html_text(f, text);
    fputs(close, f);
}

static void figure_open(FILE *f, const char *title)
{
    tag_text(f, "<figure><figcaption>", title, "</figcaption>\n");
}

static void legend(const page *p)
{
    if (p->n < 2) return;
    fputs("<div class=\"legend\">", p->f);
    for (size_t i = 0; i < p->n; i++) {
        fprintf(p->f, "<span><i class=\"c%zu%s\"></i>", i % SVG_COLOURS,
                i >= SVG_COLOURS ? " dashed" : "");
        html_text(p->f, p->runs[i].name);
        fputs("</span>", p->f);
    }
    fputs("</div>\n", p->f);
}

/* ---- curves ---- */

/* What of a run is drawn against what. */
typedef enum curve { LOSS, METRIC } curve;

/* Training loss: points close together, as around an evaluation, cover few examples and jump; they
 * are merged, each weighted by its examples, until they cover this part of the run. */
static const double LOSS_PART = 1.0 / 60;

static double at(const asgd_point *p, bool examples)
{
    return examples ? (double)p->examples : p->seconds;
}

static size_t loss_points(const asgd_result *a, bool examples, double *x, double *y)
{
    size_t   n   = 0;
    double   sum = 0, weight = 0;
    uint64_t before = 0;
    for (size_t i = 0; i < a->n_history; i++) {
        const asgd_point *p     = &a->history[i];
        double            fresh = (double)(p->examples - before);
        if (p->examples <= before || !isfinite(p->train_loss)) continue;
        before = p->examples;
        sum += p->train_loss * fresh;
        weight += fresh;
        if (weight < LOSS_PART * (double)a->examples) continue;
        x[n]   = at(p, examples);
        y[n++] = sum / weight;
        sum = weight = 0;
    }
    return n;
}

static size_t metric_points(const run_record *r, bool examples, double *x, double *y)
{
    size_t n = 0;
    int    better;
    for (size_t i = 0; i < r->result.n_history; i++) {
        const asgd_point *p = &r->result.history[i];
        if (!p->evaluated) continue;
        x[n] = at(p, examples);
        y[n] = asgd_metric_get(&p->valid, r->metric, &better);
        if (isfinite(y[n])) n++;
    }
    return n;
}

static int chart(const page *p, curve what, bool examples)
{
    size_t points = 0;
    for (size_t i = 0; i < p->n; i++) points += p->runs[i].result.n_history;
    svg_series *series = calloc(p->n, sizeof *series);
    double     *values = malloc((2 * points + 1) * sizeof *values);
    if (!series || !values) {
        free(series);
        free(values);
        return cli_fail(CLI_FAILED, "out of memory for the report");
    }
    double *next = values;
    for (size_t i = 0; i < p->n; i++) {
        const run_record *r = &p->runs[i];
        double           *x = next, *y = next + r->result.n_history;
        size_t            n = what == LOSS ? loss_points(&r->result, examples, x, y)
                                           : metric_points(r, examples, x, y);
        series[i]           = (svg_series){.name = r->name, .x = x, .y = y, .n = n, .number = i};
        next += 2 * r->result.n_history;
    }
    const char *metric = p->runs[0].metric;
    svg_chart   c      = {.x_label = examples ? "examples" : "seconds",
                          .y_label = what == LOSS ? "training loss" : text_metric_name(metric),
                          .series  = series,
                          .n       = p->n,
                          .mark    = what == METRIC ? p->runs[0].target : NAN,
                          .percent = what == METRIC && text_metric_is_part(metric),
                          .may_log = what == LOSS};
    char        title[96];
    snprintf(title, sizeof title, "%s%s against %s", what == LOSS ? "Training loss" : "Validation ",
             what == LOSS ? "" : text_metric_name(metric), examples ? "examples" : "time");
    figure_open(p->f, title);
    legend(p);
    svg_lines(p->f, &c);
    fputs("</figure>\n", p->f);
    free(series);
    free(values);
    return CLI_OK;
}

static int curves(const page *p)
{
    bool evaluated = false;
    for (size_t i = 0; i < p->n; i++) evaluated = evaluated || p->runs[i].result.evaluated;
    fputs("<h2>Curves</h2>\n<div class=\"grid2\">\n", p->f);
    int code = chart(p, LOSS, false);
    if (code == CLI_OK) code = chart(p, LOSS, true);
    if (code == CLI_OK && evaluated) code = chart(p, METRIC, false);
    if (code == CLI_OK && evaluated) code = chart(p, METRIC, true);
    fputs("</div>\n", p->f);
    return code;
}

/* ---- staleness, shares, rates ---- */

static void staleness(const page *p, size_t i)
{
    const run_record     *r                            = &p->runs[i];
    const asgd_staleness *s                            = &r->result.staleness;
    svg_bar               bars[ASGD_STALENESS_BUCKETS] = {0};
    size_t                n                            = 0;
    char                  title[192];
    for (size_t b = 0; b < ASGD_STALENESS_BUCKETS; b++) {
        if (s->bucket[b]) n = b + 1;
    }
    for (size_t b = 0; b < n; b++) {
        unsigned long long low = asgd_staleness_low((int)b);
        unsigned long long next =
            b + 1 < ASGD_STALENESS_BUCKETS ? asgd_staleness_low((int)b + 1) : low + 1;
        double part = (double)s->bucket[b] / (double)s->count;
        char   range[56];
        if (next > low + 1) {
            snprintf(range, sizeof range, "%llu to %llu", low, next - 1);
        } else {
            snprintf(range, sizeof range, "%llu", low);
        }
        snprintf(bars[b].label, sizeof bars[b].label, "%llu", low);
        snprintf(bars[b].tip, sizeof bars[b].tip, "staleness %s: %.2f %% of updates", range,
                 100 * part);
        bars[b].value = part;
    }
    snprintf(title, sizeof title, "Staleness%s%s: mean %.2f, median %llu, p99 %llu, max %llu",
             p->n > 1 ? " of " : "", p->n > 1 ? r->name : "", s->mean, (unsigned long long)s->p50,
             (unsigned long long)s->p99, (unsigned long long)s->max);
    figure_open(p->f, title);
    svg_histogram(p->f, "updates by others between read and write", "part of the updates", bars, n,
                  i);
    fputs("</figure>\n", p->f);
}

static void shares(const page *p)
{
    figure_open(p->f, "Examples by worker");
    for (size_t i = 0; i < p->n; i++) {
        const asgd_result *a = &p->runs[i].result;
        if (!a->worker_examples) continue;
        svg_shares(p->f, p->runs[i].name, a->worker_examples, a->workers, i);
    }
    fputs("</figure>\n", p->f);
}

static int rates(const page *p)
{
    svg_row *rows = calloc(p->n, sizeof *rows);
    if (!rows) return cli_fail(CLI_FAILED, "out of memory for the report");
    for (size_t i = 0; i < p->n; i++) {
        char b[TEXT_BYTES];
        rows[i] =
            (svg_row){.name = p->runs[i].name, .value = record_rate(&p->runs[i]), .number = i};
        snprintf(rows[i].text, sizeof rows[i].text, "%.40s", text_count(b, rows[i].value));
    }
    figure_open(p->f, "Examples a second");
    svg_rows(p->f, rows, p->n);
    fputs("</figure>\n", p->f);
    free(rows);
    return CLI_OK;
}

static int workers(const page *p)
{
    int code = CLI_OK;
    fputs("<h2>Workers</h2>\n<div class=\"grid2\">\n", p->f);
    if (p->n > 1) code = rates(p);
    shares(p);
    for (size_t i = 0; i < p->n; i++) {
        if (p->runs[i].result.staleness.max > 0) staleness(p, i);
    }
    fputs("</div>\n", p->f);
    return code;
}

/* ---- the exchange between processes ---- */

static void setting(FILE *f, const char *name, const char *value)
{
    tag_text(f, "<tr><td>", name, "</td>");
    tag_text(f, "<td>", value, "</td></tr>\n");
}

static void exchange_table(FILE *f, const asgd_exchange_result *x)
{
    char a[2 * TEXT_BYTES], b[TEXT_BYTES], line[256];
    fputs("<div class=\"sheet\"><table class=\"settings\">\n", f);
    snprintf(line, sizeof line, "%u, of which %u were lost", x->processes, x->lost);
    setting(f, "processes", line);
    if (x->lost) {
        snprintf(line, sizeof line, "%s done again, %s lost", text_count(a, (double)x->repeated),
                 text_count(b, (double)x->missing));
        setting(f, "examples", line);
    }
    snprintf(line, sizeof line, "%s, with %s deltas", text_count(a, (double)x->rounds),
             text_count(b, (double)x->deltas));
    setting(f, "rounds", line);
    snprintf(line, sizeof line, "%s out, %s in", text_count(a, (double)x->bytes_out),
             text_count(b, (double)x->bytes_in));
    setting(f, "bytes", line);
    setting(f, "bytes sent an update", text_count(a, x->bytes_per_update));
    snprintf(line, sizeof line, "damped %llu, dropped %llu, cut %llu, not finite %llu",
             (unsigned long long)x->damped, (unsigned long long)x->dropped,
             (unsigned long long)x->clipped, (unsigned long long)x->quarantined);
    setting(f, "deltas that came", line);
    setting(f, "workers stopped for corrections", text_seconds(a, x->stall_seconds));
    setting(f, "workers without work, or too far ahead", text_seconds(a, x->wait_seconds));
    setting(f, "what the guard did", text_interventions(a, x->interventions));
    if (x->undone) setting(f, "examples undone by that", text_count(a, (double)x->undone));
    fputs("</table></div>\n", f);
}

/* Buckets are powers of two. */
static void exchange_staleness(FILE *f, const asgd_exchange_result *x)
{
    svg_bar bars[ASGD_TAU_BUCKETS] = {0};
    size_t  n                      = 0;
    double  all                    = 0;
    char    title[128];
    for (size_t i = 0; i < ASGD_TAU_BUCKETS; i++) {
        all += (double)x->tau[i];
        if (x->tau[i]) n = i + 1;
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned long long low = i ? 1ULL << (i - 1) : 0, high = i ? 2 * low - 1 : 0;
        const double             part = (double)x->tau[i] / all;
        snprintf(bars[i].label, sizeof bars[i].label, "%llu", low);
        char range[48];
        snprintf(range, sizeof range, low < high ? "%llu to %llu" : "%llu", low, high);
        snprintf(bars[i].tip, sizeof bars[i].tip, "staleness %s: %.2f %% of deltas", range,
                 100 * part);
        bars[i].value = part;
    }
    snprintf(title, sizeof title, "Staleness of deltas: mean %.0f, max %llu", x->tau_mean,
             (unsigned long long)x->tau_max);
    figure_open(f, title);
    svg_histogram(f, "updates by others since the sender's copy", "part of the deltas", bars, n, 0);
    fputs("</figure>\n", f);
}

/* Of one run: asgd compare has one process. */
static void exchange(const page *p)
{
    const asgd_exchange_result *x = &p->runs->result.exchange;
    if (p->n > 1 || x->processes < 2) return;
    fputs("<h2>Exchange</h2>\n<p class=\"sub\">As the process that reports has seen it.</p>\n",
          p->f);
    exchange_table(p->f, x);
    if (x->tau_max > 0) {
        fputs("<div class=\"grid2\">\n", p->f);
        exchange_staleness(p->f, x);
        fputs("</div>\n", p->f);
    }
}

/* ---- tables ---- */

static void tile(FILE *f, const char *name, const char *value)
{
    tag_text(f, "<div class=\"tile\"><b>", value, "</b>");
    tag_text(f, "<span>", name, "</span></div>\n");
}

static void tiles(const page *p)
{
    const run_record  *r = p->runs;
    const asgd_result *a = &r->result;
    char               b[TEXT_BYTES], name[64];
    fputs("<div class=\"tiles\">\n", p->f);
    if (a->evaluated) {
        snprintf(name, sizeof name, "validation %s", text_metric_name(r->metric));
        tile(p->f, name, text_metric(b, r->metric, final_metric(r)));
    }
    tile(p->f, "training loss", text_metric(b, "loss", a->train_loss));
    tile(p->f, "examples a second", text_count(b, record_rate(r)));
    tile(p->f, "training time", text_seconds(b, a->seconds));
    if (!isnan(r->target)) tile(p->f, "time to target", text_seconds(b, a->target_seconds));
    if (a->workers > 1) {
        snprintf(b, sizeof b, "%.2f", a->staleness.mean);
        tile(p->f, "mean staleness", b);
    }
    fputs("</div>\n", p->f);
}

static void results_row(const page *p, size_t i)
{
    const run_record  *r = &p->runs[i];
    const asgd_result *a = &r->result;
    char               b[TEXT_BYTES];
    fprintf(p->f, "<tr><td><i class=\"c%zu\"></i>", i % SVG_COLOURS);
    html_text(p->f, r->name);
    fputs("</td>", p->f);
    if (failed(r)) {
        tag_text(p->f, "<td colspan=\"9\" style=\"text-align:left\">", r->message, "</td></tr>\n");
        return;
    }
    tag_text(p->f, "<td>", text_count(b, record_rate(r)), "</td>");
    snprintf(b, sizeof b, isnan(r->speed) ? "-" : "%.2fx", r->speed);
    tag_text(p->f, "<td>", b, "</td>");
    tag_text(p->f, "<td>", text_seconds(b, a->seconds), "</td>");
    if (!isnan(p->runs[0].target)) {
        tag_text(p->f, "<td>",
                 isnan(a->target_seconds) ? "not reached" : text_seconds(b, a->target_seconds),
                 "</td>");
    }
    tag_text(p->f, "<td>", text_metric(b, r->metric, final_metric(r)), "</td>");
    tag_text(p->f, "<td>", text_metric(b, "loss", a->train_loss), "</td>");
    snprintf(b, sizeof b, "%.2f", a->staleness.mean);
    tag_text(p->f, "<td>", b, "</td>");
    snprintf(b, sizeof b, "%llu", (unsigned long long)a->staleness.p99);
    tag_text(p->f, "<td>", b, "</td>");
    tag_text(p->f, "<td>", text_count(b, (double)a->dropped), "</td></tr>\n");
}

static void results(const page *p)
{
    char heading[128];
    fputs("<h2>Results</h2>\n<div class=\"sheet\"><table>\n<tr><th>run</th><th>examples/s</th>"
          "<th>speed</th><th>time</th>",
          p->f);
    if (!isnan(p->runs[0].target)) {
        tag_text(p->f, "<th>to ", p->o->target ? p->o->target : "target", "</th>");
    }
    snprintf(heading, sizeof heading, "valid %s", text_metric_name(p->runs[0].metric));
    tag_text(p->f, "<th>", heading, "</th>");
    fputs("<th>train loss</th><th>staleness</th><th>p99</th><th>dropped</th></tr>\n", p->f);
    for (size_t i = 0; i < p->n; i++) results_row(p, i);
    fputs("</table></div>\n", p->f);
}

/* The value of an option as text, NULL where it is not given. */
static const char *given(const cli_options *o, const opt_spec *s, char *buf, size_t bytes)
{
    const void *field = (const char *)o + s->field;
    switch (s->kind) {
    case OPT_FLAG: return *(const bool *)field ? "yes" : NULL;
    case OPT_TEXT:
    case OPT_LIST:
    case OPT_CHOICE:
    case OPT_WHOLES: return *(const char *const *)field;
    case OPT_WHOLE:
        if (s->word && *(const uint64_t *)field == ASGD_NEVER) return s->word;
        snprintf(buf, bytes, "%llu", (unsigned long long)*(const uint64_t *)field);
        return *(const uint64_t *)field ? buf : NULL;
    case OPT_REAL:
    case OPT_TIME:
        snprintf(buf, bytes, "%.9g%s", *(const double *)field, s->kind == OPT_TIME ? " s" : "");
        return *(const double *)field > 0 ? buf : NULL;
    }
    return NULL;
}

static void settings(const page *p)
{
    const asgd_result *a = &p->runs[0].result;
    char               b[160];
    fputs("<h2>Settings</h2>\n<div class=\"sheet\"><table class=\"settings\">\n", p->f);
    fputs("<tr><td>command</td><td><code>", p->f);
    for (int i = 0; i < p->o->argc; i++) {
        if (i) fputc(' ', p->f);
        html_text(p->f, p->o->argv[i]);
    }
    fputs("</code></td></tr>\n", p->f);
    setting(p->f, "model", p->o->positional);
    setting(p->f, "training data", asgd_source_describe(p->data->train));
    if (p->data->valid) setting(p->f, "validation data", asgd_source_describe(p->data->valid));
    for (const opt_spec *s = opt_table; s->name; s++) {
        const char *value = s->commands & p->o->command->bit ? given(p->o, s, b, sizeof b) : NULL;
        if (value) setting(p->f, s->name, value);
    }
    const char *rule = asgd_rule_name(a->rule);
    snprintf(b, sizeof b, "rule %s, lr %g, batch %u", rule ? rule : "-", a->lr, a->batch);
    setting(p->f, "in force", b);
    for (size_t i = 0; i < p->n; i++) {
        char name[128];
        snprintf(name, sizeof name, p->n > 1 ? "share, %s" : "share", p->runs[i].name);
        if (*p->runs[i].result.share) setting(p->f, name, p->runs[i].result.share);
    }
    snprintf(b, sizeof b, "asgd %s, %s kernels, %u cores", asgd_version(), asgd_isa(),
             asgd_cores());
    setting(p->f, "program", b);
    fputs("</table></div>\n", p->f);
}

static void single(const page *p)
{
    const asgd_result *a = &p->runs->result;
    char               b[TEXT_BYTES], name[64];
    fputs("<h2>Results</h2>\n<div class=\"sheet\"><table class=\"settings\">\n", p->f);
    setting(p->f, "run", p->runs->name);
    if (*p->runs->straggler) setting(p->f, "straggler", p->runs->straggler);
    setting(p->f, "ended by", end_name(a->end));
    setting(p->f, "examples", text_count(b, (double)a->examples));
    snprintf(b, sizeof b, "%.4g", a->epochs);
    setting(p->f, "epochs", b);
    setting(p->f, "updates", text_count(b, (double)a->updates));
    if (p->o->progressive) {
        setting(p->f, "progressive loss", text_metric(b, "logloss", a->online_loss));
    }
#define X(metric, better)                                                        \
    if (a->evaluated && !isnan(a->valid.metric)) {                               \
        snprintf(name, sizeof name, "validation %s", text_metric_name(#metric)); \
        setting(p->f, name, text_metric(b, #metric, a->valid.metric));           \
    }
    ASGD_METRIC_MAP(X)
#undef X
    if (a->dropped) setting(p->f, "examples dropped", text_count(b, (double)a->dropped));
    setting(p->f, "merging, all workers", text_seconds(b, a->merge_seconds));
    setting(p->f, "loading", text_seconds(b, p->runs->load_seconds));
    fputs("</table></div>\n", p->f);
}

static int body(const page *p)
{
    char      when[64] = "";
    time_t    now      = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local)) strftime(when, sizeof when, "%Y-%m-%d %H:%M", &local);
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>asgd ",
          p->f);
    fprintf(p->f, "%s: ", p->o->command->name);
    html_text(p->f, p->o->positional);
    fprintf(p->f, "</title>\n<style>\n%s</style></head>\n<body><main>\n<h1>asgd %s: ", report_style,
            p->o->command->name);
    html_text(p->f, p->o->positional);
    tag_text(p->f, "</h1>\n<p class=\"sub\">", asgd_source_describe(p->data->train), "");
    fprintf(p->f, " &middot; %s</p>\n", when);
    if (p->n > 1) {
        results(p);
    } else {
        tiles(p);
    }
    int code = curves(p);
    if (code == CLI_OK) code = workers(p);
    exchange(p);
    if (p->n == 1) single(p);
    settings(p);
    fputs("</main></body></html>\n", p->f);
    return code;
}

int report_write(const char *path, const cli_options *o, const run_data *d, const run_record *runs,
                 size_t n)
{
    out_file out;
    int      code = out_open(&out, path);
    if (code != CLI_OK) return code;
    page p = {out.f, o, d, runs, n};
    code   = body(&p);
    if (code != CLI_OK) {
        out_abandon(&out);
        return code;
    }
    return out_commit(&out);
}
