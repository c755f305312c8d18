/* The Extreme Classification Repository's text: what it means, every error with its line, the counts of
 * its first line, real data. */
#include "files.h"

#include "data/source.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache = "none";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.txt", text), &o));
    return s;
}

/* Any order, examples without labels or features, Windows line ends, a mark at the beginning, no end of
 * line at the end. */
static void good(void **state)
{
    (void)state;
    asgd_source *s = parse("\xef\xbb\xbf"
                           "7 12 8\r\n"
                           "0,3 1:0.5 8:1\r\n"
                           "\r\n"
                           " 2:1 4:-2\n"
                           "5,1,2\t9:1 0:3 \n"
                           "4\n"
                           "7:1 3:1 7:2\n"
                           " \n"
                           "5 6:2.5",
                           (asgd_source_options){0});
    assert_int_equal(s->schema.examples, 7);
    assert_int_equal(s->schema.features, 12);
    assert_int_equal(s->schema.classes, 8);
    assert_true(s->schema.label_sets);
    assert_false(s->schema.dense);
    assert_memory_equal(s->start, ((uint64_t[]){0, 2, 4, 6, 6, 8, 8, 9}), 64);
    assert_memory_equal(s->idx, ((uint32_t[]){1, 8, 2, 4, 0, 9, 3, 7, 6}), 36);
    assert_memory_equal(s->val, ((float[]){.5f, 1, 1, -2, 3, 1, 1, 3, 2.5f}), 36);
    assert_memory_equal(s->label_start, ((uint64_t[]){0, 2, 2, 5, 6, 6, 6, 7}), 64);
    assert_memory_equal(s->label, ((uint32_t[]){0, 3, 1, 2, 5, 4, 5}), 28);
    assert_memory_equal(s->y, ((float[7]){0}), 28);
    assert_null(s->weight);
    assert_null(s->labels);
    assert_string_equal(asgd_source_describe(s),
                        "xc, 7 examples, 12 features, 8 labels, 10.7 % non-zero");
    asgdi_cursor c;
    asgd_batch   b;
    ok(asgdi_cursor_init(&c, s, 2));
    asgdi_cursor_batch(&c, NULL, (uint64_t[]){2, 1}, 2, &b);
    assert_int_equal(b.label_begin[0], 2);
    assert_int_equal(b.label_len[0], 3);
    assert_int_equal(b.label[b.label_begin[0] + 2], 5);
    assert_int_equal(b.label_len[1], 0);
    asgdi_cursor_free(&c);
    asgd_source_close(s);
}

/* Enough text to be cached and parsed in parts; the first line says so many examples. */
enum { LINES = 40000 };
static char *long_text(int examples, size_t *bytes)
{
    char *text = malloc(LINES * 80), *p = text;
    assert_non_null(text);
    p += sprintf(p, "%d 1000 500\n", examples);
    for (unsigned i = 0; i < LINES; i++) {
        for (unsigned j = 0; j < i % 4; j++)
            p += sprintf(p, "%s%u", j ? "," : "", i % 97 + 100 * j);
        for (unsigned j = 0; j < i % 5; j++)
            p += sprintf(p, " %u:%u", (i * 7 + j * 131) % 1000, j + 1);
        p += sprintf(p, i % 4 == 0 && i % 5 == 0 ? " \n" : "\n");
    }
    *bytes = (size_t)(p - text);
    return text;
}

static void same(const asgd_source *a, const asgd_source *b)
{
    assert_memory_equal(&a->schema, &b->schema, sizeof a->schema);
    assert_memory_equal(a->start, b->start, (LINES + 1) * sizeof *a->start);
    assert_memory_equal(a->idx, b->idx, a->schema.nonzeros * sizeof *a->idx);
    assert_memory_equal(a->val, b->val, a->schema.nonzeros * sizeof *a->val);
    assert_memory_equal(a->label_start, b->label_start, (LINES + 1) * sizeof *a->label_start);
    assert_memory_equal(a->label, b->label, a->label_start[LINES] * sizeof *a->label);
}

/* The same for any number of threads, compressed or not, from the cache or not. */
static void always_the_same(void **state)
{
    (void)state;
    size_t       bytes, n;
    char        *text = long_text(LINES, &bytes);
    uint8_t     *gz;
    asgd_source *one, *s;
    ok(asgd_source_open(&one, put("t.txt", text, bytes), NULL));
    assert_int_equal(one->schema.examples, LINES);
    ok(asgd_source_open(&s, at("t.txt"), NULL));
    assert_non_null(strstr(asgd_source_describe(s), "from cache"));
    same(s, one);
    asgd_source_close(s);
    n = compress_as(".gz", text, bytes, &gz);
    for (uint32_t threads = 1; threads <= 7; threads += 3) {
        asgd_source_options o = {.threads = threads, .cache = "none"};
        ok(asgd_source_open(&s, put("t.txt.gz", gz, n), &o));
        same(s, one);
        asgd_source_close(s);
    }
    asgd_source_close(one);
    free(gz);
    free(text);
}

/* Each text has its error on line 4; the same with any number of threads. */
static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"5 1:1", "label 5, but the first line says 5 labels, from 0 up; correct one of them"},
        {"0,99999999999 1:1", "label 99999999999, but the first line says 5 labels"},
        {"00000000000000000000001 1:1", "\"00000000000000000000001\" is neither labels nor"},
        {"3,1,3 1:1", "label 3 stands twice; keep it once"},
        {"2,2 1:1", "label 2 stands twice"},
        {"1, 1:1", "\"1,\" is neither labels nor feature:value; write labels as 3,17,21"},
        {",1 1:1", "\",1\" is neither labels nor feature:value"},
        {"1;2 1:1", "\"1;2\" is neither labels nor feature:value"},
        {"-1 1:1", "\"-1\" is neither labels nor feature:value"},
        {"cat 1:1", "\"cat\" is neither labels nor feature:value"},
        {"1.5 1:1", "\"1.5\" is neither labels nor feature:value"},
        {"1 2 1:1", "\"2\" is not feature:value, with the feature a number from 0 up; write it as"},
        {" 2,3 1:1", "\"2,3\" is not feature:value"},
        {"1 9:1", "feature 9, but the first line says 9 features, from 0 up; correct one"},
        {"1 4294967297:1", "feature 4294967297, but the first line says 9 features"},
        {"1 99999999999999999999999:1", "\"99999999999999999999999:1\" is not feature:value"},
        {"1 -3:1", "\"-3:1\" is not feature:value"},
        {"1 a:1", "\"a:1\" is not feature:value"},
        {"1 :1", "\":1\" is not feature:value"},
        {":1", "\":1\" is not feature:value"},
        {"1 3:", "\"3:\": what follows the colon is not a number; correct or remove it"},
        {"1 3:x", "\"3:x\": what follows the colon is not a number"},
        {"1 3:1:1", "\"3:1:1\": what follows the colon is not a number"},
        {"1 3:nan", "\"3:nan\": the value is not finite"},
        {"1 3:1e39", "\"3:1e39\": the value is not finite as a 32-bit float"},
        {"1 3:1 # note", "\"#\" is not feature:value"},
        {"1#note 3:1", "\"#\" is not feature:value"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 8; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "6 9 5\n1 0:1\n0 2:1\n%s\n1 5:1\n0 1:1\n1 bad\n", c[i][0]);
            snprintf(want, sizeof want, "bad.txt:4: %s", c[i][1]);
            asgd_source        *s;
            asgd_source_options o = {.format = "xc", .threads = threads, .cache = "none"};
            fails(asgd_source_open(&s, put_text("bad.txt", text), &o), ASGD_EFORMAT, want);
        }
    static const char   nul[] = "1 9 5\n1 \0003:1\n";
    asgd_source        *s;
    asgd_source_options o = {.format = "xc", .cache = "none"};
    fails(asgd_source_open(&s, put("nul.txt", nul, sizeof nul - 1), &o), ASGD_EFORMAT,
          "nul.txt:2: \"?3:1\" is not feature:value");
}

/* The first line, and whether it counts right: also when the examples come from the cache. */
static void first_line(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1 3:1\n", "f.txt:1: is not three numbers; begin with how many examples, features and"},
        {"1 2\n1 1:1\n", "f.txt:1: is not three numbers"},
        {"1 2 3 4\n1 1:1\n", "f.txt:1: is not three numbers"},
        {"1 2 x\n1 1:1\n", "f.txt:1: is not three numbers"},
        {"1 2 3#\n1 1:1\n", "f.txt:1: is not three numbers"},
        {"1 2 99999999999999999999\n1 1:1\n", "f.txt:1: is not three numbers"},
        {"1 2 0\n1:1\n", "f.txt:1: says 0 labels; there may be 1 to 16777216"},
        {"1 2 16777217\n1 1:1\n", "f.txt:1: says 16777217 labels"},
        {"1 0 2\n1\n", "f.txt:1: says 0 features; there may be 1 to 2147483647"},
        {"1 2147483648 2\n1\n", "f.txt:1: says 2147483648 features"},
        {"2 2 2\n1 1:1\n",
         "f.txt: has 1 examples, but its first line says 2; fetch the whole file"},
        {"1 2 2\n1 1:1\n0 0:1\n", "f.txt: has 2 examples, but its first line says 1; remove those"},
        {"0 2 2\n", "f.txt: holds no example; give a file with lines like \"3,17 5:0.5 8:1\""},
    };
    asgd_source        *s;
    asgd_source_options o = {.format = "xc", .cache = "none"};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        fails(asgd_source_open(&s, put_text("f.txt", c[i][0]), &o), ASGD_EFORMAT, c[i][1]);
    size_t bytes;
    char  *text = long_text(LINES + 1, &bytes);
    put("g.txt", text, bytes);
    for (int i = 0; i < 2; i++)
        fails(asgd_source_open(&s, at("g.txt"), NULL), ASGD_EFORMAT,
              "has 40000 examples, but its first line says 40001; fetch the whole file");
    free(text);
}

/* A width that is forced, and the encoding of other data: what is unseen is left out. */
static void as_the_training_data(void **state)
{
    (void)state;
    static const char text[] = "3 10 6\n0,3 1:0.5 8:1\n 8:2\n5,1 9:1 8:1\n";
    asgd_source      *s      = parse(text, (asgd_source_options){.features = 9}), *t;
    assert_int_equal(s->schema.features, 9);
    assert_int_equal(s->schema.nonzeros, 4);
    assert_non_null(strstr(asgd_source_describe(s), "1 entries of unseen features dropped"));
    asgd_source_close(s);

    s = parse(text, (asgd_source_options){.rank_features = true});
    uint32_t        rows;
    const uint32_t *key = asgd_encoding_keys(asgd_source_encoding(s), &rows);
    assert_int_equal(rows, 3);
    assert_memory_equal(key, ((uint32_t[]){8, 1, 9}), 12);
    assert_int_equal(s->schema.features, 3);
    assert_memory_equal(s->idx, ((uint32_t[]){0, 1, 0, 0, 2}), 20);
    t = parse("1 12 6\n4 11:1 9:1 7:1\n", (asgd_source_options){.encoding = s->encoding});
    assert_int_equal(t->schema.features, 3);
    assert_int_equal(t->schema.nonzeros, 1);
    assert_int_equal(t->idx[0], 2);
    asgd_source_close(t);

    char *name[1];
    ok(asgd_encoding_names(asgd_source_encoding(s), NULL, NULL, key + 2, 1, name));
    assert_string_equal(name[0], "9");
    free(name[0]);
    asgd_source_close(s);

    /* a model of two labels does not know a third */
    static const float  labels[] = {0, 1};
    asgd_source_options o        = {.label_values = labels, .n_label_values = 2, .cache = "none"};
    fails(asgd_source_open(&s, put_text("l.txt", "2 9 3\n0 1:1\n0,2 1:1\n"), &o), ASGD_EFORMAT,
          "l.txt:3: label 2 is none that the model was trained on");
}

static void guessed(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"2 9 5\n0,3 1:1\n2 1:1\n", "xc, 2"}, {"1\t9 5 \r\n 1:1\n", "xc, 1"},
        {"3 9 5\n1\n\n \n2 1:1\n", "xc, 3"},  {"1 9:5\n", "libsvm, 1"},
        {"1,2,3\n1,2,3\n4,5,6\n", "csv"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_source *s    = NULL;
        asgd_status  e    = asgd_source_open(&s, put_text("g", c[i][0]), NULL);
        const char  *says = e == ASGD_OK ? asgd_source_describe(s) : asgd_errmsg();
        if (strncmp(says, c[i][1], strlen(c[i][1])) != 0) fail_msg("case %zu: %s", i, says);
        asgd_source_close(s);
    }
}

static void delicious(void **state)
{
    (void)state;
    const char *path[2] = {real_data("delicious/train.txt.gz"), real_data("delicious/test.txt.gz")};
    for (int i = 0; i < 2 && path[i]; i++) {
        asgd_source        *s;
        asgd_source_options o = {.cache = "none"};
        ok(asgd_source_open(&s, path[i], &o));
        assert_int_equal(s->schema.examples, i ? 3185 : 12920);
        assert_int_equal(s->schema.features, 500);
        assert_int_equal(s->schema.classes, 983);
        assert_null(s->val);
        double per = (double)s->label_start[s->schema.examples] / (double)s->schema.examples;
        assert_true(per > 18.5 && per < 19.5); /* the catalogue says 19.0 labels an example */
        if (i == 0) {
            assert_memory_equal(s->label, ((uint32_t[]){77, 91, 315}), 12);
            assert_memory_equal(s->idx, ((uint32_t[]){60, 248, 279}), 12);
        }
        asgd_source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(always_the_same),
        cmocka_unit_test(errors),
        cmocka_unit_test(first_line),
        cmocka_unit_test(as_the_training_data),
        cmocka_unit_test(guessed),
        cmocka_unit_test(delicious),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
