/* Vowpal Wabbit text: what it means, products, names, recipes, every error with its line. */
#include "vw_expect.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache  = "none";
    o.format = "vw";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.vw", text), &o));
    return s;
}

static void check_list(const asgd_source *s, uint64_t i, float y, float weight, uint32_t n,
                       const entry *list)
{
    entry   e[16];
    example want = {y, weight, 0, e};
    for (uint32_t j = 0; j < n; j++) add(&want, list[j]);
    assert_true(matches(s, i, &want));
}
#define HAS(s, i, y, weight, ...)                                               \
    check_list(s, i, y, weight, sizeof((entry[]){__VA_ARGS__}) / sizeof(entry), \
               (entry[]){__VA_ARGS__})

/* ---- tests ---- */

static void good(void **state)
{
    (void)state;
    asgd_source *s = parse("\xef\xbb\xbf"
                           "1 |A cat dog |Bird:0.5 fish:4 owl |C:2 x\r\n"
                           "\n"
                           "-1 0.25 'tag|A dog\n"
                           " \t\r\n"
                           "1 2 tag|Bird  owl\t\tcat:-1e1 |A 7 |A cat cat:2\n"
                           "-1 'a:b|c |empty | nameless\n"
                           "-1 |A\n"
                           "\t-1.0 1.0\t|A a\x01\x1f\xc3\xa9\\\"b\n"
                           "1 |A 'x A^b*c,;\r ",
                           (asgd_source_options){0});
    assert_int_equal(s->schema.examples, 7);
    assert_int_equal(s->schema.classes, 2);
    assert_int_equal(s->schema.fields, 6);
    HAS(s, 0, 1, 1, feature("A", "cat", 1, 0), feature("A", "dog", 1, 0),
        feature("Bird", "fish", 2, 1), feature("Bird", "owl", .5f, 1), feature("C", "x", 2, 2));
    HAS(s, 1, -1, .25f, feature("A", "dog", 1, 0));
    HAS(s, 2, 1, 2, feature("Bird", "owl", 1, 1), feature("Bird", "cat", -10, 1),
        feature("A", "7", 1, 0), feature("A", "cat", 3, 0));
    HAS(s, 3, -1, 1, feature("", "nameless", 1, 5));
    check_list(s, 4, -1, 1, 0, NULL);
    HAS(s, 5, -1, 1, feature("A", "a\x01\x1f\xc3\xa9\\\"b", 1, 0));
    HAS(s, 6, 1, 1, feature("A", "'x", 1, 0), feature("A", "A^b*c,;\r", 1, 0));
    asgd_source_close(s);

    s = parse("1.5 |A a\n-3e2 |A b\n0 |A c:1 d:1.0\n", (asgd_source_options){0});
    assert_int_equal(s->schema.classes, 0);
    assert_memory_equal(s->y, ((float[]){1.5f, -300, 0}), 12);
    assert_null(s->val);
    assert_null(s->weight);
    asgd_source_close(s);

    s = parse("1 |A:2 a\n0 |A b\n", (asgd_source_options){0});
    HAS(s, 0, 1, 1, feature("A", "a", 2, 0));
    asgd_source_close(s);
}

/* As many features as a line can hold. */
static void short_names(void **state)
{
    (void)state;
    enum { N = 20000 };
    char *text = malloc(2 * N + 20), *p = text + sprintf(text, "0 |");
    for (int i = 0; i < N; i++) {
        *p++ = i % 70 ? ' ' : '\t';
        *p++ = "abc"[i % 3];
    }
    memcpy(p, "\n1 |", 5);
    asgd_source *s = parse(text, (asgd_source_options){0});
    HAS(s, 0, 0, 1, feature("", "a", 6667, 0), feature("", "b", 6667, 0),
        feature("", "c", 6666, 0));
    asgd_source_close(s);
    free(text);
}

/* The order of first appearance, not of the alphabet; fewer bits. */
static void fields_and_bits(void **state)
{
    (void)state;
    asgd_source *s = parse("1 |z a |y b\n0 |x c |z d\n", (asgd_source_options){.hash_bits = 10});
    assert_int_equal(s->schema.fields, 3);
    uint32_t        n;
    const uint32_t *key = asgd_encoding_keys(asgd_source_encoding(s), &n);
    assert_int_equal(n, 4);
    for (uint32_t i = 0; i < n; i++) {
        static const char *const name[] = {"z", "a", "y", "b", "x", "c", "z", "d"};
        uint32_t                 at     = 0;
        while (at < 4 &&
               asgdi_hash_feature(feature(name[2 * at], name[2 * at + 1], 1, 0).hash, 10) != key[i])
            at++;
        assert_true(at < 4 && key[i] < 1024);
    }
    asgd_source_close(s);
}

static void interactions(void **state)
{
    (void)state;
    static const char text[] = "1 |A a:2 b |Bx c:3 |C d |By e\n"
                               "0 |C d |A a |\n";
    entry a = feature("A", "a", 2, 0), b = feature("A", "b", 1, 0), c = feature("Bx", "c", 3, 1),
          d = feature("C", "d", 1, 2), e = feature("By", "e", 1, 3), a1 = feature("A", "a", 1, 0);

    asgd_source *s = parse(text, (asgd_source_options){.interactions = "AB"});
    HAS(s, 0, 1, 1, a, b, c, d, e, product(a, c), product(a, e), product(b, c), product(b, e));
    HAS(s, 1, 0, 1, d, a1);
    asgd_source_close(s);
    /* the second of a pair gives no field; the same pair again, in either order, nothing */
    s = parse(text, (asgd_source_options){.interactions = " CA, AC CA,"});
    HAS(s, 0, 1, 1, a, b, c, d, e, product(d, a), product(d, b));
    HAS(s, 1, 0, 1, d, a1, product(d, a1));
    asgd_source_close(s);
    /* with itself: combinations and squares, over all namespaces of the letter */
    s = parse(text, (asgd_source_options){.interactions = "BB,AA"});
    HAS(s, 0, 1, 1, a, b, c, d, e, product(c, c), product(c, e), product(e, e), product(a, a),
        product(a, b), product(b, b));
    HAS(s, 1, 0, 1, d, a1, product(a1, a1));
    asgd_source_close(s);
    s = parse(text, (asgd_source_options){.interactions = "C:"});
    HAS(s, 0, 1, 1, a, b, c, d, e, product(d, a), product(d, b), product(d, c), product(d, e),
        product(d, d));
    HAS(s, 1, 0, 1, d, a1, product(d, a1), product(d, d));
    asgd_source_close(s);
    s = parse("1 | a |C d\n0 |C d\n", (asgd_source_options){.interactions = "::"});
    a = feature("", "a", 1, 0);
    d = feature("C", "d", 1, 1);
    HAS(s, 0, 1, 1, a, d, product(a, a), product(a, d), product(d, d));
    HAS(s, 1, 0, 1, d, product(d, d));
    asgd_source_close(s);
    /* a namespace met far behind the head may be named */
    size_t n   = (1 << 20) + 100;
    char  *big = malloc(n + 100), *p = big;
    while (p < big + n) p += sprintf(p, "1 |A a |B b\n");
    strcpy(p, "0 |A a |Late l\n");
    s = parse(big, (asgd_source_options){.interactions = "AL"});
    a = feature("A", "a", 1, 0);
    e = feature("Late", "l", 1, 2);
    HAS(s, s->schema.examples - 1, 0, 1, a, e, product(a, e));
    asgd_source_close(s);
    free(big);
}

/* The largest number of a feature may be that of a product. */
static void large_product(void **state)
{
    (void)state;
    entry    a = {0}, b = {0};
    char     name[2][16], text[80];
    uint32_t n = 0;
    do {
        sprintf(name[0], "a%u", n++);
        a = feature("A", name[0], 1, 0);
    } while (a.key >= 1u << 16);
    do {
        sprintf(name[1], "b%u", n++);
        b = feature("B", name[1], 1, 1);
    } while (b.key >= 1u << 16 || product(a, b).key < 1u << 31);
    sprintf(text, "1 |A %s |B %s\n", name[0], name[1]);
    for (int both = 0; both < 2; both++) { /* one product, several */
        if (both) sprintf(text, "1 |A %s %s |B %s\n", name[0], name[0], name[1]);
        asgd_source *s = parse(text, (asgd_source_options){.interactions = "AB"});
        HAS(s, 0, 1, 1, a, b, product(a, b));
        asgd_source_close(s);
        a.x = 2;
    }
}

/* Namespaces that the head lacks share the last field. */
static void other_field(void **state)
{
    (void)state;
    size_t n   = (1 << 20) + 100;
    char  *big = malloc(n + 100), *p = big;
    while (p < big + n) p += sprintf(p, "1 |A a |B b\n");
    p -= (p - big - (1 << 20)) / 12 * 12 + 24; /* the head ends inside "late1" */
    while (p < big + (1 << 20) - 5) *p++ = '\n';
    strcpy(p, "0 |late1 l |late2 l |B b\n");
    asgd_source *s = parse(big, (asgd_source_options){.threads = 3});
    assert_int_equal(s->schema.fields, 3);
    HAS(s, s->schema.examples - 1, 0, 1, feature("late1", "l", 1, 2), feature("late2", "l", 1, 2),
        feature("B", "b", 1, 1));
    asgd_source_close(s);
    free(big);

    char *many = malloc(5000 * 12), *q = many; /* more than there are fields */
    q += sprintf(q, "1");
    for (int i = 0; i < 5000; i++) q += sprintf(q, " |n%d x", i);
    strcpy(q, "\n0 |n1 x\n");
    s = parse(many, (asgd_source_options){0});
    assert_int_equal(s->schema.features, 5000);
    assert_int_equal(s->schema.fields, 4096);
    assert_int_equal(s->max_len, 5000);
    asgd_source_close(s);
    for (q = many, *q = 0; q < many + 5000;) q += sprintf(q, "1 |n%d x\n", (int)(q - many));
    s = parse(many, (asgd_source_options){.interactions = "::"});
    assert_int_equal(s->schema.nonzeros, 2 * s->schema.examples);
    asgd_source_close(s);
    free(many);

    s = parse("1 |A a |E\r\n0 |B b |E e\n", (asgd_source_options){0});
    HAS(s, 1, 0, 1, feature("B", "b", 1, 2), feature("E", "e", 1, 1));
    asgd_source_close(s);
}

static void names(void **state)
{
    (void)state;
    static const char    text[] = "1 |A cat:2 |Bird owl |C:2 100%s\n0 | nameless |A dog\n";
    asgd_source         *s      = parse(text, (asgd_source_options){.interactions = "AB,A:"});
    const asgd_encoding *e      = asgd_source_encoding(s);
    uint32_t             n;
    const uint32_t      *key = asgd_encoding_keys(e, &n);
    char                *name[16];
    assert_int_equal(n, 10);
    ok(asgd_encoding_names(e, at("t.vw"), &(asgd_source_options){.cache = "none"}, key, n, name));
    entry cat = feature("A", "cat", 1, 0), owl = feature("Bird", "owl", 1, 0),
          c = feature("C", "100%s", 1, 0), none = feature("", "nameless", 1, 0),
          dog = feature("A", "dog", 1, 0);
    const struct {
        uint32_t    key;
        const char *name;
    } want[]       = {{cat.key, "A^cat"},
                      {owl.key, "Bird^owl"},
                      {c.key, "C^100%s"},
                      {none.key, "nameless"},
                      {dog.key, "A^dog"},
                      {product(cat, owl).key, "A^cat*Bird^owl"},
                      {product(cat, c).key, "A^cat*C^100%s"},
                      {product(cat, cat).key, "A^cat*A^cat"},
                      {product(dog, dog).key, "A^dog*A^dog"},
                      {product(dog, none).key, "A^dog*nameless"}};
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (size_t j = 0; j < sizeof want / sizeof *want; j++)
            if (key[i] == want[j].key) {
                assert_string_equal(name[i], want[j].name);
                found++;
            }
        free(name[i]);
    }
    assert_int_equal(found, sizeof want / sizeof *want);
    asgd_source_close(s);
}

/* ---- reading with an encoding ---- */

static void prediction(void **state)
{
    (void)state;
    asgd_source *train =
        parse("1 |A a |B b\n-1 |A a:2 |C c\n", (asgd_source_options){.interactions = "AB"});
    const asgd_encoding *e      = asgd_source_encoding(train);
    const float         *labels = asgd_source_labels(train);
    asgd_source_options  o      = {
              .encoding = e, .label_values = labels, .n_label_values = train->schema.classes};
    static const char text[] = "|A a |B b new |D d\n" /* no label, unseen feature and field */
                               "'tag |C c\n"          /* a tag only */
                               "17|A a\n"             /* a number as a tag */
                               "1 3 'x|B b\n";
    asgd_source *s = parse(text, o);
    entry a = feature("A", "a", 1, 0), b = feature("B", "b", 1, 1), c = feature("C", "c", 1, 2);
    assert_int_equal(s->schema.features, train->schema.features);
    assert_int_equal(s->schema.fields, 3);
    HAS(s, 0, labels[0], 1, a, b, product(a, b));
    HAS(s, 1, labels[0], 1, c);
    HAS(s, 2, labels[0], 1, a);
    HAS(s, 3, 1, 3, b);
    assert_non_null(strstr(asgd_source_describe(s), "3 entries of unseen features dropped"));
    asgd_source_close(s);
    o.interactions = "BA";
    asgd_source_close(parse(text, o));
    o.interactions = "AB,BC";
    fails(asgd_source_open(&s, at("t.vw"), &o), ASGD_EMISMATCH,
          "the model was trained without the interaction \"BC\"; leave the option out");
    asgd_source_close(train);
}

/* Whatever bytes names have, the recipe tells them. */
static void recipe(void **state)
{
    (void)state;
    static const char    text[] = "1 |\xff\x01%41 a |\xff\xfe b | c |%X d\n0 |A e\n";
    asgd_source         *s      = parse(text, (asgd_source_options){.interactions = "\xff%,:%,A:"});
    const asgd_encoding *e      = asgd_source_encoding(s);
    assert_non_null(
        strstr(e->recipe, "\"namespaces\":[\"%FF%01%2541\",\"%FF%FE\",\"\",\"%25X\",\"A\"]"));
    assert_non_null(strstr(e->recipe, "\"interactions\":[\"%FF%25\",\"%20%25\",\"%25%25\","
                                      "\"A%25\",\"A%FF\",\"A%20\",\"AA\"]"));
    asgd_source *again = parse(text, (asgd_source_options){.encoding = e});
    assert_int_equal(again->schema.nonzeros, s->schema.nonzeros);
    assert_memory_equal(again->idx, s->idx, s->schema.nonzeros * sizeof *s->idx);
    assert_memory_equal(again->field, s->field, s->schema.nonzeros * sizeof *s->field);
    asgd_source_close(again);
    asgd_source_close(s);
}

static void bad_recipes(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"{\"format\":\"vw\",\"interactions\":[]}", "does not say which namespaces there are"},
        {"{\"format\":\"vw\",\"interactions\":[],\"namespaces\":[1]}", "which namespaces"},
        {"{\"format\":\"vw\",\"interactions\":[],\"namespaces\":[\"A\",\"A\"]}",
         "which namespaces"},
        {"{\"format\":\"vw\",\"interactions\":[],\"namespaces\":[\"%4\"]}", "which namespaces"},
        {"{\"format\":\"vw\",\"interactions\":[],\"namespaces\":[\"%00\"]}", "which namespaces"},
        {"{\"format\":\"vw\",\"interactions\":[],\"namespaces\":[\"a b\"]}", "which namespaces"},
        {"{\"format\":\"vw\",\"namespaces\":[\"A\"]}",
         "does not say which namespaces are multiplied"},
        {"{\"format\":\"vw\",\"interactions\":[\"A\"],\"namespaces\":[\"A\"]}", "are multiplied"},
        {"{\"format\":\"vw\",\"interactions\":[7],\"namespaces\":[\"A\"]}", "are multiplied"},
    };
    const char *path = put_text("r.vw", "1 |A a\n");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_encoding *e;
        asgd_source   *s;
        ok(asgdi_encoding_new(&e, (uint32_t[]){5}, 1, 1, c[i][0]));
        fails(asgd_source_open(&s, path, &(asgd_source_options){.encoding = e, .cache = "none"}),
              ASGD_EMISMATCH, c[i][1]);
        asgdi_encoding_free(e);
    }
}

/* ---- errors ---- */

/* Each text has its error on line 3, after two good ones; the same with any number of threads. */
static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1 cat dog",
         "has no \"|\" before its features; write it as for instance \"1 |A cat dog\""},
        {"|A cat", "has no label before the \"|\"; begin the line with one"},
        {"'tag |A cat", "has no label before the \"|\""},
        {"1|A cat",
         "\"1\" touches the \"|\", so it is a tag, and the line has no label; put a blank"},
        {"x |A cat", "label \"x\" is not a number; write \"LABEL IMPORTANCE 'TAG |...\""},
        {"1:2:0.5 |A cat", "label \"1:2:0.5\" is not a number"},
        {"nan |A cat", "label \"nan\" is not finite as a 32-bit float"},
        {"1 x |A cat", "importance \"x\" is not a number"},
        {"1 inf |A cat", "importance \"inf\" is not finite"},
        {"1 -2 |A cat", "importance -2 is negative; weights are 0 or more"},
        {"1 2 0.5 |A cat",
         "\"0.5\" follows label and importance: a base (an initial prediction) is"},
        {"1 2 tag |A cat", "\"tag\" follows label and importance"},
        {"1 'a b |A cat", "\"b\" follows a tag; write"},
        {"1 |A :3", "\":3\" has no name before the \":\"; write NAME:value"},
        {"1 |:3 cat", "\":3\" has no name before the \":\"; write NAME:weight"},
        {"1 |A:x cat", "\"A:x\": the weight after the \":\" is not a number"},
        {"1 |A: cat", "\"A:\": the weight after the \":\" is not a number"},
        {"1 |A:1:2 cat", "\"A:1:2\": the weight after the \":\" is not a number"},
        {"1 |A:1e99 cat", "\"A:1e99\": the weight is not finite as a 32-bit float"},
        {"1 |A cat:",
         "\"cat:\": the value after the \":\" is not a number; correct it (names cannot"},
        {"1 |A cat:|B x", "\"cat:\": the value after"},
        {"1 |A a:1:2 b", "\"a:1:2\": the value after"},
        {"1 |A a:1x|B b", "\"a:1x\": the value after"},
        {"1 |A a:nan", "\"a:nan\": the value is not finite"},
        {"1 |A a:1e39", "\"a:1e39\": the value is not finite"},
        {"1 |A:1e30 a:1e30", "\"a:1e30\": the value is not finite"},
        {"1 |A a:1e30 |B b:1e30", "a product of two values is not finite as a 32-bit float; scale"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 8; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "1 |A a |B b\n0 |A b\n%s\n1 |A a\n0 |A a\nbad\n", c[i][0]);
            snprintf(want, sizeof want, "bad.vw:3: %s", c[i][1]);
            asgd_source        *s;
            asgd_source_options o = {
                .format = "vw", .threads = threads, .cache = "none", .interactions = "AB"};
            fails(asgd_source_open(&s, put_text("bad.vw", text), &o), ASGD_EFORMAT, want);
        }
    static const char *const nul[] = {"1 |A a@b", "1 |A@ a", "1 |A a:1@", "1 |A a |B b@"};
    for (size_t i = 0; i < sizeof nul / sizeof *nul; i++) {
        char   text[40];
        size_t n = (size_t)snprintf(text, sizeof text, "0 |A a\n%s", nul[i]);
        for (size_t j = 0; j < n; j++)
            if (text[j] == '@') text[j] = 0;
        asgd_source        *s;
        asgd_source_options o = {.format = "vw", .cache = "none"};
        fails(asgd_source_open(&s, put("nul.vw", text, n), &o), ASGD_EFORMAT,
              "nul.vw:2: holds a NUL byte, so it is no text or damaged");
    }
}

static void bad_options(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"AX",
         "no namespace begins with \"X\", which is to be multiplied; the namespaces seen are A, "
         "\"\", Cat"},
        {"A", "interaction \"A\": name two namespaces by their first characters, as in \"AB,CD\""},
        {"AB,ABC", "interaction \"ABC\": name two"},
    };
    const char *path = put_text("o.vw", "1 |A b | c |Cat x\n0 |B b\n");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_source        *s;
        asgd_source_options o = {.format = "vw", .cache = "none", .interactions = c[i][0]};
        fails(asgd_source_open(&s, path, &o), ASGD_EINVAL, c[i][1]);
    }
}

/* 1024 features and all their products are too many, fewer are not. */
static void too_many_products(void **state)
{
    (void)state;
    char *text = malloc(20000), *p = text;
    p += sprintf(p, "0 |A a\n1 |A");
    for (int i = 0; i < 1022; i++) p += sprintf(p, " f%d", i);
    strcpy(p, " |B");
    p += 3;
    for (int i = 0; i < 1023; i++) p += sprintf(p, " f%d", i);
    asgd_source *s = parse(text, (asgd_source_options){.interactions = "AB"});
    assert_in_range(s->max_len, 1047000, 1022 + 1023 + 1022 * 1023); /* some collide */
    asgd_source_close(s);
    strcpy(p, " one two\n");
    fails(
        asgd_source_open(&s, put_text("many.vw", text),
                         &(asgd_source_options){.interactions = "AB", .cache = "none"}),
        ASGD_EFORMAT,
        "many.vw:2: has 1049597 features and products of them or more, beyond the 1048576 that an "
        "example may have; leave out an interaction");
    free(text);
}

static void guessing(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool        is;
    } c[] = {{"1 |A cat\n-1 |B x:2\n", true}, {"0.5 2 'tag|A cat", true},
             {"\n1 |f 1:2 3:4\n", true},      {"1|A cat\n", false},
             {"a|b,c\n1|2,3\n", false},       {"1 |A cat\n1 2 3\n", false}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        assert_int_equal(asgdi_format_vw.guess("x", (const uint8_t *)c[i].text, strlen(c[i].text)),
                         c[i].is);
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("g", c[0].text), &(asgd_source_options){.cache = "none"}));
    assert_string_equal(asgd_source_describe(s),
                        "vw, 2 examples, 2 features in 2 fields, 2 classes, 50 % non-zero");
    asgd_source_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(fields_and_bits),
        cmocka_unit_test(interactions),
        cmocka_unit_test(other_field),
        cmocka_unit_test(short_names),
        cmocka_unit_test(large_product),
        cmocka_unit_test(names),
        cmocka_unit_test(prediction),
        cmocka_unit_test(recipe),
        cmocka_unit_test(bad_recipes),
        cmocka_unit_test(errors),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(too_many_products),
        cmocka_unit_test(guessing),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
