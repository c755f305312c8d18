/* A run that is stopped and resumed, by another number of workers too, does every example exactly once an
 * epoch; checkpoints taken in the middle disturb nothing. */
#include "engine/count_model.h"

#include <unistd.h>

static int stop_in_the_middle(const asgd_point *p, void *user)
{
    (void)user;
    return p->epochs > 0.3;
}

static void remove_folder(const char *folder)
{
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void every_example_once_across_a_stop(void **state)
{
    (void)state;
    static const asgd_mode modes[] = {ASGD_ASYNC, ASGD_SYNC, ASGD_LOCKED};
    for (int m = 0; m < 3; m++)
        for (int more = 0; more < 2; more++) {
            char folder[] = "resume-XXXXXX";
            assert_non_null(mkdtemp(folder));
            count_data d;
            count_setup(&d, 3001, 3001, 0);
            asgd_config c = {.mode         = modes[m],
                             .workers      = 3,
                             .batch        = 5,
                             .epochs       = 2,
                             .lr           = 1,
                             .rule         = {.kind = ASGD_RULE_sgd},
                             .schedule_set = true,
                             .damp         = -1,
                             .pace         = 2e-4,
                             .checkpoint   = folder,
                             .report_every = 1e-3,
                             .observe      = stop_in_the_middle};
            asgd_result r;
            fails(asgd_train(d.model, d.source, &c, &r), ASGD_ESTOPPED, "stopped after");
            assert_true(r.examples > 0 && r.examples < 2 * 3001);
            asgd_result_free(&r);
            c.observe = NULL;
            c.resume  = true;
            c.pace    = 0;
            c.workers = more ? 7 : 1;
            ok(asgd_train(d.model, d.source, &c, &r));
            assert_int_equal(r.examples, 2 * 3001);
            for (uint32_t f = 0; f < 3001; f++)
                if (asgd_model_row(d.model, 0, f)[0] != 2)
                    fail_msg("mode %s: example %u counted %g times", asgd_mode_name(modes[m]), f,
                             (double)asgd_model_row(d.model, 0, f)[0]);
            asgd_result_free(&r);
            /* a finished run has nothing left to do */
            ok(asgd_train(d.model, d.source, &c, &r));
            assert_true(count_sum(&d, 3001) == 2 * 3001);
            asgd_result_free(&r);
            remove_folder(folder);
            count_free(&d);
        }
}

static void checkpoints_on_the_way_disturb_nothing(void **state)
{
    (void)state;
    char folder[] = "resume-XXXXXX";
    assert_non_null(mkdtemp(folder));
    count_data d;
    count_setup(&d, 5000, 50, 0);
    for (asgd_mode mode = ASGD_ASYNC; mode <= ASGD_SEQUENTIAL; mode++) {
        asgd_config c = {.mode             = mode,
                         .workers          = 4,
                         .batch            = 5,
                         .epochs           = 1,
                         .lr               = 1,
                         .pace             = 1e-4,
                         .rule             = {.kind = ASGD_RULE_sgd},
                         .damp             = -1,
                         .schedule_set     = true,
                         .checkpoint       = folder,
                         .checkpoint_every = 5e-3};
        for (uint32_t f = 0; f < 50; f++) asgd_model_row(d.model, 0, f)[0] = 0;
        ok(asgd_train(d.model, d.source, &c, NULL));
        const double sum = count_sum(&d, 50);
        /* sync divides by the number of gradients and multiplies again, which rounds */
        const double off = mode == ASGD_SYNC ? 0.01 : 0;
        if (!(fabs(sum - 5000) <= off))
            fail_msg("mode %s: %.9g, not 5000", asgd_mode_name(mode), sum);
    }
    remove_folder(folder);
    count_free(&d);
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    count_data d;
    count_setup(&d, 500, 50, 0);
    asgd_config c = {.workers = 2, .batch = 5, .epochs = 1, .lr = 1, .checkpoint = "/dev/null/x"};
    fails(asgd_train(d.model, d.source, &c, NULL), ASGD_EIO, "/dev/null/x");
    count_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_once_across_a_stop),
        cmocka_unit_test(checkpoints_on_the_way_disturb_nothing),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
