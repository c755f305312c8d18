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

int main(void)
{
    static const struct CMUnitTest others[] = {cmocka_unit_test(test_least),
                                               cmocka_unit_test(test_about)};
    const int                      failed   = run_kinds("exchange", test_kind);
    if (getenv("ASGD_SIM_SEED")) return failed;
    return failed + cmocka_run_group_tests(others, NULL, NULL);
}
