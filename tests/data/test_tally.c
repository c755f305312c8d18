/* test_tally.c -- features numbered and counted by threads that meet at the same slots. */
#define _GNU_SOURCE /* rwlock */
#include "data/tally.h"

#include <pthread.h>
#include <stdlib.h>

#include "test.h"

enum { THREADS = 4, FEATURES = 60000, TIMES = 2 };

typedef struct taker {
    asgdi_tally *t;
    uint32_t     k, each; /* features a call */
    bool         failed;
} taker;

static uint32_t feature_of(uint32_t i)
{
    return i * UINT32_C(2654435769);
}

/* All take the same features in the same order, so that they are after the same empty slots. */
static void *take(void *arg)
{
    taker   *x = arg;
    uint32_t idx[64];
    for (int time = 0; time < TIMES; time++)
        for (uint32_t i = 0; i < FEATURES && !x->failed; i += x->each) {
            const uint32_t n = FEATURES - i < x->each ? FEATURES - i : x->each;
            for (uint32_t j = 0; j < n; j++) idx[j] = feature_of(i + j);
            x->failed = !asgdi_tally_take(x->t, x->k, idx, n);
        }
    return NULL;
}

/* Whoever comes too late for a slot has not used it: slots in use are as many as features, whatever the order. */
static void holds_what_is_there(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 7, 64};
    for (size_t s = 0; s < 4 * sizeof sizes / sizeof *sizes; s++) {
        asgdi_tally t;
        taker       x[THREADS];
        pthread_t   thread[THREADS];
        assert_true(asgdi_tally_init(&t, THREADS));
        for (uint32_t k = 0; k < THREADS; k++) {
            x[k] = (taker){.t = &t, .k = k, .each = sizes[s / 4]};
            assert_int_equal(pthread_create(&thread[k], NULL, take, &x[k]), 0);
        }
        for (uint32_t k = 0; k < THREADS; k++) assert_int_equal(pthread_join(thread[k], NULL), 0);
        for (uint32_t k = 0; k < THREADS; k++) assert_false(x[k].failed);
        assert_int_equal(asgdi_load_relaxed(&t.held), FEATURES);
        uint8_t *seen = calloc(asgdi_load_relaxed(&t.ids), 1);
        assert_non_null(seen);
        for (uint32_t i = 0; i < FEATURES; i++) {
            const uint32_t id = asgdi_tally_find(&t, feature_of(i));
            assert_true(id < asgdi_load_relaxed(&t.ids) && !seen[id]++);
            assert_int_equal(t.feature[id], feature_of(i));
            assert_int_equal(asgdi_tally_count(&t, id), THREADS * TIMES);
        }
        free(seen);
        asgdi_tally_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(holds_what_is_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
