/* progress.c -- the observer of a run: one line that is rewritten on a terminal, plain lines
 * elsewhere (at evaluations, else every few seconds), and one JSON object a point in the log.
 *
 * Progressive validation prints a table, as online learners do: a line whenever the examples have
 * doubled.  Its means count every example as one; only the result weighs examples.
 *
 * A log that cannot be written is told once and fails the command at its end; it never stops the
 * training. */
#define _DEFAULT_SOURCE
#include "progress.h"

#include "json.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double PLAIN_SECONDS = 5;
static const double LOG_SECONDS   = 0.5; /* progressive: points come more often than that */

enum { BAR = 20, LINE_WIDTH = 256 };

static int open_log(progress *p)
{
    p->log = fopen(p->log_path, p->log_again ? "a" : "w");
    if (!p->log) return cli_fail(CLI_FAILED, "--log %s: %s", p->log_path, strerror(errno));
    return CLI_OK;
}

int progress_open(progress *p, const cli_options *o, bool speaks)
{
    *p = (progress){
        .shown = !o->quiet, .terminal = isatty(STDERR_FILENO) != 0, .progressive = o->progressive};
    if (!o->log) return CLI_OK;
    p->log_path  = o->log;
    p->log_again = o->resume || !speaks;
    return speaks ? open_log(p) : CLI_OK;
}

void progress_start(progress *p, const char *name, const char *metric)
{
    p->name          = name;
    p->metric        = metric;
    p->valid[0]      = 0;
    p->interventions = 0;
    p->printed       = clock_now();
    p->examples = p->table_examples = 0;
    p->loss = p->table_loss = 0;
}

static void clear_line(progress *p)
{
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* ---- the table of progressive validation ---- */

static void table_line(progress *p)
{
    uint64_t since = p->examples - p->table_examples;
    if (!p->shown || p->name || since == 0) return;
    clear_line(p);
    if (p->table_examples == 0)
        fprintf(stderr, "%12s  %9s  %9s\n", "examples", "loss", "since last");
    fprintf(stderr, "%12llu  %9.6f  %9.6f\n", (unsigned long long)p->examples,
            p->loss / (double)p->examples, (p->loss - p->table_loss) / (double)since);
    p->table_examples = p->examples;
    p->table_loss     = p->loss;
}

static void table_point(progress *p, const asgd_point *point)
{
    if (point->examples <= p->examples || !isfinite(point->train_loss)) return;
    p->loss += point->train_loss * (double)(point->examples - p->examples);
    p->examples = point->examples;
    if (p->examples >= 2 * p->table_examples) table_line(p);
}

/* ---- points ---- */

static bool log_is_due(progress *p, const asgd_point *point)
{
    double now = clock_now();
    if (p->progressive && !point->evaluated && (double)point->examples < point->total &&
        now - p->logged < LOG_SECONDS) {
        return false;
    }
    p->logged = now;
    return true;
}

static void log_point(progress *p, const asgd_point *point)
{
    json_t *j = json_point(point);
    if (p->name && j) json_object_set_new(j, "run", json_string(p->name));
    if (json_print(p->log, j, false) == CLI_OK && fflush(p->log) == 0) return;
    p->log_failed = true;
    clear_line(p);
    cli_fail(CLI_FAILED, "--log %s: %s; the run goes on without it", p->log_path, strerror(errno));
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
    return size.ws_col < LINE_WIDTH ? size.ws_col : LINE_WIDTH - 1;
}

/* The bar and the percentage, or the percentage alone. */
static size_t line_done(const progress *p, double part, char *line, size_t bytes)
{
    char bar[BAR + 1];
    int  full = (int)(part * BAR);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = 0;
    int n    = p->terminal ? snprintf(line, bytes, "%s%s[%s] %5.1f %%", p->name ? p->name : "",
                                   p->name ? " " : "", bar, part * 100)
                           : snprintf(line, bytes, "%s%s%5.1f %%", p->name ? p->name : "",
                                   p->name ? ": " : "", part * 100);
    return (size_t)n;
}

static void line_text(const progress *p, const asgd_point *point, char *line, size_t bytes)
{
    char   rate[TEXT_BYTES], eta[TEXT_BYTES];
    double part = point->total > 0 ? (double)point->examples / point->total : 0;
    part        = fmin(fmax(part, 0), 1);
    double left = part > 0 ? point->seconds * (1 - part) / part : NAN;
    size_t n    = line_done(p, part, line, bytes);
    n += (size_t)snprintf(line + n, bytes - n, "  epoch %.2f  %s/s", point->epochs,
                          text_count(rate, point->rate));
    if (isfinite(point->train_loss)) {
        n += (size_t)snprintf(line + n, bytes - n, "  loss %.4f", point->train_loss);
    }
    if (p->valid[0]) n += (size_t)snprintf(line + n, bytes - n, "  %s", p->valid);
    if (point->staleness > 0) {
        n += (size_t)snprintf(line + n, bytes - n, "  staleness %.2f", point->staleness);
    }
    if (part < 1 && isfinite(left)) {
        snprintf(line + n, bytes - n, "  ETA %s", text_seconds(eta, left));
    }
}

/* What a group's guard does is told at once, and not overwritten by what comes after it. */
static void tell_interventions(progress *p, const asgd_point *point)
{
    char what[2 * TEXT_BYTES];
    if (point->interventions <= p->interventions) return;
    p->interventions = point->interventions;
    if (!p->shown) return;
    clear_line(p);
    text_interventions(what, point->interventions);
    if (isfinite(point->train_loss))
        fprintf(stderr, "asgd: training goes wrong (loss %.4g); the guard: %s\n", point->train_loss,
                what);
    else
        fprintf(stderr, "asgd: training goes wrong; the guard: %s\n", what);
}

int progress_observe(const asgd_point *point, void *user)
{
    progress *p = user;
    char      line[2 * LINE_WIDTH + 128], value[TEXT_BYTES];
    if (p->progressive) table_point(p, point);
    /* the process that wrote it is lost, and this one goes on */
    if (p->log_path && !p->log && !p->log_failed) p->log_failed = open_log(p) != CLI_OK;
    if (p->log && !p->log_failed && log_is_due(p, point)) log_point(p, point);
    if (point->evaluated) {
        int better;
        snprintf(p->valid, sizeof p->valid, "%s %s", text_metric_name(p->metric),
                 text_metric(value, p->metric, asgd_metric_get(&point->valid, p->metric, &better)));
    }
    tell_interventions(p, point);
    if (!p->shown) return 0;
    line_text(p, point, line, sizeof line);
    if (p->terminal) {
        fprintf(stderr, "\r%.*s\033[K", terminal_width() - 1, line);
        fflush(stderr);
        p->drawn = true;
    } else if (point->evaluated || (!p->progressive && clock_now() - p->printed >= PLAIN_SECONDS)) {
        fprintf(stderr, "%s\n", line);
        p->printed = clock_now();
    }
    return 0;
}

void progress_notice(const char *text, void *user)
{
    clear_line(user);
    cli_fail(CLI_OK, "%s", text);
}

void progress_end(progress *p)
{
    clear_line(p);
    if (p->progressive) table_line(p);
}

int progress_close(progress *p)
{
    int code = p->log_failed ? CLI_FAILED : CLI_OK;
    if (p->log && fclose(p->log) != 0 && !p->log_failed) {
        code = cli_fail(CLI_FAILED, "--log %s: %s", p->log_path, strerror(errno));
    }
    p->log = NULL;
    return code;
}
