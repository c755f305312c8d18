/* net.c -- a network of processes and its clock, made up from one seed.
 *
 * A heap holds what is to happen, ordered by time and, at the same time, by the order in which it was asked for:
 * so there is one order of events, and the same one each time.  Random numbers are functions of the seed, the pair
 * of processes, and how many frames that pair has sent: what one pair does leaves the luck of the others as it is.
 *
 * A process that stands still has a heap of its own, so to speak: what would happen to it is put back to the moment
 * it goes on, behind what was put back before.
 *
 * Such simulations of the program that is shipped, not of a model of it, are FoundationDB's idea (Zhou et al. 2021). */
#include "sim/net.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

typedef struct event {
    double             at;
    uint64_t           turn;   /* among those at the same time */
    uint64_t           frame;  /* its number among those of its pair */
    bool               passed; /* it has come through, and waits for its receiver to go on */
    asgdi_simnet_event e;
} event;

typedef struct process {
    double paused_until; /* in the past: it runs */
    double killed;       /* when; infinite: it lives */
    double free_at;      /* when all that it sends is on its way */
} process;

struct asgdi_simnet {
    asgdi_simnet_config   c;
    double                now;
    event                *heap; /* [n], heap[(i-1)/2] before heap[i] */
    size_t                n, room;
    uint64_t              turns;
    process              *process; /* [size] */
    uint64_t             *drawn;   /* [size][size] frames of that pair so far */
    double               *cut;     /* [size][size] until when */
    double               *last; /* [size][size] the latest arrival, where frames keep their order */
    bool                  broken;
    asgdi_simnet_counts   counts;
    asgdi_simnet_watcher *watcher;
    void                 *user;
};

/* What a pair draws for each frame: streams of random numbers. */
enum { DRAW_LOSS, DRAW_REPEAT, DRAW_DELAY, DRAW_DELAY_AGAIN, DRAW_LAST_WORDS, DRAWS };

static double between_0_and_1(uint64_t bits)
{
    return ((double)(bits >> 11) + 0.5) * 0x1p-53;
}

static double draw(const asgdi_simnet *n, uint32_t from, uint32_t to, uint64_t frame, int what)
{
    uint64_t pair = (uint64_t)from * n->c.size + to;
    return between_0_and_1(asgdi_random(n->c.seed, pair * DRAWS + (uint64_t)what, frame));
}

/* ---- the heap ---- */

static bool before(const event *a, const event *b)
{
    return a->at < b->at || (a->at == b->at && a->turn < b->turn);
}

static void push(asgdi_simnet *n, event e)
{
    void *heap = n->heap;
    if (!asgdi_grow(&heap, &n->room, n->n + 1, sizeof e)) {
        n->broken = true;
        asgdi_frame_free(e.e.frame);
        return;
    }
    n->heap  = heap;
    size_t i = n->n++;
    for (; i && before(&e, &n->heap[(i - 1) / 2]); i = (i - 1) / 2)
        n->heap[i] = n->heap[(i - 1) / 2];
    n->heap[i] = e;
}

static event pop(asgdi_simnet *n)
{
    event  first = n->heap[0], e = n->heap[--n->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n->n) break;
        if (child + 1 < n->n && before(&n->heap[child + 1], &n->heap[child])) child++;
        if (!before(&n->heap[child], &e)) break;
        n->heap[i] = n->heap[child];
        i          = child;
    }
    if (n->n) n->heap[i] = e;
    return first;
}

/* ---- making one ---- */

static bool probability(double p)
{
    return p >= 0 && p <= 1;
}

asgd_status asgdi_simnet_new(asgdi_simnet **out, const asgdi_simnet_config *c)
{
    *out = NULL;
    if (c->size < 1 || c->size > ASGDI_PROCESSES_MAX || c->law >= ASGDI_SIMLAWS ||
        !(c->delay >= 0 && isfinite(c->delay)) || !(c->rate >= 0) || !probability(c->loss) ||
        !probability(c->repeat))
        return ASGD_FAIL(EINVAL, "simulated network: a number is out of range");
    asgdi_simnet *n = asgdi_calloc(1, sizeof *n);
    if (!n) return ASGD_FAIL(ENOMEM, "no memory for a simulated network");
    size_t pairs = (size_t)c->size * c->size;
    n->c         = *c;
    n->process   = asgdi_calloc(c->size, sizeof *n->process);
    n->drawn     = asgdi_calloc(pairs, sizeof *n->drawn);
    n->cut       = asgdi_calloc(pairs, sizeof *n->cut);
    n->last      = asgdi_calloc(pairs, sizeof *n->last);
    if (!n->process || !n->drawn || !n->cut || !n->last) {
        asgdi_simnet_free(n);
        return ASGD_FAIL(ENOMEM, "no memory for a simulated network of %lu processes",
                         (unsigned long)c->size);
    }
    for (uint32_t p = 0; p < c->size; p++)
        n->process[p] = (process){.paused_until = -1, .killed = INFINITY};
    *out = n;
    return ASGD_OK;
}

void asgdi_simnet_free(asgdi_simnet *n)
{
    if (!n) return;
    for (size_t i = 0; i < n->n; i++) asgdi_frame_free(n->heap[i].e.frame);
    asgdi_free(n->heap);
    asgdi_free(n->process);
    asgdi_free(n->drawn);
    asgdi_free(n->cut);
    asgdi_free(n->last);
    asgdi_free(n);
}

double asgdi_simnet_now(const asgdi_simnet *n)
{
    return n->now;
}

bool asgdi_simnet_broken(const asgdi_simnet *n)
{
    return n->broken;
}

asgdi_simnet_counts asgdi_simnet_count(const asgdi_simnet *n)
{
    return n->counts;
}

/* ---- frames ---- */

static void tell(const asgdi_simnet *n, asgdi_simfate fate, uint32_t from, uint32_t to,
                 double in_seconds, const asgdi_frame *f)
{
    if (n->watcher) n->watcher(n->user, fate, from, to, in_seconds, f);
}

static double delay(const asgdi_simnet *n, double u)
{
    enum { LONGEST = 200 };
    switch (n->c.law) {
    case ASGDI_SIMLAW_UNIFORM: return 2 * u * n->c.delay;
    case ASGDI_SIMLAW_EXPONENTIAL: return -log(u) * n->c.delay;
    case ASGDI_SIMLAW_HEAVY: /* mean 1: from 1/3 on */
        return fmin(pow(u, -1 / 1.5) / 3, LONGEST) * n->c.delay;
    case ASGDI_SIMLAW_CONSTANT:
    case ASGDI_SIMLAWS: break;
    }
    return n->c.delay;
}

static void start(asgdi_simnet *n, uint32_t from, uint32_t to, uint64_t number, double leaves,
                  double u, asgdi_frame *f)
{
    double *last = &n->last[(size_t)from * n->c.size + to];
    event   e    = {.at = leaves + delay(n, u), .frame = number};
    if (n->c.ordered && e.at < *last) e.at = *last;
    *last  = fmax(*last, e.at);
    e.turn = n->turns++;
    e.e    = (asgdi_simnet_event){.process = to, .frame = f, .from = from};
    tell(n, ASGDI_SIM_SENT, from, to, e.at - n->now, f);
    push(n, e);
}

void asgdi_simnet_send(asgdi_simnet *n, uint32_t from, uint32_t to, asgdi_frame *f)
{
    process *p = &n->process[from];
    uint64_t i = n->drawn[(size_t)from * n->c.size + to]++;
    n->counts.sent++;
    n->counts.bytes += f->bytes;
    if (n->c.rate > 0) p->free_at = fmax(p->free_at, n->now) + f->bytes / n->c.rate;
    if (draw(n, from, to, i, DRAW_LOSS) < n->c.loss) {
        n->counts.lost++;
        tell(n, ASGDI_SIM_LOST, from, to, 0, f);
        asgdi_frame_free(f);
        return;
    }
    double leaves = fmax(p->free_at, n->now);
    if (draw(n, from, to, i, DRAW_REPEAT) < n->c.repeat) {
        n->counts.repeated++;
        start(n, from, to, i, leaves, draw(n, from, to, i, DRAW_DELAY_AGAIN), asgdi_frame_hold(f));
    }
    start(n, from, to, i, leaves, draw(n, from, to, i, DRAW_DELAY), f);
}

double asgdi_simnet_waiting(const asgdi_simnet *n, uint32_t p)
{
    return fmax(0, n->process[p].free_at - n->now) * n->c.rate;
}

void asgdi_simnet_alarm(asgdi_simnet *n, uint32_t p, double at, uint64_t what)
{
    push(n, (event){.at   = fmax(at, n->now),
                    .turn = n->turns++,
                    .e    = {.process = p, .from = p, .what = what}});
}

/* ---- what happens next ---- */

/* A frame gets through at this moment. */
static bool arrives(asgdi_simnet *n, const event *e)
{
    const asgdi_simnet_event *f = &e->e;
    asgdi_simfate             fate;
    if (n->now < n->cut[(size_t)f->from * n->c.size + f->process])
        fate = ASGDI_SIM_CUT;
    else if (n->process[f->from].killed <= n->now &&
             draw(n, f->from, f->process, e->frame, DRAW_LAST_WORDS) < 0.5)
        fate = ASGDI_SIM_GONE;
    else
        return true;
    n->counts.lost++;
    tell(n, fate, f->from, f->process, 0, f->frame);
    return false;
}

bool asgdi_simnet_next(asgdi_simnet *n, double end, asgdi_simnet_event *out)
{
    while (n->n && n->heap[0].at < end && !n->broken) {
        event e = pop(n);
        n->now  = e.at;
        if (e.e.process == ASGDI_SIMNET_NOBODY) {
            *out = e.e;
            return true;
        }
        const process *p = &n->process[e.e.process];
        if (p->killed <= n->now) {
            if (e.e.frame) tell(n, ASGDI_SIM_GONE, e.e.from, e.e.process, 0, e.e.frame);
            asgdi_frame_free(e.e.frame);
            continue;
        }
        /* a cut is where the frame would pass, whatever its receiver does */
        if (e.e.frame && !e.passed && !arrives(n, &e)) {
            asgdi_frame_free(e.e.frame);
            continue;
        }
        if (n->now < p->paused_until) {
            e.at     = p->paused_until;
            e.turn   = n->turns++;
            e.passed = true;
            push(n, e);
            continue;
        }
        if (e.e.frame) {
            n->counts.arrived++;
            tell(n, ASGDI_SIM_ARRIVED, e.e.from, e.e.process, 0, e.e.frame);
        }
        *out = e.e;
        return true;
    }
    if (!n->broken && isfinite(end)) n->now = fmax(n->now, end);
    return false;
}

/* ---- faults ---- */

void asgdi_simnet_odds(asgdi_simnet *n, double loss, double repeat)
{
    n->c.loss   = loss;
    n->c.repeat = repeat;
}

void asgdi_simnet_cut(asgdi_simnet *n, uint32_t a, uint32_t b, double until)
{
    double *cut = &n->cut[(size_t)a * n->c.size + b];
    *cut        = fmax(*cut, until);
}

void asgdi_simnet_split(asgdi_simnet *n, const uint8_t *side, double until)
{
    for (uint32_t a = 0; a < n->c.size; a++)
        for (uint32_t b = 0; b < n->c.size; b++)
            if (!side[a] != !side[b]) asgdi_simnet_cut(n, a, b, until);
}

void asgdi_simnet_pause(asgdi_simnet *n, uint32_t process_number, double until)
{
    process *p      = &n->process[process_number];
    p->paused_until = fmax(p->paused_until, until);
}

void asgdi_simnet_kill(asgdi_simnet *n, uint32_t process_number)
{
    process *p = &n->process[process_number];
    p->killed  = fmin(p->killed, n->now);
}

bool asgdi_simnet_killed(const asgdi_simnet *n, uint32_t p)
{
    return n->process[p].killed <= n->now;
}

bool asgdi_simnet_paused(const asgdi_simnet *n, uint32_t p)
{
    return n->now < n->process[p].paused_until;
}

/* ---- watching ---- */

void asgdi_simnet_watch(asgdi_simnet *n, asgdi_simnet_watcher *watcher, void *user)
{
    n->watcher = watcher;
    n->user    = user;
}

const char *asgdi_simfate_name(asgdi_simfate f)
{
    static const char *const name[] = {"sent", "lost", "cut", "gone", "arrived"};
    return (size_t)f < sizeof name / sizeof name[0] ? name[f] : "?";
}
