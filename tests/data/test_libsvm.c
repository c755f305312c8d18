/* LIBSVM text: what it means, every error with its line, any number of threads, real files. */
#include "files.h"

#include "base/mem.h"
#include "data/build.h"
#include "data/input.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache  = "none";
    o.format = "libsvm";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.svm", text), &o));
    return s;
}

static void good(void **state)
{
    (void)state;
    asgd_source *s = parse("+1 1:0.5 3:-2e1 # a note 7:1\r\n"
                           "\n"
                           "# only a note\n"
                           "-1.0\t2:1  \n"
                           "1 \n"
                           "-1 1:3 2:.25 4:1e-3",
                           (asgd_source_options){0});
    assert_int_equal(s->schema.examples, 4);
    assert_int_equal(s->schema.features, 4);
    assert_int_equal(s->schema.classes, 2);
    assert_int_equal(s->schema.nonzeros, 6);
    assert_int_equal(s->max_len, 3);
    assert_false(s->schema.dense);
    assert_memory_equal(s->start, ((uint64_t[]){0, 2, 3, 3, 6}), 40);
    assert_memory_equal(s->idx, ((uint32_t[]){0, 2, 1, 0, 1, 3}), 24);
    assert_memory_equal(s->val, ((float[]){.5f, -20, 1, 3, .25f, 1e-3f}), 24);
    assert_memory_equal(s->y, ((float[]){1, 0, 1, 0}), 16);
    assert_memory_equal(asgd_source_labels(s), ((float[]){-1, 1}), 8);
    assert_string_equal(asgd_source_describe(s),
                        "libsvm, 4 examples, 4 features, 2 classes, 37.5 % non-zero");
    asgd_source_close(s);
}

static void numbers(void **state)
{
    (void)state;
    static const char *const text[] = {"0",
                                       "-0",
                                       "7",
                                       "007.50",
                                       ".5",
                                       "5.",
                                       "1e3",
                                       "1E+3",
                                       "1e-7",
                                       "3.4e38",
                                       "1e-40",
                                       "1e-400",
                                       "1.17549435e-38",
                                       "0.1234567890123456",
                                       "16777217",
                                       "123456789012345678",
                                       "12345678901234567890123",
                                       "0.00000000000000000000000000000123456789",
                                       "2.2250738585072011e-308",
                                       "-1.5e22",
                                       "1e23"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        char line[100];
        snprintf(line, sizeof line, "1 1:%s\n0 1:1\n", text[i]);
        asgd_source *s = parse(line, (asgd_source_options){0});
        float        v = (float)strtod(text[i], NULL);
        assert_memory_equal(&s->val[0], &v, sizeof v);
        asgd_source_close(s);
    }
    uint64_t x = 1; /* and many short ones, as files have them */
    for (int i = 0; i < 2000; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        char number[40], line[100];
        snprintf(number, sizeof number, "%.*g", 1 + (int)(x >> 60), (double)(int64_t)x * 0x1p-70);
        snprintf(line, sizeof line, "1 1:%s\n0 1:1\n", number);
        asgd_source *s = asgdi_calloc(1, sizeof *s);
        asgdi_input  in;
        ok(asgdi_own(s));
        ok(asgdi_input_memory(&in, "memory", line, strlen(line)));
        ok(asgdi_format_libsvm.open(s, &in, &(asgd_source_options){.threads = 1}));
        float v = (float)strtod(number, NULL);
        assert_memory_equal(&s->val[0], &v, sizeof v);
        asgdi_input_close(&in);
        asgd_source_close(s);
    }
}

static void targets(void **state)
{
    (void)state;
    asgd_source *s = parse("0.5 1:1\n-3 1:1\n", (asgd_source_options){0});
    assert_int_equal(s->schema.classes, 0);
    assert_null(asgd_source_labels(s));
    assert_memory_equal(s->y, ((float[]){.5f, -3}), 8);
    assert_true(s->schema.y_min == -3 && s->schema.y_max == .5f);
    asgd_source_close(s);

    char *many = malloc(20000),
         *p    = many; /* 1000 distinct whole numbers are labels, 1001 are not */
    for (int i = 0; i < 1000; i++) p += sprintf(p, "%d 1:1\n", 3 * (999 - i));
    s = parse(many, (asgd_source_options){0});
    assert_int_equal(s->schema.classes, 1000);
    assert_true(s->y[0] == 999 && s->y[999] == 0 && asgd_source_labels(s)[7] == 21);
    asgd_source_close(s);
    strcpy(p, "1 1:1\n");
    s = parse(many, (asgd_source_options){0});
    assert_int_equal(s->schema.classes, 0);
    assert_true(s->y[0] == 2997);
    asgd_source_close(s);
    free(many);
}

static void model_labels(void **state)
{
    (void)state;
    static const float  values[3] = {5, -1, 1};
    asgd_source_options o         = {.label_values = values, .n_label_values = 3};
    asgd_source        *s         = parse("1 1:1\n1 1:1\n5 1:1\n", o);
    assert_int_equal(s->schema.classes, 3);
    assert_memory_equal(s->y, ((float[]){2, 2, 0}), 12);
    assert_memory_equal(asgd_source_labels(s), values, sizeof values);
    asgd_source_close(s);
    fails(asgd_source_open(&s, put_text("l.svm", "1 1:1\n\n# x\n7 1:1\n"), &o), ASGD_EFORMAT,
          "l.svm:4: label 7 is none that the model was trained on (5, -1, 1); correct it");
    o.n_label_values = 0; /* the model's targets are real numbers */
    s                = parse("1 1:1\n2 1:1\n", o);
    assert_int_equal(s->schema.classes, 0);
    assert_memory_equal(s->y, ((float[]){1, 2}), 8);
    asgd_source_close(s);
}

static void forced_width(void **state)
{
    (void)state;
    asgd_source *s = parse("1 1:1 9:1\n0 3:1 4:2 7:1\n", (asgd_source_options){.features = 3});
    assert_int_equal(s->schema.features, 3);
    assert_int_equal(s->schema.nonzeros, 2);
    assert_memory_equal(s->idx, ((uint32_t[]){0, 2}), 8);
    assert_non_null(strstr(asgd_source_describe(s), "3 entries of unseen features dropped"));
    asgd_source_close(s);
    s = parse("1 1:1\n0 2:1\n", (asgd_source_options){.features = 50});
    assert_int_equal(s->schema.features, 50);
    asgd_source_close(s);
}

static void by_frequency(void **state)
{
    (void)state;
    uint32_t            rows;
    asgd_source_options o   = {.rank_features = true, .cache = "none"};
    asgd_source        *s   = parse("1 1:1 2:2 4:4\n0 2:20 4:40\n1 4:400 5:500\n", o), *t;
    const uint32_t     *key = asgd_encoding_keys(asgd_source_encoding(s), &rows);
    assert_int_equal(rows, 4); /* feature 3 does not occur */
    assert_int_equal(s->schema.features, 4);
    assert_memory_equal(key, ((uint32_t[]){3, 1, 0, 4}), 16); /* ties by number */
    assert_memory_equal(s->idx, ((uint32_t[]){0, 1, 2, 0, 1, 0, 3}), 28);
    assert_memory_equal(s->val, ((float[]){4, 2, 1, 40, 20, 400, 500}), 28);

    /* other data have the same rows; what the encoding lacks is left out, also all of an example */
    o.encoding = asgd_source_encoding(s);
    t          = parse("1 5:5 77:7\n0 3:3\n1 1:1 2:2 3:3 4:4\n", o);
    assert_int_equal(t->schema.features, 4);
    assert_int_equal(t->schema.nonzeros, 4);
    assert_memory_equal(t->start, ((uint64_t[]){0, 1, 1, 4}), 32);
    assert_memory_equal(t->idx, ((uint32_t[]){3, 0, 1, 2}), 16);
    assert_memory_equal(t->val, ((float[]){5, 4, 2, 1}), 16);
    assert_non_null(strstr(asgd_source_describe(t), "3 entries of unseen features dropped"));
    asgd_source_close(t);
    asgd_source_close(s);

    /* numbers may be far apart */
    o.encoding = NULL;
    s          = parse("1 7:1 2147483647:2\n0 2000000000:1 2147483647:3\n", o);
    key        = asgd_encoding_keys(asgd_source_encoding(s), &rows);
    assert_int_equal(rows, 3);
    assert_memory_equal(key, ((uint32_t[]){2147483646, 6, 1999999999}), 12);
    assert_memory_equal(s->val, ((float[]){2, 1, 3, 1}), 16);
    asgd_source_close(s);
}

/* Each text has its error on line 3, after two good ones; the same with any number of threads. */
static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1 0:1", "feature 0: indices begin at 1; add 1 to every index"},
        {"1 9:1 7:1", "feature 7 after 9: sort the features of a line"},
        {"1 9:1 9:1", "feature 9 stands twice; add its values up"},
        {"cat 1:1", "label \"cat\" is not a number; number the labels"},
        {"nan 1:1", "label \"nan\" is not a finite number; correct or remove"},
        {"1:1 2:1", "begins with \"1:1\" where a label is wanted; begin each line with a label"},
        {"1 qid:3 1:1", "\"qid:3\": ranking data (qid) are not supported; remove"},
        {"1 1:1 x", "\"x\" is not an index:value pair; write it as for instance 3:0.5"},
        {"1 1:1 2", "\"2\" is not an index:value pair"},
        {"1 a:1", "\"a:1\": the index before the colon is not a number from 1 up"},
        {"1 -1:1", "\"-1:1\": the index before the colon is not a number from 1 up"},
        {"1 :1", "\":1\": the index before the colon"},
        {"1 2147483648:1", "feature 2147483648: indices go up to 2147483647"},
        {"1 99999999999999999999999:1", "feature 99999999999999999999999: indices go up"},
        {"1 1:", "\"1:\": what follows the colon is not a number"},
        {"1 1:1x", "\"1:1x\": what follows the colon is not a number"},
        {"1 1:0x10", "\"1:0x10\": what follows"},
        {"1 1:nan", "\"1:nan\": the value is not finite as a 32-bit float"},
        {"1 1:-inf", "\"1:-inf\": the value is not finite"},
        {"1 1:1e39", "\"1:1e39\": the value is not finite"},
        {"1 1:abcdefghijklmnopqrstuvwxyzabcdefghij", "\"1:abcdefghijklmnopqrstuvwxyzab...\""},
        {"1 1:\x01\x7f", "\"1:\?\?\""},
        {"1 1:2:3", "\"1:2:3\" has two colons where an index:value pair has one"},
        {"1 000000000000000000000:1", "feature 0: indices begin at 1"},
        {"1 000000000000000000007:1", "feature 7: indices go up"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 8; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "1 1:1\n0 2:1\n%s\n1 5:1\n0 1:1\n1 bad\n", c[i][0]);
            snprintf(want, sizeof want, "bad.svm:3: %s", c[i][1]);
            asgd_source        *s;
            asgd_source_options o = {.format = "libsvm", .threads = threads, .cache = "none"};
            fails(asgd_source_open(&s, put_text("bad.svm", text), &o), ASGD_EFORMAT, want);
        }
}

/* Sets of labels: where a line near the beginning has several. */
static void label_sets(void **state)
{
    (void)state;
    asgd_source *s = parse("7 1:1\n5,1,5 2:1\n 3:1\n4:1\n0,2 # none\n", (asgd_source_options){0});
    assert_true(s->schema.label_sets);
    assert_int_equal(s->schema.classes, 8);
    assert_int_equal(s->schema.examples, 5);
    assert_memory_equal(s->label_start, ((uint64_t[]){0, 1, 3, 3, 3, 5}), 48);
    assert_memory_equal(s->label, ((uint32_t[]){7, 1, 5, 0, 2}), 20);
    assert_memory_equal(s->y, ((float[]){0, 0, 0, 0, 0}), 20);
    assert_memory_equal(s->idx, ((uint32_t[]){0, 1, 2, 3}), 16);
    assert_string_equal(asgd_source_describe(s),
                        "libsvm, 5 examples, 4 features, 8 labels, 20 % non-zero");
    asgdi_cursor c;
    asgd_batch   b;
    ok(asgdi_cursor_init(&c, s, 3));
    asgdi_cursor_batch(&c, NULL, (uint64_t[]){4, 1, 2}, 3, &b);
    assert_memory_equal(b.label_begin, ((uint64_t[]){3, 1, 3}), 24);
    assert_memory_equal(b.label_len, ((uint32_t[]){2, 2, 0}), 12);
    assert_ptr_equal(b.label, s->label);
    asgdi_cursor_free(&c);
    asgd_source_close(s);

    static const float  known[] = {0, 1, 2};
    asgd_source_options o       = {.label_values = known, .n_label_values = 3};
    s                           = parse("0,1 1:1\n", o);
    assert_int_equal(s->schema.classes, 3);
    asgd_source_close(s);
    fails(asgd_source_open(&s, put_text("sets.svm", "0,1 1:1\n1,3 1:1\n"), &o), ASGD_EFORMAT,
          "sets.svm:2: label 3 is none that the model was trained on (0 to 2); remove it");
    o                              = (asgd_source_options){0};
    static const char *const bad[] = {"1,-2", "1,2.5", "1,,2", "1,", "a,b", "1,16777216"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[100];
        snprintf(text, sizeof text, "0,1 1:1\n%s 1:1\n", bad[i]);
        fails(asgd_source_open(&s, put_text("sets.svm", text), &o), ASGD_EFORMAT,
              "sets.svm:2: labels \"");
    }
    char many[1200] = "", *p = many; /* several labels, but only after the lines looked at */
    for (int i = 0; i < 100; i++) p += sprintf(p, "1 1:1\n");
    strcpy(p, "1,2 1:1\n");
    fails(asgd_source_open(&s, put_text("late.svm", many), &o), ASGD_EFORMAT,
          "late.svm:101: label \"1,2\" is several labels, where the first 100 lines have one each");
    ok(asgd_source_open(&s, put_text("late.svm", many + 6), &o));
    assert_true(s->schema.label_sets);
    asgd_source_close(s);
}

static void names(void **state)
{
    (void)state;
    asgd_source *s = parse("1 3:1 7:1\n0 7:1\n", (asgd_source_options){.rank_features = true});
    char        *found[2];
    ok(asgd_encoding_names(asgd_source_encoding(s), NULL, NULL, (uint32_t[]){6, 2}, 2, found));
    assert_string_equal(found[0], "7");
    assert_string_equal(found[1], "3");
    free(found[0]);
    free(found[1]);
    asgd_source_close(s);
}

static void nothing(void **state)
{
    (void)state;
    asgd_source        *s;
    asgd_source_options o = {.format = "libsvm"};
    fails(asgd_source_open(&s, put_text("e", ""), NULL), ASGD_EFORMAT, "e: is empty");
    fails(asgd_source_open(&s, put_text("e", ""), &o), ASGD_EFORMAT, "e: holds no example; give");
    fails(asgd_source_open(&s, put_text("e", "\n# 1 1:1\n"), &o), ASGD_EFORMAT, "holds no example");
    fails(asgd_source_open(&s, put_text("e", "1\n0\n"), &o), ASGD_EFORMAT, "no example has a fea");
    fails(asgd_source_open(&s, put_text("e", "hello world\n"), NULL), ASGD_EFORMAT,
          "e: its format cannot be told from its name and beginning; name it: idx, libsvm, "
          "libffm, criteo, csv, vw, xc or ratings");
}

/* Any number of threads gives the same bytes. */
static void threads(void **state)
{
    (void)state;
    size_t room = 1 << 20, n = 0;
    char  *text = malloc(room);
    for (int i = 0; n < room - 2000; i++) {
        n += (size_t)sprintf(text + n, "%d", i % 3);
        for (int j = 1; j < 1 + i % 40; j += 1 + i % 3)
            n += (size_t)sprintf(text + n, " %d:%g", j, (double)i / j);
        n += (size_t)sprintf(text + n, i % 7 ? "\n" : " # colons : : 1:2 3:4\n");
    }
    asgd_source *one = parse(text, (asgd_source_options){.threads = 1});
    for (uint32_t t = 2; t < 40; t = 2 * t + 1) {
        asgd_source *s = parse(text, (asgd_source_options){.threads = t});
        assert_memory_equal(&s->schema, &one->schema, sizeof s->schema);
        assert_memory_equal(s->start, one->start, (one->schema.examples + 1) * 8);
        assert_memory_equal(s->idx, one->idx, one->schema.nonzeros * 4);
        assert_memory_equal(s->val, one->val, one->schema.nonzeros * 4);
        assert_memory_equal(s->y, one->y, one->schema.examples * 4);
        asgd_source_close(s);
    }
    asgd_source_close(one);
    free(text);
}

static void count(const char *name, uint32_t features, uint64_t examples, uint32_t width,
                  uint64_t nonzeros)
{
    const char *path = real_data(name);
    if (!path) skip();
    asgd_source *s;
    ok(asgd_source_open(&s, path, &(asgd_source_options){.features = features, .cache = "none"}));
    assert_int_equal(s->schema.examples, examples);
    assert_int_equal(s->schema.features, width);
    assert_int_equal(s->schema.nonzeros, nonzeros);
    assert_int_equal(s->schema.classes, 2);
    assert_memory_equal(asgd_source_labels(s), ((float[]){-1, 1}), 8);
    asgd_source_close(s);
}

static void real_files(void **state)
{
    (void)state;
    count("a9a/a9a.xz", 0, 32561, 123, 451592);
    count("a9a/a9a.t.xz", 0, 16281, 123, 225732);
    count("a9a/a9a.t.xz", 122, 16281, 122, 225731);
    count("reuters-money-fx/reuters.trn.bz2", 0, 7770, 8315, 339837);
    count("w8a/w8a.xz", 0, 49749, 300, 579586);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),         cmocka_unit_test(numbers),
        cmocka_unit_test(targets),      cmocka_unit_test(model_labels),
        cmocka_unit_test(forced_width), cmocka_unit_test(by_frequency),
        cmocka_unit_test(errors),       cmocka_unit_test(nothing),
        cmocka_unit_test(threads),      cmocka_unit_test(real_files),
        cmocka_unit_test(label_sets),   cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
