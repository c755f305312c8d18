/* synth.c -- asgd synth: synthetic data, the same for the same seed. */
#include "opts.h"

#include <string.h>

#include "data/synth_clicks.h" /* what is known about the rows */

static int digits(const cli_options *o)
{
    const uint64_t examples = o->examples ? o->examples : 60000;
    const uint64_t test     = o->test ? o->test : 10000;
    if (o->rows || o->first || o->fields || o->format) {
        return cli_fail(CLI_USAGE,
                        "asgd synth digits takes --examples and --test; --rows, --first, "
                        "--fields and --format are for clicks");
    }
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

int cmd_synth(const cli_options *o)
{
    static const char *const kinds[] = {"digits", "clicks"};
    if (strcmp(o->positional, kinds[0]) == 0) return digits(o);
    if (strcmp(o->positional, kinds[1]) == 0) return clicks(o);
    const char *near = nearest_name(o->positional, kinds, 2);
    if (near) return cli_fail(CLI_USAGE, "synth %s: did you mean %s?", o->positional, near);
    return cli_fail(CLI_USAGE, "synth %s: there is no such kind; there are: %s, %s", o->positional,
                    kinds[0], kinds[1]);
}
