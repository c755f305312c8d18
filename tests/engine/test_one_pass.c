/* test_one_pass.c -- the default rate of one pass (progressive validation): longer than that of several, the more so
 * the shorter the examples. */
#include "engine/problem.h"

#include "data/source.h"

/* The rate that a run on these gets: `n` examples with `len` entries of 2, then others with one. */
static double default_lr(const char *name, const char *options, asgd_config c, uint64_t n,
                         uint32_t len)
{
    enum { ALL = 1200, LONGEST = 60 };
    static uint64_t start[ALL + 1];
    static uint32_t idx[ALL * LONGEST];
    static uint16_t field[ALL * LONGEST];
    static float    val[ALL * LONGEST], y[ALL];
    asgd_source     s = {.start = start, .idx = idx, .val = val, .field = field, .y = y};
    asgd_model     *m;
    asgd_result     r;
    assert_true(len <= LONGEST && n <= ALL);
    for (uint64_t e = 0; e < ALL; e++) {
        const uint32_t entries = e < n ? len : 1;
        for (uint32_t j = 0; j < entries; j++) {
            idx[start[e] + j] = j;
            val[start[e] + j] = 2;
        }
        start[e + 1] = start[e] + entries;
        y[e]         = (float)(e % 2);
    }
    s.schema  = (asgd_schema){.examples = ALL,
                              .nonzeros = start[ALL],
                              .features = LONGEST,
                              .fields   = 1,
                              .classes  = 2,
                              .y_max    = 1};
    s.max_len = LONGEST;
    c.workers = 1;
    c.epochs  = 0.1;
    ok(asgd_model_named(&m, name, options, &s.schema));
    ok(asgd_train(m, &s, &c, &r));
    const double lr = r.lr;
    asgd_result_free(&r);
    asgd_model_free(m);
    return lr;
}

static void one_pass_takes_longer_steps(void **state)
{
    (void)state;
    static const struct {
        const char    *name, *options;
        asgd_rule_kind rule;
        uint32_t       batch, len;
        double         factor;
    } cases[] = {
        {"linear", "", 0, 0, 1, 10},
        {"linear", "", 0, 0, 2, 6.25}, /* 50 by a squared length of 8 */
        {"linear", "", 0, 0, 5, 2.5},
        {"linear", "", 0, 0, 20, 1},
        {"linear", "normalize=1", 0, 0, 20, 10},
        {"linear", "", ASGD_RULE_adam, 0, 5, 2.5},
        {"linear", "", ASGD_RULE_sgd, 0, 5, 1},
        {"linear", "", ASGD_RULE_momentum, 0, 5, 1},
        {"linear", "", ASGD_RULE_sgd, 8, 5, 2.5},
        {"fm", "", 0, 0, 2, 6.25},
        {"fm", "", 0, 0, 20, 3},
        {"fm", "normalize=0", 0, 0, 20, 1},
        {"ffm", "", 0, 0, 5, 2.5},
        {"ffm", "", 0, 0, 20, 1},
        {"ffm", "normalize=1", 0, 0, 20, 10},
        {"softmax", "", 0, 0, 5, 2.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        asgd_config  c     = {.rule.kind = cases[i].rule, .batch = cases[i].batch};
        const double usual = default_lr(cases[i].name, cases[i].options, c, 1000, cases[i].len);
        c.progressive      = true;
        const double lr    = default_lr(cases[i].name, cases[i].options, c, 1000, cases[i].len);
        if (fabs(lr / usual - cases[i].factor) > 1e-9)
            fail_msg("%s %s, %u entries: %g times as long, not %g", cases[i].name, cases[i].options,
                     cases[i].len, lr / usual, cases[i].factor);
        c.lr = 0.25;
        assert_true(default_lr(cases[i].name, cases[i].options, c, 1000, cases[i].len) == 0.25);
    }
    /* the mean over the beginning: half of it 20 entries, half 1, is a squared length of 42 */
    const asgd_config c = {.progressive = true};
    assert_true(fabs(default_lr("linear", "", c, 500, 20) / default_lr("linear", "", c, 1000, 20) -
                     50.0 / 42) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_pass_takes_longer_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
