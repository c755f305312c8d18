/* The cache: used when it fits, ignored and rebuilt when anything about it or its source does not,
 * whatever is done to the file. */
#include "files.h"

#include <fcntl.h>
#include <time.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/cache.h"
#include "data/encoding.h"

enum { ROWS = 12000 }; /* more than 256 KiB of text */

static const char *write_svm(const char *name, int first)
{
    char *text = malloc(ROWS * 64), *p = text;
    for (int i = 0; i < ROWS; i++)
        p += sprintf(p, "%d 1:%d %d:0.5 %d:%g\n", i % 2 ? 1 : -1, i + first, 2 + i % 5, 10 + i % 7,
                     i / 8.0);
    assert_true(p - text > 256 << 10);
    const char *path = put(name, text, (size_t)(p - text));
    free(text);
    return path;
}

static asgd_source *must_open(const char *path, asgd_source_options o)
{
    asgd_source *s;
    ok(asgd_source_open(&s, path, &o));
    return s;
}

static bool cached(const asgd_source *s)
{
    return strstr(asgd_source_describe(s), "from cache") != NULL;
}

static void same(const asgd_source *a, const asgd_source *b)
{
    const asgd_schema *d = &a->schema;
    assert_memory_equal(d, &b->schema, sizeof *d);
    assert_int_equal(a->max_len, b->max_len);
    assert_memory_equal(a->y, b->y, d->examples * 4);
    assert_int_equal(a->weight != NULL, b->weight != NULL);
    if (a->weight) assert_memory_equal(a->weight, b->weight, d->examples * 4);
    assert_int_equal(a->labels != NULL, b->labels != NULL);
    if (a->labels) assert_memory_equal(a->labels, b->labels, d->classes * 4);
    assert_true(asgdi_encoding_equal(a->encoding, b->encoding));
    if (d->label_sets) {
        assert_memory_equal(a->label_start, b->label_start, (d->examples + 1) * 8);
        assert_memory_equal(a->label, b->label, a->label_start[d->examples] * 4);
    }
    if (d->dense) {
        assert_memory_equal(a->dense, b->dense, d->nonzeros * 4);
        return;
    }
    assert_memory_equal(a->start, b->start, (d->examples + 1) * 8);
    assert_memory_equal(a->idx, b->idx, d->nonzeros * 4);
    assert_int_equal(a->val != NULL, b->val != NULL);
    if (a->val) assert_memory_equal(a->val, b->val, d->nonzeros * 4);
    assert_int_equal(a->field != NULL, b->field != NULL);
    if (a->field) assert_memory_equal(a->field, b->field, d->nonzeros * 2);
}

/* Opens twice: parsed, then cached, the same. */
static void twice(const char *path, asgd_source_options o)
{
    asgd_source *a = must_open(path, o), *b = must_open(path, o);
    assert_false(cached(a));
    assert_true(cached(b));
    same(a, b);
    asgd_source_close(a);
    asgd_source_close(b);
}

static void keeps_everything(void **state)
{
    (void)state;
    twice(write_svm("a.svm", 0), (asgd_source_options){0});
    assert_int_equal(access(at("a.svm.asgd-cache"), R_OK), 0);
    twice(at("a.svm"), (asgd_source_options){.cache = at("caches/deep")});
    twice(at("a.svm"), (asgd_source_options){.rank_features = true});
    twice(at("a.svm"), (asgd_source_options){.features = 9});
    asgd_source *s = must_open(at("a.svm"), (asgd_source_options){.features = 9});
    assert_non_null(
        strstr(asgd_source_describe(s), "12000 entries of unseen features dropped, from"));
    asgd_source_close(s);
    static const float values[2] = {1, -1};
    twice(at("a.svm"), (asgd_source_options){.label_values = values, .n_label_values = 2});

    asgd_source *train = must_open(at("a.svm"), (asgd_source_options){.rank_features = true});
    twice(write_svm("b.svm", 1), (asgd_source_options){.encoding = train->encoding});
    /* another encoding: the same text is something else */
    asgd_source *other =
        must_open(at("a.svm"), (asgd_source_options){.features = 12, .rank_features = true});
    twice(at("b.svm"), (asgd_source_options){.encoding = other->encoding});
    asgd_source_close(other);
    char *text = malloc(ROWS * 64), *p = text; /* as many features, and others */
    for (int i = 0; i < ROWS; i++) p += sprintf(p, "1 1:1 %d:1 %d:1\n", 3 + i % 5, 10 + i % 7);
    other = must_open(put("o.svm", text, (size_t)(p - text)),
                      (asgd_source_options){.rank_features = true, .cache = "none"});
    assert_int_equal(other->schema.features, train->schema.features);
    twice(at("b.svm"), (asgd_source_options){.encoding = train->encoding});
    twice(at("b.svm"), (asgd_source_options){.encoding = other->encoding});
    asgd_source_close(other);
    asgd_source_close(train);

    p = text;
    for (int i = 0; i < ROWS; i++)
        p += sprintf(p, "%d 0:%d:1 %d:%d:1 39:1:1\n", i % 2, i, 1 + i % 9, 7 * i + 1);
    twice(put("e.ffm", text, (size_t)(p - text)), (asgd_source_options){0});
    twice(at("e.ffm"), (asgd_source_options){.rank_features = true});
    p = text;
    for (int i = 0; i < ROWS; i++) p += sprintf(p, "%d,%d 1:1 5:2.5 99:1 1000:1\n", i % 9, i);
    twice(put("s.svm", text, (size_t)(p - text)), (asgd_source_options){0});
    p = text;
    for (int i = 0; i < ROWS; i++) p += sprintf(p, "%g,%d,%d.25,-1e-3\n", i / 4.0, i, i % 100);
    twice(put("d.csv", text, (size_t)(p - text)), (asgd_source_options){0});
    twice(at("d.csv"), (asgd_source_options){.label = "2"});
    uint8_t *packed;
    size_t   n = compress_as(".gz", text, (size_t)(p - text), &packed);
    twice(put("d.csv.gz", packed, n), (asgd_source_options){0});
    free(packed);
    free(text);
}

static void not_where_not_wanted(void **state)
{
    (void)state;
    write_svm("n.svm", 0);
    asgd_source *s = must_open(at("n.svm"), (asgd_source_options){.cache = "none"});
    assert_int_not_equal(access(at("n.svm.asgd-cache"), F_OK), 0);
    asgd_source_close(s);
    s = must_open(put_text("small.svm", "1 1:1\n0 2:1\n"), (asgd_source_options){0});
    assert_int_not_equal(access(at("small.svm.asgd-cache"), F_OK), 0);
    asgd_source_close(s);
    put_text("file", "x"); /* no folder can be made inside a file */
    char where[600];
    snprintf(where, sizeof where, "%s/inside", at("file"));
    s = must_open(at("n.svm"), (asgd_source_options){.cache = where});
    assert_non_null(strstr(asgd_source_describe(s), "no cache: folder not writable"));
    asgd_source_close(s);
}

static void source_changed(void **state)
{
    (void)state;
    twice(write_svm("c.svm", 0), (asgd_source_options){0});
    twice(write_svm("c.svm", 1),
          (asgd_source_options){0}); /* a new time, as good as the same size */
    struct timespec t[2] = {{.tv_sec = 1000}, {.tv_sec = 1000, .tv_nsec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, at("c.svm"), t, 0), 0);
    twice(at("c.svm"), (asgd_source_options){0});
    t[1].tv_nsec = 2;
    assert_int_equal(utimensat(AT_FDCWD, at("c.svm"), t, 0), 0);
    twice(at("c.svm"), (asgd_source_options){0});
}

static uint8_t *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n         = (size_t)ftell(f);
    uint8_t *p = aligned_alloc(64, *n / 64 * 64 + 64);
    rewind(f);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

/* Every byte of the header, and bytes all over the rest: changed, the file is no cache any more. */
static void any_byte_changed(void **state)
{
    (void)state;
    const char  *path = write_svm("b.svm", 0);
    asgd_source *good = must_open(path, (asgd_source_options){0});
    size_t       n;
    uint8_t     *image = slurp(at("b.svm.asgd-cache"), &n);
    for (size_t i = 0; i < n; i += i < 256 ? 1 : n / 97) { /* 256: its header */
        image[i] ^= 1;
        put("b.svm.asgd-cache", image, n);
        image[i] ^= 1;
        asgd_source *s = must_open(at("b.svm"), (asgd_source_options){0});
        if (cached(s)) fail_msg("byte %zu changed, and the cache was used", i);
        same(good, s);
        asgd_source_close(s);
    }
    static const size_t sizes[] = {0, 1, 255, 256, 257, 4096};
    for (size_t i = 0; i < 7; i++) { /* cut short, and one byte too long */
        image[n] = 0;
        put("b.svm.asgd-cache", image, i < 6 ? sizes[i] : n + 1);
        asgd_source *s = must_open(at("b.svm"), (asgd_source_options){0});
        assert_false(cached(s));
        asgd_source_close(s);
    }
    asgd_source *s = must_open(at("b.svm"), (asgd_source_options){0});
    assert_true(cached(s)); /* rebuilt */
    asgd_source_close(s);
    asgd_source_close(good);
    free(image);
}

/* ---- forged: with the checksums made right again, the checks of each entry are what is left ---- */

typedef struct change {
    uint64_t at, bytes, value;
    bool     fine;
} change;

/* Where the sections of a cache begin, by its header. */
enum {
    START,
    IDX,
    VAL,
    FIELD,
    Y,
    WEIGHT,
    LABELS,
    LABEL_START,
    LABEL,
    KEYS,
    RECIPE,
    DENSE,
    SECTIONS
};
static void find_sections(const uint8_t *image, uint64_t section[SECTIONS])
{
    uint64_t at = 256, bytes[SECTIONS];
    memcpy(bytes, image + 96, sizeof bytes);
    for (int i = 0; i < SECTIONS; at += (bytes[i++] + 63) / 64 * 64) section[i] = at;
}

static void judge(uint8_t *image, size_t n, const change *c, size_t changes, const char *what)
{
    asgdi_cache cache = {.source_bytes = 1, .source_mtime = 2, .options = 3};
    for (size_t i = 0; i < changes; i++) {
        uint64_t     old = 0, dropped;
        asgd_source *s   = asgdi_calloc(1, sizeof *s);
        memcpy(&old, image + c[i].at, c[i].bytes);
        memcpy(image + c[i].at, &c[i].value, c[i].bytes);
        asgdi_cache_seal(image, n, &cache);
        if (asgdi_cache_attach(s, image, n, &cache, 2, &dropped) != c[i].fine)
            fail_msg("%s: change %zu was not judged right", what, i);
        memcpy(image + c[i].at, &old, c[i].bytes);
        asgd_source_close(s);
    }
}

static uint8_t *cache_of(const char *name, asgd_source_options o, size_t *n, uint64_t *nonzeros)
{
    char path[40];
    snprintf(path, sizeof path, "%.20s.asgd-cache", name);
    asgd_source *s = must_open(at(name), o);
    *nonzeros      = s->schema.nonzeros;
    asgd_source_close(s);
    return slurp(at(path), n);
}

static void forged(void **state)
{
    (void)state;
    size_t   n;
    uint64_t m, at_[SECTIONS];
    write_svm("f.svm", 0);
    uint8_t *image = cache_of("f.svm", (asgd_source_options){0}, &n, &m);
    find_sections(image, at_);
    uint64_t     start = at_[START], idx = at_[IDX], y = at_[Y];
    const change plain[] = {
        {start + 8, 8, 3, true},             /* what it was */
        {start + 8, 8, 7, false},            /* falls afterwards */
        {start, 8, 1, false},                /* does not begin at 0 */
        {start + 16, 8, UINT64_MAX, false},  /* far away */
        {start + ROWS * 8, 8, m + 1, false}, /* past the end */
        {start + ROWS * 8 + 8, 8, 1, false}, /* between sections */
        {idx + 8, 4, 16, false},             /* not below the 16 features */
        {idx + 8, 4, UINT32_MAX, false},
        {idx + 4, 4, 0, false},     /* twice the same */
        {y, 4, 0x40000000, false},  /* class 2 of 2 */
        {y, 4, 0x7fc00000, false},  /* NaN */
        {y, 4, 0x3f000000, false},  /* half a class */
        {40, 8, 0, false},          /* no examples */
        {40, 8, UINT64_MAX, false}, /* too many */
        {48, 8, m - 1, false},      /* other non-zeros */
        {64, 8, 1, false},          /* labels without sets of them */
        {72, 8, 1, false},          /* a recipe without an encoding */
        {80, 4, 0, false},          /* no features */
        {80, 4, 15, false},         /* fewer than there are */
        {88, 4, 1, false},          /* a field section that is not there */
        {92, 4, 1, false},          /* dense */
        {92, 4, 64, false},         /* an unknown flag */
        {96, 8, 1, false},          /* another size of a section */
    };
    judge(image, n, plain, sizeof plain / sizeof *plain, "plain");
    free(image);

    char *text = malloc(ROWS * 40), *p = text;
    for (int i = 0; i < ROWS; i++)
        p += sprintf(p, "%d 0:%d:1 %d:%d:1 39:1:1\n", i % 2, i + 2, 1 + i % 9, 7 * i + 99);
    put("f.ffm", text, (size_t)(p - text));
    image = cache_of("f.ffm", (asgd_source_options){.rank_features = true}, &n, &m);
    find_sections(image, at_);
    const change encoded[] = {
        {at_[FIELD], 2, 39, true},  /* another field */
        {at_[FIELD], 2, 40, false}, /* not below the 40 */
        {at_[KEYS], 4, 1, true},    /* what it was */
        {at_[KEYS], 4, 2, false},   /* twice the same */
        {at_[RECIPE], 1, 0, false}, /* ends early */
        {72, 8, UINT64_MAX, false}, /* a recipe as long as can be */
        {88, 4, 5000, false},       /* too many fields */
        {92, 4, 0, false},          /* no encoding, but keys */
    };
    judge(image, n, encoded, sizeof encoded / sizeof *encoded, "encoded");
    free(image);

    p = text;
    for (int i = 0; i < ROWS; i++)
        p += sprintf(p, "%d,%d 1:1 5:2.5 99:1 1000:1\n", i % 9, 9 + i % 5);
    put("t.svm", text, (size_t)(p - text));
    image = cache_of("t.svm", (asgd_source_options){0}, &n, &m);
    find_sections(image, at_);
    const change sets[] = {
        {at_[LABEL], 4, 1, true},            /* another label */
        {at_[LABEL] + 4, 4, 14, false},      /* not below the 14 */
        {at_[LABEL] + 4, 4, 0, false},       /* twice the same */
        {at_[LABEL_START] + 8, 8, 5, false}, /* falls afterwards */
        {at_[LABEL_START] + ROWS * 8, 8, 0, false},
        {at_[Y], 4, 0x3f800000, false}, /* a target besides */
    };
    judge(image, n, sets, sizeof sets / sizeof *sets, "sets");
    free(image);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_everything), cmocka_unit_test(not_where_not_wanted),
        cmocka_unit_test(source_changed),   cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(forged),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
