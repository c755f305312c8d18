/* Files of tensors: what is written is read again, by others too; what is damaged is refused. */
#define _GNU_SOURCE
#include "test.h"

#include <unistd.h>

#include "base/sys.h"
#include "params/checksum.h"
#include "params/safetensors.h"

static char folder[] = "/tmp/asgd-safetensors-XXXXXX";
static char path[256];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static size_t slurp(char *to, size_t room)
{
    FILE  *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, room, f) : 0;
    if (f) fclose(f);
    return n;
}

static void test_round_trip(void **state)
{
    (void)state;
    float a[4 * 8], b[3] = {1.5f, -0.0f, 3e38f};
    for (int i = 0; i < 32; i++) a[i] = (float)i;
    static const uint32_t keys[3] = {0, 4294967295u, 7};
    const asgdi_matrix    m[3]    = {{"layer 1", a, 4, 5, 8, NULL},
                                     {"b\"\\\n", b, 1, 3, 3, NULL},
                                     {"keys", NULL, 3, 1, 1, keys}};
    json_t               *meta    = json_pack("{s:s, s:s}", "key", "value", "empty", "");
    uint64_t              size = 0, checksum = 0;
    asgdi_tensors         f;
    ok(asgdi_tensors_write(path, m, 3, meta, &size, &checksum));
    json_decref(meta);
    ok(asgdi_tensors_open(&f, path));
    assert_int_equal(f.size, size);
    assert_int_equal(f.n, 3);
    const asgdi_tensor *x = asgdi_tensors_find(&f, "layer 1"),
                       *y = asgdi_tensors_find(&f, "b\"\\\n");
    assert_non_null(x);
    assert_non_null(y);
    assert_null(asgdi_tensors_find(&f, "layer"));
    assert_true(x->n_dims == 2 && x->shape[0] == 4 && x->shape[1] == 5 && x->floats == 20);
    for (size_t r = 0; r < 4; r++)
        assert_memory_equal(x->data + r * 5 * sizeof(float), a + r * 8, 5 * sizeof(float));
    assert_memory_equal(y->data, b, sizeof b);
    const asgdi_tensor *z = asgdi_tensors_find_u32(&f, "keys");
    assert_non_null(z);
    assert_true(z->u32 && z->n_dims == 1 && z->shape[0] == 3);
    assert_memory_equal(z->data, keys, sizeof keys);
    assert_null(asgdi_tensors_find(&f, "keys")); /* whole numbers are never taken for floats */
    assert_null(asgdi_tensors_find_u32(&f, "layer 1"));
    assert_true((x->data - f.bytes) % 8 == 0); /* as the format asks of writers */
    assert_string_equal(asgdi_tensors_meta(&f, "key"), "value");
    assert_string_equal(asgdi_tensors_meta(&f, "empty"), "");
    assert_null(asgdi_tensors_meta(&f, "layer 1"));
    asgdi_checksum c = {0};
    asgdi_checksum_add(&c, f.bytes, f.size);
    assert_true(asgdi_checksum_end(&c) == checksum);
    asgdi_tensors_close(&f);
    asgdi_tensors_close(&f); /* harmless */
}

/* Byte for byte what the format's own writer makes of one 1x2 tensor. */
static void test_bytes(void **state)
{
    (void)state;
    static const char header[] =
        "{\"ww\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]}}       ";
    const float        w[2] = {1, 2};
    const asgdi_matrix m    = {"ww", w, 1, 2, 2, NULL};
    char               got[256];
    assert_int_equal((sizeof header - 1) % 8, 0);
    ok(asgdi_tensors_write(path, &m, 1, NULL, NULL, NULL));
    assert_int_equal(slurp(got, sizeof got), 8 + sizeof header - 1 + 8);
    assert_int_equal((unsigned char)got[0], sizeof header - 1);
    assert_memory_equal(got + 1, "\0\0\0\0\0\0\0", 7);
    assert_memory_equal(got + 8, header, sizeof header - 1);
    assert_memory_equal(got + 8 + sizeof header - 1, w, 8);
}

/* Every file that is cut short is refused, wherever the cut. */
static void test_truncated(void **state)
{
    (void)state;
    const float        w[6] = {1, 2, 3, 4, 5, 6};
    const asgdi_matrix m    = {"w", w, 2, 3, 3, NULL};
    char               whole[512];
    asgdi_tensors      f;
    ok(asgdi_tensors_write(path, &m, 1, NULL, NULL, NULL));
    const size_t n = slurp(whole, sizeof whole);
    for (size_t cut = 0; cut < n; cut++) {
        unsigned char *part = test_malloc(cut + 1);
        memcpy(part, whole, cut);
        if (asgdi_tensors_parse(&f, "part", part, cut) != ASGD_EFORMAT)
            fail_msg("cut to %zu bytes of %zu, it was read", cut, n);
        assert_non_null(strstr(asgd_errmsg(), "part: "));
        test_free(part);
    }
    ok(asgdi_tensors_parse(&f, "whole", (unsigned char *)whole, n));
    asgdi_tensors_close(&f);
}

#define F32(shape, from, to) \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void test_damaged(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t      data;
        const char *why; /* NULL: fine */
    } file[] = {
        {"{\"a\":" F32("[1]", 0, 4) "}", 4, NULL},
        {"{}", 0, NULL},
        {"{\"a\":" F32("[]", 0, 4) "}", 4, NULL},
        {"{\"a\":" F32("[0,7]", 0, 0) ",\"b\":" F32("[1]", 0, 4) "}", 4, NULL},
        {"{\"a\":{\"dtype\":\"U32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, NULL},
        {"{\"a\":{\"dtype\":\"U32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "size"},
        {"{\"a\":{\"dtype\":\"U32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "gap"},
        {"{\"a\":" F32("[1]", 0, 4) "}", 8, "end"},
        {"{\"a\":" F32("[2]", 0, 8) ",\"b\":" F32("[2]", 4, 12) "}", 12, "overlaps"},
        {"{\"a\":" F32("[2]", 0, 8) ",\"b\":" F32("[2]", 0, 8) "}", 8, "overlaps"},
        {"{\"a\":" F32("[1]", 0, 4) ",\"b\":" F32("[1]", 8, 12) "}", 12, "gap"},
        {"{\"a\":" F32("[1]", 4, 8) "}", 8, "gap"},
        {"{\"a\":" F32("[2]", 0, 8) "}", 4, "outside"},
        {"{\"a\":" F32("[1]", 4, 0) "}", 4, "outside"},
        {"{\"a\":" F32("[2]", 0, 4) "}", 4, "size"},
        {"{\"a\":" F32("[4294967296,4294967296]", 0, 0) "}", 0, "too large"},
        {"{\"a\":" F32("[4611686018427387904]", 0, 0) "}", 0, "size"},
        {"{\"a\":" F32("[-1]", 0, 4) "}", 4, "whole numbers"},
        {"{\"a\":" F32("[1.0]", 0, 4) "}", 4, "whole numbers"},
        {"{\"a\":" F32("7", 0, 4) "}", 4, "shape"},
        {"{\"a\":" F32("[1]", -4, 0) "}", 4, "data_offsets"},
        {"{\"a\":" F32("[1]", 0, 99999999999999999999) "}", 4, "JSON"},
        {"{\"a\":" F32("[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "8 dimensions"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "only F32 and U32"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"a\":4}", 4, "dtype"},
        {"{\"a\":" F32("[1]", 0, 4) ",\"a\":" F32("[1]", 0, 4) "}", 4, "JSON"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "strings"},
        {"{\"__metadata__\":\"k\"}", 0, "strings"},
        {"[]", 0, "object"},
        {"{", 0, "JSON"},
        {"", 0, "JSON"},
    };
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        const uint64_t length = strlen(file[i].header);
        const size_t   n      = 8 + length + file[i].data;
        unsigned char *bytes  = test_calloc(n, 1);
        asgdi_tensors  f;
        memcpy(bytes, &length, 8);
        memcpy(bytes + 8, file[i].header, length);
        if (file[i].why) {
            fails(asgdi_tensors_parse(&f, "x", bytes, n), ASGD_EFORMAT, file[i].why);
        } else {
            ok(asgdi_tensors_parse(&f, "x", bytes, n));
            asgdi_tensors_close(&f);
        }
        test_free(bytes);
    }
    unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    asgdi_tensors f;
    fails(asgdi_tensors_parse(&f, "x", huge, sizeof huge), ASGD_EFORMAT, "cut short");
}

static void test_no_file(void **state)
{
    (void)state;
    asgdi_tensors f;
    fails(asgdi_tensors_open(&f, "/nonexistent/x.safetensors"), ASGD_EIO, "/nonexistent");
    fails(asgdi_tensors_open(&f, folder), ASGD_EIO, "not a file");
    fails(asgdi_tensors_open(&f, "/dev/null"), ASGD_EIO, "not a file");
    const float        w = 1;
    const asgdi_matrix m = {"w", &w, 1, 1, 1, NULL}, bad = {"\xff\xff", &w, 1, 1, 1, NULL};
    fails(asgdi_tensors_write("/nonexistent/x", &m, 1, NULL, NULL, NULL), ASGD_EIO, "/nonexistent");
    const asgdi_matrix twice[2] = {m, m};
    assert_int_not_equal(asgdi_tensors_write(path, &bad, 1, NULL, NULL, NULL), ASGD_OK);
    assert_int_not_equal(asgdi_tensors_write(path, twice, 2, NULL, NULL, NULL), ASGD_OK);
}

/* However a stream is cut into pieces, its checksum is the same; any changed bit changes it. */
static void test_checksum(void **state)
{
    (void)state;
    unsigned char text[61];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (unsigned char)(i * 37);
    for (size_t n = 0; n <= sizeof text; n++) {
        asgdi_checksum whole = {0}, pieces = {0};
        asgdi_checksum_add(&whole, text, n);
        for (size_t at = 0, piece = 1; at < n; at += piece, piece = piece % 11 + 1)
            asgdi_checksum_add(&pieces, text + at, piece < n - at ? piece : n - at);
        assert_true(asgdi_checksum_end(&whole) == asgdi_checksum_end(&pieces));
        for (size_t bit = 0; bit < 8 * n; bit++) {
            asgdi_checksum flipped = {0};
            text[bit / 8] ^= (unsigned char)(1 << bit % 8);
            asgdi_checksum_add(&flipped, text, n);
            text[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_true(asgdi_checksum_end(&whole) != asgdi_checksum_end(&flipped));
        }
        asgdi_checksum longer = whole;
        asgdi_checksum_add(&longer, "", 1); /* a zero at the end */
        assert_true(asgdi_checksum_end(&whole) != asgdi_checksum_end(&longer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_no_file),    cmocka_unit_test(test_checksum),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
