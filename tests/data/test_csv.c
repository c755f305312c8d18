/* CSV: delimiters, headers, quotes, the label's column, every error with line and column. */
#include "files.h"

#include "data/source.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache = "none";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.csv", text), &o));
    return s;
}

static void good(void **state)
{
    (void)state;
    static const char *const text[] = {
        "1,2,3\n0,4.5,-5e1\n",                      /* plain */
        "y,a,b\n1,2,3\n0,4.5,-5e1\n",               /* a header */
        "\xef\xbb\xbf\ny;a;b\n1;2;3\n\n0;4.5;-5e1", /* a byte order mark, gaps */
        "1\t2\t3\r\n0\t4.5\t-5e1\r\n",              /* TAB and CRLF */
    };
    for (size_t i = 0; i < 4; i++)
        for (uint32_t threads = 1; threads < 5; threads++) {
            asgd_source *s =
                parse(text[i], (asgd_source_options){.threads = threads, .format = "csv"});
            assert_int_equal(s->schema.examples, 2);
            assert_int_equal(s->schema.features, 2);
            assert_int_equal(s->schema.classes, 2);
            assert_int_equal(s->schema.nonzeros, 4);
            assert_true(s->schema.dense);
            assert_memory_equal(s->dense, ((float[]){2, 3, 4.5f, -50}), 16);
            assert_memory_equal(s->y, ((float[]){1, 0}), 8);
            asgd_source_close(s);
        }
    asgd_source *s =
        parse("\"y, or so\",\"a \"\"b\"\"\"\n\"1\", 2 \n0,\"4\"\n", (asgd_source_options){0});
    assert_memory_equal(s->dense, ((float[]){2, 4}), 8);
    assert_string_equal(asgd_source_describe(s), "csv, 2 examples, 1 features, 2 classes");
    asgd_source_close(s);
}

static void label_column(void **state)
{
    (void)state;
    static const char text[] = "a,price,b\n1,2.5,3\n4,5.5,6\n";
    for (int i = 0; i < 2; i++) {
        asgd_source *s = parse(text, (asgd_source_options){.label = i ? "2" : "price"});
        assert_memory_equal(s->dense, ((float[]){1, 3, 4, 6}), 16);
        assert_memory_equal(s->y, ((float[]){2.5f, 5.5f}), 8);
        assert_int_equal(s->schema.classes, 0);
        asgd_source_close(s);
    }
    asgd_source *s;
    const char  *path = put_text("t.csv", text);
    fails(asgd_source_open(&s, path, &(asgd_source_options){.label = "cost"}), ASGD_EINVAL,
          "t.csv: has no column \"cost\" for the label; its columns are a, price, b");
    fails(asgd_source_open(&s, path, &(asgd_source_options){.label = "4"}), ASGD_EINVAL,
          "t.csv: has no column 4 for the label; its columns are 1 to 3");
    fails(asgd_source_open(&s, put_text("u.csv", "1,2\n"), &(asgd_source_options){.label = "y"}),
          ASGD_EINVAL, "u.csv: has no header, so no column \"y\"");
}

static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1,AA", "column \"Carrier\" holds \"AA\", which is not a number; replace its values"},
        {"1,", "column \"Carrier\" is empty; fill it in, or remove the row"},
        {",1", "column \"y\" is empty"},
        {"1,2,3", "has 3 columns where the first line has 2; make all rows alike"},
        {"1", "has 1 columns where the first line has 2"},
        {"1,nan", "column \"Carrier\" holds \"nan\", which is not finite"},
        {"1,1e99", "column \"Carrier\" holds \"1e99\", which is not finite as a 32-bit float"},
        {"inf,1", "column \"y\" holds \"inf\", which is not finite"},
        {"1,\"2", "a quote is not closed on this line"},
        {"1,\"2\"3", "a quote is not closed on this line, or something follows it"},
        {"1,1 2", "column \"Carrier\" holds \"1 2\", which is not a number"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 6; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "y,Carrier\n1,1\n\n0,2\n%s\n1,5\nx,y\n", c[i][0]);
            snprintf(want, sizeof want, "bad.csv:5: %s", c[i][1]);
            asgd_source *s;
            fails(asgd_source_open(&s, put_text("bad.csv", text),
                                   &(asgd_source_options){.threads = threads, .cache = "none"}),
                  ASGD_EFORMAT, want);
        }
    asgd_source *s;
    fails(asgd_source_open(&s, put_text("n.csv", "1,2\n1,x\n"), NULL), ASGD_EFORMAT,
          "n.csv:2: column 2 holds \"x\"");
    fails(asgd_source_open(&s, put_text("h.csv", "y,a\n\n"), NULL), ASGD_EFORMAT,
          "h.csv: holds a header but no example");
    asgd_source_options o = {.format = "csv"};
    fails(asgd_source_open(&s, put_text("e.csv", " \n"), &o), ASGD_EFORMAT, "holds no example");
    fails(asgd_source_open(&s, put_text("e.csv", "1\n2\n"), &o), ASGD_EFORMAT,
          "e.csv:1: has one column only");
    fails(asgd_source_open(&s, put_text("q.csv", "\n\"a,b\n1,2\n"), &o), ASGD_EFORMAT, "q.csv:2: ");
}

static void fits_a_model(void **state)
{
    (void)state;
    asgd_source        *s;
    static const float  values[2] = {-1, 1};
    asgd_source_options o         = {.label_values = values, .n_label_values = 2, .features = 1};
    fails(asgd_source_open(&s, put_text("t.csv", "y,a\n1,2\n\n3,2\n"), &o), ASGD_EFORMAT,
          "t.csv:4: label 3 is none that the model was trained on (-1, 1)");
    o.features = 7;
    fails(asgd_source_open(&s, put_text("t.csv", "y,a\n1,2\n"), &o), ASGD_EMISMATCH,
          "t.csv: has 1 feature columns, 7 are wanted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(label_column),
        cmocka_unit_test(errors),
        cmocka_unit_test(fits_a_model),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
