/* main.c -- the least that shows an installed libasgd works: the header is found, the library links,
 * and a small run learns y = 2 x. */
#include <asgd/asgd.h>

#include <math.h>
#include <stdio.h>

int main(void)
{
    float x[64], y[64];
    for (int i = 0; i < 64; i++) {
        x[i] = (float)(i % 8) / 8.0f;
        y[i] = 2.0f * x[i];
    }
    asgd_source *data  = NULL;
    asgd_model  *model = NULL;
    asgd_config  c     = {.workers = 2, .batch = 4, .epochs = 500, .lr = 0.2};
    asgd_status  s     = asgd_source_dense(&data, x, y, 64, 1, 0);
    if (s == ASGD_OK)
        s = asgd_model_named(&model, "linear", "loss=squared", asgd_source_schema(data));
    if (s == ASGD_OK) s = asgd_train(model, data, &c, NULL);
    float w = s == ASGD_OK ? asgd_model_row(model, 0, 0)[0] : NAN;
    printf("asgd %s: %s, w = %g\n", asgd_version(), s == ASGD_OK ? "trained" : asgd_errmsg(),
           (double)w);
    asgd_model_free(model);
    asgd_source_close(data);
    return s == ASGD_OK && fabsf(w - 2.0f) < 0.05f ? 0 : 1;
}
