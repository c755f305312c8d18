/* Synthetic clicks: the rows never change, depend on nothing but seed and number, follow the law
 * that src/data/synth_clicks.c states (computed here once more, in double), and say the same in all
 * formats. */
#include "files.h"

#include "base/rng.h"
#include "data/synth_clicks.h"

enum { MOST = 200, FEATURES = 2710347 };

/* ---- the law, as the comment in the source has it ---- */

static double cardinality(int field)
{
    return field < 13 ? 50 : round(pow(10, 1 + (field - 13) / 5.0));
}

static double p_value(double cardinality_, double k)
{
    return log((k + 2) / (k + 1)) / log(cardinality_);
}

typedef struct row {
    int      label, n;
    uint32_t field[MOST], feature[MOST];
} row;

/* P(click) of a row. */
static double truth(uint64_t seed, const row *r)
{
    double z = -1.3, sum[4] = {0}, squares[4] = {0};
    for (int i = 0; i < r->n; i++) {
        uint64_t hash = asgdi_random(seed, 0, r->feature[i]);
        z += .9 * (((double)(hash & 0xffff) + .5) / 65536 - .5);
        for (int j = 0; j < 4; j++) {
            double v = .45 * (((double)(hash >> (16 + 12 * j) & 0xfff) + .5) / 4096 - .5);
            sum[j] += v;
            squares[j] += v * v;
        }
    }
    for (int j = 0; j < 4; j++) z += .5 * (sum[j] * sum[j] - squares[j]);
    return 1 / (1 + exp(-z));
}

/* ---- files ---- */

static asgdi_clicks_facts make(const char *name, asgd_clicks c)
{
    asgdi_clicks_facts f;
    ok(asgdi_synth_clicks(at(name), &c, &f));
    assert_int_equal(f.rows, c.rows);
    return f;
}

static char *slurp(const char *name, size_t *bytes)
{
    FILE *f = fopen(at(name), "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *bytes     = (size_t)ftell(f);
    char *text = malloc(*bytes + 1);
    assert_non_null(text);
    rewind(f);
    assert_int_equal(fread(text, 1, *bytes, f), *bytes);
    text[*bytes] = 0;
    fclose(f);
    return text;
}

/* Reads one line, without its end, by the rules of its format, strictly. */
static void read_row(char *p, const char *format, row *r)
{
    const bool vw = strcmp(format, "vw") == 0, ffm = strcmp(format, "libffm") == 0;
    r->label = (int)strtol(p, &p, 10);
    for (r->n = 0; *p == ' '; r->n++) {
        assert_true(r->n < MOST);
        p++;
        r->field[r->n] = (uint32_t)r->n;
        if (vw) {
            static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
            assert_int_equal(p[0], '|');
            assert_int_equal(p[1], letters[r->n]);
            assert_int_equal(p[2], ' ');
            p += 3;
        } else if (ffm) {
            r->field[r->n] = (uint32_t)strtoul(p, &p, 10);
            assert_int_equal(*p++, ':');
        }
        r->feature[r->n] = (uint32_t)strtoul(p, &p, 10);
        if (!vw) {
            assert_memory_equal(p, ":1", 2);
            p += 2;
        }
    }
    assert_int_equal(*p, 0);
}

static row *read_rows(const char *name, const char *format, size_t n)
{
    size_t bytes;
    char  *text = slurp(name, &bytes), *p = text;
    row   *r = calloc(n, sizeof *r);
    assert_non_null(r);
    for (size_t i = 0; i < n; i++) {
        /* each a string of its own: checked ones are looked through to their end */
        char *end = memchr(p, '\n', bytes - (size_t)(p - text));
        assert_non_null(end);
        *end = 0;
        read_row(p, format, &r[i]);
        p = end + 1;
    }
    assert_int_equal(p - text, bytes);
    free(text);
    return r;
}

/* ---- tests ---- */

static uint64_t fnv1a(const char *p, size_t bytes)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

/* Every machine and compiler gives these; numbers in our documents depend on them. */
static void never_changes(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        uint64_t    sum;
    } known[] = {{"libffm", 0xd7411567e7478e3du},
                 {"libsvm", 0x461008b1d620da1du},
                 {"vw", 0xdb4863fc4f1c550du},
                 {"criteo", 0xb71d96b00ee660dau},
                 {"csv", 0x05425d11891aa2d9u}};
    int wrong = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        make("fixed", (asgd_clicks){.rows = 1000, .seed = 1, .format = known[i].format});
        size_t   bytes;
        char    *text = slurp("fixed", &bytes);
        uint64_t sum  = fnv1a(text, bytes);
        if (sum != known[i].sum) {
            print_error("%s: 0x%016llx\n", known[i].format, (unsigned long long)sum);
            wrong++;
        }
        free(text);
    }
    assert_int_equal(wrong, 0);
}

static void threads_and_parts(void **state)
{
    (void)state;
    enum { N = 10000, CUT = 4711 };
    size_t             bytes, more, a_bytes, b_bytes;
    asgdi_clicks_facts whole = make("whole", (asgd_clicks){.rows = N, .seed = 3, .threads = 1});
    char              *text  = slurp("whole", &bytes);
    for (uint32_t threads = 0; threads <= 7; threads += 7) {
        asgdi_clicks_facts f =
            make("threads", (asgd_clicks){.rows = N, .seed = 3, .threads = threads});
        char *same = slurp("threads", &more);
        assert_int_equal(bytes, more);
        assert_memory_equal(text, same, bytes);
        assert_memory_equal(&f, &whole, sizeof f);
        free(same);
    }
    asgdi_clicks_facts fa = make("a", (asgd_clicks){.rows = CUT, .seed = 3});
    asgdi_clicks_facts fb = make("b", (asgd_clicks){.rows = N - CUT, .first = CUT, .seed = 3});
    char              *a = slurp("a", &a_bytes), *b = slurp("b", &b_bytes);
    assert_int_equal(a_bytes + b_bytes, bytes);
    assert_memory_equal(a, text, a_bytes);
    assert_memory_equal(b, text + a_bytes, b_bytes);
    assert_int_equal(fa.clicks + fb.clicks, whole.clicks);
    assert_true(fabs(CUT * fa.realised + (N - CUT) * fb.realised - N * whole.realised) < 1e-8 * N);

    make("other", (asgd_clicks){.rows = CUT, .seed = 4});
    char *other = slurp("other", &b_bytes);
    assert_true(a_bytes != b_bytes || memcmp(a, other, a_bytes) != 0);
    free(text);
    free(a);
    free(b);
    free(other);
}

/* Values by pow() where the code has its own exponential: they may differ by one where c^u comes
 * within 4e-9 of a whole number. */
static void values(void **state)
{
    (void)state;
    enum { N = 2000 };
    const uint64_t first = 10000000007; /* more than 32 bits */
    make("values", (asgd_clicks){.rows = N, .first = first, .seed = 5});
    row *r = read_rows("values", "libffm", N);
    for (uint64_t i = 0; i < N; i++) {
        double begin = 0;
        assert_int_equal(r[i].n, 39);
        for (int f = 0; f < 39; f++) {
            double u = (double)(asgdi_random(5, 1 + first + i, (uint64_t)f + 1) >> 32) * 0x1p-32;
            double c = cardinality(f), x = pow(c, u), k = r[i].feature[f] - begin;
            if (!(x * (1 + 4e-9) >= k + 1 && x * (1 - 4e-9) < k + 2))
                fail_msg("row %d, field %d: %g^%.9g = %.9g gave value %g", (int)i, f, c, u, x, k);
            assert_int_equal(r[i].field[f], f);
            begin += c;
        }
        assert_int_equal((uint64_t)begin, FEATURES);
        double chance = (double)(asgdi_random(5, 1 + first + i, 0) >> 11) * 0x1p-53;
        assert_int_equal(r[i].label, chance < truth(5, &r[i]));
    }
    free(r);
}

/* Chi-square of the values' frequencies: the first 30 and all others together. */
static void zipf(void **state)
{
    (void)state;
    enum { N = 20000, BINS = 31 };
    make("zipf", (asgd_clicks){.rows = N, .seed = 11});
    row   *r     = read_rows("zipf", "libffm", N);
    double begin = 0;
    for (int f = 0; f < 39; f++) {
        double c = cardinality(f), chi2 = 0, rest = 1;
        int    count[BINS] = {0}, bins = 0;
        for (int i = 0; i < N; i++) {
            double k = r[i].feature[f] - begin;
            count[k < BINS - 1 ? (int)k : BINS - 1]++;
        }
        for (int k = 0; k < BINS; k++) {
            double p = k < BINS - 1 ? (k < c - 1 ? p_value(c, k) : 0) : rest;
            rest -= p;
            if (p < 1e-9) {
                assert_int_equal(count[k], 0);
                continue;
            }
            chi2 += (count[k] - N * p) * (count[k] - N * p) / (N * p);
            bins++;
        }
        double df = bins - 1;
        if (chi2 > df + 4 * sqrt(2 * df)) fail_msg("field %d: chi-square %g of %g", f, chi2, df);
        begin += c;
    }
    free(r);
}

/* Labels are drawn with the truth's probability, large or small, and the losses are the truth's. */
static void labels_and_bayes(void **state)
{
    (void)state;
    enum { N = 20000, PARTS = 5 };
    asgdi_clicks_facts f        = make("bayes", (asgd_clicks){.rows = N, .seed = 12});
    row               *r        = read_rows("bayes", "libffm", N);
    double             realised = 0, expected = 0, luck = 0, clicks = 0, mean[PARTS] = {0},
           variance[PARTS] = {0};
    for (int i = 0; i < N; i++) {
        double p = truth(12, &r[i]);
        int    k = (int)(p * PARTS);
        mean[k] += r[i].label - p;
        variance[k] += p * (1 - p);
        clicks += r[i].label;
        realised -= log(r[i].label ? p : 1 - p) / N;
        luck += p * (1 - p) * log(p / (1 - p)) * log(p / (1 - p));
        expected -= (p * log(p) + (1 - p) * log(1 - p)) / N;
    }
    for (int k = 0; k < PARTS; k++)
        if (!(variance[k] > 10 && fabs(mean[k]) < 4 * sqrt(variance[k])))
            fail_msg("p from %g: %g clicks too many, deviation %g", (double)k / PARTS, mean[k],
                     sqrt(variance[k]));
    assert_int_equal(f.clicks, (uint64_t)clicks);
    assert_true(fabs(f.realised - realised) < 1e-9);
    assert_true(fabs(f.expected - expected) < 1e-9);
    assert_true(fabs(realised - expected) < 4 * sqrt(luck) / N);
    double rate = clicks / N, base = -rate * log(rate) - (1 - rate) * log(1 - rate);
    print_message("seed 12: rate %.3f, logloss of the rate %.4f, Bayes %.4f\n", rate, base,
                  realised);
    assert_true(realised < .85 * base); /* there is much to learn */

    double bayes = 0;
    ok(asgd_synth_clicks(at("bayes"), &(asgd_clicks){.rows = N, .seed = 12}, &bayes));
    assert_memory_equal(&bayes, &f.realised, sizeof bayes);
    ok(asgd_synth_clicks(at("bayes"), &(asgd_clicks){.rows = 1}, NULL));
    free(r);
}

/* A category's hexadecimal name and its feature belong together, in all rows. */
static void check_category(uint32_t *name_of, const char *text, uint32_t feature)
{
    assert_int_equal(strspn(text, "0123456789abcdef"), 8);
    uint32_t name = (uint32_t)strtoul(text, NULL, 16);
    if (name_of[feature] == 0) name_of[feature] = name;
    assert_int_equal(name_of[feature], name);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void formats_agree(void **state)
{
    (void)state;
    enum { N = 3000 };
    static const char *const formats[] = {"libffm", "libsvm", "vw", "criteo", "csv"};
    row                     *r[3];
    for (size_t k = 0; k < 5; k++)
        make(formats[k], (asgd_clicks){.rows = N, .seed = 2, .format = formats[k]});
    for (size_t k = 0; k < 3; k++) r[k] = read_rows(formats[k], formats[k], N);

    size_t    criteo_bytes, csv_bytes;
    char     *criteo = slurp("criteo", &criteo_bytes), *csv = slurp("csv", &csv_bytes);
    char     *p       = criteo;
    uint32_t *name_of = calloc(FEATURES, sizeof *name_of);
    assert_non_null(name_of);
    for (int i = 0; i < N; i++) {
        const row *ffm = &r[0][i];
        assert_int_equal(r[1][i].label, ffm->label);
        assert_int_equal(r[2][i].label, ffm->label ? 1 : -1);
        assert_int_equal(strtol(p, &p, 10), ffm->label);
        for (int f = 0; f < 39; f++) {
            assert_int_equal(r[1][i].feature[f], ffm->feature[f] + 1);
            assert_int_equal(r[2][i].feature[f], ffm->feature[f]);
            assert_int_equal(*p++, '\t');
            if (f < 13) {
                assert_int_equal(strtol(p, &p, 10), ffm->feature[f] - 50 * (uint32_t)f);
            } else {
                check_category(name_of, p, ffm->feature[f]);
                p += 8;
            }
        }
        assert_int_equal(*p++, '\n');
    }
    qsort(name_of, FEATURES, sizeof *name_of, by_value);
    for (int i = 1; i < FEATURES; i++) assert_true(name_of[i] == 0 || name_of[i] != name_of[i - 1]);

    static const char header[] =
        "label,I1,I2,I3,I4,I5,I6,I7,I8,I9,I10,I11,I12,I13,C1,C2,C3,C4,C5,C6,C7,C8,C9,C10,C11,C12,"
        "C13,C14,C15,C16,C17,C18,C19,C20,C21,C22,C23,C24,C25,C26\n";
    assert_int_equal(csv_bytes, criteo_bytes + sizeof header - 1);
    assert_memory_equal(csv, header, sizeof header - 1);
    for (p = csv; *p; p++)
        if (*p == ',') *p = '\t';
    assert_memory_equal(csv + sizeof header - 1, criteo, criteo_bytes);
    free(criteo);
    free(csv);
    free(name_of);
    for (size_t k = 0; k < 3; k++) free(r[k]);
}

static void numbers_of_fields(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        uint32_t    fields, features;
    } cases[] = {
        {"libffm", 2, 10 + 16},
        {"libffm", 7, 2 * 50 + 10 + 16 + 25 + 40 + 63},
        {"vw", 52,
         FEATURES + 10 + 16 + 25 + 40 + 63 + 100 + 158 + 251 + 398 + 631 + 1000 + 1585 + 2512},
        {"libffm", 200, 13 * 50 + 7 * (FEATURES - 13 * 50) + 10 + 16 + 25 + 40 + 63},
        {"libsvm", 200, 13 * 50 + 7 * (FEATURES - 13 * 50) + 10 + 16 + 25 + 40 + 63},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        enum { N = 300 };
        const uint32_t     extra = strcmp(cases[k].format, "libsvm") == 0;
        asgdi_clicks_facts f =
            make("fields",
                 (asgd_clicks){.rows = N, .format = cases[k].format, .fields = cases[k].fields});
        assert_int_equal(f.fields, cases[k].fields);
        assert_int_equal(f.features, cases[k].features);
        row *r = read_rows("fields", cases[k].format, N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(r[i].n, cases[k].fields);
            for (int j = 1; j < r[i].n; j++) assert_true(r[i].feature[j] > r[i].feature[j - 1]);
            assert_true(r[i].feature[r[i].n - 1] < cases[k].features + extra);
        }
        free(r);
    }
    make("fields.csv", (asgd_clicks){.rows = 1, .format = "csv", .fields = 4});
    size_t bytes;
    char  *text = slurp("fields.csv", &bytes);
    assert_memory_equal(text, "label,I1,C1,C2,C3\n", 18);
    free(text);
}

static void wrong(void **state)
{
    (void)state;
    const uint64_t most = UINT64_C(1) << 40;
    const char    *path = at("wrong");
#define REFUSED(text, ...) \
    fails(asgd_synth_clicks(path, &(asgd_clicks){__VA_ARGS__}, NULL), ASGD_EINVAL, text)
    fails(asgd_synth_clicks(NULL, &(asgd_clicks){.rows = 1}, NULL), ASGD_EINVAL, "no file");
    fails(asgd_synth_clicks("", &(asgd_clicks){.rows = 1}, NULL), ASGD_EINVAL, "no file is given");
    fails(asgd_synth_clicks(path, NULL, NULL), ASGD_EINVAL, "asks for no row");
    REFUSED("asks for no row", .rows = 0);
    REFUSED("at most 1099511627776", .rows = most + 1);
    REFUSED("at most 1099511627776", .rows = 1, .first = most + 1);
    REFUSED("format libfm: must be libffm, libsvm, vw, criteo or csv", .rows = 1,
            .format = "libfm");
    REFUSED("1 fields: must be 2 to 200 with format libffm", .rows = 1, .fields = 1);
    REFUSED("201 fields: must be 2 to 200 with format csv", .rows = 1, .fields = 201,
            .format = "csv");
    REFUSED("53 fields: must be 2 to 52 with format vw", .rows = 1, .fields = 53, .format = "vw");
    REFUSED("38 fields: format criteo always has 39", .rows = 1, .fields = 38, .format = "criteo");
    assert_int_not_equal(access(path, F_OK), 0);
    ok(asgd_synth_clicks(path, &(asgd_clicks){.rows = 1, .first = most}, NULL));

    const asgd_clicks one = {.rows = 1};
    fails(asgd_synth_clicks(at("no/where"), &one, NULL), ASGD_EIO, "no/where: cannot create it");
    fails(asgd_synth_clicks(folder, &one, NULL), ASGD_EIO, "is not a regular file");
    put_text("target", "x");
    assert_int_equal(symlink(at("target"), at("link")), 0);
    fails(asgd_synth_clicks(at("link"), &one, NULL), ASGD_EIO, "link: is not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_changes),
        cmocka_unit_test(threads_and_parts),
        cmocka_unit_test(values),
        cmocka_unit_test(zipf),
        cmocka_unit_test(labels_and_bayes),
        cmocka_unit_test(formats_agree),
        cmocka_unit_test(numbers_of_fields),
        cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
