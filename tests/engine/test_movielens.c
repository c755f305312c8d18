/* test_movielens.c -- mf on MovieLens at its defaults: the errors that it must reach, Hogwild's distance from
 * the conflict-free result, and bpr's distance from ranking by popularity.  Skipped without the data. */
#include "../data/files.h"

#include "data/source.h"

static const char *const fold_names[] = {"ml-1m/ratings.fold1.tsv.gz", "ml-1m/ratings.fold2.tsv.gz",
                                         "ml-1m/ratings.fold3.tsv.gz", "ml-1m/ratings.fold4.tsv.gz",
                                         "ml-1m/ratings.fold5.tsv.gz"};

/* The atomic kernels are for finding races, not for a million ratings. */
static bool too_slow(void)
{
    const char *isa = getenv("ASGD_ISA");
    return isa && strcmp(isa, "atomic") == 0;
}

static bool open_ml1m(asgd_source **train, asgd_source **test)
{
    static char path[5][512];
    for (int i = 0; i < 5; i++) {
        const char *p = real_data(fold_names[i]);
        if (!p) return false;
        snprintf(path[i], sizeof path[i], "%s", p);
    }
    const char               *also[] = {path[1], path[2], path[3]};
    const asgd_source_options o      = {.format = "ratings", .also = also, .n_also = 3};
    ok(asgd_source_open(train, path[0], &o));
    const asgd_source_options of = {.encoding = asgd_source_encoding(*train)};
    ok(asgd_source_open(test, path[4], &of));
    return true;
}

static double rmse_of(asgd_source *train, asgd_source *test, const char *options, asgd_config c)
{
    asgd_model *m;
    asgd_result r;
    c.valid = test;
    ok(asgd_model_named(&m, "mf", options, asgd_source_schema(train)));
    ok(asgd_train(m, train, &c, &r));
    const double rmse = r.valid.rmse;
    asgd_result_free(&r);
    asgd_model_free(m);
    return rmse;
}

static void ml1m(void **state)
{
    (void)state;
    asgd_source      *train = NULL, *test = NULL;
    const asgd_config none = {0};
    if (too_slow() || !open_ml1m(&train, &test)) skip();
    assert_int_equal(asgd_source_schema(train)->examples + asgd_source_schema(test)->examples,
                     1000203);
    const double k32 = rmse_of(train, test, "", none);
    if (!(k32 <= 0.850)) fail_msg("RMSE %g with k=32; 0.850 is wanted", k32);
    const double k128 = rmse_of(train, test, "k=128", none);
    if (!(k128 <= 0.843)) fail_msg("RMSE %g with k=128; 0.843 is wanted", k128);
    for (uint32_t workers = 1; workers <= 8; workers *= 2) {
        const asgd_config hogwild = {
            .blocks = ASGD_BLOCKS_OFF, .share = ASGD_SHARE_SHARED, .workers = workers};
        const double rmse = rmse_of(train, test, "", hogwild);
        if (!(fabs(rmse - k32) <= 0.002))
            fail_msg("Hogwild, %u workers: RMSE %g, not about %g", workers, rmse, k32);
    }
    asgd_source_close(train);
    asgd_source_close(test);
}

/* u.data without u<fold>.test is the training part. */
static void ml100k(void **state)
{
    (void)state;
    double sum = 0;
    if (too_slow()) skip();
    for (int fold = 1; fold <= 5; fold++) {
        char name[64];
        snprintf(name, sizeof name, "ml-100k/u%d.test.gz", fold);
        const char *all_path = real_data("ml-100k/u.data.gz"), *test_path = real_data(name);
        if (!all_path || !test_path) skip();
        asgd_source              *all, *test, *train;
        const asgd_source_options o = {.format = "ratings"};
        ok(asgd_source_open(&all, all_path, &o));
        const asgd_source_options of = {.encoding = asgd_source_encoding(all)};
        ok(asgd_source_open(&test, test_path, &of));
        const asgd_schema *d    = asgd_source_schema(all);
        uint8_t           *held = calloc(d->users, d->items);
        asgd_rating       *r    = calloc(d->examples, sizeof *r);
        assert_true(held && r);
        for (uint64_t i = 0; i < asgd_source_schema(test)->examples; i++)
            held[test->rating[i].user * d->items + test->rating[i].item] = 1;
        uint64_t n = 0;
        for (uint64_t i = 0; i < d->examples; i++)
            if (!held[all->rating[i].user * d->items + all->rating[i].item])
                r[n++] = all->rating[i];
        assert_int_equal(n, 80000);
        ok(asgd_source_ratings(&train, r, n, d->users, d->items));
        const asgd_config c = {.workers = 2};
        asgd_encoding    *e = test->encoding;
        test->encoding      = NULL; /* arrays have none */
        sum += rmse_of(train, test, "", c);
        test->encoding = e;
        asgd_source_close(train);
        asgd_source_close(test);
        asgd_source_close(all);
        free(held);
        free(r);
    }
    if (!(sum / 5 <= 0.915)) fail_msg("mean RMSE %g; 0.915 is wanted", sum / 5);
}

static void ranks_better_than_popularity(void **state)
{
    (void)state;
    asgd_source *train = NULL, *test = NULL;
    if (too_slow() || !open_ml1m(&train, &test)) skip();
    asgd_model  *m;
    asgd_metrics bpr, popular;
    ok(asgd_model_named(&m, "bpr", "", asgd_source_schema(train)));
    const asgd_config c = {.epochs = 10};
    ok(asgd_train(m, train, &c, NULL));
    ok(asgd_eval_ranking(m, test, train, 10, 2, &bpr));
    /* most popular first: items are numbered by falling number of ratings */
    const asgd_schema *d = asgd_source_schema(train);
    for (uint32_t u = 0; u < d->users; u++) memset(asgd_model_row(m, 0, u), 0, 32 * sizeof(float));
    for (uint32_t i = 0; i < d->items; i++) *asgd_model_row(m, 3, i) = -(float)i;
    ok(asgd_eval_ranking(m, test, train, 10, 2, &popular));
    if (!(bpr.auc > popular.auc + 0.02 && bpr.ndcg > popular.ndcg + 0.03))
        fail_msg("bpr: AUC %g, NDCG@10 %g; most popular: %g, %g", bpr.auc, bpr.ndcg, popular.auc,
                 popular.ndcg);
    assert_true(popular.auc > 0.8 && popular.auc < 0.9);
    asgd_model_free(m);
    asgd_source_close(train);
    asgd_source_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ml1m),
        cmocka_unit_test(ml100k),
        cmocka_unit_test(ranks_better_than_popularity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
