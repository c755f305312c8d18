/* Sources from a caller's arrays, batches out of a source, and inputs of every kind. */
#include "files.h"

#include "data/input.h"
#include "data/source.h"

static void bytes_to_float(const uint8_t *x, float scale, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = scale * (float)x[i];
}

static const asgd_kern kern = {.bytes_to_float = bytes_to_float};

static const float    y3[3]    = {1, 0, 1};
static const uint64_t start[4] = {0, 2, 2, 5};
static const uint32_t idx[5]   = {0, 3, 1, 2, 3};
static const float    val[5]   = {1, 2, 3, 4, 5};

static void sparse(void **state)
{
    (void)state;
    asgd_source *s;
    ok(asgd_source_sparse(&s, start, idx, val, y3, 3, 4, 2));
    assert_int_equal(s->schema.nonzeros, 5);
    assert_int_equal(s->max_len, 3);
    assert_string_equal(asgd_source_describe(s),
                        "own arrays, 3 examples, 4 features, 2 classes, 41.7 % non-zero");
    asgdi_cursor c;
    ok(asgdi_cursor_init(&c, s, 20));
    static const uint64_t order[20] = {2, 0, 1, 0, 2, 1, 0, 0, 2, 2, 1, 1, 0, 2, 0, 1, 2, 2, 2, 0};
    asgd_batch            b;
    asgdi_cursor_batch(&c, &kern, order, 20, &b);
    assert_int_equal(b.n, 20);
    assert_int_equal(b.features, 4);
    assert_null(b.dense);
    assert_null(b.weight);
    assert_int_equal(b.position, 0);
    assert_ptr_equal(b.idx, idx); /* no copies */
    assert_ptr_equal(b.val, val);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(b.begin[i], start[order[i]]);
        assert_int_equal(b.len[i], start[order[i] + 1] - start[order[i]]);
        assert_true(b.y[i] == y3[order[i]]);
    }
    asgdi_cursor_free(&c);
    asgd_source_close(s);
    ok(asgd_source_sparse(&s, start, idx, NULL, y3, 3, 4, 0));
    assert_null(s->val);
    asgd_source_close(s);
}

static void dense(void **state)
{
    (void)state;
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    asgd_source       *s;
    ok(asgd_source_dense(&s, x, y3, 3, 2, 0));
    assert_string_equal(asgd_source_describe(s),
                        "own array, 3 examples, 2 features, targets 0 to 1");
    assert_int_equal(s->schema.nonzeros, 6);
    asgdi_cursor c;
    asgd_batch   b;
    ok(asgdi_cursor_init(&c, s, 3));
    asgdi_cursor_batch(&c, &kern, (uint64_t[]){2, 0}, 2, &b);
    assert_memory_equal(b.dense, ((float[]){5, 6, 1, 2}), 16);
    assert_memory_equal(b.y, ((float[]){1, 1}), 8);
    assert_null(b.begin);
    asgdi_cursor_batch(&c, &kern, (uint64_t[]){1, 2}, 2, &b);
    assert_memory_equal(b.dense, ((float[]){3, 4, 5, 6}), 16);
    assert_memory_equal(b.y, ((float[]){0, 1}), 8);
    asgdi_cursor_free(&c);
    asgd_source_close(s);
    asgd_source_close(NULL);
}

static void bytes(void **state)
{
    (void)state;
    static const uint8_t pixels[6] = {0, 255, 51, 102, 1, 2};
    asgd_source          s         = {.schema     = {.examples = 3, .features = 2, .dense = true},
                                      .bytes      = pixels,
                                      .byte_scale = 1.0f / 255,
                                      .y          = y3};
    asgdi_cursor         c;
    asgd_batch           b;
    ok(asgdi_cursor_init(&c, &s, 3));
    asgdi_cursor_batch(&c, &kern, (uint64_t[]){1, 2, 0}, 3, &b);
    static const float want[6] = {51, 102, 1, 2, 0, 255};
    for (int i = 0; i < 6; i++) assert_float_equal(b.dense[i], want[i] / 255, 1e-7f);
    asgdi_cursor_free(&c);
}

static void wrong_arrays(void **state)
{
    (void)state;
    asgd_source *s;
    const float  x[6] = {0}, bad_y[3] = {1, 0, NAN}, half[3] = {0, .5f, 1};
    fails(asgd_source_dense(&s, x, y3, 0, 2, 0), ASGD_EINVAL, "at least one example");
    fails(asgd_source_dense(&s, x, y3, 3, 0, 0), ASGD_EINVAL, "one feature");
    fails(asgd_source_dense(&s, NULL, y3, 3, 2, 0), ASGD_EINVAL, "x is NULL");
    fails(asgd_source_dense(&s, x, NULL, 3, 2, 0), ASGD_EINVAL, "y is NULL");
    fails(asgd_source_dense(NULL, x, y3, 3, 2, 0), ASGD_EINVAL, "out is NULL");
    fails(asgd_source_dense(&s, x, bad_y, 3, 2, 0), ASGD_EINVAL, "y[2] is not a finite number");
    fails(asgd_source_dense(&s, x, half, 3, 2, 2), ASGD_EINVAL, "y[1] is 0.5, which is no class");
    fails(asgd_source_dense(&s, x, y3, 3, 2, 1), ASGD_EINVAL, "y[0] is 1, which is no class");
    fails(asgd_source_dense(&s, x, y3, UINT64_MAX / 4, 8, 0), ASGD_EINVAL, "larger than memory");
    assert_null(s);

    fails(asgd_source_sparse(&s, NULL, idx, val, y3, 3, 4, 2), ASGD_EINVAL, "start is NULL");
    fails(asgd_source_sparse(&s, start, NULL, val, y3, 3, 4, 2), ASGD_EINVAL, "idx is NULL");
    fails(asgd_source_sparse(&s, start, idx, val, y3, 3, 3, 2), ASGD_EINVAL,
          "idx[1] of example 0 is 3, not below the 3 features");
    fails(asgd_source_sparse(&s, start, (uint32_t[]){0, 3, 2, 1, 3}, val, y3, 3, 4, 2), ASGD_EINVAL,
          "idx[3] of example 2 is 1 after 2; sort");
    fails(asgd_source_sparse(&s, (uint64_t[]){0, 2, 1, 5}, idx, val, y3, 3, 4, 2), ASGD_EINVAL,
          "start[2] is 1 after 2");
    fails(asgd_source_sparse(&s, (uint64_t[]){0, 1u << 30, 1, 5}, idx, val, y3, 3, 4, 2),
          ASGD_EINVAL, "start[1] is 1073741824 after 0");
    fails(asgd_source_open(&s, NULL, NULL), ASGD_EINVAL, "no path");
    fails(asgd_source_open(NULL, "x", NULL), ASGD_EINVAL, "out is NULL");
}

static asgd_status read_all(asgdi_input *in, const char *path, size_t limit)
{
    asgd_status s = asgdi_input_open(in, path);
    if (s == ASGD_OK && limit) in->limit = limit;
    return s == ASGD_OK ? asgdi_input_read_all(in) : s;
}

static void inputs(void **state)
{
    (void)state;
    static const char *const suffix[] = {"", ".gz", ".xz", ".bz2", ".zst"};
    size_t                   n        = 1000003;
    uint8_t                 *data     = malloc(n + 1);
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)(i * i >> 7 ^ i);
    for (int i = 0; i < 5; i++) {
        uint8_t    *packed, *second;
        size_t      m = compress_as(suffix[i], data, n, &packed);
        size_t      k = compress_as(suffix[i], "more", 4, &second);
        asgdi_input in;
        ok(read_all(&in, put("x", packed, m), 0)); /* told by its bytes, not by a name */
        assert_int_equal(in.bytes, n);
        assert_memory_equal(in.data, data, n);
        assert_int_equal(in.data[n], 0);
        asgdi_input_close(&in);

        fails(read_all(&in, at("x"), n - 1), ASGD_EFORMAT, "x: holds more than");
        asgdi_input_close(&in);
        ok(read_all(&in, at("x"), n));
        asgdi_input_close(&in);

        uint8_t *both = malloc(m + k); /* as cat makes them */
        memcpy(both, packed, m);
        memcpy(both + m, second, k);
        ok(read_all(&in, put("both", both, m + k), 0));
        assert_int_equal(in.bytes, n + 4);
        assert_memory_equal(in.data + n, "more", 4);
        asgdi_input_close(&in);
        if (i > 0) {
            for (size_t cut = 10; cut < m; cut += m / 5) {
                fails(read_all(&in, put("cut", packed, cut), 0), ASGD_EFORMAT,
                      "cut: truncated: the ");
                assert_non_null(strstr(asgd_errmsg(), "download or copy it again"));
                asgdi_input_close(&in);
            }
            memcpy(both + m, "junk behind it", k < 14 ? k : 14);
            fails(read_all(&in, put("junk", both, m + 4), 0), ASGD_EFORMAT, "junk: ");
            asgdi_input_close(&in);
            packed[m / 2] ^= 0x55;
            packed[m / 2 + 1] ^= 0x55;
            fails(read_all(&in, put("hurt", packed, m), 0), ASGD_EFORMAT,
                  "hurt: damaged: not valid");
            asgdi_input_close(&in);
        }
        free(second);
        m = compress_as(suffix[i], "", 0, &second);
        ok(read_all(&in, put("none", second, m), 0));
        assert_int_equal(in.bytes, 0);
        asgdi_input_close(&in);
        free(packed);
        free(second);
        free(both);
    }
    free(data);
    asgdi_input in;
    fails(asgdi_input_open(&in, at("absent")), ASGD_EIO, "absent: cannot open it: No such file");
}

/* A pipe: no size, no cache. */
static void standard_input(void **state)
{
    (void)state;
    put_text("piped", "1 1:1\n0 2:1\n");
    int old = dup(STDIN_FILENO);
    assert_non_null(freopen(at("piped"), "rb", stdin));
    asgd_source *s;
    ok(asgd_source_open(&s, "-", NULL));
    assert_int_equal(s->schema.examples, 2);
    asgd_source_close(s);
    assert_non_null(freopen(put_text("piped", "1 0:1\n"), "rb", stdin));
    fails(asgd_source_open(&s, "-", NULL), ASGD_EFORMAT, "standard input:1: feature 0");
    dup2(old, STDIN_FILENO);
    close(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse),       cmocka_unit_test(dense),  cmocka_unit_test(bytes),
        cmocka_unit_test(wrong_arrays), cmocka_unit_test(inputs), cmocka_unit_test(standard_input),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
