/* The exchange over a simulated network, with every kind of fault: what comes of it is told exactly (oracle.h).
 *
 * ASGD_SIM_SEED=n runs seed n alone, and tells on stderr what happens to every frame. */
#include "test.h"

#include "seeds.h"

static void test_kind(void **state)
{
    run_seeds(*(const seed_kind *)*state, seeds_of_a_kind(45));
}

/* Fewer than are wanted: the others fail, and say why. */
static void test_least(void **state)
{
    (void)state;
    static cluster c;
    for (uint64_t seed = 0; seed < 20; seed++) {
        cluster_config config;
        scenario(seed * KINDS + KIND_NONE, &config);
        if (config.size < 3) continue;
        config.exchange.least = config.size - 1;
        config.n_faults       = 2;
        for (uint32_t i = 0; i < 2; i++) {
            config.fault[i] =
                (fault){.kind = FAULT_KILL, .stage = ASGDI_TRAINING, .after = 0.01 * i};
            config.fault[i].who[i] = 1;
        }
        assert_true(cluster_new(&c, &config));
        cluster_run(&c);
        if (c.wrong[0]) fail_msg("seed %llu: %s", (unsigned long long)config.seed, c.wrong);
        for (uint32_t q = 2; q < config.size; q++) {
            assert_int_equal(c.member[q].stage, ASGDI_FAILED);
            assert_non_null(strstr(asgdi_exchange_why(c.member[q].x), "min_processes"));
        }
        cluster_free(&c);
    }
}

/* A process that is stopped while it still reads its data, and given up: its exchange, which begins after that, sees
 * no gap in time, and has to be told. */
static void test_stopped_while_reading(void **state)
{
    (void)state;
    static cluster c;
    uint32_t       runs = 0, out = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        cluster_config config;
        scenario(seed * KINDS + KIND_NONE, &config);
        if (config.size < 3) continue;
        config.reading    = 4;
        config.drops      = true;
        config.may_be_out = true;
        config.n_faults   = 1;
        assert_true(cluster_new(&c, &config));
        uint32_t reads = 0; /* until after it is stopped */
        while (reads < config.size && c.member[reads].reads_until < 1) reads++;
        if (reads < config.size) {
            c.c.fault[0]            = (fault){.kind  = FAULT_PAUSE,
                                              .stage = ASGDI_JOINING,
                                              .after = 0.5,
                                              .lasts = 2 * config.exchange.dead_after};
            c.c.fault[0].who[reads] = 1;
            cluster_run(&c);
            cluster_check(&c); /* nobody is to finish without the others */
            if (c.wrong[0]) fail_msg("seed %llu: %s", (unsigned long long)config.seed, c.wrong);
            out += c.member[reads].stage == ASGDI_OUT; /* or back before others had begun */
            runs++;
        }
        cluster_free(&c);
    }
    assert_true(runs > 10 && out > 0);
}

/* More than half stand still, and come back one after another, when the others would long have given up fewer: all go
 * on together, as if nothing had been.  Where they are gone for good they are given up in the end. */
static void test_most_stand_still(void **state)
{
    (void)state;
    static cluster c;
    uint32_t       runs = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        cluster_config config;
        scenario(seed * KINDS + KIND_NONE, &config);
        const uint32_t most = config.size / 2 + 1;
        const bool     gone = seed % 4 == 0;
        if (config.size < 3 || most > MOST_FAULTS) continue;
        config.drops    = true;
        config.n_faults = most;
        for (uint32_t i = 0; i < most; i++) {
            const uint32_t q       = (uint32_t)(seed + i) % config.size;
            config.fault[i]        = (fault){.kind  = gone ? FAULT_KILL : FAULT_PAUSE,
                                             .stage = ASGDI_TRAINING,
                                             .after = 0.01 * i,
                                             .lasts = (1.5 + 0.2 * i) * config.exchange.dead_after};
            config.fault[i].who[q] = 1;
        }
        assert_true(cluster_new(&c, &config));
        cluster_run(&c);
        cluster_check(&c);
        if (c.wrong[0]) fail_msg("seed %llu: %s", (unsigned long long)config.seed, c.wrong);
        for (uint32_t q = 0; q < config.size; q++)
            if (!asgdi_simnet_killed(c.net, q) && c.member[q].stage != ASGDI_FINISHED)
                fail_msg("seed %llu: process %u, stage %d", (unsigned long long)config.seed, q,
                         c.member[q].stage);
        runs++;
        cluster_free(&c);
    }
    assert_true(runs > 20);
}

/* Seeds that went wrong once, as long as they mean the same: an owner that died when it thought that all was done, sync; two that
 * slept through the end; a process that fails with its view in the middle of a snapshot; a block rebuilt from another's copy that
 * has a row rounded which a third process has exactly. */
static void test_once_wrong(void **state)
{
    static const uint64_t seeds[] = {2205257, 2205847, 2226036, 4401539, 8529};
    totals                t       = {0};
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        cluster_config config;
        scenario(seeds[i], &config);
        run_scenario(&config, false, &t);
    }
    assert_int_equal(t.wrong, 0);
}

/* One that was started with other options: all fail, and say what differs. */
static void test_about(void **state)
{
    (void)state;
    static cluster c;
    for (uint64_t seed = 0; seed < 20; seed++) {
        cluster_config config;
        scenario(seed * KINDS + KIND_DELAY, &config);
        if (config.size < 2) continue;
        config.odd     = 1 + (uint32_t)seed % config.size;
        config.reading = 0; /* nobody is told who has no exchange yet */
        assert_true(cluster_new(&c, &config));
        cluster_run(&c);
        if (c.wrong[0]) fail_msg("seed %llu: %s", (unsigned long long)config.seed, c.wrong);
        for (uint32_t q = 0; q < config.size; q++) {
            const char *why = asgdi_exchange_why(c.member[q].x);
            if (c.member[q].stage != ASGDI_FAILED || !strstr(why, "different data or options"))
                fail_msg("process %u, stage %d: %s", q, c.member[q].stage, why);
        }
        cluster_free(&c);
    }
}

/* Rounded replies, to numbers that 16 bits do not hold: what processes add up is still exact, and the same in all; it
 * is what it must be but for what a dead owner's successor had rounded. */
static void test_rough(void **state)
{
    static const seed_kind kinds[] = {KIND_NONE, KIND_DELAY, KIND_LOSS, KIND_KILL, KIND_KILL_LOSS};
    const uint64_t         each    = seeds_of_a_kind(30);
    totals                 t       = {0};
    (void)state;
    for (uint64_t i = 0; i < 5 * each; i++) {
        cluster_config config;
        scenario((1000 + i / 5) * KINDS + kinds[i % 5], &config);
        asgdi_exchange_config *x = &config.exchange;
        if (!adds_up(&config)) continue;
        config.largest =
            i % 2 ? 1001 : 50021; /* with those, sums leave the range of halves now and then */
        x->rough = true;
        if (i % 3) x->coding = ASGDI_FLOAT32;
        if (i % 3 == 0) config.largest = 1001;
        x->coding_auto = false;
        run_scenario(&config, false, &t);
    }
    print_message("%llu seeds, %llu killed\n", (unsigned long long)t.seeds,
                  (unsigned long long)t.killed);
    assert_int_equal(t.wrong, 0);
    assert_true(t.seeds > 2 * each);
}

/* ---- what is chosen by itself ---- */

typedef struct chosen {
    double   coded; /* part of the deltas of process 0 */
    uint32_t steps;
    uint64_t bytes;
} chosen;

/* Three processes for some seconds, over links of so many bytes/s. */
static chosen over(double rate, double delay, double example, asgdi_clock clock, bool automatic)
{
    static cluster c;
    cluster_config config;
    chosen         got = {0};
    scenario(3 * KINDS + KIND_NONE, &config);
    asgdi_exchange_config *x = &config.exchange;
    config.size = x->size = config.net.size = 3;
    config.workers = 1, config.spread = 1, config.example = example;
    config.reading = config.snapshots = 0;
    config.tick = 0.0005, config.step_cost = 1e-6, config.correcting = 1e-4;
    config.rule     = ASGD_RULE_sgd;
    config.table[1] = (asgd_table){.name = "many", .rows = 12000, .dim = 8};
    config.touched  = MOST_TOUCHED;
    x->batch = 1, x->total = clock == ASGDI_CLOCK_SYNC ? 1500 : 6000, x->ranked = false;
    x->clock = clock, x->local_steps = clock == ASGDI_CLOCK_SYNC ? 40 : 0, x->steps_auto = true;
    x->ahead = 0, x->max_lag = 1000000, x->backup = 0;
    x->share = 0.05, x->round_least = 5e-3, x->round_most = 0.25;
    memset(x->merging, 0, sizeof x->merging), x->outer_momentum = 0;
    x->coding      = automatic ? ASGDI_INT8 : ASGDI_FLOAT32;
    x->coding_auto = x->rough = automatic;
    x->dead_after = 10, x->heartbeat = 0.25, x->resend = 0.5;
    config.net.rate = rate, config.net.delay = delay, config.net.law = ASGDI_SIMLAW_CONSTANT;
    config.everything = true;
    assert_true(cluster_new(&c, &config));
    cluster_run(&c);
    check_ends(&c);
    check_worlds(&c);
    if (c.wrong[0]) fail_msg("%s", c.wrong);
    asgdi_exchange_counts n;
    asgdi_exchange_count(c.member[0].x, &n);
    got = (chosen){(double)n.coded / fmax(1, (double)n.deltas), n.steps, n.bytes_out};
    print_message("%.0f bytes/s, %g s: %.2f coded, %u steps, %llu bytes, %llu rounds\n", rate,
                  delay, got.coded, got.steps, (unsigned long long)got.bytes,
                  (unsigned long long)n.rounds);
    cluster_free(&c);
    return got;
}

static void test_auto(void **state)
{
    (void)state;
#if defined __SANITIZE_THREAD__ /* of one thread, and long: there is nothing to be found */
    skip();
#endif
    assert_true(over(125e6, 1e-4, 1e-3, ASGDI_CLOCK_ASYNC, true).coded < 0.05); /* 1 Gbit/s */
    assert_true(over(2e9, 2e-5, 1e-3, ASGDI_CLOCK_ASYNC, true).coded == 0);
    assert_true(over(2e9, 2e-2, 1e-3, ASGDI_CLOCK_ASYNC, true).coded == 0); /* far is not narrow */
    assert_true(over(12.5e6, 1e-4, 1e-3, ASGDI_CLOCK_ASYNC, true).coded > 0.5); /* 100 Mbit/s */
    assert_true(over(12.5e6, 1e-4, 1e-3, ASGDI_CLOCK_ASYNC, false).coded == 0);
    const uint32_t near = over(2e9, 2e-5, 1e-3, ASGDI_CLOCK_SYNC, false).steps;
    const uint32_t far  = over(2e9, 1e-2, 1e-3, ASGDI_CLOCK_SYNC, false).steps;
    assert_true(near <= 4);
    assert_in_range(far, 10, 40);
}

int main(void)
{
    static const struct CMUnitTest others[] = {cmocka_unit_test(test_least),
                                               cmocka_unit_test(test_about),
                                               cmocka_unit_test(test_stopped_while_reading),
                                               cmocka_unit_test(test_most_stand_still),
                                               cmocka_unit_test(test_once_wrong),
                                               cmocka_unit_test(test_rough),
                                               cmocka_unit_test(test_auto)};
    const int                      failed   = run_kinds("exchange", test_kind);
    if (getenv("ASGD_SIM_SEED")) return failed;
    return failed + cmocka_run_group_tests(others, NULL, NULL);
}
