/* IDX: good sets in both storages, every kind of damage, the names that are looked for. */
#include "files.h"

#include "data/source.h"

static void big(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A file of n items, `shape` giving its further dimensions, values[i] = i-th of `value` repeated. */
static size_t idx_file(uint8_t *out, uint32_t n, int dims, const uint32_t *shape,
                       const uint8_t *values, size_t n_values)
{
    memcpy(out, (uint8_t[]){0, 0, 8, (uint8_t)dims}, 4);
    big(out + 4, n);
    for (int i = 1; i < dims; i++) big(out + 4 + 4 * i, shape[i - 1]);
    size_t head = 4 + 4 * (size_t)dims;
    memcpy(out + head, values, n_values);
    return head + n_values;
}

/* 3 images of 2x2; four of twelve values are not 0, so they are kept sparse. */
static const uint8_t  pixels[12] = {0, 255, 0, 51, 0, 0, 0, 0, 102, 0, 1, 0};
static const uint8_t  labels3[3] = {2, 0, 7};
static const uint32_t square[2]  = {2, 2};

static void put_set(const char *where, const char *part, const uint8_t *values, const char *suffix)
{
    uint8_t buf[64], *packed;
    char    name[128];
    mkdir(at(where), 0777);
    size_t n = idx_file(buf, 3, 3, square, values, 12);
    n        = compress_as(suffix, buf, n, &packed);
    snprintf(name, sizeof name, "%s/%s-images-idx3-ubyte%s", where, part, suffix);
    put(name, packed, n);
    free(packed);
    n = idx_file(buf, 3, 1, NULL, labels3, 3);
    n = compress_as(suffix, buf, n, &packed);
    snprintf(name, sizeof name, "%s/%s-labels-idx1-ubyte%s", where, part, suffix);
    put(name, packed, n);
    free(packed);
}

static void check_sparse(const asgd_source *s)
{
    const asgd_schema *d = asgd_source_schema(s);
    assert_int_equal(d->examples, 3);
    assert_int_equal(d->features, 4);
    assert_int_equal(d->classes, 8);
    assert_int_equal(d->nonzeros, 4);
    assert_false(d->dense);
    assert_int_equal(d->y_min, 0);
    assert_int_equal(d->y_max, 7);
    assert_memory_equal(s->start, ((uint64_t[]){0, 2, 2, 4}), 32);
    assert_memory_equal(s->idx, ((uint32_t[]){1, 3, 0, 2}), 16);
    static const float bytes[4] = {255, 51, 102, 1};
    for (int i = 0; i < 4; i++) assert_float_equal(s->val[i], bytes[i] / 255, 1e-7f);
    assert_float_equal(s->val[0], 1, 0);
    assert_memory_equal(s->y, ((float[]){2, 0, 7}), 12);
    assert_null(asgd_source_labels(s));
    assert_int_equal(s->max_len, 2);
}

static void sparse_in_every_compression(void **state)
{
    (void)state;
    static const char *const suffix[] = {"", ".gz", ".xz", ".bz2", ".zst"};
    for (int i = 0; i < 5; i++) {
        char where[16];
        snprintf(where, sizeof where, "set%d", i);
        put_set(where, "train", pixels, suffix[i]);
        put_set(where, "t10k", pixels, suffix[i]);
        asgd_source *s;
        ok(asgd_source_open(&s, at(where), NULL));
        check_sparse(s);
        assert_non_null(strstr(asgd_source_describe(s), "idx, 3 examples, 4 features, 8 classes"));
        asgd_source_close(s);
        char file[64];
        snprintf(file, sizeof file, "%s/t10k-images-idx3-ubyte%s", where, suffix[i]);
        ok(asgd_source_open(&s, at(file), &(asgd_source_options){.threads = 3}));
        check_sparse(s);
        asgd_source_close(s);
    }
}

static void test_part_and_dense(void **state)
{
    (void)state;
    uint8_t full[12];
    for (int i = 0; i < 12; i++) full[i] = (uint8_t)(i + 1);
    put_set("both", "train", pixels, "");
    put_set("both", "t10k", full, "");
    asgd_source *s;
    ok(asgd_source_open(&s, at("both"), &(asgd_source_options){.test_part = true}));
    assert_true(s->schema.dense);
    assert_int_equal(s->schema.nonzeros, 12);
    assert_memory_equal(s->bytes, full, 12);
    assert_float_equal(s->byte_scale, 1 / 255.0f, 0);
    asgd_source_close(s);
}

/* Writes images and labels as given, opens them, wants this error. */
static void damaged(const uint8_t *images, size_t n, const uint8_t *labels, size_t m,
                    asgd_status code, const char *first, const char *second)
{
    mkdir(at("bad"), 0777);
    put("bad/train-images-idx3-ubyte", images, n);
    put("bad/train-labels-idx1-ubyte", labels, m);
    asgd_source *s;
    fails(asgd_source_open(&s, at("bad"), NULL), code, first);
    assert_non_null(strstr(asgd_errmsg(), second));
    assert_null(s);
}

static void damage(void **state)
{
    (void)state;
    uint8_t img[64], lab[32], big3[64];
    size_t  n = idx_file(img, 3, 3, square, pixels, 12), m = idx_file(lab, 3, 1, NULL, labels3, 3);
    memcpy(big3, img, n);

    damaged(img, n - 1, lab, m, ASGD_EFORMAT,
            "train-images-idx3-ubyte: truncated: header promises 3 images of 2x2 (28 bytes), the "
            "file has 27",
            "; download it again");
    damaged(img, n + 2, lab, m, ASGD_EFORMAT, "train-images-idx3-ubyte: 2 excess bytes",
            "download it again");
    damaged(img, n, lab, m - 1, ASGD_EFORMAT, "train-labels-idx1-ubyte: truncated",
            "3 labels (11 bytes), the file has 10");
    damaged(img, 7, lab, m, ASGD_EFORMAT, "train-images-idx3-ubyte: truncated: 7 bytes",
            "too few for the header; download it again");
    damaged(img, 0, lab, m, ASGD_EFORMAT, "not an IDX file", "is it the right file?");
    img[0] = 1;
    damaged(img, n, lab, m, ASGD_EFORMAT, "not an IDX file", "train-images-idx3-ubyte");
    img[0] = 0;
    img[2] = 13;
    damaged(img, n, lab, m, ASGD_EFORMAT, "holds values of type 0x0D (floats)",
            "convert them to unsigned bytes (0x08)");
    img[2] = 8;
    img[3] = 9;
    damaged(img, n, lab, m, ASGD_EFORMAT, "has 9 dimensions where images have 3", "2 to 4");
    img[3] = 3;
    damaged(img, n, img, n, ASGD_EFORMAT, "train-labels-idx1-ubyte: has 3 dimensions",
            "where labels have 1");
    damaged(lab, m, lab, m, ASGD_EFORMAT, "holds labels", "give the file with the images");
    for (int i = 4; i < 16; i++) big3[i] = 0xff;
    damaged(big3, n, lab, m, ASGD_EFORMAT, "4294967295 images of 4294967295x4294967295",
            "is the file damaged?");
    big(big3 + 8, 1);
    big(big3 + 12, 1);
    damaged(big3, n, lab, m, ASGD_EFORMAT, "truncated: header promises 4294967295 images of 1x1",
            "4294967311 bytes");
    big(img + 4, 0);
    damaged(img, 16, lab, m, ASGD_EFORMAT, "holds no images at all", "give a file with some");
    big(img + 4, 3);
    big(img + 8, 0);
    damaged(img, 16, lab, m, ASGD_EFORMAT, "header promises 3 images of 0x2", "damaged?");
    big(img + 8, 2);
    m = idx_file(lab, 2, 1, NULL, labels3, 2);
    damaged(img, n, lab, m, ASGD_EFORMAT, "holds 2 labels, but", "holds 3 images");
}

static void names(void **state)
{
    (void)state;
    asgd_source *s;
    fails(asgd_source_open(&s, at("nowhere"), NULL), ASGD_EIO, "nowhere: cannot open it: No such");
    mkdir(at("empty"), 0777);
    fails(asgd_source_open(&s, at("empty"), NULL), ASGD_EIO,
          "empty: has no file train-images-idx3-ubyte (plain, .gz, .xz, .bz2 or .zst)");
    fails(asgd_source_open(&s, at("empty"), &(asgd_source_options){.test_part = true}), ASGD_EIO,
          "t10k-images-idx3-ubyte");
    fails(asgd_source_open(&s, at("empty"), &(asgd_source_options){.format = "csv"}), ASGD_EINVAL,
          "is a folder; give a csv file");
    fails(asgd_source_open(&s, at("empty"), &(asgd_source_options){.format = "arff"}), ASGD_EINVAL,
          "there is no format \"arff\"; choose idx, libsvm, libffm");
    uint8_t buf[64];
    put("digits.bin", buf, idx_file(buf, 3, 3, square, pixels, 12));
    fails(asgd_source_open(&s, at("digits.bin"), NULL), ASGD_EINVAL,
          "digits.bin: its labels cannot be found: name it like train-images-idx3-ubyte");
    put("x-images-idx3-ubyte", buf, idx_file(buf, 3, 3, square, pixels, 12));
    fails(asgd_source_open(&s, at("x-images-idx3-ubyte"), NULL), ASGD_EIO, "x-labels-idx1-ubyte");
    put("y-labels-idx1-ubyte", buf, idx_file(buf, 3, 1, NULL, labels3, 3));
    fails(asgd_source_open(&s, at("y-labels-idx1-ubyte"), NULL), ASGD_EFORMAT, "holds labels");
    put("x.images.idx3-ubyte", buf, idx_file(buf, 3, 3, square, pixels, 12));
    put("x.labels.idx1-ubyte", buf, idx_file(buf, 3, 1, NULL, labels3, 3));
    ok(asgd_source_open(&s, at("x.images.idx3-ubyte"), NULL));
    asgd_source_close(s);
}

static void options(void **state)
{
    (void)state;
    asgd_source *s;
    put_set("opt", "train", pixels, "");
    fails(asgd_source_open(&s, at("opt"), &(asgd_source_options){.features = 784}), ASGD_EMISMATCH,
          "its images have 4 pixels, 784 are wanted");
    static const float  values[3] = {7, 2, 0};
    asgd_source_options o         = {.label_values = values, .n_label_values = 3};
    ok(asgd_source_open(&s, at("opt"), &o));
    assert_memory_equal(s->y, ((float[]){1, 2, 0}), 12);
    assert_int_equal(s->schema.classes, 3);
    asgd_source_close(s);
    o.n_label_values = 2;
    fails(asgd_source_open(&s, at("opt"), &o), ASGD_EFORMAT, "train-labels-idx1-ubyte:2: label 0");
}

static void mnist(void **state)
{
    (void)state;
    const char *path = real_data("mnist");
    if (!path) skip();
    asgd_source *s;
    ok(asgd_source_open(&s, path, NULL));
    assert_int_equal(s->schema.examples, 60000);
    assert_int_equal(s->schema.features, 784);
    assert_int_equal(s->schema.classes, 10);
    assert_int_equal(s->schema.nonzeros, 8994156);
    assert_false(s->schema.dense);
    assert_memory_equal(s->y, ((float[]){5, 0, 4, 1, 9}), 20);
    asgd_source_close(s);
    ok(asgd_source_open(&s, path, &(asgd_source_options){.test_part = true}));
    assert_int_equal(s->schema.examples, 10000);
    asgd_source_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse_in_every_compression),
        cmocka_unit_test(test_part_and_dense),
        cmocka_unit_test(damage),
        cmocka_unit_test(names),
        cmocka_unit_test(options),
        cmocka_unit_test(mnist),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
