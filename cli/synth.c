/* synth.c -- asgd synth: synthetic data, the same for the same seed. */
#include "opts.h"

#include <string.h>

int cmd_synth(const cli_options *o)
{
    static const char *const kinds[]  = {"digits"};
    const uint64_t           examples = o->examples ? o->examples : 60000;
    const uint64_t           test     = o->test ? o->test : 10000;
    if (strcmp(o->positional, kinds[0]) != 0) {
        const char *near = nearest_name(o->positional, kinds, 1);
        if (near) return cli_fail(CLI_USAGE, "synth %s: did you mean %s?", o->positional, near);
        return cli_fail(CLI_USAGE, "synth %s: there is no such kind; there is: %s", o->positional,
                        kinds[0]);
    }
    if (!o->output) return cli_fail(CLI_USAGE, "asgd synth digits needs -o DIR");
    asgd_status s = asgd_synth_digits(o->output, examples, test, o->seed);
    if (s != ASGD_OK) return cli_status(s);
    cli_note(o, "%s: %llu training and %llu test images; try: asgd train mlp --train %s --valid %s",
             o->output, (unsigned long long)examples, (unsigned long long)test, o->output,
             o->output);
    return CLI_OK;
}
