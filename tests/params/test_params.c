/* The master copy: what random starts depend on, what setting a rule keeps, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/status.h"
#include "params/params.h"

/* One test asks for more memory than there is: sanitizers, too, are to say no by NULL. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static const asgd_table three[] = {
    {.name = "a", .rows = 50, .dim = 7, .init = ASGD_INIT_UNIFORM, .scale = 0.5f},
    {.name = "b", .rows = 4000, .dim = 1, .init = ASGD_INIT_NORMAL, .scale = 2},
    {.name = "c", .rows = 3, .dim = 16, .flags = ASGD_TABLE_NO_DECAY},
};
/* rows for adagrad: 156 weights as 160, 39 sums as 48 */
static const asgd_table quads = {.name  = "q",
                                 .rows  = 9,
                                 .dim   = 156,
                                 .flags = ASGD_TABLE_QUADS,
                                 .init  = ASGD_INIT_UNIFORM,
                                 .scale = 1};

static float at(const asgdi_params *p, int t, uint64_t r, uint32_t c)
{
    return p->table[t].master[r * p->table[t].stride + c];
}

static void same_weights(const asgdi_params *p, const asgdi_params *q)
{
    for (int t = 0; t < p->n_tables; t++)
        for (uint64_t r = 0; r < p->table[t].info.rows; r++)
            for (uint32_t c = 0; c < p->table[t].info.dim; c++)
                assert_true(at(p, t, r, c) == at(q, t, r, c));
}

static void test_layout(void **state)
{
    (void)state;
    static const struct {
        asgd_rule_kind rule;
        size_t         parts;
    } want[] = {{ASGD_RULE_sgd, 1},     {ASGD_RULE_momentum, 1}, {ASGD_RULE_adagrad, 2},
                {ASGD_RULE_rmsprop, 2}, {ASGD_RULE_adam, 2},     {ASGD_RULE_ftrl, 3},
                {ASGD_RULE_DEFAULT, 1}};
    asgdi_params p, fresh;
    assert_int_equal(asgdi_params_init(&p, three, 3, 11), ASGD_OK);
    assert_int_equal(asgdi_params_init(&fresh, three, 3, 11), ASGD_OK);
    assert_int_equal(p.table[0].pad, 8);
    assert_int_equal(p.table[1].pad, 1);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(asgdi_params_set_rule(&p, want[i].rule), ASGD_OK);
        assert_int_equal(p.rule, want[i].rule);
        same_weights(&p, &fresh);
        for (int t = 0; t < 3; t++) {
            const asgdi_table *x = &p.table[t];
            assert_int_equal(x->stride, want[i].parts * x->pad);
            for (uint64_t r = 0; r < x->info.rows; r++)
                for (size_t c = x->info.dim; c < x->stride; c++)
                    assert_true(x->master[r * x->stride + c] == 0);
            /* what is written here must not be there after the next rule */
            for (size_t c = x->pad; c < x->stride; c++) x->master[c] = 3;
        }
    }
    asgdi_params_free(&p);
    asgdi_params_free(&p); /* harmless */
    asgdi_params_free(&fresh);
}

/* One sum for four weights is adagrad's alone; other rules have a slot of every weight. */
static void test_quads(void **state)
{
    (void)state;
    static const struct {
        asgd_rule_kind rule;
        uint32_t       slot;
        size_t         stride;
    } want[] = {{ASGD_RULE_adagrad, 48, 208},  {ASGD_RULE_rmsprop, 160, 320},
                {ASGD_RULE_adagrad, 48, 208},  {ASGD_RULE_sgd, 160, 160},
                {ASGD_RULE_DEFAULT, 160, 160}, {ASGD_RULE_adagrad, 48, 208}};
    asgdi_params p, fresh;
    assert_int_equal(asgdi_params_init(&p, &quads, 1, 11), ASGD_OK);
    assert_int_equal(asgdi_params_init(&fresh, &quads, 1, 11), ASGD_OK);
    const asgdi_table *x = &p.table[0];
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(asgdi_params_set_rule(&p, want[i].rule), ASGD_OK);
        assert_int_equal(x->slot, want[i].slot);
        assert_int_equal(x->stride, want[i].stride);
        const asgdi_span w = asgdi_row_part(x, 0), sums = asgdi_row_part(x, 1);
        assert_true(w.at == 0 && w.n == 160 && sums.at == 160 && sums.n == x->slot);
        same_weights(&p, &fresh);
        for (uint64_t r = 0; r < x->info.rows; r++)
            for (size_t c = x->pad; c < x->stride; c++) {
                assert_true(x->master[r * x->stride + c] == 0);
                x->master[r * x->stride + c] = 3; /* not to be there after the next rule */
            }
    }
    asgdi_params_free(&p);
    asgdi_params_free(&fresh);
    asgd_table odd = quads;
    odd.dim        = 154;
    assert_int_equal(asgdi_params_init(&p, &odd, 1, 11), ASGD_EINVAL);
    assert_non_null(strstr(asgd_errmsg(), "154"));
}

/* A value depends on seed, table number, row and column: filling again, with slots in between or
 * fewer rows, gives the same; another seed or table gives others. */
static void test_fill(void **state)
{
    (void)state;
    asgdi_params p, q, shorter;
    asgd_table   first[3] = {three[0], three[1], three[2]};
    first[1].rows         = 10;
    assert_int_equal(asgdi_params_init(&p, three, 3, 11), ASGD_OK);
    assert_int_equal(asgdi_params_init(&q, three, 3, 12), ASGD_OK);
    assert_int_equal(asgdi_params_init(&shorter, first, 3, 11), ASGD_OK);
    int differ = 0;
    for (uint64_t r = 0; r < 50; r++)
        for (uint32_t c = 0; c < 7; c++) differ += at(&p, 0, r, c) != at(&q, 0, r, c);
    assert_true(differ > 340);
    for (uint64_t r = 0; r < 10; r++) assert_true(at(&p, 1, r, 0) == at(&shorter, 1, r, 0));

    assert_int_equal(asgdi_params_set_rule(&q, ASGD_RULE_ftrl), ASGD_OK);
    for (int t = 0; t < 3; t++)
        for (size_t i = 0; i < q.table[t].info.rows * q.table[t].stride; i++)
            q.table[t].master[i] = 9;
    asgdi_params_fill(&q, 11);
    same_weights(&p, &q);
    for (int t = 0; t < 3; t++)
        for (uint64_t r = 0; r < q.table[t].info.rows; r++)
            for (size_t c = q.table[t].info.dim; c < q.table[t].stride; c++)
                assert_true(q.table[t].master[r * q.table[t].stride + c] == 0);

    double sum = 0, squares = 0, largest = 0;
    for (uint64_t r = 0; r < 50; r++)
        for (uint32_t c = 0; c < 7; c++) {
            largest = fmax(largest, fabsf(at(&p, 0, r, c)));
            sum += at(&p, 0, r, c);
        }
    assert_true(largest <= 0.5 && largest > 0.48);
    assert_true(fabs(sum / 350) < 5 * 0.29 / sqrt(350)); /* deviation 0.5 / sqrt 3; five of them */
    sum = 0;
    for (uint64_t r = 0; r < 4000; r++) {
        sum += at(&p, 1, r, 0);
        squares += at(&p, 1, r, 0) * at(&p, 1, r, 0);
    }
    assert_true(fabs(sum / 4000) < 5 * 2 / sqrt(4000));
    assert_true(fabs(squares / 4000 - 4) < 5 * 4 * sqrt(2. / 4000));
    for (uint64_t r = 0; r < 3; r++) assert_true(at(&p, 2, r, 5) == 0);
    asgdi_params_free(&p);
    asgdi_params_free(&q);
    asgdi_params_free(&shorter);
}

/* A table that several threads fill and widen has the values that the seed, row and column say, and empty slots. */
static void test_large(void **state)
{
    (void)state;
    enum { ROWS = 400001, DIM = 9 };
    const asgd_table table = {
        .name = "large", .rows = ROWS, .dim = DIM, .init = ASGD_INIT_UNIFORM, .scale = 1};
    asgdi_params p;
    assert_int_equal(asgdi_params_init(&p, &table, 1, 5), ASGD_OK);
    for (int widened = 0; widened < 2; widened++) {
        const asgdi_table *x = &p.table[0];
        for (uint64_t r = 0; r < ROWS; r++) {
            const float *row = x->master + r * x->stride;
            for (uint32_t c = 0; c < DIM; c++)
                if (row[c] != 2.0f * asgdi_uniform(asgdi_random(5, 0, r * DIM + c)) - 1.0f)
                    fail_msg("row %llu, column %u", (unsigned long long)r, c);
            for (size_t c = DIM; c < x->stride; c++)
                if (row[c] != 0) fail_msg("row %llu, float %zu", (unsigned long long)r, c);
        }
        assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_adagrad), ASGD_OK);
    }
    asgdi_params_free(&p);
}

static void test_refused(void **state)
{
    (void)state;
    asgd_table bad[] = {
        {.name = "", .rows = 1, .dim = 1},
        {.name = "t", .rows = 0, .dim = 1},
        {.name = "t", .rows = 1, .dim = 0},
        {.name = "t", .rows = UINT64_C(1) << 32, .dim = 1},
        {.name = "t", .rows = UINT64_MAX, .dim = 100},
        {.name = "t", .rows = 1, .dim = UINT32_MAX},
        {.name = "t", .rows = 1, .dim = 1, .flags = 64},
        {.name = "t", .rows = 1, .dim = 1, .init = (asgd_init)7},
        {.name = "t", .rows = 1, .dim = 1, .init = ASGD_INIT_NORMAL, .scale = -1},
        {.name = "t", .rows = 1, .dim = 1, .init = ASGD_INIT_UNIFORM, .scale = NAN},
        {.name = "t", .rows = 1, .dim = 1},
    };
    const size_t n = sizeof bad / sizeof bad[0];
    memset(bad[n - 1].name, 'x', sizeof bad[n - 1].name); /* no end */
    for (size_t i = 0; i < n; i++) {
        asgdi_params     p;
        const asgd_table pair[2] = {three[0], bad[i]};
        if (asgdi_params_init(&p, pair, 2, 0) != ASGD_EINVAL) fail_msg("bad table %zu", i);
        assert_null(p.table[0].master); /* nothing is left behind */
    }
    asgdi_params     p;
    const asgd_table twins[2] = {three[0], three[0]};
    assert_int_equal(asgdi_params_init(&p, twins, 2, 0), ASGD_EINVAL);
    assert_int_equal(asgdi_params_init(&p, three, 0, 0), ASGD_EINVAL);
    assert_int_equal(asgdi_params_init(&p, three, ASGD_MAX_TABLES + 1, 0), ASGD_EINVAL);

    /* sizes that fit the checks but no address space */
    const asgd_table huge = {.name = "huge", .rows = UINT32_MAX, .dim = 1 << 28};
    assert_int_equal(asgdi_params_init(&p, &huge, 1, 0), ASGD_ENOMEM);
    assert_non_null(strstr(asgd_errmsg(), "huge"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout), cmocka_unit_test(test_quads),   cmocka_unit_test(test_fill),
        cmocka_unit_test(test_large),  cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
