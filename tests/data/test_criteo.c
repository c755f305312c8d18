/* Criteo's click logs: features by their definition, missing values and labels, every error. */
#include "files.h"

#include "data/encoding.h"
#include "data/source.h"

enum { FIELDS = 39 };

/* A line of the given label (NULL: none), of which columns[f] are set and the others empty. */
static size_t write_line(char *to, const char *label, const char *const columns[FIELDS],
                         const char *end)
{
    size_t at = label ? (size_t)sprintf(to, "%s\t", label) : 0;
    for (int f = 0; f < FIELDS; f++)
        at += (size_t)sprintf(to + at, "%s%s", columns[f] ? columns[f] : "", f < 38 ? "\t" : end);
    return at;
}

static uint32_t hashed(const char *column, const char *value)
{
    uint64_t seed = asgdi_hash(column, strlen(column), 0);
    return asgdi_hash_feature(asgdi_hash(value, strlen(value), seed), 32);
}

static bool has(const asgd_source *s, uint64_t i, uint32_t field, const char *value)
{
    char column[8];
    snprintf(column, sizeof column, field < 13 ? "I%u" : "C%u",
             field < 13 ? field + 1 : field - 12);
    for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++)
        if (s->encoding->key[s->idx[j]] == hashed(column, value) && s->field[j] == field)
            return true;
    return false;
}

static void features(void **state)
{
    (void)state;
    const char *a[FIELDS] = {
        [0] = "1", [1] = "-2", [4] = "1382", [13] = "68fd1e64", [38] = "9727dd16"};
    const char *b[FIELDS] = {[0] = "0", [12] = "-1000", [13] = "68fd1e64", [26] = "x", [37] = "0"};
    char        text[1000];
    for (uint32_t way = 0; way < 6; way++) {
        const char *end = way % 2 ? "\r\n" : "\n";
        size_t      n   = write_line(text, "1", a, end);
        if (way > 3) n += (size_t)sprintf(text + n, "%s", end); /* an empty line */
        write_line(text + n, "0", b, way == 2 ? "" : end);
        asgd_source *s;
        ok(asgd_source_open(&s, put_text("t.txt", text),
                            &(asgd_source_options){.threads = way % 3 + 1}));
        assert_int_equal(s->schema.examples, 2);
        assert_int_equal(s->schema.fields, FIELDS);
        assert_int_equal(s->schema.classes, 2);
        assert_int_equal(s->schema.features, 9); /* 68fd1e64 stands twice */
        assert_null(s->val);
        assert_memory_equal(s->y, ((float[]){1, 0}), 8);
        assert_int_equal(s->start[1], 5);
        assert_int_equal(s->start[2], 10);
        assert_true(has(s, 0, 0, "1") && has(s, 0, 1, "-2") && has(s, 0, 13, "68fd1e64"));
        assert_true(has(s, 0, 4, "54")); /* 2 + floor(ln(1382)^2) */
        assert_true(has(s, 0, 38, "9727dd16"));
        assert_true(has(s, 1, 0, "0") && has(s, 1, 12, "-1000") && has(s, 1, 26, "x"));
        assert_true(has(s, 1, 37, "0") && has(s, 1, 13, "68fd1e64"));
        assert_memory_equal(asgd_source_describe(s), "criteo, 2 examples", 18);
        asgd_source_close(s);
    }
}

/* The group of every size of integer, against the logarithm itself. */
static void integers(void **state)
{
    (void)state;
    static char text[64 * 200];
    int64_t     x[64];
    size_t      at = 0;
    for (int i = 0; i < 64; i++) {
        x[i] = i < 20 ? i - 10 : (int64_t)pow(1.95, i - 2) + i;
        if (x[i] > 999999999999999999) x[i] = 999999999999999999 - i;
        char        digits[24];
        const char *column[FIELDS] = {[7] = digits};
        snprintf(digits, sizeof digits, "%lld", (long long)x[i]);
        at += write_line(text + at, "0", column, "\n");
    }
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("i.txt", text), NULL));
    assert_int_equal(s->schema.nonzeros, 64);
    for (int i = 0; i < 64; i++) {
        char   group[24];
        double l = x[i] > 2 ? log((double)x[i]) : 0;
        snprintf(group, sizeof group, "%lld", x[i] > 2 ? 2 + (long long)(l * l) : (long long)x[i]);
        if (!has(s, (uint64_t)i, 7, group)) fail_msg("%lld is not in %s", (long long)x[i], group);
    }
    asgd_source_close(s);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *label, *first, *last, *want;
    } c[] = {
        {"2", "5", "a", "the label is \"2\", not 0 or 1"},
        {"", "5", "a", "the label is \"\", not 0 or 1"},
        {"-1", "5", "a", "the label is \"-1\", not 0 or 1"},
        {NULL, "5", "a", "has 39 columns, not 40: a label, 13 integers and 26 categories"},
        {"1", "5", "a\tb",
         "has 41 columns, not 40: a label, 13 integers and 26 categories, with one "
         "TAB between two; a category cannot hold a TAB"},
        {"1", "5\t5", "a", "has 41 columns, not 40"},
        {"1", "1.5", "a", "column I1 holds \"1.5\", which is not an integer"},
        {"1", "-", "a", "column I1 holds \"-\", which is not an integer"},
        {"1", "1234567890123456789", "a",
         "column I1 holds \"1234567890123456789\", which is not an "},
        {"1", "x", "a\t", "has 41 columns, not 40"}, /* says what caused it */
    };
    const char *good[FIELDS] = {[0] = "5", [38] = "a"};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads < 4; threads++) {
            const char *bad[FIELDS] = {[0] = c[i].first, [38] = c[i].last};
            char        text[500], want[200];
            size_t      n = write_line(text, "1", good, "\n");
            n += (size_t)sprintf(text + n, "\n");
            n += write_line(text + n, c[i].label, bad, "\n");
            write_line(text + n, "0", good, "\n");
            snprintf(want, sizeof want, "bad.txt:3: %s", c[i].want);
            asgd_source *s;
            fails(asgd_source_open(&s, put_text("bad.txt", text),
                                   &(asgd_source_options){.threads = threads, .format = "criteo"}),
                  ASGD_EFORMAT, want);
        }
    char   text[200];
    size_t n       = write_line(text, "1", good, "\n");
    text[n - 2]    = 0;
    asgd_source *s = NULL;
    fails(asgd_source_open(&s, put("nul.txt", text, n), NULL), ASGD_EFORMAT,
          "nul.txt:1: holds a NUL byte");
    fails(asgd_source_open(&s, put_text("e.txt", "\n"), &(asgd_source_options){.format = "criteo"}),
          ASGD_EFORMAT, "e.txt: holds no example");
    write_line(text, NULL, good, "\n");
    fails(asgd_source_open(&s, put_text("u.txt", text), &(asgd_source_options){.format = "criteo"}),
          ASGD_EFORMAT, "u.txt:1: has 39 columns, not 40");
    const char *none[FIELDS] = {0};
    write_line(text, "1", none, "\n");
    fails(asgd_source_open(&s, put_text("e.txt", text), NULL), ASGD_EFORMAT,
          "e.txt: no example has a feature");
}

static void to_predict(void **state)
{
    (void)state;
    const char *a[FIELDS] = {[0] = "7", [20] = "u"}, *b[FIELDS] = {[0] = "7", [20] = "v"};
    char        text[500];
    size_t      n = write_line(text, "1", a, "\n");
    write_line(text + n, "0", a, "\n");
    asgd_source *train, *s;
    ok(asgd_source_open(&train, put_text("t.txt", text), NULL));
    asgd_source_options o = {
        .encoding = train->encoding, .label_values = train->labels, .n_label_values = 2};

    n = write_line(text, NULL, b, "\n"); /* an unseen value */
    n += write_line(text + n, NULL, a, "\n");
    ok(asgd_source_open(&s, put_text("p.txt", text), &o));
    assert_int_equal(s->schema.examples, 2);
    assert_int_equal(s->schema.features, 2);
    assert_memory_equal(s->start, ((uint64_t[]){0, 1, 3}), 24);
    assert_memory_equal(s->y, ((float[]){0, 0}), 8);
    assert_memory_equal(s->idx + 1, train->idx, 2 * sizeof *s->idx);
    asgd_source_close(s);

    write_line(text + n, "1", a, "\n");
    fails(asgd_source_open(&s, put_text("p.txt", text), &o), ASGD_EFORMAT,
          "p.txt:3: has 40 columns where the first line has 39");
    n = write_line(text, "1", a, "\n");
    write_line(text + n, NULL, a, "\n");
    fails(asgd_source_open(&s, put_text("p.txt", text), &o), ASGD_EFORMAT,
          "p.txt:2: has 39 columns, not 40");
    asgd_source_close(train);
}

static void names(void **state)
{
    (void)state;
    const char *a[FIELDS] = {[0] = "7", [1] = "-3", [2] = "3", [3] = "2", [38] = "9727dd16"};
    const char *want[]    = {"I1 in [6, 8)", "I2=-3", "I3 in [3, 5)", "I4=2", "C26=9727dd16"};
    char        text[200];
    write_line(text, "1", a, "\n");
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.txt", text), NULL));
    uint32_t        n;
    const uint32_t *key = asgd_encoding_keys(s->encoding, &n);
    char           *name[5];
    assert_int_equal(n, 5);
    ok(asgd_encoding_names(s->encoding, at("t.txt"), NULL, key, n, name));
    for (size_t i = 0; i < 5; i++) {
        size_t found = 0;
        for (size_t j = 0; j < 5; j++) found += strcmp(name[j], want[i]) == 0;
        if (found != 1) fail_msg("%s: %zu times", want[i], found);
    }
    for (size_t j = 0; j < 5; j++) free(name[j]);
    asgd_source_close(s);
}

static void guessed(void **state)
{
    (void)state;
    static char text[20000];
    const char *a[FIELDS] = {[0] = "7", [38] = "u"};
    size_t      n         = (size_t)sprintf(text, "\xef\xbb\xbf");
    for (int i = 0; i < 50; i++) n += write_line(text + n, i % 2 ? "1" : "0", a, "\n");
    const uint8_t *head = (const uint8_t *)text;
    for (size_t cut = 60; cut <= n; cut++) /* wherever the head ends */
        assert_true(asgdi_format_criteo.guess("x", head, cut));
    assert_false(asgdi_format_criteo.guess("x", head, 20));
    text[3] = '2';
    assert_false(asgdi_format_criteo.guess("x", head, n));
    assert_false(asgdi_format_criteo.guess("x", (const uint8_t *)"1\t2\t3\n", 6));
}

static void criteo_10k(void **state)
{
    (void)state;
    const char *train = real_data("criteo-10k/train.txt.gz");
    const char *test  = real_data("criteo-10k/test.txt.gz");
    if (!train || !test) skip();
    asgd_source        *a, *b;
    asgd_source_options o = {.cache = "none"};
    ok(asgd_source_open(&a, train, &o));
    assert_int_equal(a->schema.examples, 8000);
    assert_int_equal(a->schema.nonzeros, 266408);
    assert_int_equal(a->schema.classes, 2);
    float clicks = 0;
    for (uint64_t i = 0; i < a->schema.examples; i++) clicks += a->y[i];
    assert_true(clicks == 1728);
    assert_true(has(a, 0, 14, "80e26c9b") && has(a, 0, 4, "54"));
    o.encoding       = a->encoding;
    o.label_values   = a->labels;
    o.n_label_values = 2;
    ok(asgd_source_open(&b, test, &o));
    assert_int_equal(b->schema.examples, 2000);
    assert_int_equal(b->schema.features, a->schema.features);
    asgd_source_close(b);
    asgd_source_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features),   cmocka_unit_test(integers), cmocka_unit_test(errors),
        cmocka_unit_test(to_predict), cmocka_unit_test(names),    cmocka_unit_test(guessed),
        cmocka_unit_test(criteo_10k),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
