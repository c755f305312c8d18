/* Long arrays: whatever they grow to, by whatever way, what was in them stays. */
#include "files.h"

#include "data/array.h"

static void fill(uint32_t *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) p[i] = (uint32_t)(i * 2654435761u);
}

static void check(const uint32_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != (uint32_t)(i * 2654435761u)) fail_msg("element %zu of %zu is wrong", i, n);
}

/* Ordinary memory, then a mapping that grows where it is or moves, then, from `spill` on, a file. */
static void grow(asgdi_array *a, size_t spill)
{
    static const size_t sizes[]       = {1, 3, 1000, 1 << 19, 2100000, 2100001, 9000000, 20000000};
    size_t              n             = 0;
    void               *in_the_way[8] = {NULL};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = sizes[i] * sizeof(uint32_t);
        assert_true(asgdi_array_grow(a, bytes, i % 2 ? bytes : 2 * bytes));
        assert_true(a->bytes >= bytes);
        in_the_way[i] = malloc(1 << 20); /* so that mappings have to move */
        fill(a->p, n, sizes[i]);
        n = sizes[i];
        if (i == spill) {
            assert_true(asgdi_array_spill(a, n * sizeof(uint32_t), folder));
            assert_true(a->file > 0);
            assert_true(asgdi_array_spill(a, n * sizeof(uint32_t), "no folder")); /* it is there */
        }
        check(a->p, n);
    }
    for (size_t i = 0; i < 8; i++) free(in_the_way[i]);
}

static void in_memory(void **state)
{
    (void)state;
    asgdi_array a = {0};
    asgdi_array_free(&a); /* harmless */
    grow(&a, 99);
    assert_true(a.mapped && a.file == 0);
    asgdi_array_trim(&a, 5000 * sizeof(uint32_t));
    assert_true(a.bytes >= 20000 && a.bytes < 100000);
    check(a.p, 5000);
    asgdi_array_free(&a);
    assert_null(a.p);
}

static void in_a_file(void **state)
{
    (void)state;
    for (size_t spill = 0; spill < 8; spill += 3) {
        asgdi_array a = {0};
        grow(&a, spill);
        asgdi_array_trim(&a, 20000000 * sizeof(uint32_t));
        assert_int_equal(a.file, 0); /* the mapping is enough */
        check(a.p, 20000000);
        asgdi_array_free(&a);
    }
    char command[400];
    snprintf(command, sizeof command, "test -z \"$(ls -A '%s')\"", folder);
    assert_int_equal(system(command), 0); /* it had no name */
}

static void what_cannot_be(void **state)
{
    (void)state;
    asgdi_array a = {0};
    assert_true(asgdi_array_grow(&a, 4000, 4000));
    fill(a.p, 0, 1000);
    void *p = a.p;
    assert_false(asgdi_array_spill(&a, 4000, at("absent")));
    assert_false(asgdi_array_grow(&a, SIZE_MAX / 2, 0));
    assert_ptr_equal(a.p, p);
    check(a.p, 1000);
    assert_true(asgdi_array_grow(&a, 5000, SIZE_MAX)); /* a wish is no need */
    check(a.p, 1000);
    asgdi_array_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory),
        cmocka_unit_test(in_a_file),
        cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
