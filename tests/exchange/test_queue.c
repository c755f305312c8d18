/* The queue of positions: any operations leave each position as an array of states says it should
 * be, also where memory runs out; and a run whose processes and keepers die is done to its last
 * position, with nothing done again that a survivor knew to be done, and nothing held by two. */
#include "exchange/random_ops.h"

#include "exchange/queue.h"

#define R(l, h) ((asgdi_range){(l), (h)})

enum { POSITIONS = 400, PROCESSES = 6, FREE = -1, DONE = -2 };

/* What the queue should be: of each position FREE, DONE, or the process that holds it. */
typedef struct model {
    uint64_t total;
    uint32_t batch, size;
    int      state[POSITIONS];
} model;

static void paint(int *to, const asgdi_ranges *s, int value, uint64_t total)
{
    for (uint32_t i = 0; i < s->n; i++) {
        holds(s->range[i].lo < s->range[i].hi && s->range[i].hi <= total);
        for (uint64_t x = s->range[i].lo; x < s->range[i].hi; x++) {
            holds(to[x] == -3); /* in no other set */
            to[x] = value;
        }
    }
}

/* The states as the queue has them: each position must be in exactly one set. */
static void states(const asgdi_queue *q, int *state)
{
    for (uint64_t x = 0; x < q->total; x++) state[x] = -3;
    paint(state, &q->free, FREE, q->total);
    paint(state, asgdi_queue_done_set(q), DONE, q->total);
    for (uint32_t p = 0; p < q->size; p++)
        paint(state, asgdi_queue_held_set(q, p), (int)p, q->total);
    for (uint64_t x = 0; x < q->total; x++) holds(state[x] != -3);
}

static uint64_t count(const model *m, int state)
{
    uint64_t n = 0;
    for (uint64_t x = 0; x < m->total; x++) n += m->state[x] == state;
    return n;
}

static void check(const asgdi_queue *q, const model *m)
{
    int found[POSITIONS];
    states(q, found);
    for (uint64_t x = 0; x < m->total; x++) holds(found[x] == m->state[x]);
    holds(asgdi_queue_count_done(q) == count(m, DONE));
    holds(asgdi_queue_count_free(q) == count(m, FREE));
    for (uint32_t p = 0; p < m->size; p++) holds(asgdi_queue_count_held(q, p) == count(m, (int)p));
    holds(asgdi_queue_all_done(q) == (count(m, DONE) == m->total));
}

/* After a failure: each position is as it was or as it should become. */
static void check_between(const asgdi_queue *q, const model *before, const model *after)
{
    int found[POSITIONS];
    states(q, found);
    for (uint64_t x = 0; x < q->total; x++)
        holds(found[x] == before->state[x] || found[x] == after->state[x]);
}

static asgdi_range draw_range(uint64_t total)
{
    const uint64_t lo = draw(total + 8); /* all of it past the end, too */
    return R(lo, lo + draw(draw(3) ? 20 : total + 10));
}

/* ---- each operation on the model ---- */

static asgdi_range model_take(model *m, uint32_t process, uint64_t want)
{
    uint64_t lo = 0, n = m->batch;
    if (want > m->total + n) want = m->total + n; /* as much as there can be */
    while (n + m->batch <= want) n += m->batch;
    while (lo < m->total && m->state[lo] != FREE) lo++;
    uint64_t hi = lo;
    while (hi < m->total && hi - lo < n && m->state[hi] == FREE) m->state[hi++] = (int)process;
    return R(lo, hi);
}

/* Positions of r whose state is `from` become `to`. */
static void model_turn(model *m, asgdi_range r, int from, int to)
{
    for (uint64_t x = r.lo; x < r.hi && x < m->total; x++)
        if (m->state[x] == from) m->state[x] = to;
}

static void model_done(model *m, const asgdi_ranges *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        for (uint64_t x = s->range[i].lo; x < s->range[i].hi && x < m->total; x++)
            m->state[x] = DONE;
}

static uint64_t model_held(model *m, uint32_t process, const asgdi_ranges *s)
{
    uint64_t conflicts = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        for (uint64_t x = s->range[i].lo; x < s->range[i].hi && x < m->total; x++)
            conflicts += m->state[x] >= 0 && m->state[x] != (int)process;
        model_turn(m, s->range[i], FREE, (int)process);
    }
    return conflicts;
}

/* One operation on both, the first try without memory now and then. */
static void operate(asgdi_queue *q, model *m)
{
    const model       before    = *m;
    const int         kind      = (int)draw(12);
    const uint32_t    process   = (uint32_t)draw(m->size);
    const uint64_t    want      = draw(8) ? draw(3 * (uint64_t)m->batch) : UINT64_MAX;
    const asgdi_range r         = draw_range(m->total);
    asgdi_range       take      = {0}, taken;
    uint64_t          conflicts = 0, found;
    asgdi_ranges      some      = {0};
    for (uint64_t n = draw(5); n > 0; n--) holds(asgdi_ranges_add(&some, draw_range(m->total)));

    if (kind < 5)
        take = model_take(m, process, want);
    else if (kind < 8)
        model_turn(m, r, (int)process, DONE);
    else if (kind == 8)
        model_turn(m, R(0, m->total), (int)process, FREE);
    else if (kind == 9)
        model_done(m, &some);
    else
        conflicts = model_held(m, process, &some);

    for (int tries = 0;; tries++) {
        bool did  = true;
        no_memory = tries == 0 && draw(3) == 0;
        if (kind < 5) {
            did = asgdi_queue_take(q, process, want, &taken) || (!no_memory && take.lo == take.hi);
            holds(did || taken.lo == taken.hi);
            holds(!did || (taken.hi - taken.lo == take.hi - take.lo &&
                           (taken.lo == take.lo || take.lo == take.hi)));
        } else if (kind < 8) {
            did = asgdi_queue_done(q, process, r);
        } else if (kind == 8) {
            holds(asgdi_queue_lost(q, process) == count(&before, (int)process));
        } else if (kind == 9) {
            did = asgdi_queue_learn_done(q, &some);
        } else {
            did = asgdi_queue_learn_held(q, process, &some, &found);
            holds(!did || found == conflicts);
        }
        if (did) break;
        holds(no_memory);
        check_between(q, kind < 5 ? &before : m, &before);
    }
    no_memory = false;
    check(q, m);
    asgdi_ranges_free(&some);
}

static void test_against_states(void **state)
{
    (void)state;
    for (uint64_t run = 0; run < 400; run++) {
        begin(run + 1);
        model       m = {.total = draw(10) ? 1 + draw(POSITIONS) : draw(3),
                         .batch = (uint32_t)(1 + draw(32)),
                         .size  = (uint32_t)(1 + draw(PROCESSES))};
        asgdi_queue q;
        for (uint64_t x = 0; x < m.total; x++) m.state[x] = FREE;
        holds(asgdi_queue_init(&q, m.total, m.batch, m.size));
        check(&q, &m);
        for (int i = 0; i < 60; i++) operate(&q, &m);
        asgdi_queue_free(&q);
    }
}

/* ---- a run of processes that die ---- */

/* What a process knows: what it holds, and what it has done or has heard is done. */
typedef struct peer {
    bool         alive;
    asgdi_ranges leases, knows;
} peer;

typedef struct world {
    asgdi_queue q;
    uint64_t    total;
    uint32_t    batch, size, keeper;
    peer        p[PROCESSES];
    bool        in_masters[POSITIONS]; /* as long as somebody who knows so lives */
} world;

static uint32_t draw_living(const world *w)
{
    uint32_t p;
    do p = (uint32_t)draw(w->size);
    while (!w->p[p].alive);
    return p;
}

/* A process asks for work.  unheard: it or the keeper is about to die, before the answer has come.
 */
static void ask(world *w, uint32_t p, bool unheard)
{
    asgdi_range    r;
    const uint64_t chunk = asgdi_queue_chunk(&w->q, (double)draw(40), 1, w->size);
    if (!asgdi_queue_take(&w->q, p, chunk, &r)) return;
    holds(r.hi - r.lo <= chunk);
    for (uint64_t x = r.lo; x < r.hi; x++) holds(!w->in_masters[x]);
    for (uint32_t o = 0; o < w->size; o++)
        if (w->p[o].alive) holds(!asgdi_ranges_meet(&w->p[o].leases, r));
    if (!unheard) holds(asgdi_ranges_add(&w->p[p].leases, r));
}

/* The first positions it holds are done: it knows, and unless one of them is about to die, the
 * keeper. */
static void work(world *w, uint32_t p, bool unheard)
{
    peer *o = &w->p[p];
    if (o->leases.n == 0) return;
    asgdi_range r = o->leases.range[0];
    if (r.hi - r.lo > w->batch) r.hi = r.lo + w->batch;
    holds(asgdi_ranges_remove(&o->leases, r) && asgdi_ranges_add(&o->knows, r));
    for (uint64_t x = r.lo; x < r.hi; x++) {
        holds(!w->in_masters[x]); /* nothing twice */
        w->in_masters[x] = true;
    }
    if (!unheard) holds(asgdi_queue_done(&w->q, p, r) && asgdi_queue_done(&w->q, p, r));
}

/* The keeper tells what is done, in a frame with little room. */
static void gossip(world *w, uint32_t p)
{
    uint8_t      frame[24];
    size_t       bytes;
    asgdi_ranges heard = {0};
    (void)asgdi_ranges_put(asgdi_queue_done_set(&w->q), frame, 4 + draw(20), &bytes);
    holds(asgdi_ranges_get(&heard, frame, bytes, w->total));
    holds(asgdi_ranges_add_all(&w->p[p].knows, &heard));
    asgdi_ranges_free(&heard);
}

/* The lowest process left makes a new queue of what the living say. */
static void rebuild(world *w)
{
    uint64_t conflicts;
    asgdi_queue_free(&w->q);
    for (w->keeper = 0; !w->p[w->keeper].alive;) w->keeper++;
    holds(asgdi_queue_init(&w->q, w->total, w->batch, w->size));
    const uint32_t first = (uint32_t)draw(w->size); /* they may be heard in any order */
    for (uint32_t i = 0; i < w->size; i++) {
        const uint32_t p = (first + i) % w->size;
        if (!w->p[p].alive) continue;
        holds(asgdi_queue_learn_held(&w->q, p, &w->p[p].leases, &conflicts) && conflicts == 0);
        holds(asgdi_queue_learn_done(&w->q, &w->p[p].knows));
    }
}

static void die(world *w, uint32_t p)
{
    const uint64_t was = asgdi_queue_count_free(&w->q), held = asgdi_queue_count_held(&w->q, p);
    const bool     keeper = p == w->keeper;
    w->p[p].alive         = false;
    if (keeper) {
        rebuild(w);
    } else {
        holds(asgdi_queue_lost(&w->q, p) == held);
        holds(asgdi_queue_count_free(&w->q) == was + held);
        holds(asgdi_queue_lost(&w->q, p) == 0);
    }
    /* What nobody left knows to be done will be done again. */
    for (uint64_t x = 0; x < w->total; x++) {
        w->in_masters[x] =
            !keeper && asgdi_ranges_contain(asgdi_queue_done_set(&w->q), R(x, x + 1));
        for (uint32_t o = 0; o < w->size; o++)
            if (w->p[o].alive && asgdi_ranges_contain(&w->p[o].knows, R(x, x + 1)))
                w->in_masters[x] = true;
    }
    asgdi_ranges_clear(&w->p[p].leases);
    asgdi_ranges_clear(&w->p[p].knows);
}

/* Between the steps of a run: the queue and what the living know agree. */
static void check_world(const world *w)
{
    int state[POSITIONS];
    states(&w->q, state);
    for (uint64_t x = 0; x < w->total; x++) {
        holds((state[x] == DONE) == w->in_masters[x]);
        for (uint32_t p = 0; p < w->size; p++) {
            if (!w->p[p].alive) holds(state[x] != (int)p);
            if (!w->p[p].alive) continue;
            if (asgdi_ranges_contain(&w->p[p].knows, R(x, x + 1))) holds(state[x] == DONE);
            holds(asgdi_ranges_contain(&w->p[p].leases, R(x, x + 1)) == (state[x] == (int)p));
        }
    }
}

static int run_to_the_end(world *w)
{
    int deaths = 0;
    for (int steps = 0; !asgdi_queue_all_done(&w->q); steps++) {
        const uint32_t p    = draw_living(w);
        const int      kind = (int)draw(100);
        holds(steps < 100000);
        if (kind < 4 && deaths + 1 < (int)w->size) {
            /* the keeper or another, also between a word of it and the other's hearing that */
            if (kind == 1) ask(w, p, true);
            if (kind == 2) work(w, p, true);
            die(w, draw(2) ? w->keeper : p);
            deaths++;
        } else if (kind < 40) {
            ask(w, p, false);
        } else if (kind < 95) {
            work(w, p, false);
        } else {
            gossip(w, p);
        }
        check_world(w);
    }
    return deaths;
}

static void test_deaths(void **state)
{
    (void)state;
    int deaths = 0, survived = 0;
    for (uint64_t run = 0; run < 300; run++) {
        begin(run + 1);
        world w = {.total = 1 + draw(POSITIONS),
                   .batch = (uint32_t)(1 + draw(8)),
                   .size  = (uint32_t)(1 + draw(PROCESSES))};
        for (uint32_t p = 0; p < w.size; p++) w.p[p].alive = true;
        holds(asgdi_queue_init(&w.q, w.total, w.batch, w.size));
        const int n = run_to_the_end(&w);
        deaths += n;
        survived += n > 0 && n == (int)w.size - 1;
        for (uint64_t x = 0; x < w.total; x++) holds(w.in_masters[x]);
        holds(asgdi_queue_count_done(&w.q) == w.total && asgdi_queue_count_free(&w.q) == 0);
        for (uint32_t p = 0; p < w.size; p++) {
            asgdi_ranges_free(&w.p[p].leases);
            asgdi_ranges_free(&w.p[p].knows);
        }
        asgdi_queue_free(&w.q);
    }
    assert_true(deaths > 300 && survived > 20); /* the test is one of deaths, of all but one too */
}

/* ---- by hand ---- */

static asgdi_ranges ranges(asgdi_range a, asgdi_range b)
{
    asgdi_ranges s = {0};
    assert_true(asgdi_ranges_add(&s, a) && asgdi_ranges_add(&s, b));
    return s;
}

static void take(asgdi_queue *q, uint32_t process, uint64_t want, uint64_t lo, uint64_t hi)
{
    asgdi_range r;
    assert_true(asgdi_queue_take(q, process, want, &r));
    assert_true(r.lo == lo && r.hi == hi);
}

static void test_chunks_are_batches(void **state)
{
    (void)state;
    asgdi_queue q;
    asgdi_range r = {1, 2};
    begin(0);
    assert_true(asgdi_queue_init(&q, 107, 10, 2));
    take(&q, 0, 0, 0, 10);
    take(&q, 1, 9, 10, 20);
    take(&q, 0, 39, 20, 50);
    take(&q, 1, 30, 50, 80);
    take(&q, 1, UINT64_MAX, 80, 107);
    assert_false(asgdi_queue_take(&q, 0, 10, &r));
    assert_true(r.lo >= r.hi);
    assert_true(asgdi_queue_done(&q, 0, R(0, 25))); /* of 10..19 it holds nothing */
    assert_true(asgdi_queue_count_done(&q) == 15);
    assert_true(asgdi_queue_count_held(&q, 1) == 67);
    assert_true(asgdi_queue_lost(&q, 0) == 25);
    take(&q, 1, 20, 25, 45); /* in the midst of a batch */
    take(&q, 1, 20, 45, 50);
    assert_true(asgdi_queue_done(&q, 1, R(0, UINT64_MAX)));
    assert_true(asgdi_queue_all_done(&q));
    assert_true(asgdi_queue_done(&q, 0, R(0, UINT64_MAX)));
    assert_true(asgdi_queue_all_done(&q));
    asgdi_queue_free(&q);
    asgdi_queue_free(&q); /* harmless */
}

static void test_learning(void **state)
{
    (void)state;
    asgdi_queue  q;
    uint64_t     conflicts;
    asgdi_ranges a = ranges(R(0, 10), R(20, 40)), b = ranges(R(5, 25), R(90, 200)),
                 done = ranges(R(8, 22), R(99, UINT64_MAX));
    begin(0);
    assert_true(asgdi_queue_init(&q, 100, 1, 3));
    assert_true(asgdi_queue_learn_held(&q, 2, &a, &conflicts) && conflicts == 0);
    assert_true(asgdi_queue_learn_held(&q, 2, &a, &conflicts) && conflicts == 0);
    assert_true(asgdi_queue_learn_held(&q, 1, &b, &conflicts) && conflicts == 10);
    assert_true(asgdi_queue_count_held(&q, 2) == 30); /* the first keeps it */
    assert_true(asgdi_queue_count_held(&q, 1) == 20);
    assert_true(asgdi_queue_learn_done(&q, &done));
    assert_true(asgdi_queue_count_done(&q) == 15);
    assert_true(asgdi_queue_count_held(&q, 2) == 26);
    assert_true(asgdi_queue_count_held(&q, 1) == 9);
    assert_true(asgdi_queue_learn_held(&q, 0, &done, &conflicts) && conflicts == 0);
    assert_true(asgdi_queue_count_held(&q, 0) == 0);
    assert_true(asgdi_queue_learn_held(&q, 1, &b, &conflicts) && conflicts == 6);
    asgdi_ranges_free(&a);
    asgdi_ranges_free(&b);
    asgdi_ranges_free(&done);
    asgdi_queue_free(&q);
}

static void test_limits(void **state)
{
    (void)state;
    asgdi_queue q;
    asgdi_range r;
    begin(0);
    assert_true(asgdi_queue_init(&q, 0, 5, 1));
    assert_true(asgdi_queue_all_done(&q));
    assert_false(asgdi_queue_take(&q, 0, 5, &r));
    assert_true(asgdi_queue_lost(&q, 0) == 0);
    assert_true(asgdi_queue_chunk(&q, 1, 1, 1) == 5);
    asgdi_queue_free(&q);

    assert_true(asgdi_queue_init(&q, UINT64_MAX, UINT32_MAX, 2));
    take(&q, 1, UINT64_MAX - 1, 0, UINT64_MAX / UINT32_MAX * UINT32_MAX - UINT32_MAX);
    assert_true(asgdi_queue_done(&q, 1, R(0, UINT64_MAX)));
    take(&q, 0, UINT64_MAX, UINT64_MAX - UINT32_MAX, UINT64_MAX);
    assert_false(asgdi_queue_all_done(&q));
    assert_true(asgdi_queue_done(&q, 0, R(0, UINT64_MAX)));
    assert_true(asgdi_queue_all_done(&q));
    asgdi_queue_free(&q);

    no_memory = true;
    assert_false(asgdi_queue_init(&q, 10, 1, 2));
    asgdi_queue_free(&q);
}

static void test_chunk_sizes(void **state)
{
    (void)state;
    asgdi_queue  q;
    const double inf = HUGE_VAL;
    begin(0);
    assert_true(asgdi_queue_init(&q, 100000, 32, 4));
    assert_true(asgdi_queue_chunk(&q, 1000, 2, 4) == 1984);
    assert_true(asgdi_queue_chunk(&q, 1000, 20, 4) == 12480); /* an eighth of what is free */
    assert_true(asgdi_queue_chunk(&q, inf, 1, 4) == 12480);
    assert_true(asgdi_queue_chunk(&q, 1e300, 1e300, 1) == 49984);
    assert_true(asgdi_queue_chunk(&q, 1, 1, 4) == 32);
    assert_true(asgdi_queue_chunk(&q, 0, inf, 4) == 32); /* no number */
    assert_true(asgdi_queue_chunk(&q, -1, 1, 4) == 32);
    assert_true(asgdi_queue_chunk(&q, 1000, 2, UINT32_MAX) == 32);
    asgdi_queue_free(&q);
}

/* Four processes of unlike speed: all are at work until the end but for the time of few batches. */
static void test_all_end_together(void **state)
{
    (void)state;
    static const double rate[4] = {1000, 1000, 600, 250};
    asgdi_queue         q;
    asgdi_range         r[4];
    double              free_at[4] = {0}, first = HUGE_VAL, last = 0;
    bool                idle[4] = {false};
    begin(0);
    assert_true(asgdi_queue_init(&q, 100000, 10, 4));
    for (int left = 4; left > 0;) {
        uint32_t p = 4;
        for (uint32_t i = 0; i < 4; i++)
            if (!idle[i] && (p == 4 || free_at[i] < free_at[p])) p = i;
        if (free_at[p] > 0) assert_true(asgdi_queue_done(&q, p, r[p]));
        if (asgdi_queue_take(&q, p, asgdi_queue_chunk(&q, rate[p], 5, 4), &r[p])) {
            free_at[p] += (double)(r[p].hi - r[p].lo) / rate[p];
            continue;
        }
        idle[p] = true;
        left--;
        first = fmin(first, free_at[p]);
        last  = fmax(last, free_at[p]);
    }
    assert_true(asgdi_queue_all_done(&q));
    assert_true(last - first < 1);                   /* a chunk was 5 seconds */
    assert_true(last < 1.01 * 100000 / 2850 + 0.04); /* and nobody waited for another */
    asgdi_queue_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_states),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_chunks_are_batches),
        cmocka_unit_test(test_learning),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_all_end_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
