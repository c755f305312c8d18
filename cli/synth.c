/* synth.c -- asgd synth: synthetic data, the same for the same seed. */
#include "opts.h"

#include <stdlib.h>
#include <string.h>

#include "data/synth_clicks.h" /* what is known about the rows */

static bool for_ratings(const cli_options *o)
{
    return o->users || o->items || o->noise > 0 || o->skew > 0 || o->k;
}

static int not_ratings(const char *kind)
{
    return cli_fail(CLI_USAGE,
                    "asgd synth %s: --users, --items, --noise, --skew and --k are for ratings",
                    kind);
}

static int digits(const cli_options *o)
{
    const uint64_t examples = o->examples ? o->examples : 60000;
    const uint64_t test     = o->test ? o->test : 10000;
    if (o->rows || o->first || o->fields || o->format) {
        return cli_fail(CLI_USAGE,
                        "asgd synth digits takes --examples and --test; --rows, --first, "
                        "--fields and --format are for clicks");
    }
    if (for_ratings(o)) return not_ratings("digits");
    if (!o->output) return cli_fail(CLI_USAGE, "asgd synth digits needs -o DIR");
    asgd_status s = asgd_synth_digits(o->output, examples, test, o->seed);
    if (s != ASGD_OK) return cli_status(s);
    cli_note(o, "%s: %llu training and %llu test images; try: asgd train mlp --train %s --valid %s",
             o->output, (unsigned long long)examples, (unsigned long long)test, o->output,
             o->output);
    return CLI_OK;
}

static int clicks(const cli_options *o)
{
    const asgd_clicks c = {.rows   = o->rows ? o->rows : 400000,
                           .first  = o->first,
                           .seed   = o->seed,
                           .format = o->format,
                           .fields = (uint32_t)o->fields};
    if (o->examples || o->test) {
        return cli_fail(CLI_USAGE,
                        "asgd synth clicks takes --rows and --first; --examples and --test "
                        "are for digits");
    }
    if (for_ratings(o)) return not_ratings("clicks");
    if (!o->output) return cli_fail(CLI_USAGE, "asgd synth clicks needs -o FILE");
    asgdi_clicks_facts f;
    asgd_status        s = asgdi_synth_clicks(o->output, &c, &f);
    if (s != ASGD_OK) return cli_status(s);
    cli_note(o, "%s: %llu rows of %u fields, %u features, %.2f %% clicks", o->output,
             (unsigned long long)f.rows, f.fields, f.features,
             100 * (double)f.clicks / (double)f.rows);
    cli_note(o, "Bayes logloss %.6f: no model does better on rows it has not seen (expected: %.6f)",
             f.realised, f.expected);
    return CLI_OK;
}

static int ratings(const cli_options *o)
{
    asgd_ratings r   = {.rows  = o->rows ? o->rows : 1000000,
                        .first = o->first,
                        .seed  = o->seed,
                        .users = (uint32_t)o->users,
                        .items = (uint32_t)o->items,
                        .noise = o->noise,
                        .skew  = o->skew};
    char        *end = NULL;
    double       best;
    if (o->examples || o->test || o->fields || o->format) {
        return cli_fail(CLI_USAGE,
                        "asgd synth ratings takes --rows, --first, --users, --items, --k, "
                        "--noise and --skew; the others are for digits and clicks");
    }
    if (!o->output) return cli_fail(CLI_USAGE, "asgd synth ratings needs -o FILE");
    if (o->k) {
        unsigned long k = strtoul(o->k, &end, 10);
        if (*o->k < '0' || *o->k > '9' || *end || k < 1 || k > 64) {
            return cli_fail(CLI_USAGE, "--k %s: must be a whole number from 1 to 64", o->k);
        }
        r.rank = (uint32_t)k;
    }
    asgd_status s = asgd_synth_ratings(o->output, &r, &best);
    if (s != ASGD_OK) return cli_status(s);
    cli_note(o,
             "%s: %llu ratings; best RMSE %.6f: no model does better on rows it has not seen "
             "(expected: %.6f)",
             o->output, (unsigned long long)r.rows, best, r.noise > 0 ? r.noise : 0.8);
    return CLI_OK;
}

int cmd_synth(const cli_options *o)
{
    static const char *const kinds[] = {"digits", "clicks", "ratings"};
    if (strcmp(o->positional, kinds[0]) == 0) return digits(o);
    if (strcmp(o->positional, kinds[1]) == 0) return clicks(o);
    if (strcmp(o->positional, kinds[2]) == 0) return ratings(o);
    const char *near = nearest_name(o->positional, kinds, 3);
    if (near) return cli_fail(CLI_USAGE, "synth %s: did you mean %s?", o->positional, near);
    return cli_fail(CLI_USAGE, "synth %s: there is no such kind; there are: %s, %s, %s",
                    o->positional, kinds[0], kinds[1], kinds[2]);
}
