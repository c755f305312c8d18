/* guard.c -- does training go wrong? */
#include "exchange/guard.h"

#include <math.h>

enum {
    STREAK = 2,  /* bad windows until something is done */
    APART  = 4,  /* windows between good states */
    PART   = 32, /* of a window: as many examples of one process say something */
};

static const double FAR    = 2;    /* times the best loss */
static const double LOST   = 0.75; /* of what was learnt */
static const double BACK   = 0.8;  /* a window so much better than the one before is coming back */
static const double NEARLY = 0.1;  /* of what was learnt; as good as the best */

static bool is_bad(const asgdi_guard *g, double loss)
{
    if (g->windows == 0) return false;
    return loss > FAR * g->best && loss > g->best + LOST * (g->first - g->best);
}

static asgdi_finding judge(asgdi_guard *g, const asgdi_losses *w, uint64_t now)
{
    const double loss   = w->weight > 0 ? w->loss / w->weight : NAN;
    const bool   broken = g->broken || 2 * w->bad > w->examples;
    const bool   bad    = broken || is_bad(g, loss);
    const bool   back   = !broken && g->windows > 0 && loss < BACK * g->last;
    g->broken           = false;
    if (isnan(loss)) return ASGDI_GUARD_NOTHING;
    g->last = loss;
    g->fine = !bad;
    if (bad) {
        if (!back) g->streak++;
        if (g->streak < STREAK) return ASGDI_GUARD_NOTHING;
        return broken ? ASGDI_GUARD_BROKEN : ASGDI_GUARD_WORSE;
    }
    g->streak = 0;
    if (g->windows++ == 0 || loss < g->best) {
        g->best  = loss;
        g->since = now;
    }
    /* a window may have learnt most of what there is already */
    g->first = fmax(fmax(g->first, g->n_starts ? g->starts / g->n_starts : 0), g->best);
    if (++g->since_good < APART || loss > g->best + NEARLY * (g->first - g->best))
        return ASGDI_GUARD_NOTHING;
    g->since_good = 0;
    return ASGDI_GUARD_GOOD;
}

asgdi_finding asgdi_guard_add(asgdi_guard *g, uint64_t examples, const asgdi_losses *more,
                              uint64_t now)
{
    asgdi_losses *w = &g->window;
    if (more->first > 0 && isfinite(more->first)) {
        g->starts += more->first;
        g->n_starts++;
    }
    /* losses that are none are none whenever they were had */
    if (more->known < g->since && more->bad == 0) return ASGDI_GUARD_NOTHING;
    w->loss += more->loss;
    w->weight += more->weight;
    w->examples += more->examples;
    w->bad += more->bad;
    g->broken |= 2 * more->bad > more->examples && PART * more->examples >= examples;
    if (w->examples < examples) return ASGDI_GUARD_NOTHING;
    const asgdi_losses whole = *w;
    *w                       = (asgdi_losses){0};
    if (g->skip > 0) {
        g->skip--;
        g->broken = false;
        return ASGDI_GUARD_NOTHING;
    }
    return judge(g, &whole, now);
}

void asgdi_guard_again(asgdi_guard *g, uint64_t now)
{
    g->window = (asgdi_losses){0};
    g->broken = g->fine = false;
    g->streak           = 0;
    g->since_good       = 0;
    g->skip             = 1;
    g->last             = 0;
    g->since            = now;
}
