/* 02_own_arrays.c -- data that are already in your program's memory: nothing is copied or converted.
 *
 * Makes 20,000 points of y = <w, x> + b + noise, lets several workers find w and b without waiting for
 * each other, and compares what they found with the truth. */
#include <asgd/asgd.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 20000, D = 8 };

/* Even numbers in [-1, 1): enough for an example (xorshift, Marsaglia 2003). */
static float uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (float)(*state >> 40) * 0x1p-23f - 1.0f;
}

int main(void)
{
    static const float truth[D] = {3, -2, 0.5f, 0, 1, -1, 0.25f, -4};
    static const float bias     = 0.75f;

    float *x = malloc(sizeof *x * N * D), *y = malloc(sizeof *y * N);
    if (!x || !y) return 1;
    uint64_t state = 42;
    for (int i = 0; i < N; i++) {
        y[i] = bias + 0.1f * uniform(&state);
        for (int j = 0; j < D; j++) {
            x[i * D + j] = uniform(&state);
            y[i] += truth[j] * x[i * D + j];
        }
    }

    asgd_source *data  = NULL;
    asgd_model  *model = NULL;
    /* The last argument, 0 classes, says that y are amounts, not class numbers. */
    asgd_status s = asgd_source_dense(&data, x, y, N, D, 0);
    if (s == ASGD_OK)
        s = asgd_model_named(&model, "linear", "loss=squared", asgd_source_schema(data));
    asgd_config config = {.workers      = 2,
                          .batch        = 16,
                          .epochs       = 10,
                          .rule         = {.kind = ASGD_RULE_sgd},
                          .lr           = 0.1,
                          .schedule     = ASGD_LINEAR, /* lr falls to 0, and the noise with it */
                          .schedule_set = true};
    if (s == ASGD_OK) s = asgd_train(model, data, &config, NULL);

    float worst = 0;
    if (s != ASGD_OK) {
        fprintf(stderr, "%s: %s\n", asgd_strerror(s), asgd_errmsg());
    } else {
        /* Table 0 has a row per feature, table 1 the bias; any of them can be read and set. */
        for (unsigned j = 0; j <= D; j++) {
            float found  = j < D ? asgd_model_row(model, 0, j)[0] : asgd_model_row(model, 1, 0)[0];
            float wanted = j < D ? truth[j] : bias;
            printf("%s %u: found %7.3f, is %7.3f\n", j < D ? "weight" : "bias, row", j < D ? j : 0,
                   (double)found, (double)wanted);
            worst = fmaxf(worst, fabsf(found - wanted));
        }
        printf("largest difference: %.4f\n", (double)worst);
    }
    asgd_model_free(model);
    asgd_source_close(data);
    free(x);
    free(y);
    return s == ASGD_OK && worst < 0.02f ? 0 : 1;
}
