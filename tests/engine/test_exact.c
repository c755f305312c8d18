/* No update is lost and no example is skipped or seen twice, whatever the workers do: with integer
 * gradients and lr 1 the parameters are the exact count. */
#include "engine/count_model.h"

static asgd_config config(uint32_t workers, asgd_share share, uint32_t batch)
{
    return (asgd_config){.workers      = workers,
                         .share        = share,
                         .batch        = batch,
                         .epochs       = 3,
                         .lr           = 1,
                         .rule         = {.kind = ASGD_RULE_sgd},
                         .schedule_set = true,
                         .damp         = -1}; /* all progress counts, however stale */
}

/* Each example has a row of its own: the row must hold the number of epochs. */
static void every_example_once_an_epoch(void **state)
{
    (void)state;
    static const asgd_mode modes[] = {ASGD_ASYNC, ASGD_SYNC, ASGD_LOCKED, ASGD_SEQUENTIAL};
    for (int m = 0; m < 4; m++)
        for (uint32_t workers = 1; workers <= 8; workers *= 2)
            for (uint32_t batch = 1; batch <= 100; batch = batch * 9 + 1) {
                count_data d;
                count_setup(&d, 1777, 1777, 0);
                asgd_config c = config(workers, ASGD_SHARE_AUTO, batch);
                c.mode        = modes[m];
                asgd_result r;
                ok(asgd_train(d.model, d.source, &c, &r));
                assert_int_equal(r.examples, 3 * 1777);
                /* sync averages n gradients and takes a step n times as long: a sum again */
                for (uint32_t f = 0; f < 1777; f++)
                    if (asgd_model_row(d.model, 0, f)[0] != 3)
                        fail_msg("mode %s, %u workers, batch %u: example %u counted %g times",
                                 asgd_mode_name(modes[m]), workers, batch, f,
                                 (double)asgd_model_row(d.model, 0, f)[0]);
                asgd_result_free(&r);
                count_free(&d);
            }
}

/* All examples hit the same few rows: private rows and locks lose nothing. */
static void contended_rows_are_exact(void **state)
{
    (void)state;
    for (uint32_t features = 1; features <= 64; features *= 8)
        for (int locked = 0; locked < 2; locked++)
            for (uint32_t merge = 1; merge <= 1000; merge *= 10) {
                count_data d;
                count_setup(&d, 20000, features, 0);
                asgd_config c = config(4, locked ? ASGD_SHARE_AUTO : ASGD_SHARE_REPLICA, 4);
                c.mode        = locked ? ASGD_LOCKED : ASGD_ASYNC;
                c.merge       = merge;
                ok(asgd_train(d.model, d.source, &c, NULL));
                assert_true(count_sum(&d, features) == 60000);
                count_free(&d);
            }
}

/* T1: plain Hogwild loses updates where all write few floats, and practically none where they are many.
 * How many is for the machine to say (none on one core); the shape is not. */
static void shared_rows_lose_few_where_sparse(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 16, 256, 4096, 65536, 1000000};
    double                lost[6];
    for (int i = 0; i < 6; i++) {
        count_data d;
        count_setup(&d, 1000000, rows[i], 0);
        asgd_config c = config(2, ASGD_SHARE_SHARED, 1);
        c.epochs      = 1;
        ok(asgd_train(d.model, d.source, &c, NULL));
        lost[i] = 1 - count_sum(&d, rows[i]) / 1e6;
        print_message("rows %7u: %8.4f %% of updates lost\n", rows[i], 100 * lost[i]);
        assert_true(lost[i] >= 0 && lost[i] < 0.6);
        count_free(&d);
    }
    assert_true(lost[4] <= 5e-3);
    assert_true(lost[5] <= 5e-4);
    assert_true(lost[5] <= lost[0] + 1e-4);
}

/* Sync with a backup worker and a slow one: what was dropped is counted, the rest arrived. */
static void dropped_gradients_are_counted(void **state)
{
    (void)state;
    count_data d;
    count_setup(&d, 600, 600, 0);
    const double slow[4] = {1, 1, 1, 20};
    asgd_config  c       = config(4, ASGD_SHARE_AUTO, 2);
    asgd_result  r;
    c.mode      = ASGD_SYNC;
    c.backup    = 1;
    c.pace      = 1e-4;
    c.straggler = slow;
    ok(asgd_train(d.model, d.source, &c, &r));
    assert_int_equal(r.examples + r.dropped, 3 * 600);
    assert_true(r.dropped > 0);
    assert_true(count_sum(&d, 600) == (double)r.examples);
    asgd_result_free(&r);
    count_free(&d);
}

/* The lease of a slow worker is small at the end: everybody works until nothing is left. */
static void leases_follow_speed(void **state)
{
    (void)state;
    count_data d;
    count_setup(&d, 2000, 2000, 0);
    const double slow[2] = {1, 20};
    asgd_config  c       = config(2, ASGD_SHARE_AUTO, 8);
    asgd_result  r;
    c.epochs    = 1;
    c.pace      = 2e-4;
    c.straggler = slow;
    ok(asgd_train(d.model, d.source, &c, &r));
    assert_int_equal(r.worker_examples[0] + r.worker_examples[1], 2000);
    assert_true(r.worker_examples[0] > r.worker_examples[1]);
    asgd_result_free(&r);
    count_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_once_an_epoch),
        cmocka_unit_test(contended_rows_are_exact),
        cmocka_unit_test(shared_rows_lose_few_where_sparse),
        cmocka_unit_test(dropped_gradients_are_counted),
        cmocka_unit_test(leases_follow_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
