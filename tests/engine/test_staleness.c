/* T0: mean staleness is the number of updates in flight less one, and its distribution follows from the
 * workers' speeds.  T8: a stall common to all does not diverge. */
#include "engine/count_model.h"
#include "engine/staleness.h"

static asgd_staleness run(uint32_t workers, asgd_share share, double step_seconds, uint64_t updates)
{
    count_data d;
    count_setup(&d, updates, 64, step_seconds);
    asgd_config c = {.workers = workers,
                     .share   = share,
                     .batch   = 1,
                     .epochs  = 1,
                     .lr      = 1,
                     .merge   = 1,
                     .rule    = {.kind = ASGD_RULE_sgd},
                     .pace    = 1e-9};
    asgd_result r;
    ok(asgd_train(d.model, d.source, &c, &r));
    asgd_staleness s = r.staleness;
    asgd_result_free(&r);
    count_free(&d);
    return s;
}

/* Every delay law: the workers' reads tile the updates, so the mean is M - 1 but for start and end. */
static void mean_is_in_flight_minus_one(void **state)
{
    (void)state;
    for (uint32_t m = 2; m <= 8; m *= 2)
        for (int exponential = 0; exponential < 2; exponential++) {
            asgd_staleness s =
                run(m, ASGD_SHARE_REPLICA, exponential ? -1e-3 : 1e-3, 400 * (uint64_t)m);
            print_message("%u workers, %s steps: mean %.3f, p50 %llu, p99 %llu\n", m,
                          exponential ? "exponential" : "equal", s.mean, (unsigned long long)s.p50,
                          (unsigned long long)s.p99);
            assert_int_equal(s.count, 400 * (uint64_t)m);
            assert_true(fabs(s.mean - (m - 1)) < 0.05 * (m - 1));
        }
}

/* Memoryless speeds: P(tau = k) = (1/M) (1 - 1/M)^k.  Bands: 5 standard deviations of a count whose
 * neighbours are correlated, taken as a quarter as many independent ones. */
static void exponential_speeds_give_a_geometric_law(void **state)
{
    (void)state;
    enum { M = 4, N = 5000 };
    asgd_staleness s = run(M, ASGD_SHARE_REPLICA, -2e-3, N);
    double         p = 1.0 / M;
    for (int k = 0; k < 8; k++, p *= 1 - 1.0 / M) {
        double seen = (double)s.bucket[k] / N, band = 5 * sqrt(p * (1 - p) / (N / 4.0));
        print_message("P(%d) = %.4f, expected %.4f +- %.4f\n", k, seen, p, band);
        assert_true(fabs(seen - p) < band);
    }
}

/* Equal speeds: most updates meet exactly one update of each other worker. */
static void equal_speeds_concentrate(void **state)
{
    (void)state;
    enum { M = 4, N = 1200 };
    asgd_staleness s    = run(M, ASGD_SHARE_REPLICA, 5e-3, N);
    uint64_t       near = s.bucket[M - 2] + s.bucket[M - 1] + s.bucket[M];
    print_message("within one of %d: %.1f %%\n", M - 1, 100.0 * (double)near / N);
    assert_true(near > N / 2); /* the geometric law would have 0.33 there */
}

/* Shared rows are measured by other means, and give the same mean. */
static void shared_rows_too(void **state)
{
    (void)state;
    asgd_staleness s = run(4, ASGD_SHARE_SHARED, 1e-3, 4000);
    print_message("shared: mean %.3f over %llu sampled\n", s.mean, (unsigned long long)s.count);
    assert_true(s.count > 0 && fabs(s.mean - 3) < 0.25);
}

static void buckets_hold_what_they_say(void **state)
{
    (void)state;
    asgdi_tau      t = {0};
    asgd_staleness s;
    for (int i = 1; i < ASGD_STALENESS_BUCKETS; i++)
        assert_true(asgd_staleness_low(i) > asgd_staleness_low(i - 1));
    for (uint64_t v = 0; v < 100000; v += 1 + v / 3) {
        asgdi_tau_add(&t, v, 1);
        asgdi_tau_result(&t, &s);
        int i = ASGD_STALENESS_BUCKETS - 1;
        while (asgd_staleness_low(i) > v) i--;
        assert_true(s.bucket[i] > 0);
    }
    t = (asgdi_tau){0};
    for (int i = 0; i < 100; i++) asgdi_tau_add(&t, (uint64_t)i / 10, 2);
    asgdi_tau_result(&t, &s);
    assert_int_equal(s.count, 200);
    assert_true(fabs(s.mean - 4.5) < 1e-12);
    assert_int_equal(s.p50, 4);
    assert_int_equal(s.p99, 9);
    assert_int_equal(s.max, 9);
}

/* T8, the trap of a common stall: f = x^2 / 2, gradient noise 0.1, step 0.25, five workers.  With delays
 * of 60 updates that step diverges; but a stall of all workers puts no more updates in flight than there
 * are workers, however long it lasts, so x stays small. */
static asgd_status quadratic_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                   asgd_task *task, uint32_t *outputs)
{
    (void)self;
    (void)d;
    tables[0] = (asgd_table){.name = "x", .rows = 1, .dim = 1};
    *n        = 1;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    return ASGD_OK;
}

static void quadratic_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                           void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self;
    (void)scratch;
    double noise = (double)(random >> 11) * 0x1p-53 - 0.5; /* variance 1/12 */
    float  x = asgd_row(w, 0)[0], gradient = x + (float)(0.1 * sqrt(12) * noise);
    test_sleep(b->position >= 1000 && b->position < 2000 ? 3e-3 : 2e-4);
    asgd_emit_rows(g, 0, 0, 1, 1, &gradient, 1);
    st->loss += (double)(x * x) / 2;
    st->weight += 1;
}

static int keep_largest(const asgd_point *p, void *user)
{
    double *largest = user;
    if (p->epochs > 0.34 && p->train_loss > *largest) *largest = p->train_loss;
    return 0;
}

static void a_common_stall_does_not_diverge(void **state)
{
    (void)state;
    static const asgd_model_ops quadratic = {
        .name = "quadratic", .shape = quadratic_shape, .step = quadratic_step};
    for (int replica = 0; replica < 2; replica++) {
        count_data  d;
        asgd_model *m;
        double      largest = 0;
        count_setup(&d, 3000, 1, 0);
        ok(asgd_model_new(&m, &quadratic, NULL, asgd_source_schema(d.source)));
        asgd_model_row(m, 0, 0)[0] = 10;
        asgd_config c              = {.workers      = 5,
                                      .batch        = 1,
                                      .epochs       = 1,
                                      .lr           = 0.25,
                                      .merge        = 1,
                                      .share        = replica ? ASGD_SHARE_REPLICA : ASGD_SHARE_SHARED,
                                      .pace         = 1e-9,
                                      .report_every = 0.02,
                                      .observe      = keep_largest,
                                      .user         = &largest};
        ok(asgd_train(m, d.source, &c, NULL));
        print_message("%s: largest mean x^2/2 from the stall on %.3g, x at the end %.3g\n",
                      replica ? "replica" : "shared", largest, (double)asgd_model_row(m, 0, 0)[0]);
        assert_true(largest < 0.5);
        assert_true(fabsf(asgd_model_row(m, 0, 0)[0]) < 1);
        asgd_model_free(m);
        count_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_is_in_flight_minus_one),
        cmocka_unit_test(exponential_speeds_give_a_geometric_law),
        cmocka_unit_test(equal_speeds_concentrate),
        cmocka_unit_test(shared_rows_too),
        cmocka_unit_test(buckets_hold_what_they_say),
        cmocka_unit_test(a_common_stall_does_not_diverge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
