/* 03_own_model.c -- a model of your own: say what its tables are, and what one batch's gradient is.
 *
 * Logistic regression on sparse data: the probability of class 1 is p = 1 / (1 + exp(-<w, x>)), the
 * loss of an example -log p or -log(1 - p), its gradient (p - y) * x.  Threads, update rules,
 * schedules, sharing, staleness, evaluation, checkpoints: all that is the library's, for this model as
 * for its own.  A model never writes parameters; it emits gradients. */
#include <asgd/asgd.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the model ---- */

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    (void)self;
    tables[0] =
        (asgd_table){.name = "w", .rows = d->features, .dim = 1, .flags = ASGD_TABLE_BY_FEATURE};
    *n_tables = 1;
    *task     = ASGD_TASK_BINARY;
    *outputs  = 1;
    return ASGD_OK;
}

static size_t scratch(const void *self, uint32_t n)
{
    (void)self;
    return n * sizeof(float);
}

static void predict(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *memory, float *p, asgd_stats *st)
{
    (void)self, (void)w, (void)memory;
    for (uint32_t i = 0; i < b->n; i++) {
        float z = asgd_dot_sparse(g, 0, b->len[i], b->idx + b->begin[i], b->val + b->begin[i]);
        p[i]    = 1 / (1 + expf(-z));
        if (!st) continue;
        st->loss += log1p(exp(b->y[i] > 0 ? -(double)z : (double)z));
        st->weight += 1;
        st->correct += (z > 0) == (b->y[i] > 0);
    }
}

static void step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *memory, uint64_t random, asgd_stats *st)
{
    (void)random;
    float *p = memory;
    predict(self, b, w, g, NULL, p, st); /* read everything first, then emit */
    for (uint32_t i = 0; i < b->n; i++)
        asgd_emit_scattered(g, 0, b->len[i], b->idx + b->begin[i], b->val + b->begin[i],
                            (p[i] - b->y[i]) / (float)b->n, NULL);
}

static const asgd_model_ops logistic = {
    .name = "my-logistic", .shape = shape, .scratch = scratch, .step = step, .predict = predict};

/* ---- data to try it on: 10 of 5,000 features each, labels drawn from a hidden model ---- */

enum { N = 40000, FEATURES = 5000, LEN = 10 };

static uint64_t start[N + 1];
static uint32_t idx[N * LEN];
static float    val[N * LEN], y[N], hidden[FEATURES];

static uint64_t next(uint64_t *state) /* xorshift, Marsaglia 2003 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static float uniform(uint64_t *state) /* [-1, 1) */
{
    return (float)(next(state) >> 40) * 0x1p-23f - 1.0f;
}

static void make_data(void)
{
    uint64_t state = 7;
    for (int f = 0; f < FEATURES; f++) hidden[f] = 3 * uniform(&state);
    for (int i = 0; i < N; i++) {
        float z = 0;
        for (int j = 0; j < LEN; j++) { /* one feature from each tenth: increasing, as required */
            int k  = i * LEN + j;
            idx[k] = (uint32_t)(j * (FEATURES / LEN)) + (uint32_t)(next(&state) % (FEATURES / LEN));
            val[k] = 1;
            z += hidden[idx[k]];
        }
        y[i]         = 1 / (1 + expf(-z)) > 0.5f * (uniform(&state) + 1) ? 1 : 0;
        start[i + 1] = start[i] + LEN;
    }
}

int main(void)
{
    make_data();
    asgd_source *train = NULL, *test = NULL;
    asgd_model  *model = NULL;
    asgd_metrics m     = {0};
    const int    cut   = N * 3 / 4; /* the last quarter is kept for the test */

    asgd_status s = asgd_source_sparse(&train, start, idx, val, y, (uint64_t)cut, FEATURES, 2);
    if (s == ASGD_OK)
        s = asgd_source_sparse(&test, start + cut, idx, val, y + cut, N - (uint64_t)cut, FEATURES,
                               2);
    if (s == ASGD_OK) s = asgd_model_new(&model, &logistic, NULL, asgd_source_schema(train));

    asgd_config config = {.workers = 2,
                          .batch   = 1, /* Hogwild: every example is an update */
                          .epochs  = 10,
                          .rule    = {.kind = ASGD_RULE_adagrad},
                          .lr      = 0.5};
    if (s == ASGD_OK) s = asgd_train(model, train, &config, NULL);
    if (s == ASGD_OK) s = asgd_eval(model, test, 0, &m);

    if (s != ASGD_OK)
        fprintf(stderr, "%s: %s\n", asgd_strerror(s), asgd_errmsg());
    else
        printf("%llu examples not seen in training: accuracy %.3f, AUC %.3f, logloss %.3f\n",
               (unsigned long long)m.examples, m.accuracy, m.auc, m.logloss);

    asgd_model_free(model);
    asgd_source_close(test);
    asgd_source_close(train);
    return s == ASGD_OK && m.auc > 0.9 ? 0 : 1;
}
