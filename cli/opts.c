/* opts.c -- reads the command line and the --config file into cli_options by the table.
 *
 * Invariant: a value is checked where it is read, so that a wrong one is a message about the
 * option (or about file:line) before anything is opened.  An option may be given once on the
 * command line and once in the file; the command line decides. */
#include "opts.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096 };

typedef struct block {
    struct block *next;
    char          text[];
} block;

/* Where a value came from, for messages and to find what was given twice. */
typedef struct origin {
    const char *file; /* NULL: the command line */
    size_t      line;
} origin;

static char *keep(cli_options *o, const char *a, const char *b)
{
    size_t na = strlen(a), nb = b ? strlen(b) + 1 : 0;
    block *m = malloc(sizeof *m + na + nb + 1);
    if (!m) return NULL;
    memcpy(m->text, a, na + 1);
    if (b) {
        m->text[na] = ',';
        memcpy(m->text + na + 1, b, nb);
    }
    m->next   = o->memory;
    o->memory = m;
    return m->text;
}

void opts_free(cli_options *o)
{
    for (block *m = o->memory; m;) {
        block *next = m->next;
        free(m);
        m = next;
    }
    o->memory = NULL;
}

bool list_item(const char *list, size_t i, char *out, size_t bytes)
{
    const char *at = list;
    for (; i > 0; i--) {
        at = strchr(at, ',');
        if (!at) return false;
        at++;
    }
    size_t n = strcspn(at, ",");
    if (n >= bytes) return false;
    memcpy(out, at, n);
    out[n] = 0;
    return true;
}

size_t list_count(const char *list)
{
    size_t n = 1;
    for (; *list; list++) n += *list == ',';
    return n;
}

/* Edit distance of Levenshtein, one row at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], nb = strlen(b);
    if (nb >= 64) return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0]          = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j];
            size_t best  = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j]   = best;
            diagonal = above;
        }
    }
    return row[nb];
}

const char *nearest_name(const char *wrong, const char *const *names, size_t n)
{
    const char *best  = NULL;
    size_t      least = SIZE_MAX, length = strlen(wrong);
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(wrong, names[i]);
        /* the beginning or the end of a name is nearer than letters by chance */
        if (length >= 3 && strstr(names[i], wrong)) d = 1;
        if (d < least) {
            least = d;
            best  = names[i];
        }
    }
    return least <= (length < 4 ? 1 : length / 3 + (length < 6)) ? best : NULL;
}

const cli_command *command_find(const char *name)
{
    for (const cli_command *c = cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0) return c;
    }
    return NULL;
}

static const opt_spec *spec_find(const char *name, size_t length)
{
    for (const opt_spec *s = opt_table; s->name; s++) {
        if (strlen(s->name) == length && memcmp(s->name, name, length) == 0) return s;
    }
    return NULL;
}

/* "FILE:LINE: name" or "--name", what every message about a value starts with. */
static const char *place(const opt_spec *s, origin w, char *buf, size_t bytes)
{
    if (w.file) {
        snprintf(buf, bytes, "%s:%zu: %s", w.file, w.line, s->name);
    } else {
        snprintf(buf, bytes, "--%s", s->name);
    }
    return buf;
}

static void range_text(const opt_spec *s, char *buf, size_t bytes)
{
    const char *what = s->kind == OPT_REAL ? "a number" : "a time";
    if (s->kind == OPT_WHOLE || s->kind == OPT_WHOLES) {
        snprintf(buf, bytes, "a whole number from %.0f to %.0f%s%s", s->low, s->high,
                 s->word ? ", or " : "", s->word ? s->word : "");
    } else if (s->high >= 1e6) {
        snprintf(buf, bytes, "%s %s %g", what, s->above ? "above" : "of at least", s->low);
    } else if (s->above || s->below) {
        snprintf(buf, bytes, "%s %s %g and %s %g", what, s->above ? "above" : "of at least", s->low,
                 s->below ? "below" : "up to", s->high);
    } else {
        snprintf(buf, bytes, "%s from %g to %g", what, s->low, s->high);
    }
}

static bool parse_whole(const char *text, uint64_t *out)
{
    if (!isdigit((unsigned char)*text)) return false;
    char *end;
    errno                    = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end == 0) {
        *out = value;
        return errno == 0;
    }
    double real = strtod(text, &end); /* 1e6 */
    if (*end || strchr("xX", text[1]) || !(real <= 9007199254740992.0) || real != floor(real)) {
        return false;
    }
    *out = (uint64_t)real;
    return true;
}

static bool parse_real(const char *text, bool is_time, double *out)
{
    char  *end;
    double value = strtod(text, &end);
    if (end == text || strpbrk(text, "xXpP") || isspace((unsigned char)*text)) return false;
    if (is_time && *end) {
        static const struct {
            const char *unit;
            double      seconds;
        } units[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}};
        size_t i  = 0;
        while (i < sizeof units / sizeof *units && strcmp(end, units[i].unit) != 0) i++;
        if (i == sizeof units / sizeof *units) return false;
        value *= units[i].seconds;
    } else if (*end) {
        return false;
    }
    *out = value;
    return isfinite(value);
}

static bool wholes_valid(const opt_spec *s, const char *text)
{
    char item[32];
    for (size_t i = 0; i < list_count(text); i++) {
        uint64_t value;
        if (!list_item(text, i, item, sizeof item) || !parse_whole(item, &value) ||
            (double)value < s->low || (double)value > s->high) {
            return false;
        }
    }
    return true;
}

static int choice_error(const opt_spec *s, const char *where, const char *text)
{
    char        names[16][32];
    const char *list[16];
    size_t      n = 0;
    while (n < 16 && list_item(s->choices, n, names[n], sizeof names[n])) {
        list[n] = names[n];
        n++;
    }
    const char *near = nearest_name(text, list, n);
    if (near) {
        return cli_fail(CLI_USAGE, "%s %s: did you mean %s? (one of %s)", where, text, near,
                        s->choices);
    }
    return cli_fail(CLI_USAGE, "%s %s: must be one of %s", where, text, s->choices);
}

static bool is_choice(const char *choices, const char *text)
{
    char item[32];
    for (size_t i = 0; list_item(choices, i, item, sizeof item); i++) {
        if (strcmp(item, text) == 0) return true;
    }
    return false;
}

static int store(cli_options *o, const opt_spec *s, const char *text, origin w)
{
    char   buf[512], range[96];
    void  *field = (char *)o + s->field;
    double real  = 0;
    bool   good  = true;

    place(s, w, buf, sizeof buf);
    if (s->kind != OPT_FLAG && *text == 0) return cli_fail(CLI_USAGE, "%s needs a value", buf);
    switch (s->kind) {
    case OPT_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
            return cli_fail(CLI_USAGE, "%s %s: must be true or false", buf, text);
        }
        *(bool *)field = strcmp(text, "true") == 0;
        return CLI_OK;
    case OPT_CHOICE:
        if (!is_choice(s->choices, text)) return choice_error(s, buf, text);
        /* fall through */
    case OPT_TEXT: *(const char **)field = text; return CLI_OK;
    case OPT_LIST: {
        const char *before    = *(const char **)field;
        *(const char **)field = before ? keep(o, before, text) : text;
        if (!*(const char **)field) return cli_fail(CLI_FAILED, "out of memory");
        return CLI_OK;
    }
    case OPT_WHOLES:
        good                  = wholes_valid(s, text);
        *(const char **)field = text;
        break;
    case OPT_WHOLE:
        if (s->word && strcmp(text, s->word) == 0) {
            *(uint64_t *)field = ASGD_NEVER;
            break;
        }
        good = parse_whole(text, field) && (double)*(uint64_t *)field >= s->low &&
               (double)*(uint64_t *)field <= s->high;
        break;
    case OPT_REAL:
    case OPT_TIME:
        good = parse_real(text, s->kind == OPT_TIME, &real) && real >= s->low && real <= s->high &&
               !(s->above && real == s->low) && !(s->below && real == s->high);
        *(double *)field = real;
        break;
    }
    if (good) return CLI_OK;
    range_text(s, range, sizeof range);
    return cli_fail(CLI_USAGE, "%s %s: must be %s", buf, text, range);
}

static int unknown(const cli_command *c, const char *name, size_t length, origin w)
{
    const char *names[OPT_CAPACITY];
    char        wrong[64];
    size_t      n = 0;
    snprintf(wrong, sizeof wrong, "%.*s", (int)(length < 60 ? length : 60), name);
    for (const opt_spec *s = opt_table; s->name && n < OPT_CAPACITY; s++) {
        if (s->commands & c->bit) names[n++] = s->name;
    }
    const char *near = nearest_name(wrong, names, n);
    const char *dash = w.file ? "" : "--";
    char        at[512];
    snprintf(at, sizeof at, "%s", "");
    if (w.file) snprintf(at, sizeof at, "%s:%zu: ", w.file, w.line);
    if (near) {
        return cli_fail(CLI_USAGE, "%s%s%s: did you mean %s%s?", at, dash, wrong, dash, near);
    }
    return cli_fail(CLI_USAGE, "%s%s%s: asgd %s has no such option; asgd %s --help lists them", at,
                    dash, wrong, c->name, c->name);
}

static int elsewhere(const cli_command *c, const opt_spec *s, origin w)
{
    char buf[512], list[128];
    int  used = 0;
    for (const cli_command *k = cli_commands; k->name; k++) {
        if (!(s->commands & k->bit)) continue;
        used +=
            snprintf(list + used, sizeof list - (size_t)used, "%s%s", used ? ", " : "", k->name);
    }
    return cli_fail(CLI_USAGE, "%s is not an option of asgd %s (it is one of %s)",
                    place(s, w, buf, sizeof buf), c->name, list);
}

/* given[i]: option i was set on the level being read (command line, then file). */
static int take(cli_options *o, const opt_spec *s, const char *text, origin w, bool *given)
{
    char   buf[512];
    size_t i = (size_t)(s - opt_table);
    if (!(s->commands & o->command->bit)) return elsewhere(o->command, s, w);
    if (given[i] && s->kind != OPT_LIST) {
        return cli_fail(CLI_USAGE, "%s is given twice; leave one out",
                        place(s, w, buf, sizeof buf));
    }
    given[i] = true;
    return store(o, s, text, w);
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s)) s++;
    char *end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1])) end--;
    *end = 0;
    return s;
}

static int config_line(cli_options *o, char *line, origin w, const bool *on_command_line,
                       bool *given)
{
    char *text = trim(line);
    if (*text == 0 || *text == '#') return CLI_OK;
    char *equals = strchr(text, '=');
    if (!equals) {
        return cli_fail(CLI_USAGE, "%s:%zu: must be \"name = value\", as in \"lr = 0.1\"", w.file,
                        w.line);
    }
    *equals     = 0;
    char *name  = trim(text);
    char *value = trim(equals + 1);
    for (char *c = strchr(value, '#'); c; c = strchr(c + 1, '#')) {
        if (c == value || isspace((unsigned char)c[-1])) {
            *c    = 0;
            value = trim(value);
            break;
        }
    }
    if (strncmp(name, "--", 2) == 0) name += 2;
    const opt_spec *s = spec_find(name, strlen(name));
    if (!s || strcmp(name, "config") == 0) return unknown(o->command, name, strlen(name), w);
    if (on_command_line[s - opt_table]) {
        cli_options ignored = *o; /* still say what is wrong with the value */
        ignored.memory      = NULL;
        int code            = take(&ignored, s, value, w, given);
        opts_free(&ignored);
        return code;
    }
    char *kept = keep(o, value, NULL);
    if (!kept) return cli_fail(CLI_FAILED, "out of memory");
    return take(o, s, kept, w, given);
}

static int config_read(cli_options *o, const bool *on_command_line)
{
    bool  given[OPT_CAPACITY] = {false};
    char  line[LINE_BYTES];
    FILE *f = fopen(o->config, "r");
    if (!f) return cli_fail(CLI_FAILED, "--config %s: %s", o->config, strerror(errno));
    int    code = CLI_OK;
    origin w    = {o->config, 0};
    while (code == CLI_OK && fgets(line, sizeof line, f)) {
        w.line++;
        if (strlen(line) == sizeof line - 1 && line[sizeof line - 2] != '\n') {
            code = cli_fail(CLI_USAGE, "%s:%zu: the line is longer than %d bytes", w.file, w.line,
                            LINE_BYTES - 2);
        } else {
            code = config_line(o, line, w, on_command_line, given);
        }
    }
    if (code == CLI_OK && ferror(f)) {
        code = cli_fail(CLI_FAILED, "--config %s: %s", o->config, strerror(errno));
    }
    fclose(f);
    return code;
}

static int positional(cli_options *o, const char *text)
{
    const cli_command *c = o->command;
    if (!o->positional && c->positional) {
        o->positional = text;
        return CLI_OK;
    }
    return cli_fail(CLI_USAGE, "%s: one argument too many; usage: asgd %s %s", text, c->name,
                    c->usage);
}

/* argv[*i] starts with a dash: the option and its value, which may be the next argument. */
static int option(cli_options *o, int *i, bool *given)
{
    const origin    command_line = {NULL, 0};
    const char     *arg          = o->argv[*i];
    const char     *value        = NULL;
    const opt_spec *s            = NULL;
    if (arg[1] == '-') {
        size_t length = strcspn(arg + 2, "=");
        if (arg[2 + length]) value = arg + 3 + length;
        s = spec_find(arg + 2, length);
        if (!s) return unknown(o->command, arg + 2, length, command_line);
    } else {
        for (s = opt_table; s->name && (s->letter == 0 || s->letter != arg[1]); s++) {
        }
        if (!s->name) {
            return cli_fail(CLI_USAGE, "%s: no such option; asgd %s --help lists them", arg,
                            o->command->name);
        }
        if (arg[2]) value = arg + 2;
    }
    if (s->kind == OPT_FLAG) return take(o, s, value ? value : "true", command_line, given);
    if (!value) {
        const char *next = o->argv[*i + 1];
        if (!next || (strncmp(next, "--", 2) == 0 && next[2])) {
            return cli_fail(CLI_USAGE, "--%s needs a value: --%s %s", s->name, s->name, s->arg);
        }
        value = next;
        ++*i;
    }
    return take(o, s, value, command_line, given);
}

int opts_parse(cli_options *o, int argc, char **argv)
{
    bool given[OPT_CAPACITY] = {false};
    bool only_positional     = false;
    o->argc                  = argc;
    o->argv                  = argv;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return -1;
    }
    for (int i = 2; i < argc; i++) {
        int code;
        if (!only_positional && strcmp(argv[i], "--") == 0) {
            only_positional = true;
            continue;
        }
        if (only_positional || argv[i][0] != '-' || argv[i][1] == 0) {
            code = positional(o, argv[i]);
        } else {
            code = option(o, &i, given);
        }
        if (code != CLI_OK) return code;
    }
    if (o->config) {
        int code = config_read(o, given);
        if (code != CLI_OK) return code;
    }
    const cli_command *c = o->command;
    if (c->positional && !c->optional && !o->positional) {
        return cli_fail(CLI_USAGE, "asgd %s needs %s; usage: asgd %s %s", c->name, c->positional,
                        c->name, c->usage);
    }
    return CLI_OK;
}
