/* The simulated network: its clock, its laws of delay, its faults; the same seed, the same events. */
#include "test.h"

#include "base/rng.h"
#include "sim/net.h"

static asgdi_simnet *open_net(asgdi_simnet_config c)
{
    asgdi_simnet *n;
    ok(asgdi_simnet_new(&n, &c));
    return n;
}

/* A frame that holds a number. */
static void send_number(asgdi_simnet *n, uint32_t from, uint32_t to, uint32_t number)
{
    asgdi_frame *f = asgdi_frame_new(sizeof number);
    assert_non_null(f);
    memcpy(f->data, &number, sizeof number);
    asgdi_simnet_send(n, from, to, f);
}

static uint32_t number_in(asgdi_simnet_event e)
{
    uint32_t number;
    assert_non_null(e.frame);
    assert_int_equal(e.frame->bytes, sizeof number);
    memcpy(&number, e.frame->data, sizeof number);
    asgdi_frame_free(e.frame);
    return number;
}

static void test_refused(void **state)
{
    (void)state;
    static const asgdi_simnet_config bad[] = {
        {.size = 0},
        {.size = ASGDI_PROCESSES_MAX + 1},
        {.size = 2, .law = ASGDI_SIMLAWS},
        {.size = 2, .delay = -1},
        {.size = 2, .delay = INFINITY},
        {.size = 2, .rate = NAN},
        {.size = 2, .loss = 1.5},
        {.size = 2, .repeat = -0.1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        asgdi_simnet *n;
        fails(asgdi_simnet_new(&n, &bad[i]), ASGD_EINVAL, "out of range");
        assert_null(n);
    }
    asgdi_simnet_free(NULL);
}

/* Alarms come in the order of their times, at one time in the order they were asked for. */
static void test_alarms(void **state)
{
    (void)state;
    enum { N = 1000 };
    asgdi_simnet      *n = open_net((asgdi_simnet_config){.size = 1, .seed = 1});
    asgdi_simnet_event e;
    double             at[N], last = 0;
    uint64_t           last_what = 0;
    for (uint64_t i = 0; i < N; i++) {
        at[i] = (double)(asgdi_random(1, 2, i) % 100);
        asgdi_simnet_alarm(n, i % 2 ? 0 : ASGDI_SIMNET_NOBODY, at[i], i);
    }
    for (int i = 0; i < N; i++) {
        assert_true(asgdi_simnet_next(n, 1e9, &e));
        assert_null(e.frame);
        assert_true(asgdi_simnet_now(n) == at[e.what] && at[e.what] >= last);
        assert_true(at[e.what] > last || i == 0 || e.what > last_what);
        assert_int_equal(e.process, e.what % 2 ? 0 : ASGDI_SIMNET_NOBODY);
        last      = at[e.what];
        last_what = e.what;
    }
    assert_false(asgdi_simnet_next(n, 500, &e));
    assert_true(asgdi_simnet_now(n) == 500);
    asgdi_simnet_alarm(n, 0, 3, 7); /* in the past: now */
    assert_true(asgdi_simnet_next(n, 501, &e) && e.what == 7 && asgdi_simnet_now(n) == 500);
    asgdi_simnet_free(n);
}

static void test_laws(void **state)
{
    (void)state;
    enum { N = 20000 };
    static const double most[] = {0.5, 1, 10, 100}, least[] = {0.5, 0.99, 3, 20};
    for (int law = 0; law < ASGDI_SIMLAWS; law++) {
        asgdi_simnet *n = open_net(
            (asgdi_simnet_config){.size = 2, .seed = 3, .law = (asgdi_simlaw)law, .delay = 0.5});
        asgdi_simnet_event e;
        double             sum = 0, longest = 0;
        uint32_t           got = 0, overtaken = 0, last = 0;
        for (uint32_t i = 0; i < N; i++) send_number(n, 0, 1, i);
        while (asgdi_simnet_next(n, 1e9, &e)) {
            assert_int_equal(e.process, 1);
            assert_int_equal(e.from, 0);
            const uint32_t number = number_in(e);
            overtaken += number < last;
            last    = number;
            longest = asgdi_simnet_now(n);
            sum += longest;
            got++;
        }
        assert_int_equal(got, N);
        if (fabs(sum / N - 0.5) > 0.03) fail_msg("law %d: mean %g, not 0.5", law, sum / N);
        if (longest > most[law] || longest < least[law]) fail_msg("law %d: up to %g", law, longest);
        assert_true((overtaken == 0) == (law == ASGDI_SIMLAW_CONSTANT));
        asgdi_simnet_free(n);
    }
}

static void test_order(void **state)
{
    (void)state;
    asgdi_simnet      *n = open_net((asgdi_simnet_config){.size    = 2,
                                                          .seed    = 4,
                                                          .law     = ASGDI_SIMLAW_HEAVY,
                                                          .delay   = 0.5,
                                                          .loss    = 0.1,
                                                          .repeat  = 0.2,
                                                          .ordered = true});
    asgdi_simnet_event e;
    uint32_t           last = 0, got = 0;
    for (uint32_t i = 0; i < 5000; i++) send_number(n, 0, 1, i);
    while (asgdi_simnet_next(n, 1e9, &e)) {
        const uint32_t number = number_in(e);
        assert_true(number >= last);
        last = number;
        got++;
    }
    assert_true(got > 5200 && got < 5600); /* 5400 */
    const asgdi_simnet_counts c = asgdi_simnet_count(n);
    assert_true(c.sent == 5000 && c.arrived == got && c.lost + c.arrived == c.sent + c.repeated);
    assert_true(c.bytes == 4 * 5000);
    asgdi_simnet_free(n);
}

/* What happens in a run in which everything is random, in one number. */
static uint64_t run(uint64_t seed)
{
    asgdi_simnet      *n   = open_net((asgdi_simnet_config){.size   = 4,
                                                            .seed   = seed,
                                                            .law    = ASGDI_SIMLAW_EXPONENTIAL,
                                                            .delay  = 0.1,
                                                            .loss   = 0.2,
                                                            .repeat = 0.2});
    uint64_t           sum = 0;
    asgdi_simnet_event e;
    for (uint32_t i = 0; i < 50; i++) send_number(n, i % 4, (i + 1) % 4, i);
    asgdi_simnet_pause(n, 2, 0.3);
    for (int i = 0; i < 2000 && asgdi_simnet_next(n, 10, &e); i++) {
        const uint64_t now     = (uint64_t)(asgdi_simnet_now(n) * 1e9);
        sum                    = asgdi_mix(sum ^ now ^ e.process);
        const uint32_t number  = number_in(e);
        const uint32_t further = (e.process + 1 + number % 3) % 4;
        if (further != e.process) send_number(n, e.process, further, number + 1);
        if (i == 500) asgdi_simnet_kill(n, 1);
    }
    asgdi_simnet_free(n);
    return sum;
}

static void test_again(void **state)
{
    (void)state;
    assert_true(run(5) == run(5));
    assert_true(run(5) != run(6));
}

static void test_cut(void **state)
{
    (void)state;
    const uint8_t      side[3] = {1, 0, 0};
    asgdi_simnet      *n       = open_net((asgdi_simnet_config){.size = 3, .seed = 7, .delay = 1});
    asgdi_simnet_event e;
    asgdi_simnet_cut(n, 0, 1, 5); /* one way */
    send_number(n, 0, 1, 1);
    send_number(n, 1, 0, 2);
    assert_true(asgdi_simnet_next(n, 4.5, &e));
    assert_int_equal(number_in(e), 2);
    assert_false(asgdi_simnet_next(n, 4.5, &e));
    send_number(n, 0, 1, 3); /* arrives after the cut */
    assert_true(asgdi_simnet_next(n, 6, &e));
    assert_int_equal(number_in(e), 3);
    asgdi_simnet_split(n, side, 10);
    send_number(n, 0, 1, 4);
    send_number(n, 2, 0, 5);
    send_number(n, 1, 2, 6);
    assert_true(asgdi_simnet_next(n, 9, &e));
    assert_int_equal(number_in(e), 6);
    assert_false(asgdi_simnet_next(n, 20, &e));
    assert_int_equal(asgdi_simnet_count(n).lost, 3);
    asgdi_simnet_free(n);
}

static void test_pause(void **state)
{
    (void)state;
    asgdi_simnet      *n = open_net((asgdi_simnet_config){.size = 2, .seed = 8, .delay = 1});
    asgdi_simnet_event e;
    for (uint32_t i = 0; i < 10; i++) send_number(n, 0, 1, i);
    asgdi_simnet_alarm(n, 1, 1.5, 77);
    asgdi_simnet_alarm(n, 0, 2, 78);
    asgdi_simnet_pause(n, 1, 4);
    asgdi_simnet_pause(n, 1, 3); /* does not end it sooner */
    assert_true(asgdi_simnet_paused(n, 1) && !asgdi_simnet_paused(n, 0));
    assert_true(asgdi_simnet_next(n, 10, &e) && e.process == 0 && asgdi_simnet_now(n) == 2);
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(asgdi_simnet_next(n, 10, &e) && asgdi_simnet_now(n) == 4);
        assert_int_equal(number_in(e), i);
    }
    assert_true(asgdi_simnet_next(n, 10, &e) && !e.frame && e.what == 77);
    assert_false(asgdi_simnet_paused(n, 1));
    asgdi_simnet_free(n);
}

static void test_kill(void **state)
{
    (void)state;
    enum { N = 1000 };
    asgdi_simnet      *n = open_net((asgdi_simnet_config){.size = 3, .seed = 9, .delay = 1});
    asgdi_simnet_event e;
    uint32_t           got = 0;
    for (uint32_t i = 0; i < N; i++) send_number(n, 1, 0, i);
    send_number(n, 0, 1, 1);
    asgdi_simnet_alarm(n, 1, 2, 1);
    asgdi_simnet_kill(n, 1);
    assert_true(asgdi_simnet_killed(n, 1) && !asgdi_simnet_killed(n, 0));
    while (asgdi_simnet_next(n, 10, &e)) {
        assert_int_equal(e.process, 0);
        (void)number_in(e);
        got++;
    }
    assert_true(got > N / 2 - 80 && got < N / 2 + 80); /* five deviations */
    asgdi_simnet_free(n);
}

/* What a process sends goes out one after the other. */
static void test_rate(void **state)
{
    (void)state;
    static const double   at[]     = {1.5, 1.5, 2, 2.5, 3};
    static const uint32_t number[] = {0, 9, 1, 2, 3};
    asgdi_simnet *n = open_net((asgdi_simnet_config){.size = 3, .seed = 10, .delay = 1, .rate = 8});
    asgdi_simnet_event e;
    for (uint32_t i = 0; i < 4; i++) send_number(n, 0, 1 + i % 2, i);
    send_number(n, 2, 1, 9);
    assert_true(fabs(asgdi_simnet_waiting(n, 0) - 16) < 1e-9);
    for (int i = 0; i < 5; i++) {
        assert_true(asgdi_simnet_next(n, 10, &e));
        assert_true(fabs(asgdi_simnet_now(n) - at[i]) < 1e-9);
        assert_int_equal(number_in(e), number[i]);
    }
    assert_true(asgdi_simnet_waiting(n, 0) == 0);
    asgdi_simnet_free(n);
}

static void note(void *user, asgdi_simfate fate, uint32_t from, uint32_t to, double in_seconds,
                 const asgdi_frame *f)
{
    uint32_t *count = user;
    assert_true(from == 0 && to == 1 && f->bytes == 4 && in_seconds >= 0);
    assert_string_not_equal(asgdi_simfate_name(fate), "?");
    count[fate]++;
}

static void test_watch(void **state)
{
    (void)state;
    uint32_t           count[8] = {0};
    asgdi_simnet      *n = open_net((asgdi_simnet_config){.size = 2, .seed = 11, .delay = 1});
    asgdi_simnet_event e;
    asgdi_simnet_watch(n, note, count);
    asgdi_simnet_odds(n, 0.5, 0);
    for (uint32_t i = 0; i < 100; i++) send_number(n, 0, 1, i);
    asgdi_simnet_odds(n, 0, 0);
    send_number(n, 0, 1, 100);
    while (asgdi_simnet_next(n, 10, &e)) (void)number_in(e);
    assert_true(count[ASGDI_SIM_LOST] > 20 && count[ASGDI_SIM_LOST] < 80);
    assert_int_equal(count[ASGDI_SIM_SENT], 101 - count[ASGDI_SIM_LOST]);
    assert_int_equal(count[ASGDI_SIM_ARRIVED], count[ASGDI_SIM_SENT]);
    send_number(n, 0, 1, 1); /* under way when all ends */
    asgdi_simnet_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_alarms), cmocka_unit_test(test_laws),
        cmocka_unit_test(test_order),   cmocka_unit_test(test_again),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_pause),   cmocka_unit_test(test_kill),   cmocka_unit_test(test_rate),
        cmocka_unit_test(test_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
