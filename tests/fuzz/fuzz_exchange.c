/* fuzz_exchange.c -- three processes whose frames are the fuzzer's: it delivers them as they are, changed, cut short,
 * again or not at all, and makes up others.  Whatever comes, nothing bad happens in a process, and what it wants to
 * send stays bounded.  Each byte of the input is a step; some take more bytes after it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/exchange.h"
#include "exchange/wire.h"

enum { SIZE = 3, QUEUE = 512, MOST_A_STEP = 4096, TOTAL = 96, BATCH = 4, STEPS = 150 };

typedef struct in_flight {
    uint32_t     from, to;
    asgdi_frame *frame;
} in_flight;

typedef struct world {
    const uint8_t  *data;
    size_t          left;
    double          now;
    asgdi_exchange *x[SIZE];
    asgdi_params    w[SIZE];
    asgdi_progress  p[SIZE];
    in_flight       queue[QUEUE];
    uint32_t        first, n;
    asgdi_head      head; /* of the last frame that was sent */
} world;

static uint32_t byte(world *w)
{
    if (w->left == 0) return 0;
    w->left--;
    return *w->data++;
}

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *t = &((const asgdi_params *)user)->table[table];
    if (first + n > t->info.rows) abort();
    memcpy(to, t->master + first * t->stride, n * t->stride * sizeof *to);
}

static void begin(world *w)
{
    static const asgd_table tables[] = {
        {.name = "a", .rows = 3, .dim = 10},
        {.name = "b", .rows = 200, .dim = 1, .flags = ASGD_TABLE_BY_FEATURE},
        {.name = "c", .rows = 2, .dim = 4}};
    const uint32_t        options = byte(w);
    asgdi_exchange_config c       = {
              .size         = SIZE,
              .run          = 7,
              .about        = "a fuzzer",
              .total        = TOTAL,
              .batch        = BATCH,
              .clock        = (asgdi_clock)(options % 3),
              .merging      = {(asgdi_merging)(options / 3 % 3), (asgdi_merging)(options / 2 % 3)},
              .coding       = (asgdi_coding)(options / 9 % ASGDI_CODINGS),
              .rough        = options / 9 % ASGDI_CODINGS != ASGDI_FLOAT32,
              .max_lag      = 3,
              .elastic      = 0.5,
              .local_steps  = options / 45 % 2,
              .backup       = options / 90 % 2,
              .share        = 1,
              .round_least  = 0.01,
              .round_most   = 0.1,
              .damp         = 4,
              .drop         = 50,
              .clip         = 10,
              .heartbeat    = 0.05,
              .dead_after   = 0.5,
              .join_seconds = 1,
              .resend       = 0.1,
              .least        = 1,
    };
    if (options & 1) c.guard = BATCH; /* windows of a lease or two */
    if (options / 180 == 1) c.outer_momentum = 0.5;
    for (uint32_t q = 0; q < SIZE; q++) {
        c.self           = q;
        c.chunk_seconds  = 0.1;
        w->p[q].rate     = 100;
        asgdi_params *at = &w->w[q];
        if (asgdi_params_init(at, tables, 3, 1) != ASGD_OK) abort();
        if (asgdi_params_set_rule(at, options & 128 ? ASGD_RULE_ftrl : ASGD_RULE_sgd) != ASGD_OK)
            abort();
        if (asgdi_exchange_new(&w->x[q], &c, at, read_rows, at) != ASGD_OK) abort();
    }
}

static void end(world *w)
{
    for (; w->n > 0; w->n--, w->first++) asgdi_frame_free(w->queue[w->first % QUEUE].frame);
    for (uint32_t q = 0; q < SIZE; q++) {
        asgdi_exchange_free(w->x[q]);
        asgdi_params_free(&w->w[q]);
    }
}

static void put(world *w, uint32_t from, uint32_t to, asgdi_frame *f)
{
    memcpy(&w->head, f->data, sizeof w->head);
    if (w->n == QUEUE) { /* the oldest is lost */
        asgdi_frame_free(w->queue[w->first++ % QUEUE].frame);
        w->n--;
    }
    w->queue[(w->first + w->n++) % QUEUE] = (in_flight){from, to, f};
}

/* ---- what a process does ---- */

static void correct(world *w, uint32_t q)
{
    const asgdi_correction *c;
    const uint32_t          n = asgdi_exchange_corrections(w->x[q], &c);
    for (uint32_t i = 0; i < n; i++) {
        const asgdi_table *t = &w->w[q].table[c[i].table];
        if (c[i].first + c[i].n > t->info.rows) abort();
        float *to = t->master + c[i].first * t->stride;
        for (size_t k = 0; k < c[i].n * t->stride; k++)
            to[k] = c[i].replace ? c[i].by[k] : to[k] + c[i].by[k];
    }
    if (n) asgdi_exchange_corrected(w->x[q]);
}

static void work(world *w, uint32_t q)
{
    asgdi_range r;
    while (w->p[q].updates < asgdi_exchange_allowance(w->x[q]) &&
           asgdi_exchange_lease(w->x[q], &r)) {
        if (r.lo >= r.hi || r.hi > TOTAL) abort();
        w->w[q].table[0].master[r.lo % 10] += 1;
        w->w[q].table[1].master[r.lo * 2] += 1;
        w->p[q].updates++;
        w->p[q].examples += r.hi - r.lo;
        w->p[q].losses.examples += r.hi - r.lo; /* some processes' losses rise, and some are none */
        w->p[q].losses.weight += (double)(r.hi - r.lo);
        w->p[q].losses.loss += (double)(r.hi - r.lo) * (r.lo % 24 < 8 ? 1 : 1e6);
        w->p[q].losses.bad += r.lo % 24 < 16 ? 0 : r.hi - r.lo;
        asgdi_exchange_done(w->x[q], r);
    }
}

static void step(world *w, uint32_t q)
{
    asgdi_frame *f;
    uint32_t     to, sent = 0;
    char         text[200];
    w->p[q].cost += 1e-5;
    asgdi_exchange_tick(w->x[q], w->now, &w->p[q]);
    while ((f = asgdi_exchange_send(w->x[q], &to))) {
        if (to >= SIZE || to == q || ++sent > MOST_A_STEP) abort();
        put(w, q, to, f);
    }
    while (asgdi_exchange_lost(w->x[q], &to))
        if (to >= SIZE || to == q) abort();
    correct(w, q);
    work(w, q);
    if (asgdi_exchange_stage(w->x[q]) == ASGDI_FLUSHING) asgdi_exchange_still(w->x[q]);
    if (asgdi_exchange_stage(w->x[q]) == ASGDI_FINISHED) asgdi_exchange_saved(w->x[q]);
    asgdi_exchange_describe(w->x[q], w->now, text, sizeof text);
}

static void step_all(world *w, double seconds)
{
    w->now += seconds;
    for (uint32_t q = 0; q < SIZE; q++) step(w, q);
}

/* ---- what becomes of frames ---- */

/* As long as it is exactly, so that a sanitizer sees a read past the end. */
static void receive(world *w, uint32_t from, uint32_t to, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) abort();
    if (bytes) memcpy(copy, data, bytes);
    asgdi_exchange_receive(w->x[to], from, copy, bytes, w->now);
    free(copy);
}

static void deliver(world *w, bool again, bool changed)
{
    if (w->n == 0) return;
    in_flight i     = w->queue[w->first++ % QUEUE];
    size_t    bytes = i.frame->bytes;
    uint8_t  *copy  = malloc(bytes);
    w->n--;
    if (!copy) abort();
    memcpy(copy, i.frame->data, bytes);
    if (changed) {
        for (uint32_t n = 1 + byte(w) % 8; n > 0; n--) {
            size_t at = byte(w);
            if (at >= 128) at = at << 8 | byte(w); /* mostly in what comes first */
            copy[at % bytes] = (uint8_t)byte(w);
        }
        const uint32_t cut = byte(w);
        if (cut < 64 && cut < bytes) bytes -= cut;
    }
    receive(w, i.from, i.to, copy, bytes);
    free(copy);
    if (again)
        put(w, i.from, i.to, i.frame);
    else
        asgdi_frame_free(i.frame);
}

static void make_up(world *w, bool with_head)
{
    uint8_t        frame[sizeof(asgdi_head) + 300];
    const uint32_t who = byte(w), n = byte(w);
    const uint32_t from = who % SIZE, to = who / SIZE % SIZE;
    size_t         at = 0;
    if (with_head) {
        asgdi_head h = w->head;
        h.type       = (uint8_t)(byte(w) % (ASGDI_FRAME_TYPES + 1));
        h.from       = (uint16_t)from;
        memcpy(frame, &h, sizeof h);
        at = sizeof h;
    }
    for (uint32_t i = 0; i < n; i++) frame[at++] = (uint8_t)byte(w);
    receive(w, from, to, frame, at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    world *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->data = data;
    w->left = bytes;
    begin(w);
    step_all(w, 0.01);
    for (int i = 0; i < STEPS && w->left > 0; i++) {
        const uint32_t op = byte(w);
        switch (op % 8) {
        case 0: step_all(w, 0.01); break;
        case 1:
            for (uint32_t n = op / 8; n > 0; n--) deliver(w, false, false);
            break;
        case 2: deliver(w, false, true); break;
        case 3: /* lost */
            if (w->n > 0) asgdi_frame_free(w->queue[w->first++ % QUEUE].frame), w->n--;
            break;
        case 4: deliver(w, true, false); break;
        case 5: make_up(w, true); break;
        case 6: make_up(w, false); break;
        default: step_all(w, op & 8 ? 0.6 : 0.1); break;
        }
    }
    end(w);
    free(w);
    return 0;
}
