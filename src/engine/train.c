/* train.c -- asgd_train(): check inputs, resolve defaults, start workers, run the control loop, tidy up. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/blocks.h"
#include "engine/control.h"
#include "engine/eval.h"

enum { STRETCH = 16, FAR_ENTRIES = 1 << 22 };

/* Steps that suit several epochs are too short for one pass: by ten times where examples are short, hardly where
 * they are long, as what a step changes of a score grows with the square of the length.  Of a stream only the
 * beginning is known.  In batches of one, rules whose steps do not adapt are left alone: theirs are long already.
 * bench/README.md has the measurements. */
static double one_pass(const asgdi_run *r)
{
    enum { LOOK_AT = 1000 };
    const double             most = 10, at_length_1 = 50;
    const asgd_source       *s     = r->source;
    const asgdi_model_entry *e     = r->model->entry;
    const double             least = e && e->one_pass ? e->one_pass(r->model->self) : 1;
    const bool fixed = r->rule.kind == ASGD_RULE_sgd || r->rule.kind == ASGD_RULE_momentum;
    if ((fixed && r->batch == 1) || s->schema.dense || !s->start) return 1;
    const uint64_t n       = s->schema.examples < LOOK_AT ? s->schema.examples : LOOK_AT;
    double         squares = 0;
    for (uint64_t i = s->start[0]; i < s->start[n]; i++)
        squares += s->val ? (double)s->val[i] * (double)s->val[i] : 1;
    const double factor = squares > 0 ? at_length_1 * (double)n / squares : most;
    return factor < least ? least : factor < most ? factor : most;
}

static asgd_status check_config(const asgd_config *c)
{
    if (c->resume && !c->checkpoint)
        return ASGD_FAIL(EINVAL, "resume needs the checkpoint folder to resume from");
    if (c->workers > ASGDI_MAX_WORKERS)
        return ASGD_FAIL(EINVAL, "%u workers: at most %d", c->workers, ASGDI_MAX_WORKERS);
    if (c->batch > 1u << 20)
        return ASGD_FAIL(EINVAL, "a batch of %u examples: at most %u", c->batch, 1u << 20);
    if (!(c->epochs >= 0 && c->epochs <= 1e9))
        return ASGD_FAIL(EINVAL, "%g epochs: a number above 0 is needed", c->epochs);
    if (!(c->lr >= 0 && isfinite(c->lr)))
        return ASGD_FAIL(EINVAL, "lr %g: a finite number above 0 is needed", c->lr);
    if (isnan(c->damp)) return ASGD_FAIL(EINVAL, "damp is not a number");
    if (!(c->warmup >= 0 && c->warmup < 1))
        return ASGD_FAIL(EINVAL, "warmup %g: a part of the run is needed, from 0 to below 1",
                         c->warmup);
    if (!(c->pace >= 0 && c->pace <= 3600))
        return ASGD_FAIL(EINVAL, "pace %g: seconds from 0 to 3600 are needed", c->pace);
    if (!(c->max_seconds >= 0) || !(c->eval_every >= 0) || !(c->checkpoint_every >= 0))
        return ASGD_FAIL(EINVAL, "max_seconds, eval_every and checkpoint_every cannot be negative");
    if ((unsigned)c->mode > ASGD_SEQUENTIAL || (unsigned)c->share > ASGD_SHARE_REPLICA ||
        (unsigned)c->schedule > ASGD_COSINE || (unsigned)c->order > ASGD_ORDER_FILE ||
        (unsigned)c->blocks > ASGD_BLOCKS_OFF)
        return ASGD_FAIL(EINVAL,
                         "mode, share, schedule, order or blocks is not one of the known ones");
    return ASGD_OK;
}

static asgd_status resolve(asgdi_run *r)
{
    static const asgdi_model_defaults own_model = {.batch    = 32,
                                                   .epochs   = 1,
                                                   .rule     = ASGD_RULE_sgd,
                                                   .schedule = ASGD_CONSTANT,
                                                   .lr       = {[ASGD_RULE_sgd]      = 0.1,
                                                                [ASGD_RULE_momentum] = 0.01,
                                                                [ASGD_RULE_adagrad]  = 0.05,
                                                                [ASGD_RULE_rmsprop]  = 0.001,
                                                                [ASGD_RULE_adam]     = 0.001,
                                                                [ASGD_RULE_ftrl]     = 0.1}};
    const asgd_config                *c         = r->config;
    const asgdi_model_defaults       *d = r->model->entry ? &r->model->entry->defaults : &own_model;
    ASGD_TRY(check_config(c));
    r->k = asgdk_best();
    if (!r->k) return ASGD_FAIL(EINVAL, "ASGD_ISA names kernels that this machine or build lacks");
    r->mode    = c->mode;
    r->workers = c->mode == ASGD_SEQUENTIAL ? 1 : c->workers ? c->workers : asgdi_cores();
    if (r->workers > ASGDI_MAX_WORKERS) r->workers = ASGDI_MAX_WORKERS;
    r->seed       = c->seed;
    r->batch      = c->batch ? c->batch : d->batch;
    r->examples   = r->source->schema.examples;
    double epochs = c->progressive ? 1 : d->epochs;
    double total  = ceil((c->epochs > 0 ? c->epochs : epochs) * (double)r->examples);
    if (total < 1 || total > 1e18) return ASGD_FAIL(EINVAL, "%g examples in all: too many", total);
    r->total = (uint64_t)total;
    if (r->batch > r->examples) r->batch = (uint32_t)r->examples;
    if (!c->group && c->backup >= r->workers && c->backup > 0)
        return ASGD_FAIL(EINVAL, "%u backup workers of %u: leave at least one to wait for",
                         c->backup, r->workers);
    r->rule = c->rule;
    if (r->rule.kind == ASGD_RULE_DEFAULT) r->rule.kind = d->rule;
    if (r->rule.kind == ASGD_RULE_adagrad && r->rule.eps == 0) r->rule.eps = d->adagrad_eps;
    ASGD_TRY(asgdi_rule_defaults(&r->rule));
    r->lr = c->lr > 0 ? c->lr : d->lr[r->rule.kind];
    if (c->progressive && c->lr <= 0) r->lr *= one_pass(r);
    r->schedule = c->schedule_set ? c->schedule : d->schedule;
    /* adagrad's steps shrink by themselves; those of a rule taken instead do not */
    if (!c->schedule_set && d->rule == ASGD_RULE_adagrad && r->rule.kind != ASGD_RULE_adagrad)
        r->schedule = ASGD_LINEAR;
    r->order    = c->order;
    r->patience = c->patience == ASGD_NEVER  ? 0
                  : c->patience || !c->valid ? c->patience
                                             : d->patience;
    if (c->progressive) {
        if (c->epochs > 1)
            return ASGD_FAIL(EINVAL, "progressive validation is one pass: leave out epochs %g",
                             c->epochs);
        if (!c->schedule_set) r->schedule = ASGD_CONSTANT; /* a stream has no known end */
        r->order = ASGD_ORDER_FILE;
    }
    r->warmup = c->warmup;
    if (r->rule.kind == ASGD_RULE_ftrl) { /* its weights are a function of a constant lr */
        if (c->warmup > 0 || (c->schedule_set && c->schedule != ASGD_CONSTANT))
            return ASGD_FAIL(EINVAL, "rule ftrl sets its own steps: leave out schedule and warmup");
        r->schedule = ASGD_CONSTANT;
    }
    r->pace = c->pace;
    r->damp = c->damp > 0 ? c->damp : c->damp < 0 ? INFINITY : 4;
    /* Averages of n gradients take a step n times as long; of adaptive rules, whose steps have a size of
     * their own, sqrt(n) times (Goyal et al. 2017; Krizhevsky 2014). */
    r->sync_power = r->rule.kind == ASGD_RULE_sgd || r->rule.kind == ASGD_RULE_momentum ? 1 : 0.5;
    /* Examples from anywhere in memory are waited for; of more than caches hold, short stretches are
     * taken in random order. */
    const asgd_schema *schema = &r->source->schema;
    r->stretch = !schema->dense && schema->nonzeros > FAR_ENTRIES && r->examples >= 64 * STRETCH
                     ? STRETCH
                     : 1;
    uint32_t together = schema->dense ? 16 : 64; /* examples gathered at once */
    r->super          = r->batch * ((together + r->batch - 1) / r->batch);
    if (r->mode == ASGD_SYNC) r->super = r->batch;
    return ASGD_OK;
}

static asgd_status check_straggler(const asgdi_run *r, bool *any)
{
    for (uint32_t i = 0; r->config->straggler && i < r->workers; i++) {
        double f = r->config->straggler[i];
        if (!(f == 0 || (f >= 1 && f <= 1e6)))
            return ASGD_FAIL(EINVAL, "straggler %u: a factor of %g; from 1 to 1e6 is needed", i, f);
        *any = *any || f > 1;
    }
    return ASGD_OK;
}

static asgd_status prepare(asgdi_run *r, asgd_result *out)
{
    asgd_model *m    = r->model;
    bool        slow = r->pace > 0;
    ASGD_TRY(check_straggler(r, &slow));
    if (r->source->labels && !m->labels)
        ASGD_TRY(asgdi_model_set_labels(m, r->source->labels, r->source->schema.classes));
    if (r->source->encoding && !m->encoding) {
        ASGD_TRY(asgdi_model_set_encoding(m, r->source->encoding));
        if (r->config->valid) ASGD_TRY(asgdi_fits(m, r->config->valid, "the validation data"));
    }
    if (!m->trained && (m->touched || m->params.seed != r->seed))
        asgdi_params_fill(&m->params, r->seed);
    m->touched = true;
    if (!m->trained && m->entry && m->entry->start) ASGD_TRY(m->entry->start(m, r->source));
    ASGD_TRY(asgdi_params_set_rule(&m->params, r->rule.kind));
    asgdi_rule_start(&r->rule, r->lr, &m->params);
    ASGD_TRY(asgdi_blocks_prepare(r, slow, out->share, sizeof out->share));
    ASGD_TRY(asgdi_share_choose(r, out->share, sizeof out->share));
    r->deferred =
        !r->alone && (r->mode == ASGD_SYNC || r->mode == ASGD_LOCKED || (slow && !r->private_rows));
    if (r->batch == 1 && m->ops.steps && !r->source->schema.dense && !r->deferred && !slow &&
        r->mode != ASGD_SYNC)
        r->in_a_row = r->private_rows && r->merge < r->super ? r->merge : r->super;
    const char *special = m->entry && m->entry->sgd_only ? m->entry->sgd_only(m->self) : NULL;
    if (special && (r->rule.kind != ASGD_RULE_sgd || r->rule.l1 > 0 || !r->in_a_row))
        return ASGD_FAIL(
            EINVAL,
            "model %s: %s needs rule sgd without l1, batch 1, mode async or sequential, and no "
            "injected delays",
            m->ops.name, special);
    ASGD_TRY(asgdi_locks_new(&r->locks, &m->params, r->n_own));
    r->leases =
        (asgdi_leases){.total   = r->total,
                       .batch   = r->batch,
                       .workers = r->workers,
                       .most = r->mode == ASGD_SYNC ? r->batch : (4096 / r->batch + 1) * r->batch};
    r->worker = asgdi_calloc(r->workers, sizeof *r->worker);
    /* in a group it is processes that back each other up */
    r->sync =
        (asgdi_sync){.active = r->workers, .backup = r->config->group ? 0 : r->config->backup};
    r->sync.part = asgdi_calloc(r->workers, sizeof *r->sync.part);
    if (!r->worker || !r->sync.part)
        return ASGD_FAIL(ENOMEM, "no memory for %u workers", r->workers);
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        double        f = r->config->straggler ? r->config->straggler[i] : 0;
        w->run          = r;
        w->id           = i;
        w->slow         = f > 1 ? f : 1;
    }
    if (r->config->pin) r->topology = asgdi_topology_new();
    return ASGD_OK;
}

/* Threads that could not be had are an error; those that were started wait for `go`. */
static asgd_status start(asgdi_run *r)
{
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        int           e = pthread_create(&w->thread, NULL, asgdi_worker_main, w);
        if (e == 0) {
            w->started = true;
            continue;
        }
        asgdi_tell(r, ASGDI_STOP);
        asgdi_store_release(&r->go, 1);
        for (uint32_t j = 0; j < i; j++) pthread_join(r->worker[j].thread, NULL);
        return ASGD_FAIL(ENOMEM, "cannot start worker %u of %u: %s", i, r->workers, strerror(e));
    }
    return ASGD_OK;
}

static asgd_status collect(asgdi_run *r, asgd_result *out)
{
    asgdi_tau tau  = {0};
    double    loss = 0, weight = 0;
    out->worker_examples = asgdi_calloc(r->workers, sizeof *out->worker_examples);
    if (!out->worker_examples) return ASGD_FAIL(ENOMEM, "no memory for the result");
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        asgdi_tau_take(&tau, &w->tau);
        out->worker_examples[i] = asgdi_load_relaxed(&w->done);
        out->merge_seconds += w->merge_seconds;
        out->damped += w->damped;
        out->updates +=
            r->mode == ASGD_SYNC && !r->alone ? asgdi_load_relaxed(&w->updates) : w->steps;
        loss += w->sums.loss;
        weight += w->sums.weight;
    }
    asgdi_tau_result(&tau, &out->staleness);
    out->online_loss = weight > 0 ? loss / weight : NAN;
    loss = weight = 0;
    /* the last epoch's worth of points */
    out->train_loss = NAN;
    for (size_t i = out->n_history; i-- > 0;) {
        const asgd_point *p      = &out->history[i];
        uint64_t          before = i ? out->history[i - 1].examples : r->before.examples;
        double            n      = (double)(p->examples - before);
        if (n > 0 && !isnan(p->train_loss)) {
            loss += n * p->train_loss;
            weight += n;
        }
        if (weight >= (double)r->examples) break;
    }
    if (weight > 0) out->train_loss = loss / weight;
    return ASGD_OK;
}

static asgd_status run_it(asgdi_run *r, asgd_result *out)
{
    asgdi_control control = {0};
    asgd_status   s;
    r->model->params.side = (asgdi_side){0};
    ASGD_TRY_GOTO(done, prepare(r, out));
    if (r->config->resume) ASGD_TRY_GOTO(done, asgdi_resume_load(r));
    ASGD_TRY_GOTO(done, asgdi_control_init(&control, r, out));
    ASGD_TRY_GOTO(done, r->config->group ? asgdi_joint_new(r) : asgdi_joint_alone(r));
    ASGD_TRY_GOTO(done, start(r));
    s                  = asgdi_control_loop(&control);
    asgd_status result = collect(r, out);
    if (!s) s = result;
    if (r->joint) asgdi_joint_result(r, out);
    r->model->trained = true;
done:
    /* also after a failure: the model must be whole */
    if (r->model->params.rule == r->rule.kind && r->rule.kind != ASGD_RULE_DEFAULT) {
        asgd_status back = asgdi_params_set_rule(&r->model->params, ASGD_RULE_DEFAULT);
        if (!s) s = back;
    }
    /* where a target was met, the parameters that met it; in a group they are kept, for the others go on */
    if (!s && control.best_kept &&
        (out->end == ASGD_END_TARGET ? r->config->group && out->evaluated
                                     : control.best_loss < out->valid.loss)) {
        for (int t = 0; t < control.best.n_tables; t++) {
            const asgdi_table *from = &control.best.table[t];
            memcpy(r->model->params.table[t].master, from->master,
                   (size_t)from->info.rows * from->stride * sizeof(float));
        }
        out->valid = control.best_metrics;
    }
    asgdi_control_free(&control);
    return s;
}

asgd_status asgd_train(asgd_model *m, asgd_source *train, const asgd_config *c, asgd_result *out)
{
    static const asgd_config defaults = {0};
    asgd_result              own      = {0};
    asgd_result             *result   = out ? out : &own;
    *result      = (asgd_result){.target_seconds = NAN, .train_loss = NAN, .online_loss = NAN};
    asgdi_run *r = asgdi_calloc(1, sizeof *r);
    if (!r) return ASGD_FAIL(ENOMEM, "no memory for a run");
    r->model  = m;
    r->source = train;
    r->config = c ? c : &defaults;
    pthread_mutex_init(&r->apply, NULL);
    asgd_status s = asgdi_fits(m, train, "the training data");
    if (!s && r->config->valid) s = asgdi_fits(m, r->config->valid, "the validation data");
    if (!s && train->schema.examples == 0)
        s = ASGD_FAIL(EINVAL, "the training data has no examples");
    if (!s) s = resolve(r);
    if (!s) {
        result->workers = r->workers;
        result->batch   = r->batch;
        result->mode    = r->mode;
        result->rule    = r->rule.kind;
        result->lr      = r->lr;
        s               = run_it(r, result);
    }
    if (!s && result->end == ASGD_END_STOPPED)
        s = ASGD_FAIL(ESTOPPED, "stopped after %.2f epochs", result->epochs);
    for (uint32_t i = 0; r->worker && i < r->workers; i++) asgdi_worker_free(&r->worker[i]);
    asgdi_topology_free(r->topology);
    asgdi_joint_free(r);
    asgdi_checkpoint_free(&r->checkpoint);
    asgdi_locks_free(r->locks);
    asgdi_blocks_free(r);
    asgdi_free(r->leases.open);
    asgdi_free(r->sync.part);
    asgdi_free(r->worker);
    pthread_mutex_destroy(&r->apply);
    asgdi_free(r);
    asgd_result_free(&own);
    return s;
}

void asgd_result_free(asgd_result *r)
{
    if (!r) return;
    asgdi_free(r->history);
    asgdi_free(r->worker_examples);
    r->history         = NULL;
    r->worker_examples = NULL;
    r->n_history       = 0;
}
