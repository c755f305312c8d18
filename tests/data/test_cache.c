/* The cache: used when it fits, ignored and rebuilt when anything about it or its source does not,
 * whatever is done to the file. */
#include "files.h"

#include <fcntl.h>
#include <time.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/cache.h"

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
    assert_int_equal(d->examples, b->schema.examples);
    assert_int_equal(d->nonzeros, b->schema.nonzeros);
    assert_int_equal(d->features, b->schema.features);
    assert_int_equal(d->classes, b->schema.classes);
    assert_int_equal(d->dense, b->schema.dense);
    assert_true(d->y_min == b->schema.y_min && d->y_max == b->schema.y_max);
    assert_int_equal(a->max_len, b->max_len);
    assert_memory_equal(a->y, b->y, d->examples * 4);
    if (d->classes) assert_memory_equal(a->labels, b->labels, d->classes * 4);
    if (d->dense) {
        assert_memory_equal(a->dense, b->dense, d->nonzeros * 4);
        return;
    }
    assert_memory_equal(a->start, b->start, (d->examples + 1) * 8);
    assert_memory_equal(a->idx, b->idx, d->nonzeros * 4);
    assert_memory_equal(a->val, b->val, d->nonzeros * 4);
    assert_int_equal(a->rank != NULL, b->rank != NULL);
    if (a->rank) assert_memory_equal(a->rank, b->rank, d->features * 4);
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

    char *text = malloc(ROWS * 40), *p = text;
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
    for (size_t i = 0; i < n; i += i < 256 ? 1 : n / 97) {
        image[i] ^= 1;
        put("b.svm.asgd-cache", image, n);
        image[i] ^= 1;
        asgd_source *s = must_open(at("b.svm"), (asgd_source_options){0});
        if (cached(s)) fail_msg("byte %zu changed, and the cache was used", i);
        same(good, s);
        asgd_source_close(s);
    }
    static const size_t sizes[] = {0, 1, 191, 192, 193, 4096};
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

/* With the checksums made right again, the checks of each entry are what is left. */
static void forged(void **state)
{
    (void)state;
    write_svm("f.svm", 0);
    asgd_source *good = must_open(at("f.svm"), (asgd_source_options){0});
    size_t       n;
    uint8_t     *image = slurp(at("f.svm.asgd-cache"), &n);
    asgdi_cache  c     = {.source_bytes = 1, .source_mtime = 2, .options = 3};
    uint64_t     m     = good->schema.nonzeros, dropped;
    uint64_t     start = 192, idx = start + ((ROWS + 1) * 8 + 63) / 64 * 64;
    uint64_t     y = idx + 2 * ((m * 4 + 63) / 64 * 64);
    const struct {
        uint64_t at, bytes, value;
        bool     fine;
    } change[] = {
        {start + 8, 8, 3, true},             /* what it was */
        {start + 8, 8, 7, false},            /* falls afterwards */
        {start, 8, 1, false},                /* does not begin at 0 */
        {start + 16, 8, UINT64_MAX, false},  /* far away */
        {start + ROWS * 8, 8, m + 1, false}, /* past the end */
        {idx + 8, 4, 16, false},             /* not below the 16 features */
        {idx + 8, 4, UINT32_MAX, false},
        {idx + 4, 4, 0, false},     /* twice the same */
        {y, 4, 0x40000000, false},  /* class 2 of 2 */
        {y, 4, 0x7fc00000, false},  /* NaN */
        {y, 4, 0x3f000000, false},  /* half a class */
        {40, 8, 0, false},          /* no examples */
        {40, 8, UINT64_MAX, false}, /* too many */
        {48, 8, m - 1, false},      /* other non-zeros */
        {64, 4, 0, false},          /* no features */
        {64, 4, 15, false},         /* fewer than there are */
        {72, 4, 1, false},          /* dense */
        {80, 8, 1, false},          /* another size of a section */
    };
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        uint64_t     old = 0;
        asgd_source *s   = asgdi_calloc(1, sizeof *s);
        memcpy(&old, image + change[i].at, change[i].bytes);
        memcpy(image + change[i].at, &change[i].value, change[i].bytes);
        asgdi_cache_seal(image, n, &c);
        if (asgdi_cache_attach(s, image, n, &c, 2, &dropped) != change[i].fine)
            fail_msg("change %zu was not judged right", i);
        memcpy(image + change[i].at, &old, change[i].bytes);
        asgd_source_close(s);
    }
    asgd_source_close(good);
    free(image);
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
