/* watch.c -- what the guard finds, and what is done about it.
 *
 * Every process tells the others what losses its workers had, and every process looks at all of them; the speaker
 * alone decides, so that there is one decision, and whoever speaks after it goes on from there.  What is in
 * force is three numbers that only grow, told with every sign of life, so news of them may be lost, late or repeated.
 *
 *     level    damped    deltas count half, those of unusual staleness less
 *              eased     that was enough, losses have been near the best for a while: deltas count in full again
 *              together  it was not: deltas count half from now on, and processes may be a quarter as far ahead
 *     back     all go back to the last good state; deltas count half as much again each time
 *
 * A state is good when losses are near the best.  When the speaker says so, each owner takes a copy of its
 * masters; when it says so again, that copy has proved to lead somewhere, and is the one to go back to.
 *
 * Going back: an owner puts the copy into the master, and from then on refuses deltas of processes that have
 * not gone back.  A process fetches all masters, and puts them into W in one correction, while its workers stand still: in
 * a W of which only a part had gone back they would compute gradients that are neither here nor there.  Sequence numbers
 * and leases go on as if nothing had happened; what is undone counts as done, and is reported. */
#include "exchange/core.h"

#include <math.h>

enum { DAMPED = 1, EASED, TOGETHER }; /* levels */

enum {
    MOST_BACK = 5, /* times that all go back; more would not help either */
    CLOSER    = 4, /* times, together */
    AHEAD     = 4, /* updates, together, where there was no bound */
};

static bool is_on(const asgdi_exchange *x)
{
    return x->c.guard > 0;
}

/* ---- what is in force ---- */

static bool is_damped(const asgdi_exchange *x)
{
    return x->watch.level == DAMPED || x->watch.level == TOGETHER;
}

double asgdi_watch_weight(const asgdi_exchange *x)
{
    return ldexp(1, -(int)(is_damped(x) + x->watch.back));
}

double asgdi_watch_damp(const asgdi_exchange *x)
{
    return is_damped(x) ? fmin(x->c.damp, 1) : x->c.damp;
}

uint64_t asgdi_watch_ahead(const asgdi_exchange *x)
{
    if (x->watch.level < TOGETHER) return x->c.ahead;
    if (x->c.ahead == 0) return AHEAD;
    return x->c.ahead / CLOSER > 2 ? x->c.ahead / CLOSER : 2;
}

uint64_t asgdi_watch_local_steps(const asgdi_exchange *x)
{
    const uint64_t most = asgdi_watch_ahead(x) / 2; /* or nobody would ever get so far */
    if (x->watch.level < TOGETHER || x->c.clock == ASGDI_CLOCK_SYNC || x->c.local_steps <= most)
        return x->c.local_steps;
    return most > 0 ? most : 1;
}

void asgdi_watch_learn(asgdi_exchange *x, uint32_t level, uint32_t back, uint64_t state)
{
    /* easing is no reason to doubt what was heard before */
    const bool news = (level > x->watch.level && level != EASED) || back > x->watch.back;
    if (!is_on(x)) return;
    if (level > x->watch.level) x->watch.level = level < TOGETHER ? level : TOGETHER;
    if (back > x->watch.back) x->watch.back = back < MOST_BACK ? back : MOST_BACK;
    if (state > x->watch.state) x->watch.state = state;
    if (news) asgdi_guard_again(&x->watch.guard, asgdi_exchange_examples(x));
}

uint32_t asgdi_exchange_interventions(const asgdi_exchange *x)
{
    if (x->watch.back) return 2 + x->watch.back;
    return x->watch.level == TOGETHER ? 2 : x->watch.level > 0;
}

bool asgdi_exchange_is_hopeless(const asgdi_exchange *x)
{
    const bool over = x->ending && !x->stop_why; /* before what was done last could help */
    if (asgdi_x_keeper(x) != x->c.self) return false;
    return x->watch.hopeless ||
           (over && asgdi_exchange_interventions(x) > 0 && !x->watch.guard.fine);
}

/* ---- what the speaker decides ---- */

static void act(asgdi_exchange *x, bool broken)
{
    const uint32_t level = x->watch.level == 0 && !broken ? DAMPED : TOGETHER;
    const uint32_t back  = x->watch.back + (broken || x->watch.level == TOGETHER);
    if (back > MOST_BACK) {
        x->watch.hopeless = true;
        return;
    }
    asgdi_watch_learn(x, level, back, x->watch.state);
    x->beat_now = true;
}

/* Some still have what all are to leave behind. */
static bool some_are_behind(const asgdi_exchange *x)
{
    for (uint32_t q = 0; q < x->c.size; q++)
        if (asgdi_set_has(&x->in, q) && x->peer[q].back < x->watch.back) return true;
    return false;
}

void asgdi_watch_losses(asgdi_exchange *x, uint32_t of, const asgdi_losses *l)
{
    asgdi_peer    *p   = &x->peer[of];
    const uint64_t now = asgdi_exchange_examples(x), knew = p->losses.known;
    if (!is_on(x) || l->examples < p->losses.examples || l->bad < p->losses.bad) return;
    if (l->examples == p->losses.examples) {
        if (l->known > knew) p->losses.known = l->known;
        return;
    }
    const asgdi_losses more = {l->loss - p->losses.loss,           l->weight - p->losses.weight,
                               l->examples - p->losses.examples,   l->bad - p->losses.bad,
                               p->losses.first > 0 ? 0 : l->first, knew};
    p->losses               = *l;
    if (x->stage != ASGDI_TRAINING || x->ending) return;
    if (some_are_behind(x)) {
        asgdi_guard_again(&x->watch.guard, now);
        return;
    }
    const asgdi_finding f = asgdi_guard_add(&x->watch.guard, x->c.guard, &more, now);
    if (asgdi_x_keeper(x) != x->c.self || x->watch.hopeless) return;
    if (f == ASGDI_GUARD_GOOD) {
        x->watch.state++;
        x->beat_now = true;
        if (x->watch.level == DAMPED) asgdi_watch_learn(x, EASED, x->watch.back, x->watch.state);
    }
    if (f >= ASGDI_GUARD_WORSE) act(x, f == ASGDI_GUARD_BROKEN);
}

void asgdi_watch_tick(asgdi_exchange *x)
{
    if (!is_on(x)) return;
    asgdi_watch_losses(x, x->c.self, &x->progress.losses);
    if (x->watch.back != x->watch.seen_back || x->watch.state != x->watch.seen_state)
        asgdi_good_look(x);
}
