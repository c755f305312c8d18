/* What an owner does to deltas of adagrad, how far ahead a process may be, and settings that are
 * refused: two processes, by hand. */
#include "test.h"

#include "exchange/exchange.h"

#include <math.h>

enum { PROCESSES = 2, ROWS = 8 };

typedef struct pair {
    asgdi_params    p[PROCESSES];
    asgdi_exchange *x[PROCESSES];
    asgdi_progress  told[PROCESSES];
    double          now;
} pair;

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *t = &((asgdi_params *)user)->table[table];
    memcpy(to, t->master + first * t->stride, (size_t)n * t->stride * sizeof *to);
}

static void begin(pair *s, asgd_rule_kind rule, const asgdi_exchange_config *with)
{
    *s = (pair){0};
    for (uint32_t q = 0; q < PROCESSES; q++) {
        asgd_table            table  = {.name = "w", .rows = ROWS, .dim = 1};
        asgdi_exchange_config config = *with;
        config.self                  = q;
        config.size                  = PROCESSES;
        config.run = config.batch = config.least = 1;
        config.total                             = with->total ? with->total : 1u << 20;
        config.chunk_seconds                     = 1;
        config.damp = config.drop = config.clip = INFINITY;
        config.heartbeat                        = 1;
        config.dead_after = config.join_seconds = 100;
        config.resend                           = 10;
        if (with->round_most == 0) config.round_least = config.round_most = 1000;
        ok(asgdi_params_init(&s->p[q], &table, 1, 1));
        ok(asgdi_params_set_rule(&s->p[q], rule));
        ok(asgdi_exchange_new(&s->x[q], &config, &s->p[q], read_rows, &s->p[q]));
    }
}

static void end(pair *s)
{
    for (uint32_t q = 0; q < PROCESSES; q++) {
        asgdi_exchange_free(s->x[q]);
        asgdi_params_free(&s->p[q]);
    }
}

static void step(pair *s, uint32_t q)
{
    const asgdi_correction *c;
    s->now += 1e-3;
    asgdi_exchange_tick(s->x[q], s->now, &s->told[q]);
    const uint32_t n = asgdi_exchange_corrections(s->x[q], &c);
    for (uint32_t i = 0; i < n; i++) {
        asgdi_table *t  = &s->p[q].table[c[i].table];
        float       *to = t->master + c[i].first * t->stride;
        for (size_t k = 0; k < c[i].n * t->stride; k++)
            to[k] = c[i].replace ? c[i].by[k] : to[k] + c[i].by[k];
    }
    if (n) asgdi_exchange_corrected(s->x[q]);
}

/* One turn of each; false: nothing was on its way. */
static bool turn(pair *s)
{
    bool moved = false;
    for (uint32_t q = 0; q < PROCESSES; q++) {
        asgdi_frame *f;
        uint32_t     to;
        while ((f = asgdi_exchange_send(s->x[q], &to)) != NULL) {
            asgdi_exchange_receive(s->x[to], q, f->data, f->bytes, s->now);
            asgdi_frame_free(f);
            moved = true;
        }
        step(s, q);
    }
    return moved;
}

/* Until nothing is on its way any more. */
static void settle(pair *s)
{
    for (int quiet = 0; quiet < 3; quiet++)
        if (turn(s)) quiet = 0;
}

/* Row 0: w, then G. */
static void learn(pair *s, uint32_t q, float w, float g)
{
    asgdi_table *t = &s->p[q].table[0];
    t->master[0] += w;
    t->master[t->pad] += g;
    s->told[q].updates++;
    s->told[q].examples++;
}

/* Both begin at G = 0, and learn from the same: one of them finds that G1 = g, G0 = 0. */
static void shorter(bool shorten, asgdi_merging merging, double want)
{
    pair                        s;
    const asgdi_exchange_config config = {
        .local_steps = 1, .shorten = shorten, .merging = {merging}};
    begin(&s, ASGD_RULE_adagrad, &config);
    settle(&s);
    learn(&s, 0, -1, 4); /* the owner of the only block, which needs nobody for it */
    step(&s, 0);
    step(&s, 0); /* process 1 has not asked since: its S is still the first one */
    learn(&s, 1, -1, 4);
    settle(&s);
    for (uint32_t q = 1; q < PROCESSES; q++) {
        const asgdi_table *t = &s.p[q].table[0];
        assert_true(fabs((double)t->master[0] - want) < 1e-6);
        assert_true(t->master[t->pad] == (merging == ASGDI_MERGE_MEAN ? 4 : 8));
    }
    end(&s);
}

static void owners_shorten(void **state)
{
    (void)state;
    shorter(true, ASGDI_MERGE_DELTA, -1 - sqrt(4.0 / 8));
    shorter(false, ASGDI_MERGE_DELTA, -2);
    shorter(true, ASGDI_MERGE_MEAN, -1);
}

/* Rows that nobody else has changed are added as they are. */
static void alone_is_exact(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.local_steps = 1, .shorten = true};
    begin(&s, ASGD_RULE_adagrad, &config);
    settle(&s);
    for (int i = 1; i <= 10; i++) {
        learn(&s, 1, -1, 4);
        settle(&s);
        assert_true(s.p[1].table[0].master[0] == (float)-i);
    }
    end(&s);
}

static uint64_t rounds(const pair *s, uint32_t q)
{
    asgdi_exchange_counts counts;
    asgdi_exchange_count(s->x[q], &counts);
    return counts.rounds;
}

/* What is done between two rounds, for the others, counts too: 0.02 s at a tenth of a core. */
static void the_next_round_waits_until_all_cost_is_within_the_share(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.share = 0.1, .round_least = 1e-3, .round_most = 10};
    begin(&s, ASGD_RULE_sgd, &config);
    while (rounds(&s, 1) < 10) turn(&s); /* they cost nothing, and the last one has just ended */
    const double from = s.now;
    s.told[1].cost += 0.02;
    while (rounds(&s, 1) < 11 && s.now < from + 1) turn(&s);
    if (s.now < from + 0.18 || s.now > from + 0.25) fail_msg("after %g s, not 0.2", s.now - from);
    end(&s);
}

static void the_lead_grows_with_the_root(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.ahead = 100, .ahead_root = 5};
    begin(&s, ASGD_RULE_adagrad, &config);
    settle(&s);
    assert_int_equal(asgdi_exchange_allowance(s.x[1]), 2);
    for (int i = 1; i <= 1000; i++) {
        while (s.told[1].updates < asgdi_exchange_allowance(s.x[1])) learn(&s, 1, -1, 1);
        const double in = (double)s.told[1].updates;
        settle(&s);
        const double lead = (double)(asgdi_exchange_allowance(s.x[1]) - s.told[1].updates);
        const double want = fmin(100, fmax(2, floor(5 * sqrt(in))));
        if (lead != want) fail_msg("after %g updates %g more, not %g", in, lead, want);
    }
    end(&s);
}

static void the_lead_is_a_part_of_what_was_learnt(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.ahead = 100, .ramp = 16};
    begin(&s, ASGD_RULE_sgd, &config);
    settle(&s);
    assert_int_equal(asgdi_exchange_allowance(s.x[1]), 8);
    for (int i = 1; i <= 300; i++) {
        while (s.told[1].updates < asgdi_exchange_allowance(s.x[1])) learn(&s, 1, -1, 1);
        const uint64_t in = s.told[1].updates;
        settle(&s);
        const uint64_t lead = asgdi_exchange_allowance(s.x[1]) - s.told[1].updates;
        const uint64_t want = in < 128 ? 8 : in >= 1600 ? 100 : in / 16;
        if (lead != want)
            fail_msg("after %llu updates %llu more, not %llu", (unsigned long long)in,
                     (unsigned long long)lead, (unsigned long long)want);
    }
    end(&s);
}

static void what_cannot_work_is_refused(void **state)
{
    (void)state;
    static const struct {
        asgdi_exchange_config config;
        const char           *says; /* NULL: it is taken */
    } cases[] = {
        {{.size = 0}, "0 of 0"},
        {{.size = 2, .self = 2}, "2 of 2"},
        {{.size = 2, .ahead = 9, .local_steps = 10}, "9 updates ahead"},
        {{.size = 2, .ahead = 9, .local_steps = 10, .clock = ASGDI_CLOCK_LAG}, "9 updates ahead"},
        {{.size = 2, .ahead = 10, .local_steps = 10}, NULL},
        {{.size = 2, .ahead = 9, .local_steps = 10, .clock = ASGDI_CLOCK_SYNC}, NULL},
        {{.size = 2, .heartbeat = 1, .dead_after = 1.9}, "dead_after 1.9"},
        {{.size = 2, .heartbeat = 1, .dead_after = 2}, NULL},
    };
    const asgd_table table = {.name = "w", .rows = 1, .dim = 1};
    asgdi_params     p;
    ok(asgdi_params_init(&p, &table, 1, 1));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_sgd));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgdi_exchange       *x;
        asgdi_exchange_config c = cases[i].config;
        c.batch                 = 1;
        const asgd_status s     = asgdi_exchange_new(&x, &c, &p, read_rows, &p);
        if (cases[i].says)
            fails(s, ASGD_EINVAL, cases[i].says);
        else
            ok(s);
        asgdi_exchange_free(x);
    }
    asgdi_params_free(&p);
}

/* Where it does not grow with the root, it grows as steps get shorter, up to four times. */
static void the_lead_grows_as_steps_get_shorter(void **state)
{
    (void)state;
    static const struct {
        double lr, lead;
    } at[] = {{0, 100}, {1, 100}, {0.5, 200}, {0.4, 250}, {0.25, 400}, {1e-9, 400}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        pair                        s;
        const asgdi_exchange_config config = {.ahead = 100, .stretch = 4};
        begin(&s, ASGD_RULE_sgd, &config);
        s.told[1].lr = at[i].lr;
        settle(&s);
        assert_int_equal(asgdi_exchange_allowance(s.x[1]), at[i].lead);
        end(&s);
    }
}

/* Where `last` is told, an eighth of it is left for the last part of all examples; never less than two updates. */
static void the_lead_shrinks_at_the_end(void **state)
{
    (void)state;
    static const struct {
        uint64_t ahead, examples, lead;
    } at[] = {{100, 1, 100}, {100, 943000, 100}, {100, 944000, 12}, {9, 944000, 2}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        pair         s;
        asgdi_ranges before = {0}; /* of 2^20, by an earlier run */
        assert_true(asgdi_ranges_add(&before, (asgdi_range){0, at[i].examples}));
        const asgdi_exchange_config config = {.ahead = at[i].ahead, .last = 0.1, .done = &before};
        begin(&s, ASGD_RULE_sgd, &config);
        settle(&s);
        assert_int_equal(asgdi_exchange_allowance(s.x[1]), at[i].lead);
        end(&s);
        asgdi_ranges_free(&before);
    }
    pair s; /* more than all, as some were done again: not where nothing is told */
    const asgdi_exchange_config config = {.ahead = 100};
    begin(&s, ASGD_RULE_sgd, &config);
    s.told[1].examples = 2u << 20;
    settle(&s);
    assert_int_equal(asgdi_exchange_allowance(s.x[1]), 100);
    end(&s);
}

/* Windows of losses that process 1 has had. */
static void report(pair *s, int windows, double loss, bool bad)
{
    enum { WINDOW = 100 };
    for (int i = 0; i < windows; i++) {
        asgdi_losses *l = &s->told[1].losses;
        l->examples += WINDOW;
        l->weight += WINDOW;
        l->loss += WINDOW * loss;
        l->first = 1;
        if (bad) l->bad += WINDOW;
        s->now += 2; /* signs of life tell them */
        settle(s);
    }
}

/* Each good state has one row more; the last but one is what all go back to, and all of it. */
static void what_was_good_comes_back(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.local_steps = 1, .guard = 100};
    begin(&s, ASGD_RULE_sgd, &config);
    settle(&s);
    for (int k = 0; k < ROWS; k++) {
        s.p[1].table[0].master[(size_t)k * s.p[1].table[0].stride] = (float)(k + 1);
        s.told[1].updates++;
        s.told[1].examples++;
        settle(&s);
        report(&s, 4, 0.5, false);
    }
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 0);
    report(&s, 4, 0.5, true);
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 3);
    for (uint32_t q = 0; q < PROCESSES; q++)
        for (int k = 0; k < ROWS; k++)
            assert_true(s.p[q].table[0].master[(size_t)k * s.p[q].table[0].stride] ==
                        (float)(k + 1 < ROWS ? k + 1 : 0));
    end(&s);
}

/* What process 1 adds to a row of its copy, as it comes to all. */
static float comes(pair *s, float added)
{
    float      *row = s->p[1].table[0].master;
    const float was = *row;
    *row += added;
    s->told[1].updates++;
    s->told[1].examples++;
    settle(s);
    s->told[0].updates++; /* and it looks */
    settle(s);
    assert_true(s->p[0].table[0].master[0] == *row);
    return *row - was;
}

/* Deltas count half until losses are near the best again; if it comes a second time, to the end. */
static void what_was_enough_ends(void **state)
{
    (void)state;
    pair                        s;
    const asgdi_exchange_config config = {.local_steps = 1, .guard = 100};
    begin(&s, ASGD_RULE_sgd, &config);
    settle(&s);
    report(&s, 4, 0.5, false);
    assert_true(comes(&s, 1) == 1);
    report(&s, 2, 2, false);
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 1);
    assert_true(comes(&s, 1) == 0.5f);
    report(&s, 3, 0.5, false);
    assert_true(comes(&s, 1) == 0.5f);
    report(&s, 3, 0.5, false);
    assert_true(comes(&s, 1) == 1);
    for (uint32_t q = 0; q < PROCESSES; q++)
        assert_int_equal(asgdi_exchange_interventions(s.x[q]), 1);
    report(&s, 4, 2, false);
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 2);
    assert_true(comes(&s, 1) == 0.5f);
    report(&s, 10, 0.5, false);
    assert_true(comes(&s, 1) == 0.5f);
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 2);
    end(&s);
}

/* A run that is over just after deltas came to count in full again has come through. */
static void what_is_well_again_may_end(void **state)
{
    (void)state;
    pair                        s;
    asgdi_range                 r;
    const asgdi_exchange_config config = {.local_steps = 1, .guard = 100, .total = 64};
    begin(&s, ASGD_RULE_sgd, &config);
    settle(&s);
    report(&s, 4, 0.5, false);
    report(&s, 2, 2, false);
    assert_true(comes(&s, 1) == 0.5f);
    for (int i = 0; i < 10 && comes(&s, 1) < 1; i++) report(&s, 1, 0.5, false);
    assert_int_equal(asgdi_exchange_interventions(s.x[0]), 1);
    for (int i = 0; i < 3000 && asgdi_exchange_stage(s.x[0]) == ASGDI_TRAINING; i++) {
        for (uint32_t q = 0; q < PROCESSES; q++) {
            while (asgdi_exchange_lease(s.x[q], &r)) {
                asgdi_exchange_done(s.x[q], r);
                s.told[q].updates++;
            }
        }
        s.now += 2;
        settle(&s);
    }
    assert_int_equal(asgdi_exchange_stage(s.x[0]), ASGDI_FLUSHING);
    assert_false(asgdi_exchange_is_hopeless(s.x[0]));
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_shorten),
        cmocka_unit_test(alone_is_exact),
        cmocka_unit_test(the_next_round_waits_until_all_cost_is_within_the_share),
        cmocka_unit_test(the_lead_grows_with_the_root),
        cmocka_unit_test(the_lead_is_a_part_of_what_was_learnt),
        cmocka_unit_test(what_cannot_work_is_refused),
        cmocka_unit_test(what_was_good_comes_back),
        cmocka_unit_test(what_was_enough_ends),
        cmocka_unit_test(what_is_well_again_may_end),
        cmocka_unit_test(the_lead_grows_as_steps_get_shorter),
        cmocka_unit_test(the_lead_shrinks_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
