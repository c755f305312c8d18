/* test_ratings.c -- ratings as text: separators, headers, names, errors with their line; numbering; splits. */
#include "files.h"

#include "data/source.h"

typedef struct expected {
    const char *user, *item;
    float       y;
} expected;

static void check(asgd_source *s, const expected *e, size_t n)
{
    const asgd_encoding *names = asgd_source_encoding(s);
    assert_int_equal(asgd_source_schema(s)->examples, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(asgd_encoding_user(names, s->rating[i].user), e[i].user);
        assert_string_equal(asgd_encoding_item(names, s->rating[i].item), e[i].item);
        assert_true(s->rating[i].y == e[i].y);
    }
}

static const asgd_source_options named = {.format = "ratings"};

static void separators(void **state)
{
    (void)state;
    static const expected    e[]     = {{"7", "x", 3}, {"ann", "9", -1.5f}, {"7", "9", 4e2f}};
    static const char *const texts[] = {
        "7\tx\t3\nann\t9\t-1.5\n7\t9\t4e2\n",
        "7 x 3\nann   9 -1.5\n 7 9  400 \n",
        "7,x,3\r\nann,9,-1.5\r\n7,9,400",
        "7::x::3::978300760\nann::9::-1.5::978300761\n7::9::400::1",
        "userId,movieId,rating,timestamp\n\n7,x,3,5\nann,9,-1.5,6\n7,9,400,7\n\n",
        "\xef\xbb\xbfuser\titem\trating\n7\tx\t3\nann\t9\t-1.5\n7\t9\t400\n",
        "\"7\",\"x\",3\n\"ann\",\"9\",-1.5\n\"7\",\"9\",400\n",
        "7\tx\t3\t1\nann\t9\t-1.5\n7\t9\t400\t2\n", /* a time may be missing where none is wanted */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        asgd_source *s;
        ok(asgd_source_open(&s, put_text("r", texts[i]), &named));
        check(s, e, 3);
        assert_int_equal(asgd_source_schema(s)->users, 2);
        assert_int_equal(asgd_source_schema(s)->items, 2);
        assert_true(asgd_source_schema(s)->y_min == -1.5f && asgd_source_schema(s)->y_max == 400);
        assert_non_null(strstr(asgd_source_describe(s), "3 of 2 users and 2 items"));
        asgd_source_close(s);
    }
}

static void guessed_where_it_is_plain(void **state)
{
    (void)state;
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("r.dat", "1::2::3::4\n2::2::1::5\n"), NULL));
    assert_int_equal(asgd_source_schema(s)->users, 2);
    asgd_source_close(s);
    ok(asgd_source_open(&s, put_text("r.csv", "userId,movieId,rating\n1,2,3\n2,2,1\n"), NULL));
    assert_int_equal(asgd_source_schema(s)->items, 1);
    asgd_source_close(s);
}

static void pairs_without_ratings(void **state)
{
    (void)state;
    static const expected e[] = {{"a", "x", 1}, {"b", "y", 1}};
    asgd_source          *s;
    ok(asgd_source_open(&s, put_text("r", "a x\nb y\n"), &named));
    check(s, e, 2);
    asgd_source_close(s);
    ok(asgd_source_open(&s, put_text("r", "user\titem\na\tx\nb\ty\n"), &named));
    check(s, e, 2);
    asgd_source_close(s);
}

/* By falling number of ratings, ties by where they come first; in several files too, and compressed. */
static void numbered_by_frequency(void **state)
{
    (void)state;
    static const char text[] = "a x 1\nb y 1\nb x 1\nc x 1\nc z 1\nc y 1\n",
                      more[] = "d z 2\nd z 3\n";
    const char  *list[1];
    uint8_t     *packed;
    asgd_source *s;
    uint32_t     n;
    const size_t bytes = compress_as(".gz", more, strlen(more), &packed);
    list[0]            = put("more.gz", packed, bytes);
    free(packed);
    const asgd_source_options o = {.format = "ratings", .also = list, .n_also = 1};
    ok(asgd_source_open(&s, put_text("r", text), &o));
    const asgd_encoding     *e       = asgd_source_encoding(s);
    static const char *const users[] = {"c", "b", "d", "a"}, *const items[] = {"x", "z", "y"};
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(asgd_encoding_user(e, i), users[i]);
        assert_true(asgd_encoding_find_user(e, users[i], &n) && n == i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(asgd_encoding_item(e, i), items[i]);
        assert_true(asgd_encoding_find_item(e, items[i], &n) && n == i);
    }
    assert_null(asgd_encoding_user(e, 4));
    assert_false(asgd_encoding_find_user(e, "e", &n));
    assert_false(asgd_encoding_find_item(e, "", &n));
    assert_int_equal(asgd_source_schema(s)->examples, 8);
    asgd_source_close(s);
}

static void unknown_ones_have_the_next_number(void **state)
{
    (void)state;
    asgd_source *train, *test;
    ok(asgd_source_open(&train, put_text("r", "a x 1\nb y 2\n"), &named));
    const asgd_source_options o = {.encoding = asgd_source_encoding(train)};
    ok(asgd_source_open(&test, put_text("t", "b\tx\t3\nq\tx\t1\na\tw\t2\nq\tw\t5\n"), &o));
    static const uint32_t user[] = {1, 2, 0, 2}, item[] = {0, 0, 2, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(test->rating[i].user, user[i]);
        assert_int_equal(test->rating[i].item, item[i]);
    }
    assert_non_null(strstr(asgd_source_describe(test), "3 of unknown"));
    assert_int_equal(asgd_source_schema(test)->users, 2);
    asgd_source_close(train);
    asgd_source_close(test);
}

static void errors(void **state)
{
    (void)state;
    char longest[300 + 20];
    memset(longest, 'n', 300);
    memcpy(longest + 300, " i 3\n", 6);
    const struct {
        const char *text, *message;
    } bad[] = {
        {"", "has no ratings"},
        {"\n\n", "no ratings"},
        {"1\n", ":1: 1 field"},
        {"1 2 3\n4 5\n", ":2: 2 fields with blanks between, but the first line has 3"},
        {"1\t2\t3\n4\t5\t\n", ":2: the rating \"\" is not a number"},
        {"1\t2\t3\n4\t5\tgood\n", ":2: the rating \"good\" is not a number"},
        {"1\t2\t3\n4\t5\tnan\n", ":2: the rating nan is not a number of usual size"},
        {"1\t2\t3\n4\t5\t1e300\n", ":2: the rating 1e300"},
        {"1\t2\t3\n4,5,6\n", ":2: 1 field with TAB between, but the first line has 3"},
        {"1,2,3\n4\t5\t6\n", ":2: 1 field with commas"},
        {"1::2::3\n1:2:3\n", ":2: 1 field with \"::\""},
        {"1\t2\t3\n\t5\t6\n", ":2: the user is empty"},
        {"1\t2\t3\n4\t\t6\n", ":2: the item is empty"},
        {"1,2,3,4,5\n", ":1: 5 fields with commas"},
        {"1,2,3,4\n1,2,3,4,5\n", ":2: more than 4 fields"},
        {"user item rating\n", ":1: the rating \"rating\" is not a number"},
        {"user item rating\n1 2 x\n", ":2: the rating \"x\""},
        {"1 2 3\n\x01z 2 3\n", ":2: the user ?z holds a control character"},
        {longest, "300 bytes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        asgd_source *s = (asgd_source *)&s;
        fails(asgd_source_open(&s, put_text("bad", bad[i].text), &named), ASGD_EFORMAT,
              bad[i].message);
        assert_null(s);
    }
    const asgd_source_options times = {.format = "ratings", .times = true};
    asgd_source              *s;
    fails(asgd_source_open(&s, put_text("bad", "1 2 3\n"), &times), ASGD_EFORMAT,
          ":1: has no time");
    fails(asgd_source_open(&s, put_text("bad", "1 2 3 4\n1 2 3\n"), &times), ASGD_EFORMAT,
          ":2: 3 fields");
    fails(asgd_source_open(&s, put_text("bad", "1 2 3 4\n1 2 3 x\n"), &times), ASGD_EFORMAT,
          ":2: the time");
    const char               *none[] = {"/nowhere/at/all"};
    const asgd_source_options also   = {.format = "ratings", .also = none, .n_also = 1};
    fails(asgd_source_open(&s, put_text("r", "1 2 3\n"), &also), ASGD_EIO, "/nowhere/at/all");
    const asgd_source_options other = {.format = "libsvm", .also = none, .n_also = 1};
    fails(asgd_source_open(&s, put_text("r", "1 2:3\n"), &other), ASGD_EINVAL, "only ratings");
}

/* Names beyond 2^32 and 2^64 are names like others; "1" and "01" are two. */
static void large_numbers_are_names(void **state)
{
    (void)state;
    static const expected e[]       = {{"4294967296", "1", 1},
                                       {"4294967297", "01", 2},
                                       {"99999999999999999999999", "001", 3},
                                       {"-5", "1.0", 4},
                                       {"\xc3\xa9t\xc3\xa9", "a b", 5}};
    char                  text[300] = "";
    for (size_t i = 0; i < 5; i++)
        sprintf(text + strlen(text), "%s\t%s\t%g\n", e[i].user, e[i].item, (double)e[i].y);
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("r", text), &named));
    check(s, e, 5);
    assert_int_equal(asgd_source_schema(s)->users, 5);
    assert_int_equal(asgd_source_schema(s)->items, 5);
    asgd_source_close(s);
}

/* Any number of threads gives the same source, and the same line in an error. */
static void threads_change_nothing(void **state)
{
    (void)state;
    enum { LINES = 60000 };
    char *text = malloc(LINES * 32 + 64), *p = text;
    assert_non_null(text);
    for (uint32_t i = 0; i < LINES; i++)
        p += sprintf(p, "user%u\titem%u\t%u\n", i * 2654435761u % 977, i * 40503u % 1543, i % 5);
    asgd_source *s[2];
    for (int i = 0; i < 2; i++) {
        const asgd_source_options o = {.format = "ratings", .threads = i ? 5 : 1};
        ok(asgd_source_open(&s[i], put_text("big", text), &o));
    }
    assert_memory_equal(s[0]->rating, s[1]->rating, LINES * sizeof(asgd_rating));
    for (uint32_t u = 0; u < 977; u++)
        assert_string_equal(asgd_encoding_user(asgd_source_encoding(s[0]), u),
                            asgd_encoding_user(asgd_source_encoding(s[1]), u));
    strcpy(p, "oops\n");
    for (uint32_t t = 1; t <= 5; t += 2) {
        const asgd_source_options o = {.format = "ratings", .threads = t};
        asgd_source              *none;
        fails(asgd_source_open(&none, put_text("big", text), &o), ASGD_EFORMAT, ":60001: 1 field");
    }
    asgd_source_close(s[0]);
    asgd_source_close(s[1]);
    free(text);
}

static void own_arrays(void **state)
{
    (void)state;
    const asgd_rating good[] = {{0, 1, 2}, {1, 0, 3}}, bad[] = {{0, 1, 2}, {2, 0, 3}},
                      worse[] = {{0, 1, INFINITY}};
    asgd_source *s;
    ok(asgd_source_ratings(&s, good, 2, 2, 2));
    assert_true(asgd_source_schema(s)->y_min == 2 && asgd_source_schema(s)->y_max == 3);
    asgd_source_close(s);
    fails(asgd_source_ratings(&s, bad, 2, 2, 2), ASGD_EINVAL, "rating 1 is of user 2");
    fails(asgd_source_ratings(&s, worse, 1, 2, 2), ASGD_EINVAL, "finite");
    fails(asgd_source_ratings(&s, good, 0, 2, 2), ASGD_EINVAL, "at least one");
    fails(asgd_source_ratings(&s, NULL, 1, 2, 2), ASGD_EINVAL, "at least one");
}

static void splits(void **state)
{
    (void)state;
    char text[4000] = "";
    for (int i = 0; i < 100; i++)
        sprintf(text + strlen(text), "%d\t%d\t%d\t%d\n", i % 7, i % 11, i % 5, 1000 - i);
    const asgd_source_options o = {.format = "ratings", .times = true};
    asgd_source              *all, *a, *b, *c, *d;
    ok(asgd_source_open(&all, put_text("r", text), &o));
    ok(asgd_source_split(all, 0.2, ASGD_HOLDOUT_RANDOM, 1, &a, &b));
    assert_int_equal(asgd_source_schema(a)->examples, 80);
    assert_int_equal(asgd_source_schema(b)->examples, 20);
    assert_int_equal(asgd_source_schema(b)->users, 7);
    assert_ptr_equal(asgd_source_encoding(a), asgd_source_encoding(all));
    ok(asgd_source_split(all, 0.2, ASGD_HOLDOUT_RANDOM, 1, &c, &d));
    assert_memory_equal(b->rating, d->rating, 20 * sizeof(asgd_rating));
    asgd_source_close(a);
    asgd_source_close(b);
    asgd_source_close(c);
    asgd_source_close(d);
    ok(asgd_source_split(all, 0.1, ASGD_HOLDOUT_TIME, 0, &a,
                         &b)); /* the first ten lines are the latest */
    assert_int_equal(asgd_source_schema(b)->examples, 10);
    assert_memory_equal(b->rating, all->rating, 10 * sizeof(asgd_rating));
    assert_memory_equal(a->rating, all->rating + 10, 90 * sizeof(asgd_rating));
    asgd_source_close(a);
    asgd_source_close(b);
    ok(asgd_source_split(all, 0.01, ASGD_HOLDOUT_LAST, 0, &a, &b)); /* one of each user */
    assert_int_equal(asgd_source_schema(b)->examples, 7);
    assert_memory_equal(b->rating, all->rating, 7 * sizeof(asgd_rating));
    asgd_source_close(all);
    asgd_source_close(a); /* they live on */
    asgd_source_close(b);
    ok(asgd_source_open(&all, put_text("r", "1 2 3\n2 2 3\n"), &named));
    fails(asgd_source_split(all, 0.5, ASGD_HOLDOUT_TIME, 0, &a, &b), ASGD_EINVAL, "needs times");
    fails(asgd_source_split(all, 0.5, ASGD_HOLDOUT_LAST, 0, &a, &b), ASGD_EINVAL,
          "no user has two");
    fails(asgd_source_split(all, 1, ASGD_HOLDOUT_RANDOM, 0, &a, &b), ASGD_EINVAL, "below 1");
    fails(asgd_source_split(all, NAN, ASGD_HOLDOUT_RANDOM, 0, &a, &b), ASGD_EINVAL, "below 1");
    asgd_source_close(all);
}

static void names_live_in_the_model(void **state)
{
    (void)state;
    asgd_source *s;
    asgd_model  *m, *again;
    ok(asgd_source_open(&s, put_text("r", "ann\tx\t1\nbob\tlong name of an item\t2\nbob\tx\t5\n"),
                        &named));
    ok(asgd_model_named(&m, "mf", "k=3", asgd_source_schema(s)));
    const asgd_config c = {.workers = 1};
    ok(asgd_train(m, s, &c, NULL));
    ok(asgd_save(m, at("m")));
    ok(asgd_load(&again, at("m")));
    assert_string_equal(asgd_encoding_user(asgd_model_encoding(again), 0), "bob");
    assert_string_equal(asgd_encoding_item(asgd_model_encoding(again), 1), "long name of an item");
    assert_int_equal(asgd_model_schema(again)->items, 2);
    for (int t = 0; t < 5; t++)
        for (uint64_t r = 0; r < asgd_model_table(m, t)->rows; r++)
            assert_memory_equal(asgd_model_row(m, t, r), asgd_model_row(again, t, r),
                                asgd_model_table(m, t)->dim * sizeof(float));
    asgd_source *wrong;
    ok(asgd_source_open(&wrong, put_text("w", "a b 3\n"), &named));
    float out[1];
    fails(asgd_predict(again, wrong, 1, out), ASGD_EMISMATCH, "1 users");
    asgd_source_close(wrong);
    asgd_source_close(s);
    asgd_model_free(m);
    asgd_model_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separators),
        cmocka_unit_test(guessed_where_it_is_plain),
        cmocka_unit_test(pairs_without_ratings),
        cmocka_unit_test(numbered_by_frequency),
        cmocka_unit_test(unknown_ones_have_the_next_number),
        cmocka_unit_test(errors),
        cmocka_unit_test(large_numbers_are_names),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(own_arrays),
        cmocka_unit_test(splits),
        cmocka_unit_test(names_live_in_the_model),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
