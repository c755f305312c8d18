/* 01_train_digits.c -- the whole library in one call: a neural network learns to read digits.
 *
 *     01_train_digits [FOLDER]
 *
 * FOLDER holds IDX files such as MNIST's; without it the library draws its own digits into ./digits.
 * Prints the accuracy on digits that the training has not seen. */
#include <asgd/asgd.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "digits";

    asgd_source *train = NULL, *test = NULL;
    asgd_model  *model  = NULL;
    asgd_result  result = {0};
    asgd_metrics metrics;

    /* Every call that can fail returns a status; asgd_errmsg() has the sentence for people. */
    asgd_status s = ASGD_OK;
    if (argc <= 1) s = asgd_synth_digits(folder, 10000, 1000, 1);
    if (s == ASGD_OK) s = asgd_source_open(&train, folder, NULL);
    if (s == ASGD_OK)
        s = asgd_source_open(&test, folder, &(asgd_source_options){.test_part = true});

    /* "mlp" is a multi-layer perceptron.  NULL: its default options; asgd_model_help() lists them. */
    if (s == ASGD_OK) s = asgd_model_named(&model, "mlp", NULL, asgd_source_schema(train));

    /* Zero means "the default" in every field: here one worker a core, asynchronous. */
    asgd_config config = {.epochs = 10, .seed = 1};
    if (s == ASGD_OK) s = asgd_train(model, train, &config, &result);
    if (s == ASGD_OK) s = asgd_eval(model, test, 0, &metrics);
    if (s == ASGD_OK) s = asgd_save(model, "digits.safetensors");

    if (s != ASGD_OK) {
        fprintf(stderr, "%s: %s\n", asgd_strerror(s), asgd_errmsg());
    } else {
        printf("%s\n", asgd_source_describe(train));
        printf("%u workers, %.0f examples/s, mean staleness %.2f updates\n", result.workers,
               (double)result.examples / result.seconds, result.staleness.mean);
        printf("accuracy on %llu other digits: %.1f %%\n", (unsigned long long)metrics.examples,
               100 * metrics.accuracy);
    }
    bool good = s == ASGD_OK && metrics.accuracy > 0.9;

    asgd_result_free(&result);
    asgd_model_free(model);
    asgd_source_close(test);
    asgd_source_close(train);
    return good ? 0 : 1;
}
