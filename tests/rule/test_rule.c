/* Rules against closed forms and against PyTorch 1.13's optimisers in double precision; what
 * asgdi_rule_defaults() refuses; schedules at their corners. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/status.h"
#include "rule/sink.h"

/* One row of two parameters, trained through a sink. */
typedef struct trainer {
    asgdi_params  p;
    asgdi_private w;
    asgd_view     view;
    asgd_sink     s;
    float        *x;
    uint64_t      t;
} trainer;

static void start(trainer *o, asgd_rule rule, float x0, float x1)
{
    static const asgd_table table = {.name = "x", .rows = 1, .dim = 2};
    static const uint64_t   own   = 1;
    *o                            = (trainer){0};
    assert_int_equal(asgdi_rule_defaults(&rule), ASGD_OK);
    assert_int_equal(asgdi_params_init(&o->p, &table, 1, 0), ASGD_OK);
    assert_int_equal(asgdi_params_set_rule(&o->p, rule.kind), ASGD_OK);
    o->p.table[0].master[0] = x0;
    o->p.table[0].master[1] = x1;
    assert_int_equal(asgdi_private_init(&o->w, &o->p, &own), ASGD_OK);
    asgdi_private_views(&o->w, &o->p, &o->view);
    assert_int_equal(asgdi_sink_init(&o->s, ASGDI_APPLY, asgdk_best(), &o->p, &o->view, o->w.local,
                                     1, 1, 1, true),
                     ASGD_OK);
    o->s.rule = rule;
    o->x      = o->view.own;
}

static void step(trainer *o, double lr, double g0, double g1)
{
    const float g[2] = {(float)g0, (float)g1};
    asgdi_rule_step(&o->s.rule, lr, ++o->t, &o->s.step);
    asgd_emit_rows(&o->s, 0, 0, 1, 1, g, 2);
}

static void end(trainer *o)
{
    asgdi_sink_free(&o->s);
    asgdi_private_free(&o->w);
    asgdi_params_free(&o->p);
}

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

/* f = x^2/2: x shrinks by 1 - lr a step; with penalty l2/2 x^2 by 1 - lr (1 + l2). */
static void test_sgd(void **state)
{
    (void)state;
    for (int l = 0; l < 2; l++) {
        trainer o;
        start(&o, (asgd_rule){.kind = ASGD_RULE_sgd, .l2 = l ? 0.5f : 0}, 1, -2);
        for (int t = 0; t < 20; t++) step(&o, 0.1, o.x[0], o.x[1]);
        near(o.x[0], pow(l ? 0.85 : 0.9, 20), 1e-6, "sgd");
        near(o.x[1], -2 * pow(l ? 0.85 : 0.9, 20), 1e-6, "sgd");
        end(&o);
    }
}

/* l1: where the gradient is 0, w moves to 0 by lr * l1 a step and stops there. */
static void test_l1(void **state)
{
    (void)state;
    trainer o;
    start(&o, (asgd_rule){.kind = ASGD_RULE_sgd, .l1 = 0.5f}, 1, -0.32f);
    for (int t = 0; t < 10; t++) step(&o, 0.1, 0, 0);
    near(o.x[0], 0.5, 1e-6, "l1");
    assert_true(o.x[1] == 0);
    end(&o);
}

/* f = x^2/2: (x, v) -> (x - lr (b (b v + x) + x), b v + x), a linear map M; x_t = first component of
 * M^t (1, 0), from M's eigenvalues e1, e2 by the theorem of Cayley and Hamilton:
 * M^t = (e1^t - e2^t) / (e1 - e2) M - e1 e2 (e1^(t-1) - e2^(t-1)) / (e1 - e2) I. */
static void test_momentum(void **state)
{
    (void)state;
    const double lr = 0.05, b = 0.5;
    const double m00 = 1 - lr * (b + 1), m01 = -lr * b * b, m10 = 1, m11 = b;
    const double trace = m00 + m11, det = m00 * m11 - m01 * m10;
    const double root = sqrt(trace * trace / 4 - det);
    assert_true(root > 0);
    const double e1 = trace / 2 + root, e2 = trace / 2 - root;
    trainer      o;
    start(&o, (asgd_rule){.kind = ASGD_RULE_momentum, .beta1 = (float)b}, 1, -2);
    for (int t = 1; t <= 30; t++) {
        step(&o, lr, o.x[0], o.x[1]);
        const double f = (pow(e1, t) - pow(e2, t)) / (e1 - e2);
        const double g = (pow(e1, t - 1) - pow(e2, t - 1)) / (e1 - e2);
        const double x = f * m00 - det * g;
        near(o.x[0], x, 2e-6, "momentum");
        near(o.x[1], -2 * x, 4e-6, "momentum");
    }
    end(&o);
}

/* A constant gradient g: step t is lr g / sqrt(t g^2 + eps), without eps lr / sqrt(t) whatever g. */
static void test_adagrad(void **state)
{
    (void)state;
    for (int begun = 0; begun < 2; begun++) {
        const double eps = begun ? 1 : 0;
        double       a = 0, b = 0;
        trainer      o;
        start(&o, (asgd_rule){.kind = ASGD_RULE_adagrad, .eps = (float)eps}, 0, 0);
        for (int t = 1; t <= 50; t++) {
            step(&o, 0.1, 3, -0.01);
            a -= 0.1 * 3 / sqrt(9 * t + eps);
            b += 0.1 * 0.01 / sqrt(1e-4 * t + eps);
            near(o.x[0], a, 1e-5, "adagrad");
            near(o.x[1], b, 1e-5 * b, "adagrad");
        }
        end(&o);
    }
}

/* A first gradient of 0, as a hinge gives, moves nothing, however little is added under the root. */
static void test_no_gradient(void **state)
{
    (void)state;
    static const asgd_rule_kind rules[] = {ASGD_RULE_adagrad, ASGD_RULE_rmsprop, ASGD_RULE_adam};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (int tiny = 0; tiny < 2; tiny++) {
            trainer o;
            start(&o, (asgd_rule){.kind = rules[i], .eps = tiny ? 1e-45f : 0}, 1, -2);
            for (int t = 0; t < 3; t++) step(&o, 0.1, 0, 0);
            assert_true(o.x[0] == 1 && o.x[1] == -2);
            for (uint32_t c = 2; c < asgdk_pad(2); c++) assert_true(o.x[c] == 0);
            end(&o);
        }
}

/* A constant gradient g, no penalties: z_t = sum of g - sigma w, so w_t = w_{t-1} -
 * lr g / (beta + |g| sqrt t) - (a rest that shrinks beta's share): computed in double here.  With l1
 * above |z| weights are zero exactly. */
static void test_ftrl(void **state)
{
    (void)state;
    trainer o;
    start(&o, (asgd_rule){.kind = ASGD_RULE_ftrl, .beta2 = 1e-6f}, 0, 0);
    double want = 0;
    for (int t = 1; t <= 50; t++) {
        step(&o, 0.1, 3, -0.5);
        want += 0.1 / sqrt(t); /* beta next to nothing: adagrad's steps */
        near(o.x[0], -want, 1e-5, "ftrl as adagrad");
        near(o.x[1], want, 1e-5, "ftrl as adagrad");
    }
    end(&o);

    start(&o, (asgd_rule){.kind = ASGD_RULE_ftrl, .l1 = 2}, 0, 0);
    for (int t = 1; t <= 40; t++) {
        step(&o, 0.1, t & 1 ? 1 : -1, 0.1); /* z stays within 1; z reaches 4 */
        assert_true(o.x[0] == 0);
        assert_true(t <= 19 ? o.x[1] == 0 : t >= 22 ? o.x[1] < 0 : true);
    }
    end(&o);

    /* one step from zero: w = -(g - sign(g) l1) / ((beta + |g|) / lr + l2) */
    start(&o, (asgd_rule){.kind = ASGD_RULE_ftrl, .l1 = 0.25f, .l2 = 0.5f}, 0, 0);
    step(&o, 0.1, 2, -0.5);
    near(o.x[0], -1.75 / (3 / 0.1 + 0.5), 1e-7, "ftrl");
    near(o.x[1], 0.25 / (1.5 / 0.1 + 0.5), 1e-7, "ftrl");
    end(&o);
}

/* f = x0^2/2 + (x1 - 1)^4/4 + sin(x0 x1) from (1, -2): where 1, 2, 5 and 20 steps lead, by PyTorch's
 * torch.optim.  RMSprop and Adagrad have their eps inside the root here (Mnih et al. 2016); torch was run
 * with an eps next to nothing, which makes them the same. */
static void test_torch(void **state)
{
    (void)state;
    static const struct {
        asgd_rule rule;
        double    lr, x[4][2];
    } run[] = {
        {{.kind = ASGD_RULE_sgd, .l2 = 0.1f},
         0.01,
         {{0.9806770632690571, -1.7238385316345286},
          {0.9678305471946067, -1.5188536539741577},
          {0.9461015785611154, -1.1203102786602928},
          {0.8745744185679905, -0.42903049033599516}}},
        {{.kind = ASGD_RULE_momentum},
         0.005,
         {{0.9825932101056043, -1.7395466050528021},
          {0.9635567723866155, -1.4318969340621575},
          {0.9116005198895767, -0.5188253762881664},
          {0.31524334710649266, 1.3493614443988955}}},
        {{.kind = ASGD_RULE_adagrad},
         0.05,
         {{0.950000000272882, -1.9500000000182374},
          {0.918427729602225, -1.9156384167139386},
          {0.8593359780318065, -1.843618518812602},
          {0.7535045636039056, -1.6499025806247933}}},
        {{.kind = ASGD_RULE_rmsprop},
         0.01,
         {{0.9, -1.9},
          {0.846198199067785, -1.8331592392095368},
          {0.7681478336737174, -1.6963146317368298},
          {0.7264271803484598, -1.3435723515912181}}},
        {{.kind = ASGD_RULE_adam},
         0.05,
         {{0.950000000272882, -1.9500000000182374},
          {0.9005251880755474, -1.9000914823887516},
          {0.7610127477028626, -1.7515403293574732},
          {0.6026789195762904, -1.0822370203723264}}},
        {{.kind = ASGD_RULE_adam, .beta1 = 0.8f, .beta2 = 0.95f, .eps = 1e-3f},
         0.05,
         {{0.9500272733172725, -1.9500018236762673},
          {0.9007536093214038, -1.9001414746898273},
          {0.764505868262365, -1.7523019477347765},
          {0.7007380430042895, -1.1068666927018591}}},
        {{.kind = ASGD_RULE_adam, .l2 = 0.1f},
         0.05,
         {{0.9500000002587599, -1.9500000000181053},
          {0.9004932959077396, -1.9000910407590945},
          {0.7602191408807393, -1.7515328927002465},
          {0.5683990662054749, -1.0818246665118298}}},
    };
    for (size_t i = 0; i < sizeof run / sizeof run[0]; i++) {
        trainer o;
        int     seen = 0;
        start(&o, run[i].rule, 1, -2);
        for (int t = 1; t <= 20; t++) {
            const double x = o.x[0], y = o.x[1];
            step(&o, run[i].lr, x + y * cos(x * y), pow(y - 1, 3) + x * cos(x * y));
            if (t != 1 && t != 2 && t != 5 && t != 20) continue;
            near(o.x[0], run[i].x[seen][0], 2e-5, asgd_rule_name(o.s.rule.kind));
            near(o.x[1], run[i].x[seen][1], 2e-5, asgd_rule_name(o.s.rule.kind));
            seen++;
        }
        end(&o);
    }
}

/* ftrl computes w from z: begun with weights that are not 0, it goes on from them. */
static void test_start(void **state)
{
    (void)state;
    static const asgd_table tables[2] = {
        {.name = "w", .rows = 3, .dim = 5},
        {.name = "b", .rows = 1, .dim = 1, .flags = ASGD_TABLE_NO_DECAY}};
    asgd_rule    rule = {.kind = ASGD_RULE_ftrl, .l1 = 0.5f, .l2 = 0.25f};
    asgdi_params p;
    asgdk_step   at;
    assert_int_equal(asgdi_rule_defaults(&rule), ASGD_OK);
    asgdi_rule_step(&rule, 0.1, 1, &at);
    assert_int_equal(asgdi_params_init(&p, tables, 2, 0), ASGD_OK);
    for (int c = 0; c < 4; c++) p.table[0].master[8 + c] = (float)c * 0.3f - 0.5f;
    p.table[1].master[0] = -2;
    assert_int_equal(asgdi_params_set_rule(&p, ASGD_RULE_ftrl), ASGD_OK);
    asgdi_rule_start(&rule, 0.1, &p);
    for (int t = 0; t < 2; t++) {
        asgdk_step here = at;
        if (t == 1) here.l1 = here.l2 = 0;
        for (uint64_t r = 0; r < tables[t].rows; r++) {
            float *row = p.table[t].master + r * p.table[t].stride, before[8];
            memcpy(before, row, p.table[t].pad * sizeof(float));
            asgdk_rule_derive(ASGD_RULE_ftrl, row, p.table[t].pad, &here);
            for (uint32_t c = 0; c < p.table[t].pad; c++) near(row[c], before[c], 1e-6, "start");
        }
    }
    asgdi_params_free(&p);
}

/* 1 - 0.999^t in float would be wrong in the fourth digit at t = 1. */
static void test_step(void **state)
{
    (void)state;
    asgd_rule  r = {.kind = ASGD_RULE_adam};
    asgdk_step s;
    assert_int_equal(asgdi_rule_defaults(&r), ASGD_OK);
    asgdi_rule_step(&r, 0.25, 1, &s);
    assert_true(s.lr == 0.25f && s.beta1 == 0.9f && s.beta2 == 0.999f && s.eps == 1e-8f);
    near(s.correct1, 1 / (1 - (double)0.9f), 1e-6, "correct1");
    near(s.correct2, 1 / (1 - (double)0.999f), 1e-4, "correct2");
    asgdi_rule_step(&r, 0.25, UINT64_MAX, &s);
    assert_true(s.correct1 == 1 && s.correct2 == 1);
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        asgd_rule_kind kind;
        float          beta1, beta2, eps;
    } want[] = {{ASGD_RULE_sgd, 0, 0, 0},
                {ASGD_RULE_momentum, 0.9f, 0, 0},
                {ASGD_RULE_adagrad, 0, 0, 1e-12f},
                {ASGD_RULE_rmsprop, 0.99f, 0, 1e-8f},
                {ASGD_RULE_adam, 0.9f, 0.999f, 1e-8f},
                {ASGD_RULE_ftrl, 0, 1, 0}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        asgd_rule r = {.kind = want[i].kind, .l1 = 0.5f, .l2 = 0.25f};
        assert_int_equal(asgdi_rule_defaults(&r), ASGD_OK);
        assert_int_equal(asgdi_rule_defaults(&r), ASGD_OK); /* twice is once */
        assert_true(r.beta1 == want[i].beta1 && r.beta2 == want[i].beta2 && r.eps == want[i].eps &&
                    r.l1 == 0.5f && r.l2 == 0.25f);
    }
    const asgd_rule bad[] = {
        {.kind = ASGD_RULE_DEFAULT},
        {.kind = ASGD_RULES},
        {.kind = (asgd_rule_kind)-1},
        {.kind = ASGD_RULE_sgd, .beta1 = 0.9f},
        {.kind = ASGD_RULE_momentum, .beta2 = 0.9f},
        {.kind = ASGD_RULE_ftrl, .eps = 1e-8f},
        {.kind = ASGD_RULE_momentum, .beta1 = 1},
        {.kind = ASGD_RULE_momentum, .beta1 = -0.1f},
        {.kind = ASGD_RULE_adam, .beta2 = NAN},
        {.kind = ASGD_RULE_adagrad, .eps = -1},
        {.kind = ASGD_RULE_adagrad, .eps = INFINITY},
        {.kind = ASGD_RULE_ftrl, .beta2 = INFINITY},
        {.kind = ASGD_RULE_sgd, .l1 = -1},
        {.kind = ASGD_RULE_sgd, .l2 = NAN},
        {.kind = ASGD_RULE_sgd, .l2 = INFINITY},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        asgd_rule r = bad[i];
        if (asgdi_rule_defaults(&r) != ASGD_EINVAL || !asgd_errmsg()[0])
            fail_msg("bad rule %zu was not refused", i);
    }
    asgd_rule ftrl = {.kind  = ASGD_RULE_ftrl,
                      .beta2 = 3}; /* its beta is no decay: above 1 is fine */
    assert_int_equal(asgdi_rule_defaults(&ftrl), ASGD_OK);
}

static void test_names(void **state)
{
    (void)state;
    asgd_rule_kind r = ASGD_RULE_DEFAULT;
    asgd_schedule  s = ASGD_CONSTANT;
    for (int i = 1; i < ASGD_RULES; i++) {
        assert_true(asgd_rule_parse(asgd_rule_name((asgd_rule_kind)i), &r));
        assert_int_equal(r, i);
    }
    for (int i = ASGD_CONSTANT; i <= ASGD_COSINE; i++) {
        assert_true(asgd_schedule_parse(asgd_schedule_name((asgd_schedule)i), &s));
        assert_int_equal(s, i);
    }
    assert_string_equal(asgd_rule_name(ASGD_RULE_rmsprop), "rmsprop");
    assert_string_equal(asgd_schedule_name(ASGD_LINEAR), "linear");
    assert_null(asgd_rule_name(ASGD_RULE_DEFAULT));
    assert_null(asgd_rule_name(ASGD_RULES));
    assert_null(asgd_schedule_name((asgd_schedule)3));
    assert_null(asgd_schedule_name((asgd_schedule)-1));
    assert_false(asgd_rule_parse("", &r) || asgd_rule_parse(NULL, &r) ||
                 asgd_rule_parse("SGD", &r));
    assert_false(asgd_schedule_parse("cos", &s) || asgd_schedule_parse(NULL, &s));
}

static void test_schedules(void **state)
{
    (void)state;
    static const struct {
        asgd_schedule s;
        double        warmup, done, want;
    } at[] = {
        {ASGD_CONSTANT, 0, 0, 1},       {ASGD_CONSTANT, 0, 1, 1},
        {ASGD_LINEAR, 0, 0, 1},         {ASGD_LINEAR, 0, 0.25, 0.75},
        {ASGD_LINEAR, 0, 1, 0},         {ASGD_COSINE, 0, 0, 1},
        {ASGD_COSINE, 0, 0.5, 0.5},     {ASGD_COSINE, 0, 1, 0},
        {ASGD_COSINE, 0, 1. / 3, 0.75}, {ASGD_CONSTANT, 0.2, 0, 0},
        {ASGD_CONSTANT, 0.2, 0.1, 0.5}, {ASGD_CONSTANT, 0.2, 0.2, 1},
        {ASGD_LINEAR, 0.2, 0.1, 0.5},   {ASGD_LINEAR, 0.2, 0.2, 1},
        {ASGD_LINEAR, 0.2, 0.6, 0.5},   {ASGD_LINEAR, 0.2, 1, 0},
        {ASGD_COSINE, 0.5, 0.75, 0.5},  {ASGD_LINEAR, 1, 0.5, 0.5},
        {ASGD_LINEAR, 1, 1, 1},         {ASGD_LINEAR, 0, 1.5, 0},
        {ASGD_LINEAR, 0, -1, 1},        {ASGD_LINEAR, 0, NAN, 1},
    };
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
        near(asgdi_schedule(at[i].s, at[i].warmup, at[i].done), at[i].want, 1e-12,
             asgd_schedule_name(at[i].s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),         cmocka_unit_test(test_l1),
        cmocka_unit_test(test_momentum),    cmocka_unit_test(test_adagrad),
        cmocka_unit_test(test_no_gradient), cmocka_unit_test(test_ftrl),
        cmocka_unit_test(test_torch),       cmocka_unit_test(test_start),
        cmocka_unit_test(test_step),        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
