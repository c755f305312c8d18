/* eval.c -- chunks of examples handed to threads by an atomic cursor;
 * statistics are kept per chunk and added in order, so that the figures do not depend on who did what. */
#include "engine/eval.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/metric.h"
#include "kern/gemm.h"
#include "rule/sink.h"

enum { CHUNK = 256 };

typedef struct eval_job {
    const asgd_model   *m;
    const asgdi_params *p;
    const asgd_source  *data;
    const asgd_kern    *k;
    float              *out;   /* [examples][outputs] */
    asgd_stats         *stats; /* [chunks], NULL: no labels */
    asgdi_u64           next;
} eval_job;

typedef struct eval_thread {
    eval_job   *job;
    pthread_t   thread;
    asgd_status status;
    char        message[256];
} eval_thread;

static asgd_status eval_run(eval_job *job)
{
    const asgd_model  *m    = job->m;
    const asgd_source *data = job->data;
    asgd_view          views[ASGD_MAX_TABLES];
    for (int t = 0; t < job->p->n_tables; t++)
        views[t] = (asgd_view){job->p->table[t].master, job->p->table[t].master,
                               job->p->table[t].info.rows, job->p->table[t].stride};
    asgd_status  s;
    asgd_sink    sink    = {0};
    asgdi_cursor cursor  = {0};
    void        *scratch = NULL;
    asgdk_gemm_thread();
    ASGD_TRY_GOTO(done, asgdi_cursor_init(&cursor, data, CHUNK));
    ASGD_TRY_GOTO(done, asgdi_sink_init(&sink, ASGDI_DISCARD, job->k, job->p, views, NULL,
                                        data->schema.features, CHUNK, 0, data->schema.dense));
    scratch = asgdi_calloc(1, m->ops.scratch ? m->ops.scratch(m->self, CHUNK) : 0);
    if (!scratch) {
        s = ASGD_FAIL(ENOMEM, "no memory to evaluate");
        goto done;
    }
    uint64_t order[CHUNK], n = data->schema.examples;
    for (;;) {
        uint64_t lo = asgdi_add_relaxed(&job->next, CHUNK);
        if (lo >= n) break;
        uint32_t count = n - lo < CHUNK ? (uint32_t)(n - lo) : CHUNK;
        for (uint32_t i = 0; i < count; i++) order[i] = lo + i;
        asgd_batch b;
        asgdi_cursor_batch(&cursor, job->k, order, count, &b);
        m->ops.predict(m->self, &b, views, &sink, scratch, job->out + lo * m->outputs,
                       job->stats ? &job->stats[lo / CHUNK] : NULL);
    }
done:
    asgdi_free(scratch);
    asgdi_sink_free(&sink);
    asgdi_cursor_free(&cursor);
    return s;
}

static void *eval_main(void *arg)
{
    eval_thread *t = arg;
    t->status      = eval_run(t->job);
    if (t->status) {
        strncpy(t->message, asgd_errmsg(), sizeof t->message - 1);
    }
    return NULL;
}

asgd_status asgdi_fits(const asgd_model *m, const asgd_source *data, const char *what)
{
    if (data->schema.features > m->schema.features)
        return ASGD_FAIL(EMISMATCH,
                         "%s has %u features, the model was made for %u: the same kind of data?",
                         what, data->schema.features, m->schema.features);
    if (m->task == ASGD_TASK_REGRESSION) return ASGD_OK;
    if (data->schema.classes == 0)
        return ASGD_FAIL(EMISMATCH, "%s has real-valued targets, the model needs classes", what);
    uint32_t most = m->task == ASGD_TASK_BINARY ? 2 : m->outputs;
    if (data->schema.classes > most)
        return ASGD_FAIL(EMISMATCH, "%s has %u classes, the model was made for %u", what,
                         data->schema.classes, most);
    return ASGD_OK;
}

static void metrics_of(const asgd_model *m, const asgd_source *data, const float *out,
                       const asgd_stats *stats, uint32_t *order, asgd_metrics *r)
{
    uint64_t     n = data->schema.examples;
    const float *y = data->y;
    *r             = (asgd_metrics){NAN, NAN, NAN, NAN, NAN, NAN, n};
    r->loss        = stats->loss / stats->weight;
    if (m->task == ASGD_TASK_REGRESSION) {
        double sum = 0;
        for (uint64_t i = 0; i < n; i++) {
            double d = (double)out[i] - (double)y[i];
            sum += d * d;
        }
        r->rmse = sqrt(sum / (double)n);
        return;
    }
    r->accuracy    = (double)stats->correct / (double)n;
    r->error       = 1 - r->accuracy;
    double sum     = 0;
    bool   is_prob = true;
    for (uint64_t i = 0; i < n; i++) {
        double p = m->task == ASGD_TASK_BINARY ? (y[i] > 0.5f ? (double)out[i] : 1 - (double)out[i])
                                               : (double)out[i * m->outputs + (uint32_t)y[i]];
        is_prob  = is_prob && p >= 0 && p <= 1;
        sum -= log(p > 1e-15 ? p : 1e-15);
    }
    if (is_prob) r->logloss = sum / (double)n; /* hinge predicts margins */
    if (m->task == ASGD_TASK_BINARY && order) r->auc = asgdi_auc(out, y, n, order);
}

asgd_status asgdi_evaluate(const asgd_model *m, const asgdi_params *p, const asgd_source *data,
                           uint32_t threads, asgd_metrics *metrics, float *out)
{
    if (!m->ops.predict)
        return ASGD_FAIL(EINVAL, "model \"%s\" has no predict callback", m->ops.name);
    uint64_t n = data->schema.examples;
    if (threads == 0) threads = asgdi_cores();
    uint64_t chunks = (n + CHUNK - 1) / CHUNK;
    if (threads > chunks) threads = (uint32_t)chunks;
    if (threads == 0) threads = 1;
    eval_job job = {
        .m    = m,
        .p    = p,
        .data = data,
        .k    = asgdk_best(),
    };
    if (!job.k) return ASGD_FAIL(EINVAL, "ASGD_ISA names kernels that this machine or build lacks");
    bool         binary = m->task == ASGD_TASK_BINARY && n < UINT32_MAX;
    float       *scores = out ? NULL : asgdi_calloc(n * m->outputs, sizeof *scores);
    uint32_t    *order  = metrics && binary ? asgdi_calloc(2 * n, sizeof *order) : NULL;
    eval_thread *t      = asgdi_calloc(threads, sizeof *t);
    asgd_status  s      = ASGD_OK;
    job.out             = out ? out : scores;
    job.stats           = metrics ? asgdi_calloc(chunks, sizeof *job.stats) : NULL;
    if (!job.out || !t || (metrics && !job.stats) || (metrics && binary && !order)) {
        s = ASGD_FAIL(ENOMEM, "no memory for %llu predictions", (unsigned long long)n);
        goto done;
    }
    uint32_t started = 0;
    for (uint32_t i = 0; i < threads; i++) t[i].job = &job;
    for (; started + 1 < threads; started++)
        if (pthread_create(&t[started].thread, NULL, eval_main, &t[started]) != 0) break;
    eval_main(&t[started]); /* this thread takes part, alone if need be */
    asgd_stats sum = {0};
    for (uint32_t i = 0; i <= started; i++) {
        if (i < started) pthread_join(t[i].thread, NULL);
        if (t[i].status && !s) s = asgdi_fail(t[i].status, "%s", t[i].message);
    }
    for (uint64_t i = 0; metrics && i < chunks; i++) {
        sum.loss += job.stats[i].loss;
        sum.weight += job.stats[i].weight;
        sum.correct += job.stats[i].correct;
    }
    if (!s && metrics) metrics_of(m, data, job.out, &sum, order, metrics);
done:
    asgdi_free(t);
    asgdi_free(job.stats);
    asgdi_free(order);
    asgdi_free(scores);
    return s;
}

asgd_status asgd_eval(const asgd_model *m, asgd_source *data, uint32_t threads, asgd_metrics *out)
{
    ASGD_TRY(asgdi_fits(m, data, "the data"));
    return asgdi_evaluate(m, &m->params, data, threads, out, NULL);
}

asgd_status asgd_predict(const asgd_model *m, asgd_source *data, uint32_t threads, float *out)
{
    if (data->schema.features > m->schema.features) ASGD_TRY(asgdi_fits(m, data, "the data"));
    return asgdi_evaluate(m, &m->params, data, threads, NULL, out);
}
