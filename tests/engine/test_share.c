/* How workers share rows: what auto chooses, and that hot rows, numbered by frequency, lose nothing. */
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

static asgd_source *open_ranked(const char *path)
{
    asgd_source        *s;
    asgd_source_options o = {.rank_features = true, .cache = "none"};
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
        asgd_source *data = open_ranked(path);
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
        double   threshold = hot ? sorted[HOT] : -1; /* counts of the hot rows are above it */
        double   lost = 0, total = 0;
        uint32_t rows;
        const uint32_t *key = asgd_encoding_keys(asgd_model_encoding(m), &rows);
        for (uint32_t row = 0; row < rows; row++) {
            uint32_t f   = key[row];
            double   got = (double)asgd_model_row(m, 0, row)[0];
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
        asgd_source *data = open_ranked(path);
        asgd_schema  d    = *asgd_source_schema(data);
        d.features        = cases[i].features; /* more rows than the data have features */
        asgd_model *m;
        asgd_result r;
        asgd_config c = {.workers = cases[i].workers, .epochs = 1};
        ok(asgd_model_named(&m, "linear", NULL, &d));
        ok(asgd_train(m, data, &c, &r));
        if (!strstr(r.share, cases[i].says)) fail_msg("chose %s, not %s", r.share, cases[i].says);
        asgd_result_free(&r);
        asgd_model_free(m);
        asgd_source_close(data);
    }
    unlink(path);
}

/* Numbering by frequency renames rows and changes nothing else: one worker gives the same model. */
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
        asgd_source_options o = {.rank_features = ranked, .cache = "none"};
        ok(asgd_source_open(&train, path, &o));
        o = (asgd_source_options){.cache = "none", .encoding = asgd_source_encoding(train)};
        ok(asgd_source_open(&valid, path, &o));
        asgd_model *m;
        asgd_result r;
        asgd_config c = {.workers = 1, .epochs = 3, .valid = valid};
        ok(asgd_model_named(&m, "linear", NULL, asgd_source_schema(train)));
        ok(asgd_train(m, train, &c, &r));
        q[ranked]    = r.valid;
        uint64_t row = 7;
        if (ranked) {
            uint32_t        rows;
            const uint32_t *key = asgd_encoding_keys(asgd_model_encoding(m), &rows);
            for (row = 0; key[row] != 7; row++) assert_true(row + 1 < rows);
        }
        w[ranked] = asgd_model_row(m, 0, row)[0];
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

/* Data whose features are numbered otherwise than the model's are refused, not trained or judged on. */
static void other_numbering_is_refused(void **state)
{
    (void)state;
    char   path[] = "skewed-XXXXXX", other[] = "skewed-XXXXXX";
    double count[FEATURES] = {0};
    write_skewed(path, count);
    write_skewed(other, count);
    FILE *f = fopen(other, "a"); /* one more example, and the order of two features may change */
    assert_non_null(f);
    fputs("1 1:1 600:1\n", f);
    assert_int_equal(fclose(f), 0);
    asgd_source        *train = open_ranked(path), *differs = open_ranked(other), *plain, *fits;
    asgd_source_options o = {.cache = "none", .features = FEATURES - 100};
    ok(asgd_source_open(&plain, other, &o));
    o = (asgd_source_options){.cache = "none", .encoding = asgd_source_encoding(train)};
    ok(asgd_source_open(&fits, other, &o));
    asgd_model  *m;
    asgd_metrics q;
    asgd_result  r;
    float       *out = calloc(LINES + 1, sizeof *out);
    ok(asgd_model_named(&m, "linear", NULL, asgd_source_schema(train)));
    asgd_config c = {.workers = 1, .epochs = 1, .valid = plain};
    fails(asgd_train(m, train, &c, &r), ASGD_EMISMATCH,
          "the validation data: features are numbered otherwise than in the model's training data; "
          "open");
    asgd_result_free(&r);
    c.valid = fits;
    ok(asgd_train(m, train, &c, &r));
    asgd_result_free(&r);
    ok(asgd_eval(m, fits, 1, &q));
    fails(asgd_eval(m, plain, 1, &q), ASGD_EMISMATCH, "the data: features are numbered otherwise");
    fails(asgd_predict(m, plain, 1, out), ASGD_EMISMATCH,
          "the data: features are numbered otherwise");
    fails(asgd_train(m, differs, &c, &r), ASGD_EMISMATCH, "the training data");
    asgd_result_free(&r);
    ok(asgd_predict(m, fits, 1, out));
    free(out);
    asgd_model_free(m);
    asgd_source_close(train);
    asgd_source_close(differs);
    asgd_source_close(plain);
    asgd_source_close(fits);
    unlink(path);
    unlink(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hot_rows_are_exact_and_in_order),
        cmocka_unit_test(auto_chooses_by_table),
        cmocka_unit_test(ranking_changes_no_result),
        cmocka_unit_test(other_numbering_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
