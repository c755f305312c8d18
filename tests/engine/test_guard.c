/* The guard of a group: what is not finite does not stay, and what diverges is brought back. */
#include "engine/group_of_threads.h"

enum { PROCESSES = 4, ROWS = 4, POISONED_AFTER = 40 };

/* Rows go to TARGET, down the square of their distance; once, a step of process 1 makes them no numbers. */
#define TARGET 8.0f

typedef struct square_model {
    uint32_t poisons;
} square_model;

static asgdi_u32 poisoned_steps;

static asgd_status square_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                asgd_task *task, uint32_t *outputs)
{
    (void)self;
    (void)d;
    tables[0] = (asgd_table){.name = "square", .rows = ROWS, .dim = 1};
    *n        = 1;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    return ASGD_OK;
}

static void square_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                        void *scratch, uint64_t random, asgd_stats *st)
{
    const square_model *m = self;
    const bool poison     = m->poisons && asgdi_add_relaxed(&poisoned_steps, 1) == POISONED_AFTER;
    (void)scratch;
    (void)random;
    for (uint32_t r = 0; r < ROWS; r++) {
        float at;
        __atomic_load(asgd_row(w, r), &at, __ATOMIC_RELAXED); /* others may write it meanwhile */
        const float far = at - TARGET;
        st->loss += b->n * (double)far * (double)far / 2;
        asgd_emit_scattered(g, 0, 1, &r, NULL, poison ? NAN : far, NULL);
    }
    st->weight += b->n;
}

static void run_squares(const asgd_config *c, bool poison, crowd *to)
{
    asgd_model_ops ops = count_ops;
    ops.self_bytes     = sizeof(square_model);
    ops.shape          = square_shape;
    ops.step           = square_step;
    crowd_init(to, PROCESSES, c, 7);
    asgdi_store_relaxed(&poisoned_steps, 0);
    for (uint32_t i = 0; i < PROCESSES; i++) {
        const square_model self = {poison && i == 1};
        asgd_model_free(to->p[i].data.model);
        ok(asgd_model_new(&to->p[i].data.model, &ops, &self, asgd_source_schema(to->p[i].source)));
        to->p[i].model = to->p[i].data.model;
    }
    run_all(to->p, PROCESSES);
}

/* All ended well, at the target. */
static void check_squares(const crowd *c)
{
    for (uint32_t i = 0; i < PROCESSES; i++) {
        if (c->p[i].status) fail_msg("process %u: %s", i, c->p[i].message);
        for (uint32_t r = 0; r < ROWS; r++) {
            const float w = asgd_model_row(c->p[i].model, 0, r)[0];
            if (!(fabsf(w - TARGET) < 0.1f))
                fail_msg("process %u, share %s: row %u is %g", i, c->p[i].result.share, r,
                         (double)w);
        }
    }
}

/* In rows that workers share, and in those of their own, with and without a rule that remembers. */
static void what_is_not_finite_does_not_stay(void **state)
{
    (void)state;
    static const asgd_rule_kind rules[] = {ASGD_RULE_sgd, ASGD_RULE_momentum, ASGD_RULE_adagrad};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        for (uint32_t workers = 1; workers <= 3; workers++)
            for (int share = 0; share < 2; share++) {
                crowd       group;
                uint64_t    quarantined = 0;
                asgd_config c = config(workers, share ? ASGD_SHARE_REPLICA : ASGD_SHARE_SHARED, 1);
                c.rule.kind   = rules[k];
                c.lr          = rules[k] == ASGD_RULE_adagrad ? 1 : 0.02;
                c.epochs      = 8;
                run_squares(&c, true, &group);
                check_squares(&group);
                for (uint32_t i = 0; i < PROCESSES; i++)
                    quarantined += group.p[i].result.exchange.quarantined;
                assert_true(quarantined > 0);
                crowd_free(&group);
            }
}

/* Processes that go most of the way between two exchanges overshoot, added up. */
static void what_diverges_is_brought_back(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 2; workers++) {
        crowd       group;
        asgd_config c = config(workers, ASGD_SHARE_REPLICA, 1);
        c.lr          = 0.2;
        c.local_steps = 64;
        c.epochs      = 40;
        run_squares(&c, false, &group);
        check_squares(&group);
        const asgd_exchange_result *x = &group.p[0].result.exchange;
        assert_true(x->interventions < 3 || x->undone > 0);
        crowd_free(&group);
    }
}

static void without_it_the_run_fails(void **state)
{
    (void)state;
    crowd       group;
    asgd_config c = config(1, ASGD_SHARE_SHARED, 1);
    c.lr          = 3; /* one process alone diverges */
    c.epochs      = 40;
    c.guard       = ASGD_GUARD_OFF;
    run_squares(&c, false, &group);
    for (uint32_t i = 0; i < PROCESSES; i++) assert_int_equal(group.p[i].status, ASGD_EDIVERGED);
    crowd_free(&group);
    c.guard =
        ASGD_GUARD_ON; /* which makes it as if the step were smaller, or says that it cannot */
    run_squares(&c, false, &group);
    if (group.p[0].status)
        assert_non_null(strstr(group.p[0].message, "in vain"));
    else
        check_squares(&group);
    assert_true(group.p[0].result.exchange.interventions > 2);
    crowd_free(&group);
}

static void a_healthy_run_is_left_alone(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 3; workers++) {
        crowd       group;
        asgd_config c = config(workers, ASGD_SHARE_AUTO, 1);
        c.lr          = 0.01;
        c.epochs      = 20;
        run_squares(&c, false, &group);
        check_squares(&group);
        for (uint32_t i = 0; i < PROCESSES; i++)
            assert_int_equal(group.p[i].result.exchange.interventions, 0);
        crowd_free(&group);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_finite_does_not_stay),
        cmocka_unit_test(what_diverges_is_brought_back),
        cmocka_unit_test(without_it_the_run_fails),
        cmocka_unit_test(a_healthy_run_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
