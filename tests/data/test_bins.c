/* Groups of numbers: their edges against the definition, on samples with and without ties. */
#include "test.h"

#include "data/bins.h"

static uint32_t slow_group(const double *edge, uint32_t edges, double x)
{
    uint32_t g = 0;
    while (g < edges && edge[g] <= x) g++;
    return g;
}

static void few_values_have_a_group_each(void **state)
{
    (void)state;
    double   x[] = {7, 1, 5, 5, 1, -2, 7, 7}, edge[8];
    uint32_t n   = asgdi_bins_cut(x, 8, 4, edge);
    assert_int_equal(n, 3);
    assert_memory_equal(edge, ((double[]){1, 5, 7}), sizeof(double[3]));
    assert_int_equal(asgdi_bins_group(edge, n, -3), 0);
    assert_int_equal(asgdi_bins_group(edge, n, 1), 1);
    assert_int_equal(asgdi_bins_group(edge, n, 4.9), 1);
    assert_int_equal(asgdi_bins_group(edge, n, 1e300), 3);

    /* 6 and 4 are nearer to 5 and 5 than 3 and 7 */
    assert_int_equal(asgdi_bins_cut((double[]){1, 1, 1, 2, 2, 2, 3, 3, 3, 3}, 10, 2, edge), 1);
    assert_true(edge[0] == 3);

    assert_int_equal(asgdi_bins_cut(x, 8, 1, edge), 0); /* one group */
    assert_int_equal(asgdi_bins_cut(x, 0, 4, edge), 0); /* nothing known */
    assert_int_equal(asgdi_bins_cut((double[]){3, 3, 3}, 3, 4, edge), 0);
    assert_int_equal(asgdi_bins_group(edge, 0, 3), 0);
}

static void equal_groups(void **state)
{
    (void)state;
    static double x[3200];
    double        edge[31];
    for (int i = 0; i < 3200; i++) x[i] = (i * 1237) % 3200; /* 0..3199 in disorder */
    assert_int_equal(asgdi_bins_cut(x, 3200, 32, edge), 31);
    for (int g = 0; g < 31; g++) assert_int_equal((int)edge[g], 100 * (g + 1));
}

/* A value that fills most of the sample takes one group, and the rest is cut as finely. */
static void a_frequent_value(void **state)
{
    (void)state;
    static double x[10000];
    double        edge[9];
    for (int i = 0; i < 10000; i++) x[i] = i % 10 ? 0 : i / 10 + 1;
    assert_int_equal(asgdi_bins_cut(x, 10000, 10, edge), 9);
    assert_true(edge[0] == 1); /* 0 alone, then nine groups of about 111 */
    for (int g = 1; g < 9; g++) {
        double width = edge[g] - edge[g - 1];
        assert_true(width > 100 && width < 125);
    }
}

static void random_samples(void **state)
{
    (void)state;
    static double x[500];
    double        edge[63];
    for (unsigned seed = 1; seed <= 2000; seed++) {
        srand(seed);
        size_t   n    = (size_t)rand() % 500 + 1;
        uint32_t most = (uint32_t)rand() % 64 + 1;
        int      span = rand() % 600 + 1; /* small: many ties */
        for (size_t i = 0; i < n; i++) x[i] = (rand() % span) * (rand() % 3 ? 1 : 0.25);
        uint32_t edges     = asgdi_bins_cut(x, n, most, edge);
        size_t   count[64] = {0}, distinct = 1;
        for (size_t i = 1; i < n; i++) distinct += x[i] != x[i - 1];
        bool right = edges < most && (edges + 1 == most || edges + 1 == distinct);
        for (uint32_t g = 1; g < edges; g++) right = right && edge[g] > edge[g - 1];
        for (size_t i = 0; i < n; i++) {
            uint32_t g = asgdi_bins_group(edge, edges, x[i]);
            right      = right && g == slow_group(edge, edges, x[i]);
            count[g]++;
        }
        for (uint32_t g = 0; g <= edges; g++) right = right && count[g] > 0;
        if (!right) fail_msg("seed %u: %u edges for %u groups of %zu", seed, edges, most, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_values_have_a_group_each),
        cmocka_unit_test(equal_groups),
        cmocka_unit_test(a_frequent_value),
        cmocka_unit_test(random_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
