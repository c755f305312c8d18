/* The guard and the outer momentum, over a simulated network: workers go down a square (workers.h: descend). */
#include "test.h"

#include "seeds.h"

enum { EXAMPLES = 12000 };

/* No sums to be checked: what is to come of it is the minimum. */
static cluster_config descent_with(seed_kind k, uint64_t seed, uint32_t processes, double lr)
{
    cluster_config c;
    scenario(seed * KINDS + k, &c);
    asgdi_exchange_config *x = &c.exchange;
    c.size = x->size = c.net.size = processes;
    c.workers                     = 1;
    c.rule                        = ASGD_RULE_sgd;
    c.table[0].rows               = 3;
    c.table[0].dim                = 8;
    c.lr                          = lr;
    c.noise                       = 0.1;
    c.example                     = 1e-4;
    c.spread                      = 2;
    c.tick                        = 1e-3;
    c.correcting                  = 1e-3;
    c.reading                     = 0;
    c.late                        = 0;
    c.snapshots                   = 0;
    c.poison                      = 0;
    c.net.law                     = ASGDI_SIMLAW_UNIFORM;
    c.net.delay                   = 1e-3;
    c.net.rate                    = 0;
    x->total                      = EXAMPLES;
    x->batch                      = 1;
    x->chunk_seconds              = 0.02;
    x->round_least                = 0.002;
    x->clock                      = ASGDI_CLOCK_ASYNC;
    memset(x->merging, 0, sizeof x->merging);
    x->coding         = ASGDI_FLOAT32;
    x->outer_momentum = 0;
    x->local_steps    = 0;
    x->ahead          = 0;
    x->backup         = 0;
    x->share          = 1;
    x->damp = x->drop = x->clip = INFINITY;
    x->guard                    = EXAMPLES / 120;
    return c;
}

static cluster_config descent(uint64_t seed, uint32_t processes, double lr)
{
    return descent_with(KIND_DELAY, seed, processes, lr);
}

/* The largest of table 0 in those that finished; not finite: infinity. */
static double farthest(const cluster *c)
{
    double most = 0;
    for (uint32_t q = 0; q < c->c.size; q++) {
        const asgdi_table *t = &c->member[q].w.table[0];
        for (uint64_t i = 0; i < t->info.rows * t->stride && finished(c, q); i++)
            most = fmax(most, isfinite(t->master[i]) ? fabs((double)t->master[i]) : INFINITY);
    }
    return most;
}

static uint32_t interventions(const cluster *c)
{
    uint32_t most = 0;
    for (uint32_t q = 0; q < c->c.size; q++) {
        const uint32_t n = asgdi_exchange_interventions(c->member[q].x);
        if (n > most) most = n;
    }
    return most;
}

static void run(cluster *c, const cluster_config *config)
{
    assert_true(cluster_new(c, config));
    cluster_run(c);
    check_ends(c);
    check_worlds(c);
    if (c->wrong[0]) fail_msg("seed %llu: %s", (unsigned long long)config->seed, c->wrong);
}

static cluster c;

/* Eight that each go most of the way between two exchanges overshoot the minimum, added up, further each time. */
static void what_overshoots_is_brought_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(12); seed++) {
        cluster_config config = descent(seed, 8, 0.15);
        config.exchange.guard = 0;
        run(&c, &config);
        const double without = farthest(&c);
        cluster_free(&c);
        config.exchange.guard = EXAMPLES / 120;
        run(&c, &config);
        const double with = farthest(&c);
        if (!(without > 1e3) || !(with < 1) || interventions(&c) == 0)
            fail_msg("seed %llu: %g without, %g with the guard and %u interventions",
                     (unsigned long long)seed, without, with, interventions(&c));
        cluster_free(&c);
    }
}

/* The same while processes die, the one that decides among them. */
static void it_survives_deaths(void **state)
{
    (void)state;
    uint32_t went_back = 0;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(24); seed++) {
        cluster_config config = descent(seed, 8, 0.15);
        config.n_faults       = 2;
        for (uint32_t i = 0; i < 2; i++) {
            config.fault[i]                           = (fault){.kind  = FAULT_KILL,
                                                                .stage = ASGDI_TRAINING,
                                                                .after = 0.02 + 0.3 * draw_01(seed, STREAM_LOSS, i)};
            config.fault[i].who[i ? 1 + seed % 7 : 0] = 1;
        }
        run(&c, &config);
        went_back += interventions(&c) > 2;
        if (!(farthest(&c) < 1))
            fail_msg("seed %llu: %g, %u interventions", (unsigned long long)seed, farthest(&c),
                     interventions(&c));
        cluster_free(&c);
    }
    assert_true(went_back > 0);
}

/* Whatever goes wrong besides: the run ends, and all that are left have the same. */
static void it_ends_whatever_happens(void **state)
{
    (void)state;
    uint32_t went_back = 0;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(4) * KINDS; seed++) {
        cluster_config config = descent_with((seed_kind)(seed % KINDS), seed, 8, 0.15);
        if (seed % 2) config.mad = 1 + seed % 8, config.mad_after = 200;
        run(&c, &config);
        went_back += interventions(&c) > 2;
        cluster_free(&c);
    }
    assert_true(went_back > 0);
}

static void a_process_gone_mad_does_no_harm(void **state)
{
    (void)state;
    uint64_t quarantined = 0;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(24); seed++) {
        cluster_config config = descent(seed, 4, 0.01);
        config.mad            = 1 + seed % 4;
        config.mad_after      = 100 + 37 * seed;
        config.exchange.ahead = 10;
        run(&c, &config);
        for (uint32_t q = 0; q < config.size; q++) {
            asgdi_exchange_counts n;
            asgdi_exchange_count(c.member[q].x, &n);
            quarantined += n.quarantined;
        }
        if (!(farthest(&c) < 1)) fail_msg("seed %llu: %g", (unsigned long long)seed, farthest(&c));
        cluster_free(&c);
    }
    assert_true(quarantined > 0);
}

static void a_healthy_run_is_left_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(150); seed++) {
        cluster_config config = descent(seed, 1 + seed % 8, 0.005 * (double)(1 + seed % 5));
        config.exchange.total = 3000;
        config.exchange.guard = 30;
        config.exchange.ahead = config.size > 1 ? 64 / (config.size * config.size) + 2 : 0;
        config.noise          = seed % 3 ? 1 : 10;
        run(&c, &config);
        if (interventions(&c) > 0)
            fail_msg("seed %llu: %u interventions", (unsigned long long)seed, interventions(&c));
        cluster_free(&c);
    }
}

/* Windows and bounds as the engine takes them, over a network on which everything is late: each process has gone far on its
 * own, and waits, when the others' first losses come, one beat after another. */
static void what_is_heard_late_is_no_rise(void **state)
{
    static const double delay[] = {0.9, 0.5}, lr[] = {1e-4, 1.5e-4};
    static const int    processes[] = {3, 4};
    (void)state;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(6); seed++) {
        cluster_config         config = descent(seed, (uint32_t)processes[seed % 2], lr[seed % 2]);
        asgdi_exchange_config *x      = &config.exchange;
        config.spread                 = 1;
        config.net.delay              = delay[seed % 2];
        config.net.law                = ASGDI_SIMLAW_CONSTANT;
        config.net.ordered            = true;
        x->total                      = 1 << 16;
        x->chunk_seconds              = 0.25;
        x->round_least                = 0.005;
        x->guard                      = 512;
        x->ahead                      = x->total / (config.size * config.size);
        x->heartbeat                  = 0.25;
        x->dead_after                 = 10;
        x->join_seconds               = 20;
        x->resend                     = 0.5;
        run(&c, &config);
        if (interventions(&c) > 0)
            fail_msg("seed %llu: %u interventions", (unsigned long long)seed, interventions(&c));
        cluster_free(&c);
    }
}

/* ---- the findings themselves ---- */

static asgdi_finding window(asgdi_guard *g, double loss, uint64_t bad)
{
    return asgdi_guard_add(
        g, 100, &(asgdi_losses){.loss = 100 * loss, .weight = 100, .examples = 100, .bad = bad}, 0);
}

static void findings(void **state)
{
    (void)state;
    asgdi_guard g = {0};
    assert_int_equal(window(&g, 1, 0), ASGDI_GUARD_NOTHING); /* the first one */
    assert_int_equal(window(&g, 0.5, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 0.2, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 0.1, 0), ASGDI_GUARD_GOOD);
    /* twice the best, but little is lost; a jump that comes back */
    for (int i = 0; i < 10; i++) assert_int_equal(window(&g, 0.5, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 50, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 20, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 5, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 0.3, 0), ASGDI_GUARD_NOTHING);
    /* one that stays */
    assert_int_equal(window(&g, 0.9, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 0.9, 0), ASGDI_GUARD_WORSE);
    asgdi_guard_again(&g, 0);
    assert_int_equal(window(&g, 0.9, 0), ASGDI_GUARD_NOTHING); /* is not looked at */
    assert_int_equal(window(&g, 0.9, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 0.9, 0), ASGDI_GUARD_WORSE);
    asgdi_guard_again(&g, 0);
    assert_int_equal(window(&g, 0.1, 0), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 1, 60), ASGDI_GUARD_NOTHING);
    assert_int_equal(window(&g, 1, 60), ASGDI_GUARD_BROKEN);
}

/* What another process had at its beginning is heard of when the best is known; what it had after that shows a rise. */
static void late_losses(void **state)
{
    (void)state;
    asgdi_guard  g   = {0};
    asgdi_losses old = {.loss = 90, .weight = 100, .examples = 100, .first = 1};
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 100), ASGDI_GUARD_NOTHING);
    asgdi_losses own = {.loss = 10, .weight = 100, .examples = 100, .known = 100};
    assert_int_equal(asgdi_guard_add(&g, 100, &own, 200), ASGDI_GUARD_NOTHING);
    for (old.known = 0; old.known < 200; old.known++)
        assert_int_equal(asgdi_guard_add(&g, 100, &old, 300), ASGDI_GUARD_NOTHING);
    own.known = 300; /* nothing of them is left in the window */
    assert_int_equal(asgdi_guard_add(&g, 100, &own, 400), ASGDI_GUARD_NOTHING);
    assert_true(g.fine && g.streak == 0);
    old.known = 200;
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 500), ASGDI_GUARD_NOTHING);
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 600), ASGDI_GUARD_WORSE);
    asgdi_guard_again(&g, 600);
    for (old.known = 500; old.known < 600; old.known++) /* from before what was done */
        assert_int_equal(asgdi_guard_add(&g, 100, &old, 700), ASGDI_GUARD_NOTHING);
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 700), ASGDI_GUARD_NOTHING); /* not looked at */
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 800), ASGDI_GUARD_NOTHING);
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 900), ASGDI_GUARD_WORSE);
    /* losses that are none count whenever they were had */
    asgdi_guard_again(&g, 900);
    old.known = 0;
    old.bad   = 60;
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 1000), ASGDI_GUARD_NOTHING);
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 1100), ASGDI_GUARD_NOTHING);
    assert_int_equal(asgdi_guard_add(&g, 100, &old, 1200), ASGDI_GUARD_BROKEN);
}

/* ---- outer momentum ---- */

/* One process, a step down the square between rounds: d = -lr w, v = b v + d, w += d + b v.  Of that linear recurrence
 *     w(n+1) = (1 - lr - b lr + b) w(n) - b (1 - lr) w(n-1)
 * the solution is A r^n + B s^n with the roots r, s of x^2 - (1 - lr - b lr + b) x + b (1 - lr). */
static void momentum_is_nesterovs(void **state)
{
    (void)state;
    static const double betas[] = {0.25, 0.5, 0.8, 0.9};
    const double        lr      = 0.01;
    for (size_t i = 0; i < sizeof betas / sizeof *betas; i++) {
        const double          b   = betas[i];
        const double          sum = 1 - lr - b * lr + b, product = b * (1 - lr);
        const double          root = sqrt(sum * sum / 4 - product);
        const double          r = sum / 2 + root, s = sum / 2 - root;
        const double          w0 = 8, w1 = w0 * (1 - lr - b * lr);
        const double          A = (w1 - s * w0) / (r - s), B = w0 - A;
        asgd_table            table = {.name = "w", .rows = 1, .dim = 1};
        asgdi_params          p;
        asgdi_exchange       *x;
        asgdi_progress        told   = {0};
        asgdi_exchange_config config = {.size           = 1,
                                        .run            = 1,
                                        .total          = 1000,
                                        .batch          = 1,
                                        .chunk_seconds  = 1,
                                        .local_steps    = 1,
                                        .outer_momentum = b,
                                        .merging        = {ASGDI_MERGE_MEAN},
                                        .damp           = INFINITY,
                                        .drop           = INFINITY,
                                        .clip           = INFINITY,
                                        .heartbeat      = 1,
                                        .dead_after     = 10,
                                        .join_seconds   = 10,
                                        .resend         = 1,
                                        .least          = 1};
        if (!(sum * sum / 4 > product)) continue; /* it oscillates */
        ok(asgdi_params_init(&p, &table, 1, 1));
        ok(asgdi_params_set_rule(&p, ASGD_RULE_sgd));
        float *w = p.table[0].master;
        *w       = (float)w0;
        ok(asgdi_exchange_new(&x, &config, &p, read_rows, &p));
        asgdi_exchange_tick(x, 0, &told);
        for (int n = 1; n <= 200; n++) {
            const asgdi_correction *k;
            *w -= (float)lr * *w;
            told.updates++;
            asgdi_exchange_tick(x, n, &told);
            const uint32_t corrections = asgdi_exchange_corrections(x, &k);
            assert_int_equal(corrections, 1);
            *w += *k->by;
            asgdi_exchange_corrected(x);
            asgdi_exchange_tick(x, n + 0.5, &told);
            const double want = A * pow(r, n) + B * pow(s, n);
            if (fabs((double)*w - want) > 1e-4 * w0)
                fail_msg("momentum %g, step %d: %g, not %g", b, n, (double)*w, want);
        }
        asgdi_exchange_free(x);
        asgdi_params_free(&p);
    }
}

/* Many processes, asynchronous and synchronous: to the minimum, and sooner than without. */
static void momentum_converges(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < seeds_of_a_kind(12); seed++)
        for (int sync = 0; sync < 2; sync++) {
            double far[2];
            for (int with = 0; with < 2; with++) {
                cluster_config config       = descent(seed, 4, 0.002);
                config.noise                = 0;
                config.exchange.total       = 6000;
                config.exchange.clock       = sync ? ASGDI_CLOCK_SYNC : ASGDI_CLOCK_ASYNC;
                config.exchange.local_steps = 10;
                config.exchange.ahead       = 20;
                for (int t = 0; t < TABLES; t++) config.exchange.merging[t] = ASGDI_MERGE_MEAN;
                config.exchange.outer_momentum = with ? 0.6 : 0;
                run(&c, &config);
                far[with] = farthest(&c);
                cluster_free(&c);
            }
            if (!(far[1] < far[0] / 2) || !(far[0] < 8))
                fail_msg("seed %llu, %s: %g without, %g with momentum", (unsigned long long)seed,
                         sync ? "sync" : "async", far[0], far[1]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings),
        cmocka_unit_test(late_losses),
        cmocka_unit_test(what_is_heard_late_is_no_rise),
        cmocka_unit_test(what_overshoots_is_brought_back),
        cmocka_unit_test(it_survives_deaths),
        cmocka_unit_test(it_ends_whatever_happens),
        cmocka_unit_test(a_process_gone_mad_does_no_harm),
        cmocka_unit_test(a_healthy_run_is_left_alone),
        cmocka_unit_test(momentum_is_nesterovs),
        cmocka_unit_test(momentum_converges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
