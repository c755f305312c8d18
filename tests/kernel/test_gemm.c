/* test_gemm.c -- dense products against double precision: all transpositions, alpha and beta, both
 * sides of the size at which oneDNN takes over, odd leading dimensions, nothing to do. */
#define _GNU_SOURCE
#include "fixture.h"

#include <pthread.h>

#include "kern/gemm.h"

typedef struct product {
    bool   ta, tb;
    size_t m, n, kk, lda, ldb, ldc;
    float  alpha, beta;
} product;

static void check(const asgd_kern *k, const product *p)
{
    const size_t rows_a = p->ta ? p->kk : p->m, rows_b = p->tb ? p->n : p->kk;
    const float *a = floats(rows_a * p->lda), *b = floats(rows_b * p->ldb);
    float       *was = floats(p->m * p->ldc), *c;
    if (p->beta == 0 && p->m && p->n) was[0] = NAN; /* must not be read */
    c = copy(was, p->m * p->ldc);
    asgdk_gemm(k, p->ta, p->tb, p->m, p->n, p->kk, p->alpha, a, p->lda, b, p->ldb, p->beta, c,
               p->ldc);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->ldc; j++) {
            const float *x    = was + i * p->ldc + j;
            double       want = p->beta == 0 ? 0 : (double)p->beta * *x;
            for (size_t q = 0; q < p->kk && j < p->n; q++)
                want += (double)p->alpha * a[p->ta ? q * p->lda + i : i * p->lda + q] *
                        b[p->tb ? j * p->ldb + q : q * p->ldb + j];
            if (j >= p->n) want = *x;
            float got = c[i * p->ldc + j];
            CHECK(fabs(got - want) <= 4e-6 * (1 + (double)p->kk / 4),
                  "%s %c%c m %zu n %zu k %zu alpha %g beta %g at %zu %zu: %g, not %g", k->name,
                  p->ta ? 'T' : 'N', p->tb ? 'T' : 'N', p->m, p->n, p->kk, p->alpha, p->beta, i, j,
                  got, want);
        }
    free_arrays();
}

static void test_all(void **state)
{
    (void)state;
    static const size_t sizes[][3]   = {{1, 1, 1},    {3, 5, 7},    {1, 9, 30},  {9, 1, 30},
                                        {8, 8, 8},    {8, 8, 9},    {1, 100, 1}, {1, 1, 1000},
                                        {2, 3, 1000}, {33, 10, 17}, {64, 13, 1}, {32, 100, 65}};
    static const float  factors[][2] = {{1, 0}, {1, 1}, {-0.5f, 0.25f}, {0, 2}, {0, 0}};
    asgdk_gemm_thread();
    EACH_VARIANT(k)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
            for (int how = 0; how < 8; how++) {
                product p = {.ta = how & 1, .tb = how & 2, .m = sizes[s][0], .n = sizes[s][1]};
                p.kk      = sizes[s][2];
                p.lda     = (p.ta ? p.m : p.kk) + (how & 4 ? 3 : 0);
                p.ldb     = (p.tb ? p.kk : p.n) + (how & 4 ? 5 : 0);
                p.ldc     = p.n + (how & 4 ? 7 : 0);
                p.alpha   = factors[f][0];
                p.beta    = factors[f][1];
                check(k, &p);
            }
}

static void test_nothing(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        product p = {.ta = how & 1, .tb = how & 2, .alpha = 1, .beta = 0.5f, .lda = 9, .ldb = 9};
        p.ldc     = 9;
        p.n = p.kk = 8;
        check(asgdk_variant(0), &p);
        p.m = 8;
        p.n = 0;
        check(asgdk_variant(0), &p);
        p.n  = 8;
        p.kk = 0; /* c = beta c */
        check(asgdk_variant(0), &p);
        p.beta = 0;
        check(asgdk_variant(0), &p);
        p.m = p.n = 200; /* beyond the small sizes */
        p.lda = p.ldb = p.ldc = 200;
        check(asgdk_variant(0), &p);
    }
}

/* Products that several threads make at the same time do not disturb each other. */
enum { M = 40, N = 50, K = 60 };

typedef struct task {
    const float *a, *b;
    float        c[M * N];
} task;

static void *multiply(void *p)
{
    task *t = p;
    asgdk_gemm_thread();
    for (int i = 0; i < 50; i++)
        asgdk_gemm(asgdk_variant(0), false, false, M, N, K, 1, t->a, K, t->b, N, 0, t->c, N);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    static task  tasks[THREADS];
    pthread_t    thread[THREADS];
    const float *a = floats(M * K), *b = floats(K * N);
    for (int i = 0; i < THREADS; i++) {
        tasks[i].a = a;
        tasks[i].b = b;
        assert_int_equal(pthread_create(&thread[i], NULL, multiply, &tasks[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_memory_equal(tasks[i].c, tasks[0].c, sizeof tasks[0].c);
    }
    free_arrays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
