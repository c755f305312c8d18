/* eval.c -- predictions and metrics: chunks of examples, handed to threads by an atomic cursor. */
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
    float              *out;  /* [examples][outputs], NULL: not wanted */
    asgdi_metric_sums  *sums; /* [chunks], NULL: no metrics wanted */
    uint64_t           *item; /* [2 * examples] for the AUC, NULL: none */
    asgdi_u64           next;
} eval_job;

typedef struct eval_thread {
    eval_job   *job;
    pthread_t   thread;
    asgd_status status;
    char        message[256];
} eval_thread;

/* What a thread needs; out: predictions of a chunk, where the job keeps none. */
typedef struct eval_place {
    asgd_view    views[ASGD_MAX_TABLES];
    asgd_sink    sink;
    asgdi_cursor cursor;
    void        *scratch;
    float       *out;
} eval_place;

static void place_free(eval_place *e)
{
    asgdi_free(e->out);
    asgdi_free(e->scratch);
    asgdi_sink_free(&e->sink);
    asgdi_cursor_free(&e->cursor);
}

static asgd_status place_init(eval_place *e, const eval_job *job)
{
    const asgd_model  *m    = job->m;
    const asgd_schema *d    = &job->data->schema;
    const size_t       wide = m->outputs * sizeof(float);
    for (int t = 0; t < job->p->n_tables; t++)
        e->views[t] = (asgd_view){job->p->table[t].master, job->p->table[t].master,
                                  job->p->table[t].info.rows, job->p->table[t].stride};
    ASGD_TRY(asgdi_cursor_init(&e->cursor, job->data, CHUNK));
    ASGD_TRY(asgdi_sink_init(&e->sink, ASGDI_DISCARD, job->k, job->p, e->views, NULL, d->features,
                             CHUNK, 0, d->dense));
    e->scratch = asgdi_calloc(1, m->ops.scratch ? m->ops.scratch(m->self, CHUNK) : 0);
    e->out     = asgdi_calloc(job->out ? 0 : CHUNK, wide);
    if (!e->scratch || !e->out) return ASGD_FAIL(ENOMEM, "no memory to evaluate");
    return ASGD_OK;
}

static void eval_chunk(eval_job *job, eval_place *e, uint64_t from, uint32_t count)
{
    const asgd_model  *m    = job->m;
    asgdi_metric_sums *sums = job->sums ? &job->sums[from / CHUNK] : NULL;
    float             *out  = job->out ? job->out + from * m->outputs : e->out;
    uint64_t           order[CHUNK];
    asgd_batch         b;
    for (uint32_t i = 0; i < count; i++) order[i] = from + i;
    asgdi_cursor_batch(&e->cursor, job->k, order, count, &b);
    m->ops.predict(m->self, &b, e->views, &e->sink, e->scratch, out, sums ? &sums->stats : NULL);
    if (sums) asgdi_metric_add(sums, m->task, m->outputs, &b, out);
    for (uint32_t i = 0; job->item && i < count; i++)
        job->item[from + i] = asgdi_auc_item(out[i], b.y[i], b.weight ? b.weight[i] : 1);
}

static asgd_status eval_run(eval_job *job)
{
    eval_place     e = {0};
    asgd_status    s = place_init(&e, job);
    const uint64_t n = job->data->schema.examples;
    asgdk_gemm_thread();
    while (s == ASGD_OK) {
        uint64_t from = asgdi_add_relaxed(&job->next, CHUNK);
        if (from >= n) break;
        eval_chunk(job, &e, from, n - from < CHUNK ? (uint32_t)(n - from) : CHUNK);
    }
    place_free(&e);
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
    ASGD_TRY(asgdi_model_check_schema(m, &data->schema, what));
    ASGD_TRY(asgdi_model_check_encoding(m, data->encoding, data->memory != NULL, what));
    if (data->schema.label_sets != (m->task == ASGD_TASK_LABELS))
        return ASGD_FAIL(EMISMATCH,
                         data->schema.label_sets
                             ? "%s has sets of labels, the model predicts one target an example"
                             : "%s has one target an example, the model predicts sets of labels",
                         what);
    if (m->task == ASGD_TASK_REGRESSION || data->schema.users) return ASGD_OK;
    if (data->schema.classes == 0)
        return ASGD_FAIL(EMISMATCH, "%s has real-valued targets, the model needs classes", what);
    uint32_t most = m->task == ASGD_TASK_BINARY ? 2 : m->outputs;
    if (data->schema.classes > most)
        return ASGD_FAIL(EMISMATCH, "%s has %u classes, the model was made for %u", what,
                         data->schema.classes, most);
    return ASGD_OK;
}

/* Runs the job on so many threads, this one among them; alone if need be. */
static asgd_status eval_parallel(eval_job *job, uint32_t threads)
{
    eval_thread *t       = asgdi_calloc(threads, sizeof *t);
    uint32_t     started = 0;
    asgd_status  s       = ASGD_OK;
    if (!t) return ASGD_FAIL(ENOMEM, "no memory to evaluate");
    for (uint32_t i = 0; i < threads; i++) t[i].job = job;
    for (; started + 1 < threads; started++)
        if (pthread_create(&t[started].thread, NULL, eval_main, &t[started]) != 0) break;
    eval_main(&t[started]);
    for (uint32_t i = 0; i <= started; i++) {
        if (i < started) pthread_join(t[i].thread, NULL);
        if (t[i].status && !s) s = asgdi_fail(t[i].status, "%s", t[i].message);
    }
    asgdi_free(t);
    return s;
}

asgd_status asgdi_evaluate(const asgd_model *m, const asgdi_params *p, const asgd_source *data,
                           uint32_t threads, asgd_metrics *metrics, float *out)
{
    if (!m->ops.predict)
        return ASGD_FAIL(EINVAL, "model \"%s\" has no predict callback", m->ops.name);
    uint64_t n = data->schema.examples, chunks = (n + CHUNK - 1) / CHUNK;
    if (threads == 0) threads = asgdi_cores();
    if (threads > chunks) threads = (uint32_t)chunks;
    if (threads == 0) threads = 1;
    eval_job job = {.m = m, .p = p, .data = data, .k = asgdk_best(), .out = out};
    if (!job.k) return ASGD_FAIL(EINVAL, "ASGD_ISA names kernels that this machine or build lacks");
    bool auc      = metrics && m->task == ASGD_TASK_BINARY;
    job.sums      = metrics ? asgdi_calloc(chunks, sizeof *job.sums) : NULL;
    job.item      = auc ? asgdi_calloc(n, 2 * sizeof *job.item) : NULL;
    asgd_status s = ASGD_OK;
    if ((metrics && !job.sums) || (auc && !job.item))
        s = ASGD_FAIL(ENOMEM, "no memory for %llu predictions", (unsigned long long)n);
    else
        s = eval_parallel(&job, threads);
    if (s == ASGD_OK && metrics) {
        asgdi_metric_sums sum = {0};
        for (uint64_t i = 0; i < chunks; i++) asgdi_metric_merge(&sum, &job.sums[i]);
        asgdi_metric_results(&sum, m->task, metrics);
        if (auc) metrics->auc = asgdi_auc(job.item, n);
    }
    asgdi_free(job.item);
    asgdi_free(job.sums);
    return s;
}

asgd_status asgd_eval(const asgd_model *m, asgd_source *data, uint32_t threads, asgd_metrics *out)
{
    if (m->task == ASGD_TASK_RANKING && m->entry)
        return asgd_eval_ranking(m, data, NULL, 0, threads, out);
    ASGD_TRY(asgdi_fits(m, data, "the data"));
    return asgdi_evaluate(m, &m->params, data, threads, out, NULL);
}

asgd_status asgd_predict(const asgd_model *m, asgd_source *data, uint32_t threads, float *out)
{
    ASGD_TRY(asgdi_model_check_schema(m, &data->schema, "the data"));
    ASGD_TRY(asgdi_model_check_encoding(m, data->encoding, data->memory != NULL, "the data"));
    return asgdi_evaluate(m, &m->params, data, threads, NULL, out);
}
