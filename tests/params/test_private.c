/* Private rows: nothing is lost in merges.  Progress of whole numbers is exact in floats, so the
 * master must equal the sum of what all workers did, to the last unit. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/status.h"
#include "params/params.h"

enum { WORKERS = 8, TABLES = 3 };

static const asgd_table tables[TABLES] = {
    {.name = "wide", .rows = 3, .dim = 9000}, /* a row is more than a block */
    {.name = "many", .rows = 20000, .dim = 1},
    {.name = "some", .rows = 300, .dim = 12},
};
static const uint64_t own_some[TABLES] = {3, 9001, 299};
static const uint64_t own_none[TABLES] = {0, 0, 0};

typedef struct worker {
    pthread_t        thread;
    asgdi_params    *p;
    asgdi_locks     *locks;
    const asgd_kern *k;
    asgdi_private    w;
    int              number, merges;
    double           added[TABLES];
} worker;

/* Adds whole numbers at random places, merging in between; the sum of each table is kept. */
static void *work(void *arg)
{
    worker    *o    = arg;
    uint64_t   draw = 0;
    asgdk_step none = {.lr = 1, .beta2 = 1};
    for (int m = 0; m < o->merges; m++) {
        for (int t = 0; t < TABLES; t++) {
            const asgdi_table *x = &o->p->table[t];
            for (int i = 0; i < 50; i++) {
                const uint64_t r = asgdi_random(1, (uint64_t)o->number, draw++) % o->w.n_own[t];
                const uint64_t c = asgdi_random(2, (uint64_t)o->number, draw) % x->info.dim;
                const float    d = (float)(asgdi_random(3, (uint64_t)o->number, draw) % 9) - 3;
                o->w.own[t][r * x->stride + c] += d;
                o->added[t] += d;
            }
        }
        asgdi_merge(&o->w, o->p, o->locks, o->k, WORKERS, 1, &none);
        if (m % 3 == o->number % 3) sched_yield();
    }
    return NULL;
}

static double total(const float *x, const asgdi_table *t, uint64_t rows)
{
    double sum = 0;
    for (uint64_t i = 0; i < rows * t->stride; i++) sum += x[i];
    return sum;
}

static void conserve(const asgd_kern *k, asgd_rule_kind rule, int merges)
{
    asgdi_params  p, copy;
    asgdi_locks  *locks;
    static worker o[WORKERS];
    assert_int_equal(asgdi_params_init(&p, tables, TABLES, 1), ASGD_OK);
    assert_int_equal(asgdi_params_init(&copy, tables, TABLES, 1), ASGD_OK);
    assert_int_equal(asgdi_params_set_rule(&p, rule), ASGD_OK);
    assert_int_equal(asgdi_locks_new(&locks, &p, own_some), ASGD_OK);
    for (int i = 0; i < WORKERS; i++) {
        o[i] = (worker){.p = &p, .locks = locks, .k = k, .number = i, .merges = merges};
        assert_int_equal(asgdi_private_init(&o[i].w, &p, own_some), ASGD_OK);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&o[i].thread, NULL, work, &o[i]), 0);
    for (int i = 0; i < 20; i++) asgdi_params_snapshot(&p, locks, own_some, k, &copy);
    for (int i = 0; i < WORKERS; i++) pthread_join(o[i].thread, NULL);

    asgdi_params_snapshot(&p, locks, own_some, k, &copy);
    for (int t = 0; t < TABLES; t++) {
        double want = 0;
        for (int i = 0; i < WORKERS; i++) want += o[i].added[t];
        const double got = total(p.table[t].master, &p.table[t], p.table[t].info.rows);
        if (got != want) fail_msg("%s: table %d is %.1f, not %.1f", k->name, t, got, want);
        assert_true(total(copy.table[t].master, &copy.table[t], copy.table[t].info.rows) == want);
    }
    /* one more merge of each, with nothing new, brings everybody to the same */
    asgdk_step none = {.lr = 1, .beta2 = 1};
    for (int i = 0; i < WORKERS; i++) {
        asgdi_merge(&o[i].w, &p, locks, k, WORKERS, 1, &none);
        for (int t = 0; t < TABLES; t++) {
            const size_t bytes = own_some[t] * p.table[t].stride * sizeof(float);
            assert_memory_equal(o[i].w.own[t], p.table[t].master, bytes);
            assert_memory_equal(o[i].w.seen[t], p.table[t].master, bytes);
        }
        asgdi_private_free(&o[i].w);
    }
    asgdi_locks_free(locks);
    asgdi_params_free(&p);
    asgdi_params_free(&copy);
}

static void test_conserve(void **state)
{
    (void)state;
    for (int v = 0; asgdk_variant(v); v++) {
        conserve(asgdk_variant(v), ASGD_RULE_sgd, 15);
        conserve(asgdk_variant(v), ASGD_RULE_rmsprop, 8); /* by parts of rows: w is still summed */
    }
}

/* One block that all want at once: without its lock this loses progress in nearly every run. */
static void *crowd(void *arg)
{
    worker    *o    = arg;
    asgdk_step none = {.lr = 1};
    for (int m = 0; m < o->merges; m++) {
        for (size_t c = 0; c < o->p->table[0].stride; c++) o->w.own[0][c] += 1;
        asgdi_merge(&o->w, o->p, o->locks, o->k, WORKERS, 1, &none);
    }
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    const asgd_table one = {.name = "one", .rows = 1, .dim = ASGDI_BLOCK_FLOATS};
    const uint64_t   own = 1;
    asgdi_params     p;
    asgdi_locks     *locks;
    static worker    o[WORKERS];
    assert_int_equal(asgdi_params_init(&p, &one, 1, 1), ASGD_OK);
    assert_int_equal(asgdi_locks_new(&locks, &p, &own), ASGD_OK);
    for (int i = 0; i < WORKERS; i++) {
        o[i] = (worker){.p = &p, .locks = locks, .k = asgdk_variant(0), .merges = 300};
        assert_int_equal(asgdi_private_init(&o[i].w, &p, &own), ASGD_OK);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&o[i].thread, NULL, crowd, &o[i]), 0);
    for (int i = 0; i < WORKERS; i++) pthread_join(o[i].thread, NULL);
    for (size_t c = 0; c < ASGDI_BLOCK_FLOATS; c++)
        if (p.table[0].master[c] != WORKERS * 300)
            fail_msg("column %zu is %g", c, (double)p.table[0].master[c]);
    for (int i = 0; i < WORKERS; i++) asgdi_private_free(&o[i].w);
    asgdi_locks_free(locks);
    asgdi_params_free(&p);
}

/* Shared rows and those of the master that a view does not own stay alone. */
static void test_views(void **state)
{
    (void)state;
    asgdi_params   p;
    asgdi_private  w;
    asgdi_locks   *locks;
    asgd_view      v[TABLES];
    const uint64_t own[TABLES] = {2, UINT64_MAX, 0}; /* more than there are: all */
    asgdk_step     step        = {.lr = 1};
    assert_int_equal(asgdi_params_init(&p, tables, TABLES, 1), ASGD_OK);
    assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_adam), ASGD_OK);
    for (int t = 0; t < TABLES; t++)
        for (uint64_t i = 0; i < p.table[t].info.rows * p.table[t].stride; i++)
            p.table[t].master[i] = (float)(i % 1000);
    assert_int_equal(asgdi_private_init(&w, &p, own), ASGD_OK);
    assert_int_equal(asgdi_locks_new(&locks, &p, own), ASGD_OK);
    asgdi_private_views(&w, &p, v);
    assert_int_equal(v[0].n_own, 2);
    assert_int_equal(v[1].n_own, 20000);
    assert_int_equal(v[2].n_own, 0);
    assert_null(w.own[2]);
    for (int t = 0; t < TABLES; t++) {
        assert_non_null(w.local[t]);
        for (uint64_t r = 0; r < p.table[t].info.rows; r++) {
            const float *row = asgd_row(&v[t], r), *master = p.table[t].master;
            assert_true((row == master + r * p.table[t].stride) == (r >= v[t].n_own));
            assert_memory_equal(row, master + r * p.table[t].stride,
                                p.table[t].stride * sizeof(float));
        }
    }
    w.own[0][5] += 2;
    const float before = p.table[0].master[5];
    assert_true(before + 2 == w.own[0][5]);
    asgdi_merge(&w, &p, locks, asgdk_best(), 1, 1, &step);
    assert_true(p.table[0].master[5] == before + 2);
    assert_true(p.table[0].master[2 * p.table[0].stride] ==
                (float)(2 * p.table[0].stride % 1000)); /* the first shared row */
    asgdi_private_free(&w);
    asgdi_private_free(&w); /* harmless */
    asgdi_locks_free(locks);
    asgdi_locks_free(NULL);
    asgdi_params_free(&p);
}

/* Merges of due blocks: block b as often as it is said, nothing lost, and a whole merge leaves nothing out. */
static void check_due(uint32_t dim, uint32_t block)
{
    enum { BLOCKS = 80 };
    const uint32_t   rows     = block * BLOCKS;
    const asgd_table table[2] = {{.name = "hot", .rows = rows + 1, .dim = dim},
                                 {.name = "replica", .rows = block, .dim = dim}};
    const uint64_t   own[2]   = {rows, block};
    const asgdk_step step     = {0};
    const asgd_kern *k        = asgdk_best();
    asgdi_params     p;
    asgdi_locks     *locks;
    asgdi_private    w[2];
    assert_int_equal(asgdi_params_init(&p, table, 2, 1), ASGD_OK);
    assert_int_equal(asgdi_locks_new(&locks, &p, own), ASGD_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(asgdi_private_init(&w[i], &p, own), ASGD_OK);
    uint32_t merged[BLOCKS] = {0};
    for (int round = 1; round <= 2 * ASGDI_RAREST; round++) {
        for (uint32_t r = 0; r < rows; r++) w[0].own[0][r * dim] += 1;
        for (uint32_t r = 0; r < block; r++) w[0].own[1][r * dim + 1] += 1;
        asgdi_merge_due(&w[0], &p, locks, k, 2, 1, &step);
        for (uint32_t b = 0; b < BLOCKS; b++) {
            const float master = p.table[0].master[(size_t)b * block * dim];
            assert_true(master == (float)round || master < (float)round);
            merged[b] += master == (float)round;
            assert_true((float)round - master < ASGDI_RAREST);
        }
        assert_true(p.table[1].master[(block - 1) * dim + 1] == (float)round);
    }
    for (uint32_t b = 0; b < BLOCKS; b++) {
        uint32_t every = 1;
        while (every < ASGDI_RAREST && 2 * every <= b + 1) every *= 2;
        assert_int_equal(merged[b], 2 * ASGDI_RAREST / every);
    }
    for (uint32_t r = 0; r < rows; r++) w[1].own[0][r * dim] += 1000;
    asgdi_merge_due(&w[1], &p, locks, k, 2, 1, &step);
    for (int i = 0; i < 2; i++) asgdi_merge(&w[i], &p, locks, k, 2, 1, &step);
    for (uint32_t r = 0; r < rows; r++)
        assert_true(p.table[0].master[r * dim] == 1000 + 2 * ASGDI_RAREST);
    for (int i = 0; i < 2; i++) asgdi_private_free(&w[i]);
    asgdi_locks_free(locks);
    asgdi_params_free(&p);
}

static void test_due(void **state)
{
    (void)state;
    check_due(1024, ASGDI_BLOCK_FLOATS / 1024);
    check_due(8, ASGDI_BLOCK_ROWS);
}

/* Two workers, one row: what is summed, averaged and derived, in numbers. */
static void test_parts(void **state)
{
    (void)state;
    const asgd_table table[2] = {{.name = "x", .rows = 2, .dim = 12},
                                 {.name = "b", .rows = 2, .dim = 1, .flags = ASGD_TABLE_NO_DECAY}};
    const uint64_t   own[2]   = {1, 1};
    const asgdk_step step     = {.lr = 0.5f, .beta2 = 1, .l1 = 1, .l2 = 0.25f};
    for (int v = 0; asgdk_variant(v); v++) {
        const asgd_kern *k = asgdk_variant(v);
        asgdi_params     p;
        asgdi_locks     *locks;
        asgdi_private    w[2];

        assert_int_equal(asgdi_params_init(&p, table, 2, 1), ASGD_OK);
        assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_rmsprop), ASGD_OK);
        assert_int_equal(asgdi_locks_new(&locks, &p, own), ASGD_OK);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(asgdi_private_init(&w[i], &p, own), ASGD_OK);
            w[i].own[0][11]     = (float)(1 + i);     /* w: summed */
            w[i].own[0][16 + 2] = (float)(4 + 4 * i); /* statistics: averaged */
            w[i].own[1][0]      = 1;
            w[i].own[1][1]      = 4;
        }
        for (int i = 0; i < 2; i++) asgdi_merge(&w[i], &p, locks, k, 2, 1, &step);
        assert_true(p.table[0].master[11] == 3 && p.table[0].master[16 + 2] == 6);
        assert_true(p.table[1].master[0] == 2 && p.table[1].master[1] == 4);
        for (int i = 0; i < 2; i++) asgdi_private_free(&w[i]);
        asgdi_locks_free(locks);

        assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_ftrl), ASGD_OK);
        assert_int_equal(asgdi_locks_new(&locks, &p, own), ASGD_OK);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(asgdi_private_init(&w[i], &p, own), ASGD_OK);
            w[i].own[0][3]      = 77; /* w is not looked at */
            w[i].own[0][16 + 3] = -2; /* z */
            w[i].own[0][32 + 3] = 2;  /* n */
            w[i].own[1][1]      = -2;
            w[i].own[1][2]      = 2;
        }
        for (int i = 0; i < 2; i++) asgdi_merge(&w[i], &p, locks, k, 2, 1, &step);
        /* z = -4, n = 4: w = (4 - l1) / ((1 + 2) / 0.5 + l2); no penalty on the other table */
        assert_true(p.table[0].master[16 + 3] == -4 && p.table[0].master[32 + 3] == 4);
        assert_true(fabsf(p.table[0].master[3] - 3 / 6.25f) < 1e-6f);
        assert_true(fabsf(p.table[1].master[0] - 4 / 6.0f) < 1e-6f);
        assert_memory_equal(w[1].own[0], p.table[0].master, 48 * sizeof(float));
        assert_memory_equal(w[1].seen[0], p.table[0].master, 48 * sizeof(float));
        for (int i = 0; i < 2; i++) asgdi_private_free(&w[i]);
        asgdi_locks_free(locks);
        asgdi_params_free(&p);
    }
}

/* A snapshot leaves slots out and takes shared rows along. */
static void test_snapshot(void **state)
{
    (void)state;
    asgdi_params p, to;
    asgdi_locks *locks;
    for (int hot = 0; hot < 2; hot++) {
        const uint64_t *own = hot ? own_some : own_none;
        assert_int_equal(asgdi_params_init(&p, tables, TABLES, 1), ASGD_OK);
        assert_int_equal(asgdi_params_init(&to, tables, TABLES, 1), ASGD_OK);
        assert_int_equal(asgdi_params_set_rule(&p, hot ? ASGD_RULE_ftrl : ASGD_RULE_sgd), ASGD_OK);
        assert_int_equal(asgdi_locks_new(&locks, &p, own), ASGD_OK);
        for (int t = 0; t < TABLES; t++)
            for (uint64_t i = 0; i < p.table[t].info.rows * p.table[t].stride; i++)
                p.table[t].master[i] = (float)(i % 100003);
        asgdi_params_snapshot(&p, locks, own, asgdk_best(), &to);
        for (int t = 0; t < TABLES; t++)
            for (uint64_t r = 0; r < p.table[t].info.rows; r++)
                assert_memory_equal(to.table[t].master + r * to.table[t].stride,
                                    p.table[t].master + r * p.table[t].stride,
                                    p.table[t].pad * sizeof(float));
        asgdi_locks_free(locks);
        asgdi_params_free(&p);
        asgdi_params_free(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conserve), cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_views),    cmocka_unit_test(test_parts),
        cmocka_unit_test(test_due),      cmocka_unit_test(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
