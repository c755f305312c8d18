/* CSV: the grammar, what is guessed, features by their definition, another file read alike, every
 * error with line and column. */
#include "files.h"

#include "data/bins.h"
#include "data/encoding.h"
#include "data/source.h"

static asgd_source *parse(const char *text, asgd_source_options o)
{
    o.cache = "none";
    asgd_source *s;
    ok(asgd_source_open(&s, put_text("t.csv", text), &o));
    return s;
}

static uint32_t hashed(const char *column, const char *value)
{
    uint64_t seed = asgdi_hash(column, strlen(column), 0);
    return asgdi_hash_feature(asgdi_hash(value, strlen(value), seed), 32);
}

/* Whether example i has this feature in this field. */
static bool has(const asgd_source *s, uint64_t i, const char *column, const char *value,
                uint32_t field)
{
    for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++)
        if (s->encoding->key[s->idx[j]] == hashed(column, value) && s->field[j] == field)
            return true;
    return false;
}

static uint64_t length(const asgd_source *s, uint64_t i)
{
    return s->start[i + 1] - s->start[i];
}

static void good(void **state)
{
    (void)state;
    static const char *const text[] = {
        "1,2,3\n0,4.5,-5e1\n",                      /* plain */
        "y,a,b\n1,2,3\n0,4.5,-5e1\n",               /* a header */
        "\xef\xbb\xbf\ny;a;b\n1;2;3\n\n0;4.5;-5e1", /* a byte order mark, gaps */
        "1\t2\t3\r\n0\t4.5\t-5e1\r\n",              /* TAB and CRLF */
        "y,0,1\n1,2,3\n0,4.5,-5e1\n",               /* names that are numbers */
    };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        for (uint32_t threads = 1; threads < 5; threads++) {
            asgd_source *s =
                parse(text[i], (asgd_source_options){.threads = threads, .format = "csv"});
            assert_int_equal(s->schema.examples, 2);
            assert_int_equal(s->schema.features, 2);
            assert_int_equal(s->schema.classes, 2);
            assert_int_equal(s->schema.fields, 0);
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
    fails(
        asgd_source_open(&s, path, &(asgd_source_options){.label = "pricey"}), ASGD_EINVAL,
        "t.csv: has no column \"pricey\" for the label; its columns are a, price, b; did you mean "
        "\"price\"?");
    fails(asgd_source_open(&s, path, &(asgd_source_options){.label = "4"}), ASGD_EINVAL,
          "t.csv: has no column 4 for the label; its columns are 1 to 3");
    fails(asgd_source_open(&s, put_text("u.csv", "1,2\n"), &(asgd_source_options){.label = "y"}),
          ASGD_EINVAL, "u.csv: has no header, so no column \"y\"");
}

/* Which column is the label where none is named: 10, 20, 30, ... by column. */
static void usual_label(void **state)
{
    (void)state;
    static const struct {
        const char *header, *ignore;
        float       y;
    } c[] = {
        {"a,b,c", NULL, 10},
        {"a,b,Target", NULL, 30},
        {"a,CLICK,c", NULL, 20},
        {"a,label,target", NULL, 10},
        /* two: not one of them */ {"a,labels,c", NULL, 10},
        {"a,label,target", "label", 30},
        {"a,b,c", "a", 20},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s\n10,20,30\n10.5,20.5,30.5\n", c[i].header);
        asgd_source *s = parse(text, (asgd_source_options){.ignore = c[i].ignore});
        assert_true(s->y[0] == c[i].y);
        asgd_source_close(s);
    }
}

static void header_or_not(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t    examples;
        const char *label, *categorical, *ignore;
    } c[] = {
        {"y,a\n1,x\n0,y\n", 2, NULL, NULL, NULL},
        {"5.1,3.5,setosa\n4.9,3.0,virginica\n", 2, "3", NULL, NULL}, /* iris has none */
        {"p,x,s\ne,x,y\np,s,x\n", 3, NULL, NULL, NULL},              /* nor have mushrooms */
        {"class,cap,odor\ne,x,y\np,s,x\n", 2, NULL, NULL, NULL},
        {"y,a,b\n1,?,u\n0,2,v\n", 2, NULL, NULL, NULL},
        {",a\n0,red\n1,blue\n", 2, NULL, NULL, NULL}, /* a row number without a name */
        {"1,a\n0,b\n1,c\n", 3, NULL, NULL, NULL},
        {"x,x,s\ne,q,y\np,s,z\n", 3, NULL, NULL, NULL}, /* not two of one name */
        {"1,a\n0,b\n1,c\n", 2, "1", "a", NULL},         /* an option names it */
        {"1,a,b\n0,b,c\n", 1, NULL, NULL, "b"},
        {"1,5\n0,6\n", 2, "1", NULL, NULL}, /* a number names a column */
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_source *s = parse(c[i].text, (asgd_source_options){.label       = c[i].label,
                                                                .categorical = c[i].categorical,
                                                                .ignore      = c[i].ignore});
        if (s->schema.examples != c[i].examples)
            fail_msg("case %zu: %d examples", i, (int)s->schema.examples);
        asgd_source_close(s);
    }
}

static void categories(void **state)
{
    (void)state;
    static const char text[] = "Carrier;y;Origin\n"
                               "AA;1;\"S\"\"F;O\"\n"
                               "B6;0; JFK \r\n"
                               "\n"
                               "?;0;\n"
                               "NULL;1;JFK\n"
                               "NAN;1;NaN\n";
    for (uint32_t threads = 1; threads < 5; threads++) {
        asgd_source *s = parse(text, (asgd_source_options){.threads = threads});
        assert_int_equal(s->schema.examples, 5);
        assert_int_equal(s->schema.features, 5);
        assert_int_equal(s->schema.fields, 2);
        assert_int_equal(s->schema.classes, 2);
        assert_false(s->schema.dense);
        assert_null(s->val); /* all 1 */
        assert_memory_equal(s->y, ((float[]){1, 0, 0, 1, 1}), 20);
        assert_true(length(s, 0) == 2 && has(s, 0, "Carrier", "AA", 0));
        assert_true(has(s, 0, "Origin", "S\"F;O", 1));
        assert_true(length(s, 1) == 2 && has(s, 1, "Origin", "JFK", 1));
        assert_int_equal(length(s, 2), 0);
        assert_true(length(s, 3) == 1 && has(s, 3, "Origin", "JFK", 1));
        assert_true(length(s, 4) == 1 && has(s, 4, "Carrier", "NAN", 0));
        assert_int_equal(s->encoding->key[0], hashed("Origin", "JFK")); /* the most frequent */
        asgd_source_close(s);
    }
    /* without header, columns are called by number */
    asgd_source *s = parse("1,AA\n0,B6\n", (asgd_source_options){.hash_bits = 10});
    assert_int_equal(s->encoding->key[s->idx[0]], hashed("2", "AA") >> 22);
    asgd_source_close(s);
    s = parse("1,AA,1\n0,?,2\n", (asgd_source_options){0}); /* the first line counts, too */
    assert_true(has(s, 0, "2", "AA", 0) && has(s, 0, "3", "0", 1) && has(s, 1, "3", "1", 1));
    asgd_source_close(s);
    s = parse("y,,k\n1,x5,a\n", (asgd_source_options){0}); /* nor has a column without name one */
    assert_true(has(s, 0, "2", "x5", 0));
    asgd_source_close(s);
}

static void chosen_columns(void **state)
{
    (void)state;
    static const char   text[] = "id,y,zip,w,x\n7,1,0100,2,3\n8,0,100,0.5,4\n";
    asgd_source_options o = {.label = "y", .ignore = "id, 5", .categorical = "zip", .weight = "w"};
    asgd_source        *s = parse(text, o);
    assert_int_equal(s->schema.features, 2);
    assert_int_equal(s->schema.fields, 1);
    assert_true(has(s, 0, "zip", "0100", 0) && has(s, 1, "zip", "100", 0));
    assert_memory_equal(s->weight, ((float[]){2, 0.5f}), 8);
    asgd_source_close(s);

    const char *path = put_text("t.csv", text);
    static const struct {
        asgd_source_options o;
        const char         *want;
    } wrong[] = {
        {{.ignore = "id,yy"},
         "t.csv: has no column \"yy\" to ignore; its columns are id, y, zip, w, "
         "x; did you mean \"y\"?"},
        {{.categorical = "ZIP"},
         "\"ZIP\" to take as categories; its columns are id, y, zip, w, x; "
         "did you mean \"zip\"?"},
        {{.weight = "9"}, "has no column 9 for the weights; its columns are 1 to 5"},
        {{.weight = "id", .ignore = "1"}, "column \"id\" is to be ignored"},
        {{.weight = "w", .label = "w"}, "column \"w\" is to be ignored or holds the weights"},
        {{.ignore = "1,2,3,4,5"}, "no column is left for the label"},
        {{.ignore = "1,2,3,4"}, "no column is left for features"},
        {{.bins = 1 << 20}, "bins is 1048576; choose 1 to 65536"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        fails(asgd_source_open(&s, path, &wrong[i].o), ASGD_EINVAL, wrong[i].want);
}

static void groups_of_numbers(void **state)
{
    (void)state;
    enum { N = 1600 };
    static char text[60000];
    size_t      at = (size_t)sprintf(text, "y,kind,small,wide\n");
    for (int i = 0; i < N; i++)
        at += (size_t)sprintf(text + at, "%d,%s,%d,%s%d.5\n", i % 2, i % 3 ? "a" : "b", i % 7 * 10,
                              i % 2 ? "-" : "", i);
    for (uint32_t bins = 0; bins <= 16; bins += 16) {
        asgd_source *s    = parse(text, (asgd_source_options){.bins = bins});
        uint32_t     wide = bins ? bins : 32;
        char         last[12];
        snprintf(last, sizeof last, "%u", wide - 1);
        assert_int_equal(s->schema.features, 2 + 7 + wide);
        assert_int_equal(s->schema.nonzeros, 3 * N);
        for (uint64_t i = 0; i < N; i++) { /* of few values, each has a group */
            char group[2] = {(char)('0' + i % 7), 0};
            assert_true(has(s, i, "small", group, 1));
        }
        assert_true(has(s, N - 1, "wide", "0", 2));  /* the least */
        assert_true(has(s, N - 2, "wide", last, 2)); /* the greatest */
        asgd_source_close(s);
    }
    /* missing numbers have no entry; infinity is in the last group */
    asgd_source *s =
        parse("y,k,x\n1,a,1\n0,a,\n1,b,NA\n0,b,2\n1,b,inf\n", (asgd_source_options){0});
    assert_true(length(s, 0) == 2 && length(s, 1) == 1 && length(s, 2) == 1);
    assert_true(has(s, 0, "x", "0", 1) && has(s, 3, "x", "1", 1) && has(s, 4, "x", "1", 1));
    asgd_source_close(s);
}

static void named_classes(void **state)
{
    (void)state;
    static const char *const text[] = {
        "x,late\n1,Y\n2,N\n3,Y\n",
        "x;late\n1;\"Y\"\n2; N\n3;Y\r\n",
        "late,x\nyes,1\nno,2\nyes,3\n",
        "late\tx\ntrue\t1\nfalse\t2\ntrue\t3",
    };
    for (size_t i = 0; i < 4; i++) {
        asgd_source *s = parse(text[i], (asgd_source_options){.label = "late"});
        assert_true(s->schema.dense);
        assert_int_equal(s->schema.classes, 2);
        assert_memory_equal(s->y, ((float[]){1, 0, 1}), 12);
        assert_memory_equal(s->dense, ((float[]){1, 2, 3}), 12);
        asgd_source_close(s);
    }
    /* "10" < "9" as names; as numbers, the other way */
    asgd_source *s = parse("y,x\n9,1\n10,2\n", (asgd_source_options){.categorical = "y"});
    assert_memory_equal(s->y, ((float[]){1, 0}), 8);
    asgd_source_close(s);

    fails(
        asgd_source_open(&s, put_text("t.csv", "y,x\nA,1\nA,2\n"), NULL), ASGD_EFORMAT,
        "t.csv: column \"y\" would be the label but has the same name on all lines; choose another "
        "as the label (its columns are y, x)");
    fails(asgd_source_open(&s, put_text("t.csv", "y,x\nA,1\n,2\nB,3\n"), NULL), ASGD_EFORMAT,
          "t.csv:3: column \"y\" is empty; fill it in, or remove the row");
    fails(asgd_source_open(&s, put_text("t.csv", "y,x\nA,1\nB,3\n\xff,3\n"), NULL), ASGD_EFORMAT,
          "t.csv:4: the label \"\xff\" is not UTF-8 text; convert the file");
    static char many[20000];
    size_t      at = (size_t)sprintf(many, "y,x\n");
    for (int i = 0; i <= 1000; i++) at += (size_t)sprintf(many + at, "n%d,1\n", i);
    fails(asgd_source_open(&s, put_text("t.csv", many), NULL), ASGD_EFORMAT,
          "column \"y\" would be the label but holds more than 1000 different names");
}

/* A class that only the last line of a long text has is known on all lines before it. */
static void late_class(void **state)
{
    (void)state;
    enum { N = 300000 };
    char  *text = malloc(N * 24 + 100);
    size_t at   = (size_t)sprintf(text, "x,y\n");
    for (int i = 0; i < N; i++) at += (size_t)sprintf(text + at, "%d,class-%c\n", i, 'C' + i % 3);
    sprintf(text + at, "7,class-A\n");
    for (uint32_t threads = 1; threads <= 3; threads++) {
        asgd_source *s = parse(text, (asgd_source_options){.label = "y", .threads = threads});
        assert_int_equal(s->schema.classes, 4);
        assert_true(s->y[0] == 1 && s->y[N - 1] == (float)(1 + (N - 1) % 3) && s->y[N] == 0);
        asgd_source *again =
            parse("x,y\n1,class-E\n", (asgd_source_options){.encoding       = s->encoding,
                                                            .label_values   = s->labels,
                                                            .n_label_values = 4});
        assert_true(again->y[0] == 3);
        asgd_source_close(again);
        asgd_source_close(s);
    }
    free(text);
}

/* ---- another file with the encoding of the first ---- */

static bool same_rows(const asgd_source *a, const asgd_source *b)
{
    const asgd_schema *x = &a->schema, *y = &b->schema;
    if (x->examples != y->examples || x->features != y->features || x->fields != y->fields ||
        x->dense != y->dense || x->nonzeros != y->nonzeros)
        return false;
    if (x->dense) return memcmp(a->dense, b->dense, x->nonzeros * sizeof *a->dense) == 0;
    return memcmp(a->start, b->start, (x->examples + 1) * sizeof *a->start) == 0 &&
           memcmp(a->idx, b->idx, x->nonzeros * sizeof *a->idx) == 0 &&
           memcmp(a->field, b->field, x->nonzeros * sizeof *a->field) == 0;
}

static void read_alike(void **state)
{
    (void)state;
    static const char *const train[] = {
        "late,Carrier,Dep,w\nY,AA,700,1\nN,B6,1800,2\nY,AA,1201,1\nN,UA,,1\n", /* mixed */
        "late,Carrier,Dep,w\n1,5,700,1\n0,6,1800,2\n1,5,1201,1\n0,4,0,1\n",    /* dense */
    };
    static const char *const other[][2] = {
        /* another order and delimiter, more columns, no label, no weights */
        {"Dep;gate;Carrier\n700;A1;AA\n1800;A2;B6\n1201;?;AA\n;x;UA\n",
         "Dep;gate;Carrier\n700;A1;5\n1800;A2;6\n1201;?;5\n0;x;4\n"},
        /* by place, with and without a label */
        {"N,AA,700,1\nN,B6,1800,1\nN,AA,1201,1\nN,UA,,1\n",
         "0,5,700,1\n0,6,1800,1\n0,5,1201,1\n0,4,0,1\n"},
        {"AA\t700\t1\nB6\t1800\t1\nAA\t1201\t1\nUA\t\t1\n",
         "5\t700\t1\n6\t1800\t1\n5\t1201\t1\n4\t0\t1\n"},
    };
    for (size_t dense = 0; dense < 2; dense++) {
        asgd_source *a = parse(train[dense], (asgd_source_options){.weight = "w"});
        assert_int_equal(a->schema.dense, dense);
        assert_memory_equal(a->y, ((float[]){1, 0, 1, 0}), 16);
        assert_memory_equal(a->weight, ((float[]){1, 2, 1, 1}), 16);
        float               values[2] = {0, 1};
        asgd_source_options o         = {
                    .encoding = a->encoding, .label_values = values, .n_label_values = 2};
        for (size_t i = 0; i < 3; i++) {
            asgd_source *b = parse(other[i][dense], o);
            assert_true(same_rows(a, b));
            assert_memory_equal(b->y, ((float[]){0, 0, 0, 0}), 16);
            assert_int_equal(b->schema.classes, 2);
            asgd_source_close(b);
        }
        asgd_source *b = parse(train[dense], o); /* the weights, too, are remembered */
        assert_memory_equal(b->y, a->y, 16);
        assert_memory_equal(b->weight, a->weight, 16);
        asgd_source_close(b);
        asgd_source_close(a);
    }
}

static void read_unlike(void **state)
{
    (void)state;
    asgd_source        *a, *s;
    const char         *path  = at("v.csv");
    float               two[] = {0, 1};
    asgd_source_options o     = {.cache = "none", .label_values = two, .n_label_values = 2};
    a          = parse("late,Carrier,Dep\nY,AA,700\nN,B6,1800\n", (asgd_source_options){0});
    o.encoding = a->encoding;
    static const struct {
        const char *text, *want;
        asgd_status code;
    } c[] = {
        {"late,Dep,carrier\nY,700,AA\n",
         "v.csv: has no column \"Carrier\", which the model was trained on; its columns are late, "
         "Dep, "
         "carrier; did you mean \"carrier\"?",
         ASGD_EMISMATCH},
        {"1,AA,2,700\n0,B6,3,5\n", "v.csv:1: has 4 columns, the training data had 3",
         ASGD_EMISMATCH},
        {"late,Carrier,Dep\nY,AA,700\nmaybe,AA,9\n",
         "v.csv:3: column \"late\" holds \"maybe\", which is none of the 2 labels (\"N\" to \"Y\")",
         ASGD_EFORMAT},
        {"late,Carrier,Dep\n,AA,700\n", "v.csv:2: column \"late\" is empty", ASGD_EFORMAT},
        {"Carrier,Dep\nAA,seven\n",
         "v.csv:2: column \"Dep\" holds \"seven\", which is not a number as it is elsewhere",
         ASGD_EFORMAT},
        {"Carrier,Dep,Dep\nAA,7,8\n",
         "v.csv:1: the header names two columns \"Dep\", 2 and 3; rename one of them",
         ASGD_EFORMAT},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        fails(asgd_source_open(&s, put_text("v.csv", c[i].text), &o), c[i].code, c[i].want);

    /* unseen values are dropped; a label by another name is taken where the option says so */
    ok(asgd_source_open(&s, put_text("v.csv", "Dep,Carrier,delay\n700,XX,Y\n700,AA,N\n"),
                        &(asgd_source_options){.encoding       = a->encoding,
                                               .cache          = "none",
                                               .label          = "delay",
                                               .label_values   = two,
                                               .n_label_values = 2}));
    assert_memory_equal(s->y, ((float[]){1, 0}), 8);
    assert_true(length(s, 0) == 1 && length(s, 1) == 2);
    asgd_source_close(s);
    o.label = "delay";
    ok(asgd_source_open(&s, put_text("v.csv", "Dep,Carrier,delay,late\n7,AA,Y,N\n"), &o));
    assert_true(s->y[0] == 1);
    asgd_source_close(s);
    put_text("v.csv", "Dep,Carrier\n7,AA\n");
    fails(asgd_source_open(&s, path, &o), ASGD_EINVAL,
          "v.csv: has no column \"delay\" for the label");
    o.label = "late"; /* the one that may be absent */
    ok(asgd_source_open(&s, path, &o));
    asgd_source_close(s);
    o.label = "Dep";
    fails(
        asgd_source_open(&s, path, &o), ASGD_EINVAL,
        "column \"Dep\" is a feature or the label of the model, so it cannot serve for the label");
    asgd_source_close(a);
}

/* Names that are numbers look like data; they are names where all of them stand there. */
static void read_numbered(void **state)
{
    (void)state;
    asgd_source        *a = parse("0,1,2,target\n1,2,3,1\n4,5,6,0\n", (asgd_source_options){0}), *s;
    asgd_source_options o = {.encoding = a->encoding};
    s                     = parse("2,1,0\n7,8,9\n", o);
    assert_int_equal(s->schema.examples, 1);
    assert_memory_equal(s->dense, ((float[]){9, 8, 7}), 12);
    asgd_source_close(s);
    s = parse("1,0,5,1\n7,8,9,1\n", o);
    assert_int_equal(s->schema.examples, 2);
    assert_memory_equal(s->dense, ((float[]){1, 0, 5, 7, 8, 9}), 24);
    asgd_source_close(s);
    asgd_source_close(a);
}

/* Labels that are numbers, absent: any of the model's will do. */
static void absent_numbers(void **state)
{
    (void)state;
    asgd_source        *a = parse("y,k\n-1,a\n1,b\n", (asgd_source_options){0}), *s;
    asgd_source_options o = {
        .encoding = a->encoding, .label_values = a->labels, .n_label_values = 2};
    s = parse("k\tm\nb\t1\n", o);
    assert_true(s->y[0] == 0 && s->schema.classes == 2 && length(s, 0) == 1);
    asgd_source_close(s);
    asgd_source_close(a);
}

static void damaged_recipes(void **state)
{
    (void)state;
    static const char *const recipe[] = {
        "{}",
        "{\"columns\":3}",
        "{\"columns\":3,\"label\":{\"column\":4,\"name\":\"y\"}}",
        "{\"columns\":3,\"label\":{\"column\":1}}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},\"features\":[]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},\"features\":[1]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},"
        "\"features\":[{\"name\":\"k\",\"column\":2,\"kind\":\"word\"}]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},"
        "\"features\":[{\"name\":\"k\",\"column\":9,\"kind\":\"category\"}]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},"
        "\"features\":[{\"name\":\"k\",\"column\":2,\"kind\":\"category\"},"
        "{\"name\":\"k\",\"column\":2,\"kind\":\"category\"}]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},"
        "\"features\":[{\"name\":\"x\",\"column\":3,\"kind\":\"number\"}]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\"},\"features\":"
        "[{\"name\":\"x\",\"column\":3,\"kind\":\"number\",\"edges\":[2,1]}]}",
        "{\"columns\":3,\"label\":{\"column\":1,\"name\":\"y\",\"classes\":[\"b\",\"a\"]},"
        "\"features\":"
        "[{\"name\":\"x\",\"column\":3,\"kind\":\"number\",\"edges\":[1,2]}]}",
    };
    const char *path = put_text("v.csv", "y,k,x\n1,a,1\n0,b,2\n");
    for (size_t i = 0; i < sizeof recipe / sizeof *recipe; i++) {
        char           text[500];
        uint32_t       key = 7;
        asgd_encoding *e;
        asgd_source   *s;
        snprintf(text, sizeof text, "{\"format\":\"csv\",%s", recipe[i] + 1);
        if (strcmp(recipe[i], "{}") == 0) snprintf(text, sizeof text, "{\"format\":\"csv\"}");
        ok(asgdi_encoding_new(&e, &key, 1, 2, text));
        fails(asgd_source_open(&s, path, &(asgd_source_options){.encoding = e, .cache = "none"}),
              ASGD_EMISMATCH,
              "v.csv: the encoding to read it with is damaged or not of a csv file");
        asgdi_encoding_free(e);
    }
}

static void names(void **state)
{
    (void)state;
    static const char text[] = "y,Carrier,Dep\n1,AA,1\n0,\"B\"\"6\",2\n1,AA,3\n";
    const char     *want[] = {"Carrier=AA", "Carrier=B\"6", "Dep < 2", "Dep in [2, 3)", "Dep >= 3"};
    asgd_source    *s      = parse(text, (asgd_source_options){0});
    uint32_t        n;
    const uint32_t *key = asgd_encoding_keys(s->encoding, &n);
    char           *name[5];
    assert_int_equal(n, 5);
    ok(asgd_encoding_names(s->encoding, at("t.csv"), NULL, key, n, name));
    for (size_t i = 0; i < 5; i++) {
        size_t found = 0;
        for (size_t j = 0; j < 5; j++) found += strcmp(name[j], want[i]) == 0;
        if (found != 1) fail_msg("%s: %zu times", want[i], found);
    }
    for (size_t j = 0; j < 5; j++) free(name[j]);
    asgd_source_close(s);

    s = parse("y,Carrier,Dep\n1,5,1\n", (asgd_source_options){0}); /* dense */
    ok(asgd_encoding_names(s->encoding, at("t.csv"), NULL, ((uint32_t[]){1, 0}), 2, name));
    assert_string_equal(name[0], "Dep");
    assert_string_equal(name[1], "Carrier");
    free(name[0]);
    free(name[1]);
    asgd_source_close(s);
}

/* ---- errors ---- */

static void errors(void **state)
{
    (void)state;
    static const char *const c[][2] = {
        {"1,",
         "column \"Delay\" is empty; fill it in, or ignore the column (values may be missing"},
        {"1,NA", "column \"Delay\" holds a missing value"},
        {",1", "column \"y\" is empty; fill it in, or remove the row"},
        {"1,2,3",
         "has 3 columns where the first line has 2; make all rows alike, with quotes around "
         "a value that holds a comma"},
        {"1,a,3", "has 3 columns where the first line has 2"}, /* says what caused it */
        {"1", "has 1 columns where the first line has 2"},
        {"1,1e99", "column \"Delay\" holds \"1e99\", which is not finite as a 32-bit float"},
        {"1,-inf", "column \"Delay\" holds \"-inf\", which is not finite"},
        {"inf,1", "column \"y\" holds \"inf\", which is not finite"},
        {"1,\"2", "a quote is not closed on this line"},
        {"1,\"2\"3", "a quote is not closed on this line, or something follows it"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        for (uint32_t threads = 1; threads <= 6; threads++) {
            char text[200], want[200];
            snprintf(text, sizeof text, "y,Delay\n1,1\n\n0,2\n%s\n1,5\nx,y,z\n", c[i][0]);
            snprintf(want, sizeof want, "bad.csv:5: %s", c[i][1]);
            asgd_source *s;
            fails(asgd_source_open(&s, put_text("bad.csv", text),
                                   &(asgd_source_options){.threads = threads, .cache = "none"}),
                  ASGD_EFORMAT, want);
        }
}

static void bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } c[] = {
        {"y,a\n\n", "holds a header but no example; give a file with rows of values"},
        {" \n", "holds no example"},
        {"1\n2\n", "f.csv:1: has one column only"},
        {"\na,\"b\n1,2\n", "f.csv:2: a quote is not closed on this line"},
        {"\ny,a,b,a\n1,2,3,4\n",
         "f.csv:2: the header names two columns \"a\", 2 and 4; rename one of them"},
        {"y,gr\xfc\n1,2\n", "f.csv:1: the name \"gr\xfc\" is not UTF-8; convert the file"},
        {"y;a;k\n1;0,5;x\n0;1,5;y\n",
         "f.csv:2: column \"a\" holds \"0,5\", which is not a number; write a decimal point"},
        {"y,a,k\n1,\"0,5\",x\n", "f.csv:2: column \"a\" holds \"0,5\", which is not a number"},
        {"y\tkind\tx\n1\ta\t1\n0\ta b\t2\n0\ta\tb\t3\n",
         "f.csv:4: has 4 columns where the first line has 3; make all rows alike, with quotes "
         "around a "
         "value that holds a TAB"},
        {"y,w,x\n1,0,2\n", "f.csv:2: column \"w\" holds the weight 0; weights are above 0"},
        {"y,w,x\n1,nan,2\n", "f.csv:2: column \"w\" holds a missing value"},
    };
    asgd_source *s;
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        asgd_source_options o = {.format = "csv", .weight = strstr(c[i].text, "w,") ? "w" : NULL};
        fails(asgd_source_open(&s, put_text("f.csv", c[i].text), &o), ASGD_EFORMAT, c[i].want);
    }
    fails(asgd_source_open(&s, put("n.csv", "y,k\n1,a\n0,b\0c\n", 14), NULL), ASGD_EFORMAT,
          "n.csv:3: holds a NUL byte, so it is no text or damaged");
    asgd_source_options csv = {.format = "csv"};
    fails(asgd_source_open(&s, put("n.csv", "y\0,k\n1,a\n", 9), &csv), ASGD_EFORMAT,
          "n.csv:1: holds a NUL byte, so it is no text (or UTF-16)");
    fails(asgd_source_open(&s, put_text("e.csv", ""), NULL), ASGD_EFORMAT, "e.csv: is empty");

    fails(asgd_source_open(&s, put_text("n.csv", "1,2\n1,x,\n1,3\n"), &csv), ASGD_EFORMAT,
          "n.csv:2: has 3 columns where the first line has 2");
}

/* A word in a column of numbers that the sample, here and there in a long text, does not show. */
static void late_word(void **state)
{
    (void)state;
    enum { N = 300000 };
    char  *text = malloc(N * 10 + 100);
    size_t at   = (size_t)sprintf(text, "y,kind,x\n1,a,1\n0,b,2\n1,c,oops\n");
    for (int i = 0; i < N; i++) at += (size_t)sprintf(text + at, "%d,a,1.25\n", i % 2);
    const char *path = put_text("late.csv", text);
    free(text);
    asgd_source        *s;
    asgd_source_options o = {.cache = "none"};
    fails(asgd_source_open(&s, path, &o), ASGD_EFORMAT,
          "late.csv:4: column \"x\" holds \"oops\", which is not a number as it is elsewhere");
    o.categorical = "x";
    ok(asgd_source_open(&s, path, &o));
    assert_true(has(s, 2, "x", "oops", 1));
    asgd_source_close(s);
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

/* ---- more ---- */

enum { ROWS = 60, COLUMNS = 5 };

/* A table written in one of several ways. */
static void write_table(char *text, char cell[ROWS][COLUMNS][8], int way)
{
    static const char delimiter[] = ",;\t";
    size_t            at          = 0;
    for (int r = -1; r < ROWS; r++) {
        for (int c = 0; c < COLUMNS; c++) {
            char name[8];
            snprintf(name, sizeof name, c ? "col%d" : "label", c);
            bool quoted = way & 4 && (r + c) % 2;
            at += (size_t)sprintf(text + at, quoted ? "%s\"%s\"" : "%s%s",
                                  way & 8 && way % 3 != 2 ? " " : "", r < 0 ? name : cell[r][c]);
            if (c + 1 < COLUMNS) text[at++] = delimiter[way % 3];
        }
        at += (size_t)sprintf(text + at, way & 16 ? "\r\n" : "\n");
    }
    text[at] = 0;
}

/* The same table is the same data however it is written, parsed by however many threads. */
static void same_table(void **state)
{
    (void)state;
    static char text[ROWS * COLUMNS * 16], cell[ROWS][COLUMNS][8];
    for (unsigned seed = 1; seed <= 40; seed++) {
        srand(seed);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLUMNS; c++) {
                int v = c == 0 ? r % 2 : rand() % (1 << c);
                snprintf(cell[r][c], 8, c == 3 ? "v%d" : "%d", v);
                if (c > 0 && rand() % 8 == 0) strcpy(cell[r][c], rand() % 2 ? "" : "NA");
            }
        write_table(text, cell, 0);
        asgd_source *a = parse(text, (asgd_source_options){.threads = 1});
        uint64_t     n = 0;
        for (int r = 0; r < ROWS; r++)
            for (int c = 1; c < COLUMNS; c++) n += cell[r][c][0] && cell[r][c][0] != 'N';
        if (a->schema.nonzeros != n || a->schema.fields != COLUMNS - 1)
            fail_msg("seed %u: %d entries, not %d", seed, (int)a->schema.nonzeros, (int)n);
        for (int way = 1; way < 32; way++) {
            write_table(text, cell, way);
            asgd_source *b = parse(text, (asgd_source_options){.threads = (uint32_t)way % 4 + 1});
            if (!same_rows(a, b) || memcmp(a->y, b->y, ROWS * sizeof *a->y) != 0)
                fail_msg("seed %u, way %d", seed, way);
            asgd_source_close(b);
        }
        asgd_source_close(a);
    }
}

static void flight_delays(void **state)
{
    (void)state;
    const char *train = real_data("flight-delays/flight_delays_train.csv.gz");
    const char *valid = real_data("flight-delays/flight_delays_valid.csv.gz");
    if (!train || !valid) skip();
    asgd_source        *a, *b;
    asgd_source_options o = {.cache = "none"};
    ok(asgd_source_open(&a, train, &o));
    assert_int_equal(a->schema.examples, 75000);
    assert_int_equal(a->schema.fields, 11);
    assert_int_equal(a->schema.classes, 2);
    assert_int_equal(a->schema.nonzeros, 11 * 75000);
    float positive = 0;
    for (uint64_t i = 0; i < a->schema.examples; i++) positive += a->y[i];
    assert_true(positive == 14283);
    assert_true(has(a, 0, "UniqueCarrier_OriginDest", "AA_ORD_SEA", 9));
    o.encoding       = a->encoding;
    o.label_values   = a->labels;
    o.n_label_values = 2;
    ok(asgd_source_open(&b, valid, &o));
    assert_int_equal(b->schema.examples, 25000);
    assert_int_equal(b->schema.features, a->schema.features);
    assert_true(b->schema.nonzeros > 11 * 25000 - 1000);
    asgd_source_close(b);
    asgd_source_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(label_column),
        cmocka_unit_test(usual_label),
        cmocka_unit_test(header_or_not),
        cmocka_unit_test(categories),
        cmocka_unit_test(chosen_columns),
        cmocka_unit_test(groups_of_numbers),
        cmocka_unit_test(named_classes),
        cmocka_unit_test(late_class),
        cmocka_unit_test(read_alike),
        cmocka_unit_test(read_unlike),
        cmocka_unit_test(read_numbered),
        cmocka_unit_test(absent_numbers),
        cmocka_unit_test(damaged_recipes),
        cmocka_unit_test(names),
        cmocka_unit_test(errors),
        cmocka_unit_test(bad_files),
        cmocka_unit_test(late_word),
        cmocka_unit_test(fits_a_model),
        cmocka_unit_test(same_table),
        cmocka_unit_test(flight_delays),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
