/* How workers share rows: what auto chooses, and that hot rows, numbered by frequency, lose nothing and
 * come back in the file's order. */
#include "engine/count_model.h"

#include <unistd.h>

enum { FEATURES = 500, LINES = 4000, HOT = 16 };

/* A new file (path: "...XXXXXX") of LIBSVM lines with features by Zipf's law, the frequent ones scattered over the numbers. */
static void write_skewed(char *path, double *count)
{
    int      fd = mkstemp(path);
    FILE    *f  = fd >= 0 ? fdopen(fd, "w") : NULL;
    uint64_t s  = 88172645463325252u;
    assert_non_null(f);
    for (int line = 0; line < LINES; line++) {
        bool has[FEATURES] = {false};
        fputs(line % 3 ? "1" : "-1", f);
        for (int k = 0; k < 10; k++) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            double u                   = (double)(s >> 11) * 0x1p-53;
            int    rank                = (int)pow(FEATURES, u) - 1; /* density 1 / rank */
            has[rank * 173 % FEATURES] = true;
        }
        for (int i = 0; i < FEATURES; i++)
            if (has[i]) {
                fprintf(f, " %d:1", i + 1);
                count[i]++;
            }
        fputc('\n', f);
    }
    assert_int_equal(fclose(f), 0);
}

static asgd_source *open_ranked(const char *path, uint32_t features)
{
    asgd_source        *s;
    asgd_source_options o = {.rank_features = true, .cache = "none", .features = features};
    ok(asgd_source_open(&s, path, &o));
    return s;
}

static void hot_rows_are_exact_and_in_order(void **state)
{
    (void)state;
    char   path[]          = "skewed-XXXXXX";
    double count[FEATURES] = {0};
    write_skewed(path, count);
    for (int hot = 0; hot < 2; hot++) {
        asgd_source *data = open_ranked(path, FEATURES);
        asgd_model  *m;
        count_model  self = {0};
        asgd_result  r;
        asgd_config  c = {.workers      = 4,
                          .batch        = 4,
                          .epochs       = 2,
                          .lr           = 1,
                          .merge        = 64,
                          .hot          = HOT,
                          .share        = hot ? ASGD_SHARE_HOT : ASGD_SHARE_REPLICA,
                          .rule         = {.kind = ASGD_RULE_sgd},
                          .schedule_set = true,
                          .damp         = -1};
        ok(asgd_model_new(&m, &count_ops, &self, asgd_source_schema(data)));
        ok(asgd_train(m, data, &c, &r));
        assert_non_null(strstr(r.share, hot ? "hot" : "replica"));
        double sorted[FEATURES];
        memcpy(sorted, count, sizeof sorted);
        for (int i = 1; i < FEATURES; i++)
            for (int j = i; j > 0 && sorted[j] > sorted[j - 1]; j--) {
                double t      = sorted[j];
                sorted[j]     = sorted[j - 1];
                sorted[j - 1] = t;
            }
        double threshold = hot ? sorted[HOT] : -1; /* counts of the hot rows are above it */
        double lost = 0, total = 0;
        for (uint32_t f = 0; f < FEATURES; f++) {
            double got = (double)asgd_model_row(m, 0, f)[0];
            if (count[f] > threshold && got != 2 * count[f])
                fail_msg("feature %u: %g, not %g", f, got, 2 * count[f]);
            assert_true(got <= 2 * count[f]);
            lost += 2 * count[f] - got;
            total += 2 * count[f];
        }
        print_message("%s: %.3f %% of updates lost in shared rows\n", r.share, 100 * lost / total);
        assert_true(lost < 0.2 * total);
        asgd_result_free(&r);
        asgd_model_free(m);
        asgd_source_close(data);
    }
    unlink(path);
}

static void auto_chooses_by_table(void **state)
{
    (void)state;
    char   path[]          = "skewed-XXXXXX";
    double count[FEATURES] = {0};
    write_skewed(path, count);
    const struct {
        uint32_t    features, workers;
        const char *says;
    } cases[] = {{FEATURES, 2, "replica"}, {3000000, 2, "hot"}, {FEATURES, 1, "one worker"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        asgd_source *data = open_ranked(path, cases[i].features);
        asgd_model  *m;
        asgd_result  r;
        asgd_config  c = {.workers = cases[i].workers, .epochs = 1};
        ok(asgd_model_named(&m, "linear", NULL, asgd_source_schema(data)));
        ok(asgd_train(m, data, &c, &r));
        if (!strstr(r.share, cases[i].says)) fail_msg("chose %s, not %s", r.share, cases[i].says);
        asgd_result_free(&r);
        asgd_model_free(m);
        asgd_source_close(data);
    }
    unlink(path);
}

/* Ranking renames rows while training and changes nothing else: one worker gives the same model. */
static void ranking_changes_no_result(void **state)
{
    (void)state;
    char   path[]          = "skewed-XXXXXX";
    double count[FEATURES] = {0};
    write_skewed(path, count);
    asgd_metrics q[2];
    float        w[2];
    for (int ranked = 0; ranked < 2; ranked++) {
        asgd_source        *train, *valid;
        asgd_source_options o     = {.rank_features = ranked, .cache = "none"},
                            plain = {.cache = "none"};
        ok(asgd_source_open(&train, path, &o));
        ok(asgd_source_open(&valid, path, &plain));
        asgd_model *m;
        asgd_result r;
        asgd_config c = {.workers = 1, .epochs = 3, .valid = valid};
        ok(asgd_model_named(&m, "linear", NULL, asgd_source_schema(train)));
        ok(asgd_train(m, train, &c, &r));
        q[ranked] = r.valid;
        w[ranked] = asgd_model_row(m, 0, 7)[0];
        asgd_result_free(&r);
        asgd_model_free(m);
        asgd_source_close(train);
        asgd_source_close(valid);
    }
    /* not bit for bit: an example's entries are summed in another order */
    assert_true(fabs(q[0].loss - q[1].loss) < 1e-5);
    assert_true(fabsf(w[0] - w[1]) < 1e-4f);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_rows_are_exact_and_in_order),
        cmocka_unit_test(auto_chooses_by_table),
        cmocka_unit_test(ranking_changes_no_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
