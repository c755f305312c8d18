/* libFFM text: what it means, how it is numbered, every error with its line. */
#include "files.h"

#include "data/source.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache = "none";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.ffm", text), &o));
    return s;
}

/* Any order, blanks of any kind, Windows line ends, a mark at the beginning, no end of line at the end. */
static void good(void **state)
{
    (void)state;
    asgd_source *s = parse("\xef\xbb\xbf"
                           "1 0:3:1 2:0:0.5 1:7:-2\r\n"
                           "\r\n"
                           "0\t1:7:1\t0:4:1 \r\n"
                           "1\n"
                           "0 4:9:2.5",
                           (asgd_source_options){0});
    assert_int_equal(s->schema.examples, 4);
    assert_int_equal(s->schema.features, 10);
    assert_int_equal(s->schema.fields, 5);
    assert_int_equal(s->schema.classes, 2);
    assert_memory_equal(s->start, ((uint64_t[]){0, 3, 5, 5, 6}), 40);
    assert_memory_equal(s->idx, ((uint32_t[]){0, 3, 7, 4, 7, 9}), 24);
    assert_memory_equal(s->field, ((uint16_t[]){2, 0, 1, 0, 1, 4}), 12);
    assert_memory_equal(s->val, ((float[]){.5f, 1, -2, 1, 1, 2.5f}), 24);
    assert_null(s->weight);
    assert_string_equal(asgd_source_describe(s),
                        "libffm, 4 examples, 10 features in 5 fields, 2 classes, 15 % non-zero");
    asgdi_cursor c;
    asgd_batch   b;
    ok(asgdi_cursor_init(&c, s, 1));
    asgdi_cursor_batch(&c, NULL, (uint64_t[]){1}, 1, &b);
    assert_ptr_equal(b.field, s->field);
    assert_int_equal(b.begin[0], 3);
    asgdi_cursor_free(&c);
    asgd_source_close(s);
}

static void values_that_are_1_take_no_memory(void **state)
{
    (void)state;
    asgd_source *s = parse("1 0:3:1 1:4:1.0 2:5:1e0\n", (asgd_source_options){0});
    assert_null(s->val);
    asgd_source_close(s);
}

/* Equal features are added up, whatever the numbering; the first one's field stays. */
static void twice_in_a_line(void **state)
{
    (void)state;
    for (int ranked = 0; ranked < 2; ranked++) {
        asgd_source *s = parse("1 2:5:1 1:3:1 0:5:1 0:3:2\n0 0:5:1\n1 0:5:1 1:3:-1\n",
                               (asgd_source_options){.rank_features = ranked});
        assert_memory_equal(s->start, ((uint64_t[]){0, 2, 3, 5}), 32);
        assert_int_equal(s->schema.nonzeros, 5);
        if (ranked) { /* 5 occurs 4 times, 3 three times */
            assert_memory_equal(s->idx, ((uint32_t[]){0, 1, 0, 0, 1}), 20);
            assert_memory_equal(s->val, ((float[]){2, 3, 1, 1, -1}), 20);
            assert_memory_equal(s->field, ((uint16_t[]){2, 1, 0, 0, 1}), 10);
        } else {
            assert_memory_equal(s->idx, ((uint32_t[]){3, 5, 5, 3, 5}), 20);
            assert_memory_equal(s->val, ((float[]){3, 2, 1, -1, 1}), 20);
            assert_memory_equal(s->field, ((uint16_t[]){1, 2, 0, 1, 0}), 10);
        }
        asgd_source_close(s);
    }
    /* a sum too large for a float stays a number */
    asgd_source *s = parse("1 0:1:3e38 0:1:3e38\n0 0:1:1\n", (asgd_source_options){0});
    assert_true(isfinite(s->val[0]) && s->val[0] > 3e38f);
    asgd_source_close(s);
}

/* Lines of all lengths, so of all ways to sort them: the same as sorting by hand. */
static void sorted(void **state)
{
    (void)state;
    enum { LINES = 300 };
    size_t   room = LINES * LINES * 16;
    char    *text = malloc(room), *p = text;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < LINES; i++) {
        p += sprintf(p, "%d", i % 2);
        for (int j = 0; j < i; j++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            uint32_t f = (uint32_t)(x >> 40) % 100003; /* value and field tell who it was */
            p += sprintf(p, " %u:%u:%u", f % 37, f, f % 1000 + 2);
        }
        *p++ = '\n';
    }
    *p             = 0;
    asgd_source *s = parse(text, (asgd_source_options){0}),
                *r = parse(text, (asgd_source_options){.rank_features = true, .threads = 3});
    uint32_t        rows;
    const uint32_t *key = asgd_encoding_keys(asgd_source_encoding(r), &rows);
    assert_int_equal(s->schema.examples, LINES);
    assert_int_equal(s->schema.nonzeros, r->schema.nonzeros);
    for (uint64_t i = 0; i < LINES; i++)
        for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++) {
            assert_true(j == s->start[i] || s->idx[j] > s->idx[j - 1]);
            assert_true(j == s->start[i] || r->idx[j] > r->idx[j - 1]);
            assert_int_equal(s->field[j], s->idx[j] % 37);
            assert_int_equal(r->field[j], key[r->idx[j]] % 37);
            assert_int_equal((int)s->val[j] % (int)(s->idx[j] % 1000 + 2), 0);
            assert_int_equal((int)r->val[j] % (int)(key[r->idx[j]] % 1000 + 2), 0);
        }
    asgd_source_close(s);
    asgd_source_close(r);
    free(text);
}

/* Hashes up to 2^32 - 2 are fine where features are numbered by frequency. */
static void hashes(void **state)
{
    (void)state;
    static const char   text[] = "1 0:4294967294:1 1:0:1\n0 0:4294967294:1 1:3000000000:1\n";
    asgd_source_options o      = {.rank_features = true, .cache = "none"};
    asgd_source        *s      = parse(text, o), *t;
    uint32_t            rows;
    const uint32_t     *key = asgd_encoding_keys(asgd_source_encoding(s), &rows);
    assert_int_equal(rows, 3);
    assert_memory_equal(key, ((uint32_t[]){4294967294u, 0, 3000000000u}), 12);
    assert_int_equal(s->schema.features, 3);

    /* unseen features and unseen fields are left out of data read with the encoding */
    o.encoding = asgd_source_encoding(s);
    t = parse("1 0:3000000000:1 0:7:1\n0 2:0:1 1:4294967294:2 1:4294967294:1 0:3000000000:1\n", o);
    assert_int_equal(t->schema.features, 3);
    assert_int_equal(t->schema.fields, 2);
    assert_memory_equal(t->start, ((uint64_t[]){0, 1, 3}), 24);
    assert_memory_equal(t->idx, ((uint32_t[]){2, 0, 2}), 12);
    assert_memory_equal(t->val, ((float[]){1, 3, 1}), 12);
    assert_memory_equal(t->field, ((uint16_t[]){0, 1, 0}), 6);
    assert_non_null(strstr(asgd_source_describe(t), "2 entries of unseen features dropped"));
    asgd_source_close(t);
    t = parse("1 1:0:1 1:0:1\n", o); /* values are 1, but not their sum */
    assert_memory_equal(t->val, ((float[]){2}), 4);
    asgd_source_close(t);
    t = parse("1 0:99:1\n", o); /* nothing is known: an example without features */
    assert_int_equal(t->schema.nonzeros, 0);
    assert_int_equal(t->schema.features, 3);
    asgd_source_close(t);

    char *name[2];
    ok(asgd_encoding_names(asgd_source_encoding(s), NULL, NULL, key, 2, name));
    assert_string_equal(name[0], "4294967294");
    assert_string_equal(name[1], "0");
    free(name[0]);
    free(name[1]);
    asgd_source_close(s);
    o = (asgd_source_options){.cache = "none"};
    fails(asgd_source_open(&s, put_text("h.ffm", text), &o), ASGD_EFORMAT,
          "h.ffm: feature 4294967294 is too large for a table with a row for each number; number");
    s = parse("1 0:0:1 1:7:1\n", (asgd_source_options){.features = 5}); /* a width that is forced */
    assert_int_equal(s->schema.features, 5);
    assert_int_equal(s->schema.nonzeros, 1);
    asgd_source_close(s);
}

/* Each text has its error on line 3; the same with any number of threads. */
static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1 4000000000:1:1", "\"4000000000:1:1\": fields go up to 4095; number the fields from 0"},
        {"1 4096:1:1", "\"4096:1:1\": fields go up to 4095"},
        {"1 99999999999999999999999:1:1", "\"99999999999999999999999:1:1\": fields go up to 4095"},
        {"1 -1:1:1", "\"-1:1:1\": the field is not a number from 0 up; number the fields"},
        {"1 a:1:1", "\"a:1:1\": the field is not a number"},
        {"1 :1:1", "\":1:1\": the field is not a number"},
        {"1 1:-5:1", "\"1:-5:1\": the feature is not a number from 0 up; number the features"},
        {"1 1::1", "\"1::1\": the feature is not a number"},
        {"1 1:4294967295:1", "\"1:4294967295:1\": features go up to 4294967294; number them anew"},
        {"1 1:18446744073709551617:1", "\"1:18446744073709551617:1\": features go up to"},
        {"1 1:5", "\"1:5\" is a pair where field:feature:value is wanted; add the field before"},
        {"1 1:5:", "\"1:5:\": what follows the colon is not a number"},
        {"1 1:5:x", "\"1:5:x\": what follows the colon is not a number; correct or remove it"},
        {"1 1:5:nan", "\"1:5:nan\": the value is not finite"},
        {"1 1:5:1e39", "\"1:5:1e39\": the value is not finite as a 32-bit float; correct"},
        {"1 1:5:1:1", "\"1:5:1:1\": what follows the colon is not a number"},
        {"1 7", "\"7\" is not field:feature:value; write it as for instance 3:57:1"},
        {"cat 1:1:1", "label \"cat\" is not a number; number the labels"},
        {"1:5:1 2:6:1", "begins with \"1:5:1\" where a label is wanted"},
        {"inf 1:1:1", "label \"inf\" is not a finite number"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 8; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "1 0:1:1\n0 0:2:1\n%s\n1 0:5:1\n0 0:1:1\n1 bad\n", c[i][0]);
            snprintf(want, sizeof want, "bad.ffm:3: %s", c[i][1]);
            asgd_source        *s;
            asgd_source_options o = {.format = "libffm", .threads = threads, .cache = "none"};
            fails(asgd_source_open(&s, put_text("bad.ffm", text), &o), ASGD_EFORMAT, want);
        }
    static const char   nul[] = "1 0:1:1\n0 0:\0002:1\n";
    asgd_source        *s;
    asgd_source_options o = {.format = "libffm", .cache = "none"};
    fails(asgd_source_open(&s, put("nul.ffm", nul, sizeof nul - 1), &o), ASGD_EFORMAT,
          "nul.ffm:2: \"0:?2:1\": the feature is not a number");
    fails(asgd_source_open(&s, put_text("n.ffm", "1\n0\n"), &o), ASGD_EFORMAT,
          "n.ffm: no example has a feature; give a file with lines like \"1 0:3:0.5 1:57:1\"");
}

static void guessed(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1 0:1:1\n", "libffm"},   {"# note\n\n-1\n1\t10:1:.5\n", "libffm"},
        {"1 3:0.5\n", "libsvm"},   {"1 3:0.5 4:1:1\n", "libsvm"}, /* and then an error */
        {"1,5 3:0.5\n", "libsvm"}, {"1 12:30:15:7\n", "g: its format cannot be told"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_source *s    = NULL;
        asgd_status  e    = asgd_source_open(&s, put_text("g", c[i][0]), NULL);
        const char  *says = s ? asgd_source_describe(s) : asgd_errmsg();
        if (i == 3) {
            assert_int_equal(e, ASGD_EFORMAT);
            assert_non_null(
                strstr(says, "g:1: \"4:1:1\" has two colons where an index:value pair"));
        } else if (!strstr(says, c[i][1])) {
            fail_msg("case %zu: %s", i, says);
        }
        asgd_source_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(values_that_are_1_take_no_memory),
        cmocka_unit_test(twice_in_a_line),
        cmocka_unit_test(sorted),
        cmocka_unit_test(hashes),
        cmocka_unit_test(errors),
        cmocka_unit_test(guessed),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
