/* recommend.c -- asgd recommend: the best items for users, and the items most like one. */
#include "decimal.h"
#include "file.h"
#include "lines.h"
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 6, NUMBER_BYTES = 12, USERS_AT_ONCE = 4096 };

typedef struct asked {
    const asgd_model    *m;
    const asgd_encoding *names;
    asgd_source         *exclude;
    uint32_t             top, threads;
    uint32_t            *item;  /* [USERS_AT_ONCE or 1][top] */
    float               *score; /* like item */
} asked;

/* Models made of arrays have no names: numbers, then. */
static const char *name_or_number(const char *name, uint32_t number, char buf[NUMBER_BYTES])
{
    if (name) return name;
    snprintf(buf, NUMBER_BYTES, "%u", number);
    return buf;
}

static int find(const asked *a, const char *what, const char *name, uint32_t *out)
{
    const bool user  = strcmp(what, "user") == 0;
    const bool found = user ? asgd_encoding_find_user(a->names, name, out)
                            : asgd_encoding_find_item(a->names, name, out);
    if (found) return CLI_OK;
    const asgd_schema *d    = asgd_model_schema(a->m);
    const uint32_t     most = user ? d->users : d->items;
    if (!a->names) {
        char         *end;
        unsigned long number = strtoul(name, &end, 10);
        if (*name >= '0' && *name <= '9' && !*end && number < most) {
            *out = (uint32_t)number;
            return CLI_OK;
        }
    }
    if (user) {
        *out = most; /* an unknown one: items by their biases */
        return CLI_OK;
    }
    return cli_fail(CLI_FAILED, "--item %s: the training data have no such item", name);
}

static void print_items(FILE *f, const asked *a, const char *user, uint64_t at)
{
    char number[NUMBER_BYTES], text[DECIMAL_BYTES + 1];
    for (uint32_t t = 0; t < a->top; t++) {
        const uint32_t item = a->item[at * a->top + t];
        if (item == UINT32_MAX) return;
        const size_t n = decimal_float(text, a->score[at * a->top + t], DIGITS);
        if (user) fprintf(f, "%s\t", user);
        fprintf(f, "%s\t%.*s\n", name_or_number(asgd_encoding_item(a->names, item), item, number),
                (int)n, text);
    }
}

static int one(const cli_options *o, asked *a, FILE *f)
{
    uint32_t number = 0;
    int      code   = find(a, o->item ? "item" : "user", o->item ? o->item : o->user, &number);
    if (code != CLI_OK) return code;
    if (!o->item && number == asgd_model_schema(a->m)->users) {
        cli_note(
            o,
            "--user %s: the training data have no such user; these are the items with the best "
            "biases",
            o->user);
    }
    asgd_status s =
        o->item ? asgd_similar_items(a->m, &number, 1, a->top, 1, a->item, a->score)
                : asgd_recommend(a->m, &number, 1, a->top, a->exclude, 1, a->item, a->score);
    if (s != ASGD_OK) return cli_status(s);
    print_items(f, a, NULL, 0);
    return CLI_OK;
}

static int all(asked *a, FILE *f)
{
    const uint32_t users = asgd_model_schema(a->m)->users;
    char           number[NUMBER_BYTES];
    uint32_t      *list = malloc(USERS_AT_ONCE * sizeof *list);
    int            code = list ? CLI_OK : cli_fail(CLI_FAILED, "out of memory");
    for (uint32_t from = 0; code == CLI_OK && from < users; from += USERS_AT_ONCE) {
        const uint32_t n = users - from < USERS_AT_ONCE ? users - from : USERS_AT_ONCE;
        for (uint32_t i = 0; i < n; i++) list[i] = from + i;
        asgd_status s =
            asgd_recommend(a->m, list, n, a->top, a->exclude, a->threads, a->item, a->score);
        if (s != ASGD_OK) code = cli_status(s);
        for (uint32_t i = 0; code == CLI_OK && i < n; i++) {
            const char *user = asgd_encoding_user(a->names, from + i);
            print_items(f, a, name_or_number(user, from + i, number), i);
        }
    }
    free(list);
    return code;
}

static int answer(const cli_options *o, asked *a)
{
    const bool   several = !o->user && !o->item;
    const size_t n       = (several ? USERS_AT_ONCE : 1) * (size_t)a->top;
    a->item              = malloc(n * sizeof *a->item);
    a->score             = malloc(n * sizeof *a->score);
    if (!a->item || !a->score) return cli_fail(CLI_FAILED, "out of memory for %u items", a->top);
    int      code = CLI_OK;
    out_file file = {0};
    if (o->output) code = out_open(&file, o->output);
    if (code != CLI_OK) return code;
    FILE *f = o->output ? file.f : stdout;
    code    = several ? all(a, f) : one(o, a, f);
    if (!o->output) return code;
    if (code == CLI_OK) return out_commit(&file);
    out_abandon(&file);
    return code;
}

int cmd_recommend(const cli_options *o)
{
    asked       a = {.top = o->top ? (uint32_t)o->top : 10};
    asgd_model *m = NULL;
    uint32_t    second;
    workers_item(o, 0, &a.threads);
    if (workers_item(o, 1, &second)) {
        return cli_fail(CLI_USAGE, "--workers %s: must be one number", o->workers);
    }
    if (o->user && o->item) return cli_fail(CLI_USAGE, "--user or --item: leave one out");
    if (o->item && o->exclude) {
        return cli_fail(CLI_USAGE, "--exclude: neighbours of an item are no user's; leave it out");
    }
    if (o->top > 1000) return cli_fail(CLI_USAGE, "--top %u: at most 1000", a.top);
    if (!o->user && !o->item && !o->output) {
        return cli_fail(CLI_USAGE,
                        "asgd recommend needs --user U or --item I, or -o FILE for all users");
    }
    int code = o->output ? out_check("-o", o->output) : CLI_OK;
    if (code != CLI_OK) return code;
    asgd_status s = asgd_load(&m, o->positional);
    code          = s == ASGD_OK ? CLI_OK : cli_status(s);
    if (code == CLI_OK && asgd_model_schema(m)->users == 0) {
        code =
            cli_fail(CLI_FAILED, "%s: is a model %s, which has no users and items; train mf or bpr",
                     o->positional, asgd_model_name(m));
    }
    a.m = m;
    if (code == CLI_OK) a.names = asgd_model_encoding(m);
    if (code == CLI_OK && o->exclude) code = run_exclude(&a.exclude, m, o->exclude);
    if (code == CLI_OK) code = answer(o, &a);
    free(a.item);
    free(a.score);
    asgd_source_close(a.exclude);
    asgd_model_free(m);
    return code;
}
