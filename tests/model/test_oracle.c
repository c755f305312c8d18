/* test_oracle.c -- losses, gradients and ten steps of sgd are PyTorch's (oracle.py). */
#include "fixture.h"
#include "oracle.h"

#include <math.h>
#include <stdio.h>

enum { ORACLES = sizeof oracles / sizeof oracles[0] };

typedef struct problem {
    asgd_batch batch;
    uint64_t   begin[N];
    uint32_t   len[N], idx[N * FEATURES];
    float      val[N * FEATURES];
} problem;

static void make(fixture *f, problem *p, const struct oracle *o, bool sparse, asgdi_sink_kind kind,
                 const asgd_kern *k)
{
    asgd_schema d = {.examples = N,
                     .nonzeros = N * FEATURES,
                     .features = FEATURES,
                     .classes  = o->classes,
                     .dense    = !sparse};
    memset(f, 0, sizeof *f);
    assert_int_equal(asgd_model_named(&f->m, o->model, o->options, &d), ASGD_OK);
    size_t at = 0;
    for (int t = 0; t < asgd_model_tables(f->m); t++) {
        const asgd_table *table = asgd_model_table(f->m, t);
        for (uint64_t r = 0; r < table->rows; r++, at += table->dim)
            memcpy(asgd_model_row(f->m, t, r), o->start + at, table->dim * sizeof(float));
    }
    assert_int_equal(at, o->n);
    fixture_views(f, SHARED);
    p->batch = (asgd_batch){.n        = N,
                            .features = FEATURES,
                            .y        = o->y,
                            .weight   = o->weighted ? weights : NULL,
                            .dense    = x_dense};
    fixture_sink(f, kind, k, N, &p->batch);
    if (sparse) to_sparse(&p->batch, p->begin, p->len, p->idx, p->val);
}

static double step(fixture *f, const problem *p)
{
    asgd_stats st = {0};
    f->m->ops.step(f->m->self, &p->batch, f->views, &f->sink, f->scratch, 1, &st);
    return st.loss / st.weight;
}

/* PyTorch's losses are divided by the sum of the weights, gradients here by the number of examples. */
static double mean_weight(const struct oracle *o)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += o->weighted ? (double)weights[i] : 1;
    return sum / N;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-5;
}

static int check(const struct oracle *o, bool sparse, const asgd_kern *k)
{
    fixture f;
    problem p;
    int     bad = 0;
    make(&f, &p, o, sparse, ASGDI_ACCUMULATE, k);
    bad += !near(step(&f, &p), o->loss[0]);
    size_t at = 0;
    for (int t = 0; t < asgd_model_tables(f.m); t++) {
        const asgdi_table *table = &f.m->params.table[t];
        for (uint64_t r = 0; r < table->info.rows; r++)
            for (uint32_t j = 0; j < table->info.dim; j++, at++)
                bad += !near(f.sink.grad[t][r * table->pad + j], mean_weight(o) * o->grad[at]);
    }
    fixture_free(&f);

    make(&f, &p, o, sparse, ASGDI_APPLY, k);
    f.sink.rule.kind = ASGD_RULE_sgd;
    for (int i = 0; i <= STEPS; i++) {
        asgdi_rule_step(&f.sink.rule, LR / mean_weight(o), (uint64_t)i + 1, &f.sink.step);
        bad += !near(step(&f, &p), o->loss[i]);
    }
    fixture_free(&f);
    if (bad)
        print_error("%s %s, %s, %s, kernels %s: %d numbers differ\n", o->model, o->options,
                    o->weighted ? "weighted" : "not weighted", sparse ? "sparse" : "dense", k->name,
                    bad);
    return bad;
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    int bad = 0;
    for (int i = 0; i < ORACLES; i++)
        for (int v = 0; asgdk_variant(v); v++)
            for (int sparse = 0; sparse < 2; sparse++)
                bad += check(&oracles[i], sparse == 1, asgdk_variant(v));
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_pytorch)};
    asgdk_gemm_thread();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
