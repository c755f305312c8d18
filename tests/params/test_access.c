/* Changes of the master by others: sums are added, averages of squares stay above zero. */
#include "test.h"

#include "params/access.h"
#include "params/locks.h"

enum { ROWS = 5, DIM = 11 };

static void means_stay_positive(void **state)
{
    (void)state;
    static const asgd_rule_kind rules[] = {ASGD_RULE_rmsprop, ASGD_RULE_adam, ASGD_RULE_adagrad};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        for (int private = 0; private < 2; private ++) {
            asgd_table     table                  = {.name = "t", .rows = ROWS, .dim = DIM};
            const uint64_t n_own[ASGD_MAX_TABLES] = {private ? ROWS : 0};
            asgdi_params   p;
            asgdi_locks   *locks;
            asgdi_access   a;
            asgdk_step     step = {0};
            ok(asgdi_params_init(&p, &table, 1, 1));
            ok(asgdi_params_set_rule(&p, rules[k]));
            ok(asgdi_locks_new(&locks, &p, n_own));
            ok(asgdi_access_init(&a, &p, locks, n_own, asgdk_best(), &step));
            const asgdi_table *t              = &p.table[0];
            const bool         mean           = p.slots.slot[0] == ASGDK_MEAN;
            float              by[3 * 2 * 64] = {0};
            assert_true(3 * t->stride <= sizeof by / sizeof *by && p.slots.merged == 1);
            for (size_t i = 0; i < ROWS * t->stride; i++) t->master[i] = 1;
            for (size_t i = 0; i < 3 * t->stride; i++) by[i] = i % 2 ? -2.0f : 0.5f;
            asgdi_access_change(&a, 0, 1, 3, false, by);
            for (size_t i = 0; i < ROWS * t->stride; i++) {
                const bool  inside = i >= t->stride && i < 4 * t->stride;
                const bool  square = mean && i % t->stride >= t->pad;
                const float change = inside ? by[i - t->stride] : 0;
                assert_true(t->master[i] == (square && change < -0.5f ? 0.5f : 1 + change));
            }
            asgdi_access_change(&a, 0, 1, 3, true, by); /* whoever says this knows */
            assert_memory_equal(t->master + t->stride, by, 3 * t->stride * sizeof *by);
            asgdi_access_free(&a);
            asgdi_locks_free(locks);
            asgdi_params_free(&p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(means_stay_positive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
