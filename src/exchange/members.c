/* members.c -- who is in.
 *
 * A view is a set of processes with a number that only grows; it only ever loses members.  A process that is not heard
 * of is suspected; suspicions spread with the signs of life, and the lowest process that is not suspected
 * declares the view without the suspected ones.  Numbers have the declarer in their low bits, so no two views
 * have the same one.
 *
 * Nobody can tell a dead process from a slow one.  What keeps a wrong guess harmless:
 *  - a process takes a view only if its number is higher and its members are some of those it has now;
 *  - frames about blocks and leases count only between processes that are in the same view;
 *  - who takes over a dead process's blocks or queue serves nobody before every member of the view has told it
 *    what it holds (takeover.c, supply.c), and by answering has left all earlier views;
 *  - who learns that the others go on without it stops;
 *  - so does who was away itself, stopped or starved, and since it is back hears nothing from half of the others: they may
 *    have given it up, and nothing of a process that was given up is listened to or answered;
 *  - where most fall silent at once, they are waited for three times as long: they may all come back.
 * If processes are cut in two, both sides go on; when they meet again the smaller one stops. */
#include "exchange/core.h"

#include <math.h>
#include <stdio.h>

static uint64_t next_view(const asgdi_exchange *x)
{
    const uint64_t last = x->highest > x->view ? x->highest : x->view;
    return ((last >> 16) + 1) << 16 | x->c.self;
}

static void send_view(asgdi_exchange *x, uint32_t to)
{
    asgdi_writer w;
    if (!asgdi_x_frame(x, ASGDI_VIEW, sizeof x->in, &w)) return;
    asgdi_put(&w, &x->in, sizeof x->in);
    asgdi_x_post(x, to, &w);
}

/* So that one who is behind learns of it, but not with every frame it sends. */
static void send_view_soon(asgdi_exchange *x, uint32_t to)
{
    asgdi_peer *p = &x->peer[to];
    if (x->now - p->viewed < x->c.resend) return;
    p->viewed = x->now;
    send_view(x, to);
}

static void go_out(asgdi_exchange *x, uint32_t by)
{
    if (x->stage == ASGDI_FAILED || x->stage == ASGDI_OUT) return;
    x->stage = ASGDI_OUT;
    snprintf(
        x->why, sizeof x->why,
        "process %u was given up by the others (told by process %u): it had not been heard of for "
        "longer than dead_after, %g s; they go on without it",
        x->c.self, by, x->c.dead_after);
}

static void go_out_after_absence(asgdi_exchange *x, uint32_t silent)
{
    x->stage = ASGDI_OUT;
    snprintf(
        x->why, sizeof x->why,
        "process %u stood still for a while, and has not heard of process %u and of most others "
        "since: they have given it up, it seems, and go on without it",
        x->c.self, silent);
}

static void change_view(asgdi_exchange *x, uint64_t view, asgdi_set in)
{
    const asgdi_set lost = asgdi_set_without(x->in, in);
    x->view              = view;
    x->in                = in;
    x->suspected         = (asgdi_set){0};
    x->apart             = false;
    x->counts.views++;
    x->beat_now = true;
    asgdi_snapshot_new_view(x);
    if (asgdi_set_count(in) < x->c.least) {
        asgdi_x_fail(x, "%u of %u processes are left, at least %u are wanted (min_processes)",
                     asgdi_set_count(in), x->c.size, x->c.least);
        return;
    }
    asgdi_takeover_new_view(x);
    asgdi_copy_new_view(x);
    asgdi_master_new_view(x);
    asgdi_supply_new_view(x, lost);
}

static void declare(asgdi_exchange *x)
{
    const asgdi_set lost = asgdi_set_both(x->suspected, (asgdi_set){0});
    change_view(x, next_view(x), asgdi_set_without(x->in, lost));
    for (uint32_t q = 0; q < x->c.size; q++)
        if (q != x->c.self && (asgdi_set_has(&x->in, q) || asgdi_set_has(&lost, q)))
            send_view(x, q);
}

static void hello(asgdi_exchange *x, uint32_t to)
{
    const uint32_t n = (uint32_t)strlen(x->c.about);
    asgdi_writer   w;
    if (!asgdi_x_frame(x, ASGDI_HELLO, 4 + n, &w)) return;
    asgdi_put_u32(&w, n);
    asgdi_put(&w, x->c.about, n);
    asgdi_x_post(x, to, &w);
}

enum { IDLE = 1, ENDING = 2, SAVED = 4, WAITS = 8 };
enum { KNOWN_ROOM = 2048 };

static bool waits(const asgdi_exchange *x)
{
    return asgdi_supply_is_refused(x) && x->supply.n_marked > 0;
}

void asgdi_members_beat(asgdi_exchange *x)
{
    uint8_t known[KNOWN_ROOM];
    size_t  n        = 0;
    x->beat_at       = x->now + x->c.heartbeat;
    x->beat_updates  = x->progress.updates;
    x->beat_examples = x->progress.losses.examples;
    x->beat_began    = x->now;
    x->beat_now      = false;
    x->told_waits    = waits(x);
    if (x->stage == ASGDI_JOINING) {
        for (uint32_t q = 0; q < x->c.size; q++)
            if (q != x->c.self && asgdi_set_has(&x->in, q)) hello(x, q);
        return;
    }
    if (asgdi_x_keeper(x) == x->c.self && x->supply.serving)
        (void)asgdi_ranges_put(asgdi_queue_done_set(&x->supply.queue), known, sizeof known, &n);
    for (uint32_t q = 0; q < x->c.size; q++) {
        asgdi_writer w;
        if (q == x->c.self || !asgdi_set_has(&x->in, q)) continue;
        if (!asgdi_x_frame(x, ASGDI_BEAT, 192 + sizeof x->suspected + n, &w)) return;
        asgdi_put_u64(&w, x->about);
        asgdi_put(&w, &x->suspected, sizeof x->suspected);
        asgdi_put_u64(&w, x->progress.updates);
        asgdi_put_u64(&w, x->progress.examples);
        asgdi_put_u8(&w,
                     (uint8_t)((asgdi_supply_is_refused(x) ? IDLE : 0) | (x->ending ? ENDING : 0) |
                               (x->saved ? SAVED : 0) | (waits(x) ? WAITS : 0)));
        asgdi_put_u8(&w, (uint8_t)x->stage);
        asgdi_put_u32(&w, x->stop_why);
        asgdi_put(&w, &x->progress.losses, sizeof x->progress.losses);
        asgdi_put_u32(&w, x->watch.level);
        asgdi_put_u32(&w, x->watch.back);
        asgdi_put_u32(&w, x->watch.done);
        asgdi_put_u64(&w, x->watch.state);
        asgdi_snapshot_put(x, &w);
        asgdi_put_u32(&w, (uint32_t)n);
        asgdi_put(&w, known, n);
        asgdi_x_post(x, q, &w);
    }
}

bool asgdi_members_admit(asgdi_exchange *x, const asgdi_head *h)
{
    asgdi_peer *p = &x->peer[h->from];
    if (!asgdi_set_has(&x->in, h->from)) {
        send_view_soon(x, h->from);
        return h->type == ASGDI_VIEW;
    }
    p->heard = x->now;
    p->known = true;
    if (h->type == ASGDI_VIEW || h->type == ASGDI_HELLO || h->type == ASGDI_BEAT) {
        if (h->view < x->view && h->type != ASGDI_VIEW) send_view_soon(x, h->from);
        return true;
    }
    if (h->view < x->view) send_view_soon(x, h->from);
    if (h->view > x->view) x->beat_now = true; /* which is answered with the view */
    return h->view == x->view;
}

static void greet(asgdi_exchange *x, uint32_t from, uint64_t about, const char *text)
{
    if (x->peer[from].greeted) return;
    if (about == x->about) {
        x->peer[from].greeted = true;
        return;
    }
    /* for all to see that: this process says nothing more, and may have said nothing yet */
    for (uint32_t q = 0; q < x->c.size; q++)
        if (q != x->c.self) hello(x, q);
    const char *ours = x->c.about;
    size_t      at   = 0;
    while (text[at] && text[at] == ours[at]) at++;
    while (at > 0 && text[at - 1] != ';') at--;
    x->unlike = true;
    asgdi_x_fail(x,
                 "processes were started with different data or options; process %u has%s%.*s, "
                 "process %u has%s%.*s",
                 x->c.self, ours[at] == ' ' ? "" : " ", (int)strcspn(ours + at, ";"), ours + at,
                 from, text[at] == ' ' ? "" : " ", (int)strcspn(text + at, ";"), text + at);
}

static uint64_t hash_text(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return h;
}

void asgdi_members_hello(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    char           text[sizeof x->c.about];
    const uint32_t n = asgdi_get_u32(r);
    if (n >= sizeof text) return;
    asgdi_get(r, text, n);
    if (r->bad) return;
    text[n] = 0;
    for (uint32_t i = 0; i < n; i++)
        if ((uint8_t)text[i] < ' ') text[i] = ' ';
    greet(x, from, hash_text(text, n), text);
    if (x->stage != ASGDI_JOINING) x->beat_now = true; /* it has not heard of this process yet */
}

void asgdi_members_on_beat(asgdi_exchange *x, uint32_t from, bool same_view, asgdi_reader *r)
{
    asgdi_peer    *p     = &x->peer[from];
    const uint64_t about = asgdi_get_u64(r);
    asgdi_set      suspected;
    asgdi_get(r, &suspected, sizeof suspected);
    const uint64_t updates = asgdi_get_u64(r), examples = asgdi_get_u64(r);
    const uint8_t  flags = asgdi_get_u8(r), stage = asgdi_get_u8(r);
    const uint32_t stop = asgdi_get_u32(r);
    asgdi_losses   losses;
    asgdi_get(r, &losses, sizeof losses);
    const uint32_t level = asgdi_get_u32(r), back = asgdi_get_u32(r), done = asgdi_get_u32(r);
    const uint64_t state = asgdi_get_u64(r);
    asgdi_snapshot_get(x, from, same_view, r);
    const uint32_t n     = asgdi_get_u32(r);
    const uint8_t *known = asgdi_get_bytes(r, n);
    if (r->bad || stage > ASGDI_FINISHED) return;
    greet(x, from, about, "something else");
    if (updates > p->updates) p->updates = updates; /* an old one may come late */
    if (examples > p->examples) p->examples = examples;
    if (stage > p->stage) p->stage = stage;
    p->idle  = flags & IDLE;
    p->waits = flags & WAITS;
    if (flags & ENDING) x->ending = true;
    if (flags & SAVED) x->saved = true;
    /* where several were given, that of the process which ends the run is everybody's */
    if (stop && (!x->stop_why || from == asgdi_x_keeper(x))) x->stop_why = stop;
    if (n) asgdi_supply_known(x, known, n);
    if (!same_view) return;
    asgdi_watch_learn(x, level, back, state);
    if (done > p->back) p->back = done;
    asgdi_watch_losses(x, from, &losses);
    asgdi_set_take(&suspected, x->c.self); /* whoever suspects this process can act on it */
    for (int i = 0; i < ASGDI_SET_WORDS; i++) suspected.word[i] &= x->in.word[i];
    x->suspected = asgdi_set_both(x->suspected, suspected);
}

void asgdi_members_on_view(asgdi_exchange *x, uint32_t from, uint64_t view, asgdi_reader *r)
{
    asgdi_set in;
    asgdi_get(r, &in, sizeof in);
    if (r->bad || asgdi_set_empty(in) || !asgdi_set_within(in, asgdi_set_first(x->c.size))) return;
    const bool with_us = asgdi_set_has(&in, x->c.self);
    if (!asgdi_set_has(&x->in, from)) {
        /* the other side of a cut: the larger one goes on, of equal ones that with the lowest process */
        const uint32_t ours = asgdi_set_count(x->in), theirs = asgdi_set_count(in);
        const bool     lower = asgdi_set_lowest(in) < asgdi_set_lowest(x->in);
        if (!with_us && (theirs > ours || (theirs == ours && lower))) go_out(x, from);
        return;
    }
    if (!with_us) {
        go_out(x, from);
        return;
    }
    if (view <= x->view) {
        x->suspected = asgdi_set_both(x->suspected, asgdi_set_without(x->in, in));
        return;
    }
    if (asgdi_set_within(in, x->in)) {
        change_view(x, view, in);
        return;
    }
    /* it counts on somebody who is gone here: the two were declared apart, and neither can be taken by the other.
     * The lowest of those in both declares one that comes after both. */
    send_view_soon(x, from);
    if (view > x->highest) x->highest = view;
    x->apart     = true;
    x->suspected = asgdi_set_both(x->suspected, asgdi_set_without(x->in, in));
}

void asgdi_members_start(asgdi_exchange *x)
{
    x->in                    = asgdi_set_first(x->c.size);
    x->view                  = UINT64_C(1) << 16;
    x->about                 = hash_text(x->c.about, strlen(x->c.about));
    x->peer[x->c.self].known = x->peer[x->c.self].greeted = true;
    for (uint32_t q = 0; q < x->c.size; q++) x->peer[q].patience = x->c.resend;
}

/* Links give a process's frames up together with it, so who was given up while it was away is never told.  Others
 * that have not given it up are heard of soon: not just by what they sent before, which comes first, but later, too.
 * Whether those that are not are dead cannot be told; were they not, to go on would be to train the same model a second
 * time, and to save it over theirs.  So this process goes on only with more than half of all: then it is they
 * who are cut off. */
static bool is_given_up(const asgdi_exchange *x)
{
    const double since = x->back_at + x->c.dead_after / 2;
    uint32_t     with  = 1;
    if (!x->away) return false;
    for (uint32_t q = 0; q < x->c.size; q++)
        with += q != x->c.self && asgdi_set_has(&x->in, q) && x->peer[q].heard > since;
    return 2 * with <= asgdi_set_count(x->in);
}

/* For so long that others may have given it up: they wait from its last sign of life on. */
static bool is_long(const asgdi_exchange *x, double seconds)
{
    return seconds > x->c.dead_after - 2 * x->c.heartbeat;
}

enum { PATIENCE = 3 }; /* times dead_after, for most at once */

/* More than half have fallen silent at about the same time.  That is rather a machine or a network that stands still for
 * a while than so many deaths. */
static bool most_fell_silent(const asgdi_exchange *x)
{
    uint32_t n = 0;
    for (uint32_t q = 0; q < x->c.size; q++) {
        const asgdi_peer *p      = &x->peer[q];
        const double      silent = x->now - p->heard;
        n += q != x->c.self && p->known && asgdi_set_has(&x->in, q) &&
             silent > x->c.dead_after / 2 && silent <= x->c.dead_after;
    }
    return 2 * n > asgdi_set_count(x->in);
}

/* Nobody is given up then for a while: they may be back one after another, and if they were given up there would be two
 * groups, each of which goes on.  So does who comes back itself: it is not to give up those that are later. */
static bool is_patient(asgdi_exchange *x)
{
    if (x->now >= x->patient_till && most_fell_silent(x))
        x->patient_till = x->now + (PATIENCE - 0.5) * x->c.dead_after;
    if (x->now >= x->patient_till || x->apart) return false;
    x->suspected = (asgdi_set){0};
    return true;
}

void asgdi_members_tick(asgdi_exchange *x)
{
    if (!x->ticked || x->now - x->last_tick > x->c.dead_after / 2) {
        /* this process itself was away: what was sent meanwhile is still to be read */
        for (uint32_t q = 0; q < x->c.size; q++) x->peer[q].heard = x->now;
    }
    const double gap = x->ticked ? x->now - x->last_tick : x->progress.stood_still;
    if (is_long(x, gap)) {
        x->away         = true;
        x->back_at      = x->now;
        x->patient_till = x->now + (PATIENCE - 1) * x->c.dead_after;
    }
    for (uint32_t q = 0; q < x->c.size; q++) {
        const asgdi_peer *p = &x->peer[q];
        if (q == x->c.self || !asgdi_set_has(&x->in, q)) continue;
        const double wait = p->known ? x->c.dead_after : x->c.join_seconds;
        if (x->now - p->heard <= wait) {
            /* suspicions do not travel yet: one that was kept would come up when it is long back */
            if (x->stage == ASGDI_JOINING) asgdi_set_take(&x->suspected, q);
            continue;
        }
        if (p->heard <= x->back_at + x->c.dead_after / 2 && is_given_up(x)) {
            go_out_after_absence(x, q);
            return;
        }
        asgdi_set_add(&x->suspected, q);
    }
    if (!is_patient(x) && (x->apart || !asgdi_set_empty(x->suspected)) &&
        asgdi_set_lowest(asgdi_set_without(x->in, x->suspected)) == x->c.self)
        declare(x);
    const uint64_t ahead = x->progress.updates - x->beat_updates;
    const bool     lag   = x->c.clock == ASGDI_CLOCK_LAG && 4 * ahead >= x->c.max_lag && ahead > 0;
    /* the guard looks at the losses of all, and is not to wait long for them */
    const uint64_t had  = x->progress.losses.examples - x->beat_examples;
    const bool     much = x->c.guard && 4 * had * asgdi_set_count(x->in) >= x->c.guard &&
                      x->now - x->beat_began >= x->c.heartbeat / 8;
    if (waits(x) != x->told_waits) x->beat_now = true;
    if (x->now >= x->beat_at || x->beat_now || lag || much) asgdi_members_beat(x);
}
