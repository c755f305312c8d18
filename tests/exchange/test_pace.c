/* What the network bears, as seen over links of a known bandwidth and latency: deltas are coded where bytes are what
 * rounds wait for, and nowhere else. */
#include "test.h"

#include "exchange/pace.h"

enum { BLOCKS = 8, ROUNDS = 40 };
static const double BLOCK = 100e3; /* bytes, of a delta and its answer */

typedef struct network {
    double bandwidth, latency; /* bytes/s both ways together; seconds, there and back */
} network;

/* A round: a small answer, then BLOCKS at once, which wait for each other; and `wait` seconds until the next one. */
static double round_over(asgdi_pace *p, const network *n, double now, double wait)
{
    asgdi_pace_answer(p, now + n->latency, n->latency + 1e3 / n->bandwidth, 1000, p->moved);
    const uint64_t before = p->moved;
    const double   bytes  = p->coarse ? BLOCK / 4 : BLOCK;
    double         took   = 0;
    for (int i = 1; i <= BLOCKS; i++) {
        took = n->latency + i * bytes / n->bandwidth;
        asgdi_pace_answer(p, now + took, took, (uint64_t)bytes, before);
    }
    asgdi_pace_round(p, BLOCKS * BLOCK, wait);
    return now + fmax(took, wait);
}

static bool is_coarse_over(asgdi_pace *p, network n, double wait)
{
    double now = p->best_at;
    for (int i = 0; i < ROUNDS || now < p->best_at + 1; i++) now = round_over(p, &n, now, wait);
    return p->coarse;
}

static void slow_networks_are_coded_for(void **state)
{
    (void)state;
    for (double latency = 0.2e-3; latency < 25e-3; latency *= 10) {
        asgdi_pace p = {0};
        assert_true(is_coarse_over(&p, (network){25e6, latency}, 2e-3)); /* 100 Mbit/s */
    }
}

static void nothing_is_coded_that_nobody_waits_for(void **state)
{
    (void)state;
    asgdi_pace p = {0};
    assert_false(is_coarse_over(&p, (network){25e6, 1e-3}, 50e-3)); /* a round takes 32 ms */
}

/* Workers that may get no further wait for each answer; fewer bytes would not make it come sooner. */
static void latency_is_no_bandwidth(void **state)
{
    (void)state;
    for (double latency = 0.2e-3; latency < 15e-3; latency *= 1.5) {
        asgdi_pace p = {0};
        assert_false(is_coarse_over(&p, (network){125e6, latency}, 1e-3)); /* 1 Gbit/s */
    }
}

static void it_changes_with_the_network(void **state)
{
    (void)state;
    asgdi_pace p = {0};
    assert_true(is_coarse_over(&p, (network){25e6, 1e-3}, 2e-3));
    double now = p.best_at;
    for (int i = 0; i < 20 * ROUNDS; i++)
        now = round_over(&p, &(network){250e6, 0.2e-3}, now, 2e-3);
    assert_false(p.coarse);
    for (int i = 0; i < 20 * ROUNDS * 10; i++)
        now = round_over(&p, &(network){25e6, 1e-3}, now, 2e-3);
    assert_true(p.coarse);
}

static void steps_last_as_long_as_an_answer(void **state)
{
    (void)state;
    assert_int_equal(asgdi_pace_steps(10e-3, 1e-3, 64), 10);
    assert_int_equal(asgdi_pace_steps(10e-3, 1e-4, 64), 64);
    assert_int_equal(asgdi_pace_steps(1e-3, 10e-3, 64), 1);
    assert_int_equal(asgdi_pace_steps(1e-3, 0, 64), 1); /* not known yet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_networks_are_coded_for),
        cmocka_unit_test(nothing_is_coded_that_nobody_waits_for),
        cmocka_unit_test(latency_is_no_bandwidth),
        cmocka_unit_test(it_changes_with_the_network),
        cmocka_unit_test(steps_last_as_long_as_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
