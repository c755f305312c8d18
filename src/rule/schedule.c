/* schedule.c -- how the learning rate changes over a run: a linear warm-up from 0, then constant,
 * linear to 0, or half a cosine to 0 (Loshchilov and Hutter 2017) over what remains. */
#include "rule/rule.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {
    [ASGD_CONSTANT] = "constant", [ASGD_LINEAR] = "linear", [ASGD_COSINE] = "cosine"};
enum { NAMES = sizeof names / sizeof names[0] };

double asgdi_schedule(asgd_schedule s, double warmup, double done)
{
    if (!(done > 0)) done = 0;
    if (done > 1) done = 1;
    if (done < warmup) return done / warmup;
    /* a warm-up of the whole run ends at the full rate */
    const double x = warmup < 1 ? (done - warmup) / (1 - warmup) : 0;
    switch (s) {
    case ASGD_LINEAR: return 1 - x;
    case ASGD_COSINE: return 0.5 * (1 + cos(3.141592653589793 * x));
    case ASGD_CONSTANT: break;
    }
    return 1;
}

bool asgd_schedule_parse(const char *text, asgd_schedule *out)
{
    for (int i = 0; text && i < NAMES; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (asgd_schedule)i;
            return true;
        }
    }
    return false;
}

const char *asgd_schedule_name(asgd_schedule s)
{
    return (int)s >= 0 && (int)s < NAMES ? names[s] : NULL;
}
