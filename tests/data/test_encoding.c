/* The hash that models depend on, encodings, and rows put in order. */
#include "test.h"

#include "base/mem.h"
#include "data/encoding.h"
#include "data/rows.h"

/* These values are in models on people's disks. */
static void hash_never_changes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t    seed, hash;
    } known[] = {
        {"", 0, 0x71285e898ec4f180},
        {"a", 0, 0x78dc25eb766c335b},
        {"ab", 0, 0x38e60343e045ebd6},
        {"abc", 0, 0xc2d8f6b1990fe1b7},
        {"abcd", 0, 0xcaf61ad27843a172},
        {"abcdefg", 0, 0x4e768e5d14bd7cd6},
        {"abcdefgh", 0, 0x3b03c9f02c22e1ad},
        {"abcdefghi", 0, 0x04f2494c0cc835f3},
        {"68fd1e6480e26c9b", 0, 0x9da4e766f1774a9d},
        {"68fd1e6480e26c9b", 1, 0x5a16f89c1e556167},
        {"the quick brown fox jumps over the lazy dog", 0, 0x0592772c4b9e7199},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint64_t h = asgdi_hash(known[i].text, strlen(known[i].text), known[i].seed);
        if (h != known[i].hash)
            fail_msg("\"%s\", %llu: 0x%016llx", known[i].text, (unsigned long long)known[i].seed,
                     (unsigned long long)h);
    }
    assert_true(asgdi_hash_pair(1, 2) == 0xf1fba0dfad7524c6);
    assert_int_equal(asgdi_hash_feature(0xfedcba9876543210u, 32), 0xfedcba98);
    assert_int_equal(asgdi_hash_feature(0xfedcba9876543210u, 10), 0x3fb);
}

/* No byte is read that is not the name's; zeros at the end and the length count. */
static void hash_reads_the_name(void **state)
{
    (void)state;
    for (size_t n = 0; n < 40; n++) {
        char *exact = malloc(n ? n : 1), longer[64]; /* sanitizers see a read past it */
        for (size_t i = 0; i < n; i++) exact[i] = longer[i] = (char)('a' + i * 7 % 26);
        memset(longer + n, 0, sizeof longer - n);
        uint64_t h = asgdi_hash(exact, n, 5);
        assert_true(h == asgdi_hash(longer, n, 5));
        for (size_t more = 1; more < 20; more++) assert_true(h != asgdi_hash(longer, n + more, 5));
        for (size_t i = 0; i < n; i++) {
            exact[i] ^= 1;
            assert_true(h != asgdi_hash(exact, n, 5));
            exact[i] ^= 1;
        }
        free(exact);
    }
}

/* Each input bit turns half of the output bits, as far as 4096 names tell: 32 = 0.5 * 64, and a bit's
 * share has a deviation of 1 / 128. */
static void hash_avalanches(void **state)
{
    (void)state;
    enum { NAMES = 4096 };
    uint64_t x = 88172645463325252u;
    for (size_t n = 4; n < 28; n += 5)
        for (size_t bit = 0; bit < 8 * n; bit++) {
            int turned[64] = {0};
            for (int t = 0; t < NAMES; t++) {
                char name[32];
                for (size_t i = 0; i < n; i++) {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    name[i] = (char)('a' + (x >> 40) % 26);
                }
                uint64_t h = asgdi_hash(name, n, 7);
                name[bit / 8] ^= (char)(1 << bit % 8);
                h ^= asgdi_hash(name, n, 7);
                for (int b = 0; b < 64; b++) turned[b] += (int)(h >> b & 1);
            }
            for (int b = 0; b < 64; b++)
                if (abs(turned[b] - NAMES / 2) > NAMES / 20)
                    fail_msg("length %zu, bit %zu turns bit %d in %d of %d", n, bit, b, turned[b],
                             NAMES);
        }
}

static void rows_of_keys(void **state)
{
    (void)state;
    enum { ROWS = 100000 };
    uint32_t      *key = malloc(ROWS * sizeof *key);
    asgd_encoding *e, *f;
    for (uint32_t r = 0; r < ROWS; r++) key[r] = r * 2654435761u; /* all different */
    key[7] = UINT32_MAX;
    ok(asgdi_encoding_new(&e, key, ROWS, 3, "{\"format\":\"csv\"}"));
    for (uint32_t r = 0; r < ROWS; r++) assert_int_equal(asgdi_encoding_row(e, key[r]), r);
    uint32_t unseen = 0;
    for (uint32_t r = ROWS; r < 2 * ROWS; r++)
        unseen += asgdi_encoding_row(e, r * 2654435761u) == ASGDI_UNSEEN;
    assert_true(unseen >= ROWS - 1);
    uint32_t rows;
    assert_memory_equal(asgd_encoding_keys(e, &rows), key, ROWS * sizeof *key);
    assert_int_equal(rows, ROWS);
    char name[16];
    assert_string_equal(asgdi_encoding_format(e, name), "csv");

    ok(asgdi_encoding_copy(&f, e));
    assert_true(asgdi_encoding_equal(e, f));
    asgdi_encoding_free(e);
    assert_int_equal(asgdi_encoding_row(f, key[5]), 5); /* it lives as long as one has it */
    ok(asgdi_encoding_new(&e, key, ROWS, 3, "{\"format\":\"csv\"}"));
    assert_true(asgdi_encoding_equal(e, f));
    asgdi_encoding_free(e);
    ok(asgdi_encoding_new(&e, key, ROWS, 3, "{}"));
    assert_false(asgdi_encoding_equal(e, f));
    assert_null(asgdi_encoding_format(e, name));
    asgdi_encoding_free(e);
    ok(asgdi_encoding_new(&e, key, ROWS, 4, "{\"format\":\"csv\"}"));
    assert_false(asgdi_encoding_equal(e, f));
    asgdi_encoding_free(e);
    ok(asgdi_encoding_new(&e, key, ROWS - 1, 3, "{\"format\":\"csv\"}"));
    assert_false(asgdi_encoding_equal(e, f) || asgdi_encoding_equal(NULL, f));
    assert_true(asgdi_encoding_equal(NULL, NULL));
    asgdi_encoding_free(e);
    asgdi_encoding_free(f);
    asgdi_encoding_free(NULL);

    key[ROWS - 1] = key[3];
    fails(asgdi_encoding_new(&e, key, ROWS, 0, "{}"), ASGD_EFORMAT, "stands twice");
    assert_null(e);
    ok(asgdi_encoding_new(&e, key, 0, 0, "{}"));
    assert_int_equal(asgdi_encoding_row(e, 0), ASGDI_UNSEEN);
    asgdi_encoding_free(e);
    free(key);
}

/* An example that a format gives up leaves nothing behind. */
static void rows_given_up(void **state)
{
    (void)state;
    asgdi_rows r = {.fielded = true, .label_sets = true};
    assert_true(asgdi_rows_begin(&r, 1, 2));
    asgdi_rows_entry(&r, 7, 1, 1);
    assert_true(asgdi_rows_label(&r, 5) && asgdi_rows_label(&r, 2) && asgdi_rows_label(&r, 5));
    asgdi_rows_end(&r);
    assert_true(asgdi_rows_begin(&r, 2, 100000));
    asgdi_rows_entry(&r, 8, 2, 3);
    assert_true(asgdi_rows_label(&r, 6));
    assert_true(asgdi_rows_begin(&r, 3, 1)); /* instead */
    asgdi_rows_weight(&r, 0.5f);
    asgdi_rows_entry(&r, 9, 3, 1);
    asgdi_rows_end(&r);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.entries, 2);
    assert_memory_equal(r.idx, ((uint32_t[]){7, 9}), 8);
    assert_memory_equal(r.field, ((uint16_t[]){1, 3}), 4);
    assert_memory_equal(r.y, ((float[]){1, 3}), 8);
    assert_memory_equal(r.weight, ((float[]){1, 0.5f}), 8);
    assert_memory_equal(r.len, ((uint32_t[]){1, 1}), 8);
    assert_memory_equal(r.label_len, ((uint32_t[]){2, 0}), 8);
    assert_memory_equal(r.label, ((uint32_t[]){2, 5}), 8);
    assert_int_equal(r.max_feature, 9);
    assert_true(r.any && r.valued && r.weighted);
    asgdi_rows_clear(&r);
    assert_int_equal(r.n + r.entries + r.labels, 0);
    asgdi_rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_never_changes), cmocka_unit_test(hash_reads_the_name),
        cmocka_unit_test(hash_avalanches),    cmocka_unit_test(rows_of_keys),
        cmocka_unit_test(rows_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
