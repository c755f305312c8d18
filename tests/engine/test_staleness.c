/* T0: mean staleness is the number of updates in flight less one, and its distribution follows from the
 * workers' speeds.  T8: a stall common to all does not diverge. */
#include "engine/count_model.h"
#include "engine/staleness.h"

#include <errno.h>
#include <pthread.h>

/* ---- virtual time ----
 *
 * Real workers, each step of which takes a virtual time of its own.  A step that begins says when it will
 * be done and waits; when all workers wait, the one that is done first goes on alone.  So the order of
 * updates is that of the virtual times, however busy the machine. */
enum { MOST = 8 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    int             workers; /* expected; fewer when some have come to the end of the data */
    int             waiting;
    double          now, wake[MOST]; /* of those that wait; INFINITY: free */
} line = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void line_start(int workers)
{
    line.workers = workers;
    line.waiting = 0;
    line.now     = 0;
    for (int i = 0; i < MOST; i++) line.wake[i] = INFINITY;
}

static void line_wait(double seconds)
{
    pthread_mutex_lock(&line.lock);
    int mine = 0, first = 0;
    while (isfinite(line.wake[mine])) mine++;
    line.wake[mine] = line.now + seconds;
    line.waiting++;
    if (line.workers < line.waiting) line.workers = line.waiting; /* was only slow */
    pthread_cond_broadcast(&line.changed);
    for (;;) {
        first = 0;
        for (int i = 1; i < MOST; i++)
            if (line.wake[i] < line.wake[first]) first = i;
        if (line.waiting == line.workers && first == mine) break;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100 * 1000 * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        /* nobody came for so long: a worker has left for good */
        if (pthread_cond_timedwait(&line.changed, &line.lock, &until) == ETIMEDOUT &&
            line.waiting < line.workers)
            line.workers = line.waiting;
    }
    line.now        = line.wake[mine];
    line.wake[mine] = INFINITY;
    line.waiting--;
    pthread_cond_broadcast(&line.changed);
    pthread_mutex_unlock(&line.lock);
}

typedef struct timed_model {
    double mean; /* a step's virtual seconds; negative: exponential with that mean */
} timed_model;

static void timed_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                       void *scratch, uint64_t random, asgd_stats *st)
{
    const double mean = ((const timed_model *)self)->mean;
    line_wait(mean > 0 ? mean : mean * log(((double)(random >> 11) + 0.5) * 0x1p-53));
    static const count_model at_once = {0};
    count_step(&at_once, b, w, g, scratch, random, st);
}

static asgd_staleness run(uint32_t workers, asgd_share share, double mean, uint64_t updates)
{
    static asgd_model_ops ops;
    count_data            d;
    asgd_model           *m;
    timed_model           self = {mean};
    ops                        = count_ops;
    ops.step                   = timed_step;
    ops.self_bytes             = sizeof self;
    count_setup(&d, updates, 64, 0);
    ok(asgd_model_new(&m, &ops, &self, asgd_source_schema(d.source)));
    asgd_config c = {.workers = workers,
                     .share   = share,
                     .batch   = 1,
                     .epochs  = 1,
                     .lr      = 1,
                     .merge   = 1,
                     .rule    = {.kind = ASGD_RULE_sgd},
                     .pace    = 1e-9};
    asgd_result r;
    line_start((int)workers);
    ok(asgd_train(m, d.source, &c, &r));
    asgd_staleness s = r.staleness;
    asgd_result_free(&r);
    asgd_model_free(m);
    count_free(&d);
    return s;
}

/* Every delay law: the workers' reads tile the updates, so the mean is M - 1 but for start and end. */
static void mean_is_in_flight_minus_one(void **state)
{
    (void)state;
    for (uint32_t m = 2; m <= MOST; m *= 2)
        for (int exponential = 0; exponential < 2; exponential++) {
            const uint64_t n = 1000 * (uint64_t)m;
            asgd_staleness s = run(m, ASGD_SHARE_REPLICA, exponential ? -1 : 1, n);
            print_message("%u workers, %s steps: mean %.3f, p50 %llu, p99 %llu\n", m,
                          exponential ? "exponential" : "equal", s.mean, (unsigned long long)s.p50,
                          (unsigned long long)s.p99);
            assert_int_equal(s.count, n);
            assert_true(fabs(s.mean - (m - 1)) < 0.02 * (m - 1));
        }
}

/* Memoryless speeds: P(tau = k) = (1/M) (1 - 1/M)^k.  Bands: 5 standard deviations of a count whose
 * neighbours are correlated, taken as a quarter as many independent ones. */
static void exponential_speeds_give_a_geometric_law(void **state)
{
    (void)state;
    enum { M = 4, N = 20000 };
    asgd_staleness s = run(M, ASGD_SHARE_REPLICA, -1, N);
    double         p = 1.0 / M;
    for (int k = 0; k < 8; k++, p *= 1 - 1.0 / M) {
        double seen = (double)s.bucket[k] / N, band = 5 * sqrt(p * (1 - p) / (N / 4.0));
        print_message("P(%d) = %.4f, expected %.4f +- %.4f\n", k, seen, p, band);
        assert_true(fabs(seen - p) < band);
    }
}

/* Equal speeds: every update meets exactly one update of each other worker. */
static void equal_speeds_concentrate(void **state)
{
    (void)state;
    enum { M = 4, N = 4000 };
    asgd_staleness s = run(M, ASGD_SHARE_REPLICA, 1, N);
    print_message("exactly %d: %.1f %%\n", M - 1, 100.0 * (double)s.bucket[M - 1] / N);
    assert_true((double)s.bucket[M - 1] > 0.99 * N);
}

/* Shared rows are measured by other means, and give the same mean. */
static void shared_rows_too(void **state)
{
    (void)state;
    asgd_staleness s = run(4, ASGD_SHARE_SHARED, -1, 8000);
    print_message("shared: mean %.3f over %llu sampled\n", s.mean, (unsigned long long)s.count);
    assert_true(s.count >= 900 && fabs(s.mean - 3) < 0.5);
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

/* One worker of two sleeps through a hundred updates of the other and then enters one of its own: with the
 * weight 2 / tau by default, whole if told so. */
static void sleepy_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                        void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self;
    static const count_model at_once = {0};
    count_step(&at_once, b, w, g, scratch, random, st);
    /* the first example is one worker's first step: the other's hundred wait for its read */
    line_wait(b->position == 0 ? 100.5 : 1);
}

static void very_stale_progress_is_damped(void **state)
{
    (void)state;
    for (int damp = 0; damp < 2; damp++) {
        static asgd_model_ops ops;
        count_data            d;
        asgd_model           *m;
        count_model           self = {0};
        asgd_result           r;
        ops      = count_ops;
        ops.step = sleepy_step;
        count_setup(&d, 400, 1, 0);
        ok(asgd_model_new(&m, &ops, &self, asgd_source_schema(d.source)));
        asgd_config c = {.workers = 2,
                         .share   = ASGD_SHARE_REPLICA,
                         .batch   = 1,
                         .epochs  = 1,
                         .lr      = 1,
                         .merge   = 1,
                         .rule    = {.kind = ASGD_RULE_sgd},
                         .damp    = damp ? 0 : -1};
        line_start(2);
        ok(asgd_train(m, d.source, &c, &r));
        double sum = (double)asgd_model_row(m, 0, 0)[0];
        print_message("damping %s: %llu damped, staleness up to %llu, sum %.3f of 400\n",
                      damp ? "on" : "off", (unsigned long long)r.damped,
                      (unsigned long long)r.staleness.max, sum);
        assert_true(r.staleness.max >= 90);
        assert_int_equal(r.damped, damp);
        if (damp)
            assert_true(fabs(400 - sum - (1 - 2.0 / (double)r.staleness.max)) < 1e-3);
        else
            assert_true(sum == 400);
        asgd_result_free(&r);
        asgd_model_free(m);
        count_free(&d);
    }
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
    (void)w;
    (void)scratch;
    double                noise = (double)(random >> 11) * 0x1p-53 - 0.5; /* variance 1/12 */
    static const uint32_t row   = 0;
    float x = asgd_dot_sparse(g, 0, 1, &row, NULL), gradient = x + (float)(0.1 * sqrt(12) * noise);
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
        cmocka_unit_test(very_stale_progress_is_damped),
        cmocka_unit_test(a_common_stall_does_not_diverge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
