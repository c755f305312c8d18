/* Checkpoints in parts, by hand: two processes, and a test that decides what is on its way how long.
 *
 * Example e adds 1 to column e of every row, so a snapshot holds its progress if that column is 1 in all of them. */
#include "test.h"

#include "base/rng.h"
#include "exchange/exchange.h"
#include "exchange/wire.h"

#include <math.h>

enum { PROCESSES = 2, ROWS = 16, DIM = 2048, TOTAL = 64, HELD = 4096 };

typedef struct pair {
    asgdi_params    p[PROCESSES];
    asgdi_exchange *x[PROCESSES];
    asgdi_progress  told[PROCESSES];
    asgdi_range     lease[PROCESSES];
    double          now;
    bool            holds;  /* deltas of process 1 wait */
    bool            louder; /* other columns change by more than an example's own */
    asgdi_frame    *held[HELD];
    uint32_t        n_held;
} pair;

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *t = &((asgdi_params *)user)->table[table];
    memcpy(to, t->master + first * t->stride, (size_t)n * t->stride * sizeof *to);
}

/* seconds between rounds, at the most. */
static const double RARELY = 1e6, /* but those of a snapshot: what rounds cost says so */
    ALWAYS                 = 5e-4;

static void begin(pair *s, uint32_t snapshot_floats, asgdi_coding coding, double rounds)
{
    *s = (pair){.louder = coding == ASGDI_TOPK};
    for (uint32_t q = 0; q < PROCESSES; q++) {
        asgd_table table = {.name = "w", .rows = ROWS, .dim = DIM, .flags = ASGD_TABLE_BY_FEATURE};
        asgdi_exchange_config config = {.self            = q,
                                        .size            = PROCESSES,
                                        .run             = 1,
                                        .total           = TOTAL,
                                        .batch           = 1,
                                        .least           = 1,
                                        .chunk_seconds   = 1,
                                        .at_hand         = 1,
                                        .ranked          = true,
                                        .share           = 1e-3,
                                        .round_least     = 5e-4,
                                        .round_most      = rounds,
                                        .damp            = INFINITY,
                                        .drop            = INFINITY,
                                        .clip            = INFINITY,
                                        .heartbeat       = 0.01,
                                        .dead_after      = 1e6,
                                        .join_seconds    = 1e6,
                                        .resend          = 1e5,
                                        .coding          = coding,
                                        .rough           = coding != ASGDI_FLOAT32,
                                        .snapshot_floats = snapshot_floats};
        ok(asgdi_params_init(&s->p[q], &table, 1, 1));
        ok(asgdi_params_set_rule(&s->p[q], ASGD_RULE_sgd));
        ok(asgdi_exchange_new(&s->x[q], &config, &s->p[q], read_rows, &s->p[q]));
        s->told[q].rate = 4;
    }
}

static void end(pair *s)
{
    for (uint32_t i = 0; i < s->n_held; i++) asgdi_frame_free(s->held[i]);
    for (uint32_t q = 0; q < PROCESSES; q++) {
        asgdi_exchange_free(s->x[q]);
        asgdi_params_free(&s->p[q]);
    }
}

static bool is_delta(const asgdi_frame *f)
{
    asgdi_reader r = {f->data, f->bytes, false};
    asgdi_head   h;
    asgdi_get(&r, &h, sizeof h);
    return h.type == ASGDI_DELTA;
}

static void step(pair *s, uint32_t q)
{
    const asgdi_correction *c;
    asgdi_frame            *f;
    uint32_t                to;
    s->now += 1e-3;
    s->told[q].cost += 1;
    asgdi_exchange_tick(s->x[q], s->now, &s->told[q]);
    const uint32_t n = asgdi_exchange_corrections(s->x[q], &c);
    for (uint32_t i = 0; i < n; i++) {
        asgdi_table *t  = &s->p[q].table[c[i].table];
        float       *at = t->master + c[i].first * t->stride;
        for (size_t k = 0; k < c[i].n * t->stride; k++)
            at[k] = c[i].replace ? c[i].by[k] : at[k] + c[i].by[k];
    }
    if (n) asgdi_exchange_corrected(s->x[q]);
    while ((f = asgdi_exchange_send(s->x[q], &to)) != NULL) {
        if (s->holds && q == 1 && is_delta(f)) {
            assert_true(s->n_held < HELD);
            s->held[s->n_held++] = f;
            continue;
        }
        asgdi_exchange_receive(s->x[to], q, f->data, f->bytes, s->now);
        asgdi_frame_free(f);
    }
}

static void steps(pair *s, uint32_t n)
{
    while (n-- > 0)
        for (uint32_t q = 0; q < PROCESSES; q++) step(s, q);
}

static void let_go(pair *s)
{
    s->holds = false;
    for (uint32_t i = 0; i < s->n_held; i++) {
        asgdi_exchange_receive(s->x[0], 1, s->held[i]->data, s->held[i]->bytes, s->now);
        asgdi_frame_free(s->held[i]);
    }
    s->n_held = 0;
}

/* Process q does an example; which. */
static uint64_t learn(pair *s, uint32_t q)
{
    asgdi_table *t = &s->p[q].table[0];
    for (uint32_t tries = 0; s->lease[q].lo == s->lease[q].hi; tries++) {
        assert_true(tries < 100);
        if (!asgdi_exchange_lease(s->x[q], &s->lease[q])) steps(s, 1);
    }
    const uint64_t e = s->lease[q].lo++;
    for (uint64_t r = 0; r < ROWS; r++) {
        t->master[r * t->stride + e] += 1;
        for (uint64_t k = TOTAL; s->louder && k < DIM; k++) t->master[r * t->stride + k] += 2;
    }
    s->told[q].updates++;
    s->told[q].examples++;
    asgdi_exchange_done(s->x[q], (asgdi_range){e, e + 1});
    return e;
}

static bool is_in(const asgdi_ranges *set, uint64_t e)
{
    bool is = false;
    for (uint32_t i = 0; i < set->n; i++)
        is = is || (e >= set->range[i].lo && e < set->range[i].hi);
    return is;
}

/* Rows of both parts that hold e's progress. */
static uint32_t rows_with(const pair *s, const asgdi_snapshot *part, uint64_t e)
{
    const size_t stride = s->p[0].table[0].stride;
    uint32_t     rows = 0, with = 0;
    for (uint32_t q = 0; q < PROCESSES; q++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < part[q].n; i++) n += part[q].piece[i].rows;
        for (uint32_t r = 0; r < n; r++) with += part[q].rows[0][r * stride + e] == 1;
        rows += n;
    }
    assert_int_equal(rows, ROWS);
    return with;
}

/* Examples that either part notes; all that they did is in both. */
static uint32_t noted_is_there(const pair *s, const asgdi_snapshot *part)
{
    uint32_t noted = 0;
    for (uint64_t e = 0; e < TOTAL; e++) {
        if (!is_in(part[0].done, e) && !is_in(part[1].done, e)) continue;
        noted++;
        if (rows_with(s, part, e) != ROWS)
            fail_msg("%llu is noted, and in %u rows of %d", (unsigned long long)e,
                     rows_with(s, part, e), ROWS);
    }
    return noted;
}

/* What was done before is in both: in the masters, and noted.  What is done while it settles is noted only if it is in the
 * masters. */
static void settles(uint32_t snapshot_floats, asgdi_coding coding, uint32_t before)
{
    static pair    s;
    asgdi_snapshot part[PROCESSES];
    uint64_t       first[PROCESSES];
    begin(&s, snapshot_floats, coding, RARELY);
    steps(&s, 10 + before);
    for (uint32_t q = 0; q < PROCESSES; q++) first[q] = learn(&s, q);
    s.holds = true;
    asgdi_exchange_snapshot_begin(s.x[0], 1);
    for (uint32_t i = 0; i < 60; i++) { /* more than its rounds are */
        steps(&s, 1);
        if (i % 20 == 5) /* the first of its blocks have been read, and are on their way */
            for (uint32_t q = 0; q < PROCESSES; q++) (void)learn(&s, q);
        for (uint32_t q = 0; q < PROCESSES; q++)
            if (asgdi_exchange_snapshot_part(s.x[q], &part[q]))
                fail_msg("process %u copies, while progress of process 1 is on its way", q);
    }
    let_go(&s);
    for (uint32_t i = 0, n = 0; n < PROCESSES; i++) {
        assert_true(i < 1000);
        steps(&s, 1);
        if (i % 3 == 0) (void)learn(&s, i % 2);
        n = 0;
        for (uint32_t q = 0; q < PROCESSES; q++)
            n += asgdi_exchange_snapshot_part(s.x[q], &part[q]);
    }
    for (uint32_t q = 0; q < PROCESSES; q++)
        if (!is_in(part[q].done, first[q]))
            fail_msg("process %u did %llu before, and has not noted it", q,
                     (unsigned long long)first[q]);
    const uint32_t noted = noted_is_there(&s, part);
    assert_true(noted < s.told[0].examples + s.told[1].examples); /* some came too late */
    for (uint32_t q = 0; q < PROCESSES; q++)
        asgdi_exchange_snapshot_written(s.x[q], part[q].number, true, 1, 1);
    steps(&s, 30);
    assert_int_equal(asgdi_exchange_snapshot_state(s.x[0]), ASGDI_SNAPSHOT_WHOLE);
    end(&s);
}

static void what_is_noted_is_in_the_copies(void **state)
{
    (void)state;
    for (uint32_t before = 0; before < 8; before++) settles(0, ASGDI_FLOAT32, before);
}

static void over_several_rounds_too(void **state)
{
    (void)state;
    for (uint32_t before = 0; before < 8; before++) settles(1, ASGDI_FLOAT32, before);
}

/* A tenth of what the examples did is what a delta has room for; the rest is in the copies all the same. */
static void and_what_codings_leave_out(void **state)
{
    (void)state;
    for (uint32_t before = 0; before < 8; before++) {
        settles(0, ASGDI_TOPK, before);
        settles(1, ASGDI_TOPK, before);
    }
}

/* One that has settled goes on, and what it does then is soon safe, which the other hears and notes when it settles, far
 * later: that too is in the copies with all that a coding would leave out. */
static void of_who_settled_long_before_as_well(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        static pair    s;
        asgdi_snapshot part[PROCESSES];
        uint32_t       noted = 0, copying = 0;
        begin(&s, 1, ASGDI_TOPK, ALWAYS);
        steps(&s, 10);
        for (uint32_t q = 0; q < PROCESSES; q++) (void)learn(&s, q);
        asgdi_exchange_snapshot_begin(s.x[0], 1);
        for (uint32_t i = 0; copying < PROCESSES; i++) {
            const uint32_t q = (uint32_t)(seed + (asgdi_random(seed, 0, i) % 16 == 0)) % PROCESSES;
            assert_true(i < 10000);
            step(&s, q);
            if (s.told[q].examples < TOTAL / 4 && asgdi_random(seed, 1, i) % 4 == 0)
                (void)learn(&s, q);
            copying = 0;
            for (uint32_t p = 0; p < PROCESSES; p++)
                copying += asgdi_exchange_snapshot_part(s.x[p], &part[p]);
        }
        noted = noted_is_there(&s, part);
        if (noted < PROCESSES) fail_msg("seed %llu: %u noted", (unsigned long long)seed, noted);
        end(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_noted_is_in_the_copies),
        cmocka_unit_test(over_several_rounds_too),
        cmocka_unit_test(and_what_codings_leave_out),
        cmocka_unit_test(of_who_settled_long_before_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
