/* test_ratings.c -- mf and bpr: what they emit is the derivative of loss and penalty, their fused steps do
 * what their general ones do, and cold users and items get what is promised. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>

#include "data/arrange.h"
#include "data/ratings.h"
#include "model/users_items.h"

enum { USERS = 5, ITEMS = 6, N = 4 };

static const asgd_rating ratings[N] = {{0, 1, 4}, {3, 2, 1}, {0, 5, 5}, {4, 1, 2}};
static const asgd_rating binary[N]  = {{0, 1, 1}, {3, 2, 0}, {0, 5, 0}, {4, 1, 1}};

static const struct problem {
    const char *model, *options;
    bool        binary;
} problems[] = {
    {"mf", "k=5", false},
    {"mf", "k=8 l2_user=0.3 l2_item=0.7 l2_bias=0.2", false},
    {"mf", "k=1 l2=0.5", false},
    {"mf", "k=13 bias=0", false},
    {"mf", "k=6 loss=absolute l2=0.1", false},
    {"mf", "k=9 loss=logistic", true},
    {"bpr", "k=5", false},
    {"bpr", "k=11 negatives=3 draw=popular l2_user=0.2 l2_item=0.4", false},
    {"bpr", "k=7 loss=logistic negatives=2 positive=3", false},
    {"bpr", "k=8 bias=0", false},
};
enum { PROBLEMS = sizeof problems / sizeof problems[0] };

static void make(fixture *f, const struct problem *p, place where)
{
    asgd_schema d = {.examples = N,
                     .nonzeros = 2 * N,
                     .features = USERS + ITEMS,
                     .users    = USERS,
                     .items    = ITEMS,
                     .y_min    = 1,
                     .y_max    = 5};
    memset(f, 0, sizeof *f);
    if (asgd_model_named(&f->m, p->model, p->options, &d) != ASGD_OK) fail_msg("%s", asgd_errmsg());
    for (int t = 0; t < asgd_model_tables(f->m); t++) {
        const asgd_table *x = asgd_model_table(f->m, t);
        for (uint64_t r = 0; r < x->rows; r++)
            for (uint32_t j = 0; j < x->dim; j++)
                asgd_model_row(f->m, t, r)[j] =
                    0.5f * asgdi_normal(asgdi_random(7, (uint64_t)t, r * x->dim + j));
    }
    float *scale = asgd_model_row(f->m, ASGDI_SCALE, 0);
    memcpy(scale, (float[]){p->binary ? 0 : 3, p->binary ? 1 : 1.25f, 1, 5}, 4 * sizeof *scale);
    for (int t = ASGDI_USER_BIAS; strstr(p->options, "bias=0") && t <= ASGDI_ITEM_BIAS; t++)
        for (uint64_t r = 0; r < asgd_model_table(f->m, t)->rows; r++)
            *asgd_model_row(f->m, t, r) = 0;
    fixture_views(f, where);
}

static const asgd_batch *batch_of(const struct problem *p, uint32_t n)
{
    static asgd_batch b;
    b = (asgd_batch){.n = n, .features = USERS + ITEMS, .rating = p->binary ? binary : ratings};
    return &b;
}

/* Which rows a step emits to tells how often each occurs in its penalty: l2/2 |row|^2, for each term. */
static double penalty(fixture *f, const asgd_batch *b, const asgdi_pairs *m, const asgdi_term *term,
                      uint32_t n)
{
    double sum = 0;
    (void)b;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < m->k; j++) {
            const double u = fixture_row(f, ASGDI_USER, term[i].user)[j];
            const double v = fixture_row(f, ASGDI_ITEM, term[i].item)[j];
            sum += (double)m->l2_user * u * u / 2 + (double)m->l2_item * v * v / 2;
            if (term[i].other == ASGDI_NO_NAME) continue;
            const double o = fixture_row(f, ASGDI_ITEM, term[i].other)[j];
            sum += (double)m->l2_item * o * o / 2;
        }
        if (!m->bias) continue;
        const double c = *fixture_row(f, ASGDI_ITEM_BIAS, term[i].item);
        const double d = term[i].other == ASGDI_NO_NAME
                             ? (double)*fixture_row(f, ASGDI_USER_BIAS, term[i].user)
                             : (double)*fixture_row(f, ASGDI_ITEM_BIAS, term[i].other);
        sum += (double)m->l2_bias * (c * c + d * d) / 2;
    }
    return sum / b->n;
}

/* The terms of a step are in front of its scratch. */
static double objective(fixture *f, const struct problem *p, const asgd_batch *b)
{
    const asgdi_pairs *m  = f->m->self;
    const double       by = 1.25;
    asgd_stats         st = {0};
    asgdi_term         term[64];
    uint32_t           terms = 0;
    asgdi_sink_kind    kind  = f->sink.kind;
    f->sink.kind             = ASGDI_DISCARD;
    memset(f->scratch, 0xff, 64 * sizeof *term); /* an unused one is of a user that is none */
    f->m->ops.step(f->m->self, b, f->views, &f->sink, f->scratch, 99, &st);
    f->sink.kind = kind;
    memcpy(term, f->scratch, sizeof term);
    while (terms < 64 && term[terms].user < USERS && term[terms].item < ITEMS) terms++;
    double unit = strcmp(p->model, "bpr") == 0 || p->binary ? 1
                  : strstr(p->options, "absolute")          ? by
                                                            : by * by;
    if (terms > b->n * 6) terms = b->n * 6;
    return st.loss / unit / b->n + penalty(f, b, m, term, terms);
}

static void is_the_derivative(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++)
        for (int where = SHARED; where <= BOTH; where++)
            for (uint32_t n = 1; n <= N; n += N - 1)
                for (int v = 0; asgdk_variant(v); v++) {
                    const struct problem *p = &problems[i];
                    fixture               f;
                    const asgd_batch     *b  = batch_of(p, n);
                    asgd_stats            st = {0};
                    make(&f, p, (place)where);
                    fixture_sink(&f, ASGDI_ACCUMULATE, asgdk_variant(v), N, b);
                    f.m->ops.step(f.m->self, b, f.views, &f.sink, f.scratch, 99, &st);
                    assert_true(st.weight == n);
                    const int tables = strstr(p->options, "bias=0") ? ASGDI_USER_BIAS : ASGDI_SCALE;
                    for (int t = 0; t < tables; t++) {
                        const asgdi_table *x = &f.m->params.table[t];
                        for (uint64_t r = 0; r < x->info.rows; r++)
                            for (uint32_t j = 0; j < x->info.dim; j++) {
                                const float h = 0.01f;
                                float      *w = fixture_row(&f, t, r) + j, was = *w;
                                double      g = f.sink.grad[t][r * x->pad + j];
                                *w            = was + h;
                                double up = objective(&f, p, b), above = *w;
                                *w          = was - h;
                                double down = objective(&f, p, b),
                                       d    = (up - down) / (above - (double)*w);
                                *w          = was;
                                if (!(fabs(d - g) < 2e-3 * (1 + fabs(g))))
                                    fail_msg("%s %s, n %u, table %s row %u: %g, not %g", p->model,
                                             p->options, n, x->info.name, (unsigned)r, g, d);
                            }
                    }
                    assert_int_equal(f.sink.n_touched[ASGDI_SCALE], 0);
                    fixture_free(&f);
                }
}

/* steps() by its kernels, and by the sink, rating after rating. */
static void fused_steps_are_steps(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEMS; i++) {
        const struct problem *p = &problems[i];
        fixture               f[2];
        if (strcmp(p->model, "bpr") == 0) continue; /* draws otherwise: see the kernel's own test */
        for (int way = 0; way < 2; way++) {
            const asgd_batch *b  = batch_of(p, N);
            asgd_stats        st = {0};
            make(&f[way], p, BOTH);
            fixture_sink(&f[way], ASGDI_APPLY, asgdk_best(), N, b);
            f[way].sink.rule    = (asgd_rule){.kind = ASGD_RULE_sgd};
            f[way].sink.step.lr = 0.1f;
            if (way)
                f[way].m->ops.steps(f[way].m->self, b, f[way].views, &f[way].sink, f[way].scratch,
                                    5, &st);
            for (uint32_t e = 0; !way && e < N; e++) {
                asgd_batch one = *b;
                one.n          = 1;
                one.rating += e;
                f[way].m->ops.step(f[way].m->self, &one, f[way].views, &f[way].sink, f[way].scratch,
                                   5, &st);
            }
        }
        for (int t = 0; t < ASGDI_SCALE; t++)
            for (uint64_t r = 0; r < f[0].m->params.table[t].info.rows; r++)
                for (uint32_t j = 0; j < f[0].m->params.table[t].info.dim; j++) {
                    const float a = fixture_row(&f[0], t, r)[j], b = fixture_row(&f[1], t, r)[j];
                    if (!(fabsf(a - b) < 1e-5f * (1 + fabsf(a))))
                        fail_msg("%s %s: table %d row %u: %g, %g", p->model, p->options, t,
                                 (unsigned)r, (double)a, (double)b);
                }
        fixture_free(&f[0]);
        fixture_free(&f[1]);
    }
}

static void cold_ones_get_what_is_known(void **state)
{
    (void)state;
    /* user 2 and item 0 have no rating; one number beyond each is unknown */
    const asgd_rating train[] = {{0, 1, 5}, {0, 2, 4}, {1, 1, 2}, {1, 2, 1}, {3, 2, 3}, {3, 1, 4}};
    const asgd_rating ask[]   = {{2, 1, 3}, {4, 1, 3}, {0, 0, 3}, {0, 3, 3}, {2, 0, 3}, {4, 3, 3}};
    asgd_source      *s, *q;
    asgd_model       *m;
    float             out[6];
    assert_int_equal(asgd_source_ratings(&s, train, 6, 4, 3), ASGD_OK);
    assert_int_equal(asgd_source_ratings(&q, train, 6, 4, 3), ASGD_OK);
    q->rating = ask; /* as of a file with unknown ones */
    assert_int_equal(asgd_model_named(&m, "mf", "k=4", asgd_source_schema(s)), ASGD_OK);
    const asgd_config c = {.workers = 1, .epochs = 20};
    assert_int_equal(asgd_train(m, s, &c, NULL), ASGD_OK);
    assert_int_equal(asgd_predict(m, q, 1, out), ASGD_OK);
    const float mean     = asgd_model_row(m, ASGDI_SCALE, 0)[0],
                by       = asgd_model_row(m, ASGDI_SCALE, 0)[1];
    const float user     = mean + by * *asgd_model_row(m, ASGDI_USER_BIAS, 0);
    const float item     = mean + by * *asgd_model_row(m, ASGDI_ITEM_BIAS, 1);
    const float wanted[] = {item, item, user, user, mean, mean};
    for (int i = 0; i < 6; i++) assert_true(fabsf(out[i] - wanted[i]) < 1e-5f);
    assert_true(fabsf(mean - 19.0f / 6) < 1e-5f);
    asgd_model_free(m);
    asgd_source_close(s);
    asgd_source_close(q);
}

static void refuses_what_cannot_be_learnt(void **state)
{
    (void)state;
    const asgd_rating same[] = {{0, 1, 3}, {1, 0, 3}};
    asgd_source      *s;
    asgd_model       *m;
    const asgd_config c = {.workers = 1};
    assert_int_equal(asgd_source_ratings(&s, same, 2, 2, 2), ASGD_OK);
    assert_int_equal(asgd_model_named(&m, "mf", "", asgd_source_schema(s)), ASGD_OK);
    assert_int_equal(asgd_train(m, s, &c, NULL), ASGD_EMISMATCH);
    assert_non_null(strstr(asgd_errmsg(), "bpr"));
    asgd_model_free(m);
    assert_int_equal(asgd_model_named(&m, "mf", "loss=logistic", asgd_source_schema(s)), ASGD_OK);
    assert_int_equal(asgd_train(m, s, &c, NULL), ASGD_EMISMATCH);
    assert_non_null(strstr(asgd_errmsg(), "1 and 0"));
    asgd_model_free(m);
    asgd_source_close(s);
}

static void nonnegative_stays_so(void **state)
{
    (void)state;
    asgd_rating  r[200];
    asgd_source *s;
    asgd_model  *m;
    for (uint32_t i = 0; i < 200; i++)
        r[i] = (asgd_rating){i % 20, i / 20, (float)(1 + (i * 7 + i / 13) % 5)};
    assert_int_equal(asgd_source_ratings(&s, r, 200, 20, 10), ASGD_OK);
    for (int bias = 0; bias < 2; bias++) {
        assert_int_equal(asgd_model_named(&m, "mf",
                                          bias ? "k=6 nonnegative=1" : "k=6 nonnegative=1 bias=0",
                                          asgd_source_schema(s)),
                         ASGD_OK);
        asgd_result result;
        asgd_config c = {.workers = 2, .epochs = 60};
        assert_int_equal(asgd_train(m, s, &c, &result), ASGD_OK);
        assert_true(result.train_loss < 1); /* half the variance */
        for (int t = ASGDI_USER; t <= ASGDI_ITEM; t++)
            for (uint64_t row = 0; row < asgd_model_table(m, t)->rows; row++)
                for (uint32_t j = 0; j < 6; j++) assert_true(asgd_model_row(m, t, row)[j] >= 0);
        asgd_result_free(&result);
        asgd_model_free(m);
    }
    const asgd_config bad[] = {
        {.rule = {.kind = ASGD_RULE_adagrad}}, {.batch = 2}, {.workers = 2, .mode = ASGD_SYNC}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(asgd_model_named(&m, "mf", "nonnegative=1", asgd_source_schema(s)),
                         ASGD_OK);
        assert_int_equal(asgd_train(m, s, &bad[i], NULL), ASGD_EINVAL);
        assert_non_null(strstr(asgd_errmsg(), "nonnegative=1 needs rule sgd"));
        asgd_model_free(m);
    }
    asgd_source_close(s);
}

/* User 0 has all items but the last: nothing else may be drawn for them, whichever way items are drawn. */
static void items_that_a_user_has_are_not_drawn(void **state)
{
    (void)state;
    static const asgd_rating all[] = {{0, 0, 1}, {0, 1, 1}, {0, 2, 1},
                                      {0, 3, 1}, {0, 4, 1}, {1, 5, 1}};
    enum { ALL = sizeof all / sizeof all[0], ROUNDS = 200 };
    for (int way = 0; way < 3; way++) {
        const struct problem p = {"bpr", way == 2 ? "k=5 draw=popular" : "k=5", false};
        fixture              f;
        asgd_source         *s;
        asgdi_arranged       a;
        uint32_t             drawn = 0;
        assert_int_equal(asgd_source_ratings(&s, all, ALL, USERS, ITEMS), ASGD_OK);
        assert_int_equal(asgdi_arrange(&a, s, 1, 32, 3, 1, true), ASGD_OK);
        const asgd_pool  pool = {.items    = way == 0 ? a.items : NULL,
                                 .n_items  = ITEMS,
                                 .rating   = a.rating,
                                 .n_rating = ALL,
                                 .seen     = &a.seen};
        const asgd_batch b    = {.n = N, .features = USERS + ITEMS, .rating = all, .pool = &pool};
        make(&f, &p, SHARED);
        fixture_sink(&f, ASGDI_DISCARD, asgdk_best(), N, &b);
        for (uint64_t round = 0; round < ROUNDS; round++) {
            const asgdi_term *term = f.scratch;
            asgd_stats        st   = {0};
            memset(f.scratch, 0xff, N * sizeof *term);
            f.m->ops.step(f.m->self, &b, f.views, &f.sink, f.scratch, round, &st);
            for (uint32_t i = 0; i < N && term[i].user == 0; i++, drawn++)
                assert_int_equal(term[i].other, ITEMS - 1);
        }
        assert_true(drawn > N * ROUNDS / 4); /* a few tries miss one item of six now and then */
        fixture_free(&f);
        asgdi_arranged_free(&a);
        asgd_source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_derivative),
        cmocka_unit_test(fused_steps_are_steps),
        cmocka_unit_test(cold_ones_get_what_is_known),
        cmocka_unit_test(refuses_what_cannot_be_learnt),
        cmocka_unit_test(nonnegative_stays_so),
        cmocka_unit_test(items_that_a_user_has_are_not_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
