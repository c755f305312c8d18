/* Synthetic digits: the files, that an example does not depend on how many there are, and that they
 * look as MNIST's do in numbers. */
#include "files.h"

#include "data/source.h"

static asgd_source *must_open(const char *name, bool test_part)
{
    asgd_source *s;
    ok(asgd_source_open(&s, at(name), &(asgd_source_options){.test_part = test_part}));
    return s;
}

/* Dot product of an example with a template. */
static float score(const asgd_source *s, uint64_t i, const float *w)
{
    float sum = 0;
    for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++) sum += s->val[j] * w[s->idx[j]];
    return sum;
}

static void files(void **state)
{
    (void)state;
    ok(asgd_synth_digits(at("deep/er"), 1000, 500, 1));
    asgd_source *train = must_open("deep/er", false), *test = must_open("deep/er", true);
    assert_int_equal(train->schema.examples, 1000);
    assert_int_equal(test->schema.examples, 500);
    assert_int_equal(train->schema.features, 784);
    assert_int_equal(train->schema.classes, 10);
    assert_false(train->schema.dense);
    double density = (double)train->schema.nonzeros / (1000 * 784);
    if (!(density > .15 && density < .25)) fail_msg("%g of the pixels are not 0", density);
    int count[10] = {0};
    for (int i = 0; i < 1000; i++) count[(int)train->y[i]]++;
    for (int d = 0; d < 10; d++) assert_int_equal(count[d], 100);
    assert_true(train->start[1] != test->start[1] || train->val[0] != test->val[0]);
    asgd_source_close(train);
    asgd_source_close(test);
}

static void prefix(void **state)
{
    (void)state;
    ok(asgd_synth_digits(at("few"), 37, 5, 9));
    ok(asgd_synth_digits(at("many"), 5000, 11, 9)); /* more than one block of drawing */
    ok(asgd_synth_digits(at("other"), 37, 5, 10));
    asgd_source *few = must_open("few", false), *many = must_open("many", false);
    asgd_source *other = must_open("other", false);
    assert_memory_equal(few->y, many->y, 37 * 4);
    assert_memory_equal(few->start, many->start, 38 * 8);
    assert_memory_equal(few->idx, many->idx, few->start[37] * 4);
    assert_memory_equal(few->val, many->val, few->start[37] * 4);
    assert_true(memcmp(few->start, other->start, 38 * 8) != 0);
    asgd_source_close(few);
    asgd_source_close(many);
    asgd_source_close(other);
}

/* The nearest mean image names most digits: the labels belong to the pictures.  It has to be much
 * better than the 10 % of chance, and much worse than perfect, or there would be nothing to learn.
 * (Measured for this seed: 0.71.) */
static void labels_fit(void **state)
{
    (void)state;
    ok(asgd_synth_digits(at("fit"), 3000, 1000, 3));
    asgd_source *train = must_open("fit", false), *test = must_open("fit", true);
    static float mean[10][784];
    float        norm[10] = {0};
    for (uint64_t i = 0; i < 3000; i++)
        for (uint64_t j = train->start[i]; j < train->start[i + 1]; j++)
            mean[(int)train->y[i]][train->idx[j]] += train->val[j] / 300;
    for (int d = 0; d < 10; d++)
        for (int j = 0; j < 784; j++) norm[d] += .5f * mean[d][j] * mean[d][j];
    int right = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        int best = 0;
        for (int d = 1; d < 10; d++)
            if (score(test, i, mean[d]) - norm[d] > score(test, i, mean[best]) - norm[best])
                best = d;
        right += best == (int)test->y[i];
    }
    if (right < 500 || right > 900) fail_msg("nearest mean: %d of 1000 right", right);
    print_message("nearest mean: %d of 1000 right\n", right);
    asgd_source_close(train);
    asgd_source_close(test);
}

static void wrong(void **state)
{
    (void)state;
    fails(asgd_synth_digits("", 1, 1, 1), ASGD_EINVAL, "no folder is given");
    fails(asgd_synth_digits(at("zero"), 0, 0, 1), ASGD_EINVAL, "asks for no example");
    fails(asgd_synth_digits(at("zero"), UINT64_C(1) << 32, 0, 1), ASGD_EINVAL,
          "at most 4294967295");
    put_text("file", "x");
    fails(asgd_synth_digits(at("file"), 1, 1, 1), ASGD_EIO, "file: cannot make this folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(prefix),
        cmocka_unit_test(labels_fit),
        cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
