/* control.c -- the control loop, on the thread that called asgd_train(): everything slow happens here
 * while the workers run.  It adds up counters, reports, evaluates, saves, and decides when to stop.
 *
 * Where one worker runs, or in sync mode, workers wait at a gate while the parameters are evaluated, so
 * that a run has the same result every time; otherwise a snapshot is evaluated while they go on.
 *
 * In a group every process has this loop, and the one that speaks reports, evaluates and decides; all
 * look at their own loss.  Workers then are stopped by the group's thread when the run is over in all
 * processes, and what is to end it is asked for there. */
#include "engine/control.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/eval.h"
#include "engine/resume.h"

static double read_double(asgdi_u64 *from)
{
    uint64_t bits = asgdi_load_relaxed(from);
    double   v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static asgdi_sums add_up(asgdi_run *r)
{
    asgdi_sums s = {.ended = true};
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w     = &r->worker[i];
        double        ended = read_double(&w->ended_at);
        s.ended             = s.ended && ended > 0;
        if (ended > s.ended_at) s.ended_at = ended;
        s.examples += asgdi_load_acquire(&w->done);
        s.dropped += asgdi_load_relaxed(&w->dropped);
        s.updates += asgdi_load_relaxed(&w->updates);
        s.loss += read_double(&w->loss);
        s.weight += read_double(&w->weight);
        s.tau_sum += read_double(&w->tau_sum);
        s.tau_count += read_double(&w->tau_count);
    }
    s.examples += r->before.examples;
    s.dropped += r->before.dropped;
    if (r->joint) { /* examples that others did again, after a process was lost, are over the total */
        s.examples = r->before.examples + asgdi_load_relaxed(&r->joint->examples);
        if (s.examples > r->total) s.examples = r->total;
    }
    return s;
}

static bool speaks(const asgdi_run *r)
{
    return asgd_group_speaks(r->config->group);
}

static double seconds_at(const asgdi_control *c, double now)
{
    return now - c->began - c->waited + c->run->before.seconds;
}

static void end(asgdi_control *c, asgd_end why)
{
    if (c->ending) return;
    c->ending      = true;
    c->result->end = why;
    if (c->run->joint)
        asgdi_joint_stop(c->run, why);
    else
        asgdi_tell(c->run, ASGDI_STOP);
}

/* ---- points ---- */

static asgd_status add_point(asgdi_control *c, const asgdi_sums *s, double seconds,
                             const asgd_metrics *m)
{
    asgdi_run        *r    = c->run;
    const asgdi_sums *last = &c->point_sums;
    double            dw = s->weight - last->weight, dt = seconds - c->point_seconds;
    double            done = (double)s->examples / (double)r->total;
    asgd_point        p    = {
                  .seconds    = seconds,
                  .examples   = s->examples,
                  .epochs     = (double)s->examples / (double)r->examples,
                  .train_loss = dw > 0 ? (s->loss - last->loss) / dw : NAN,
                  .lr         = r->lr * asgdi_schedule(r->schedule, r->warmup, done < 1 ? done : 1),
                  .rate       = dt > 0 ? (double)(s->examples - last->examples) / dt : 0,
                  .total      = (double)r->total,
                  .evaluated  = m != NULL,
                  .staleness  = s->tau_count > 0 ? s->tau_sum / s->tau_count : 0,
    };
    if (m) p.valid = *m;
    if (r->joint) p.interventions = asgdi_load_relaxed(&r->joint->interventions);
    void *history = c->result->history;
    if (!asgdi_grow(&history, &c->capacity, c->result->n_history + 1, sizeof p))
        return ASGD_FAIL(ENOMEM, "no memory for the run's history");
    c->result->history                         = history;
    c->result->history[c->result->n_history++] = p;
    c->point_seconds                           = seconds;
    c->point_sums                              = *s;
    if (speaks(r) && r->config->observe && r->config->observe(&p, r->config->user) != 0)
        end(c, ASGD_END_STOPPED);
    return ASGD_OK;
}

/* ---- evaluation and what follows from it ---- */

/* Tables like the model's, for w alone; made when first needed, as a large model may never need them. */
static asgd_status make_copy(const asgdi_run *r, asgdi_params *copy)
{
    const asgdi_params *p = &r->model->params;
    asgd_table          tables[ASGD_MAX_TABLES];
    if (copy->n_tables) return ASGD_OK;
    for (int t = 0; t < p->n_tables; t++) {
        tables[t]      = p->table[t].info;
        tables[t].init = ASGD_INIT_ZERO;
    }
    return asgdi_params_init(copy, tables, p->n_tables, 0);
}

static asgd_status keep_best(asgdi_control *c, const asgdi_params *now, const asgd_metrics *m)
{
    ASGD_TRY(make_copy(c->run, &c->best));
    for (int t = 0; t < now->n_tables; t++) {
        const asgdi_table *from = &now->table[t], *to = &c->best.table[t];
        for (uint64_t row = 0; row < from->info.rows; row++)
            memcpy(to->master + row * to->stride, from->master + row * from->stride,
                   from->pad * sizeof(float));
    }
    c->best_loss      = m->loss;
    c->best_metrics   = *m;
    c->best_kept      = true;
    c->without_better = 0;
    return ASGD_OK;
}

/* still: no worker is writing, so that the parameters themselves can be evaluated. */
static asgd_status evaluate(asgdi_control *c, const asgdi_sums *s, double seconds, uint32_t threads,
                            bool still)
{
    asgdi_run          *r   = c->run;
    const asgd_config  *g   = r->config;
    const asgdi_params *now = &r->model->params;
    asgd_metrics        m;
    if (!still) {
        ASGD_TRY(make_copy(r, &c->snapshot));
        asgdi_params_snapshot(now, r->locks, r->n_own, r->k, &c->snapshot);
        now = &c->snapshot;
    }
    if (r->model->task == ASGD_TASK_RANKING && r->source->rating) {
        if (!c->ranking.held.start) ASGD_TRY(asgdi_ranking_init(&c->ranking, g->valid, r->source));
        ASGD_TRY(asgdi_ranking_evaluate(&c->ranking, r->model, now, 10, threads, &m));
    } else {
        ASGD_TRY(asgdi_evaluate(r->model, now, g->valid, threads, &m, NULL));
    }
    c->result->evaluated = true;
    c->result->valid     = m;
    ASGD_TRY(add_point(c, s, seconds, &m));
    if (c->target_better) {
        double v = asgd_metric_get(&m, c->target, NULL);
        if (c->target_better > 0 ? v >= c->target_value : v <= c->target_value) {
            if (isnan(c->result->target_seconds)) c->result->target_seconds = seconds;
            end(c, ASGD_END_TARGET);
            c->target_kept = r->joint != NULL; /* others go on till they hear of it */
            if (c->target_kept) return keep_best(c, now, &m);
        }
    }
    if (r->patience && (!c->best_kept || m.loss < c->best_loss)) return keep_best(c, now, &m);
    if (r->patience && ++c->without_better >= r->patience) end(c, ASGD_END_PATIENCE);
    return ASGD_OK;
}

/* Of a group whose guard has something to do. */
static asgd_status look_at_guard(asgdi_control *c, const asgdi_sums *s)
{
    const asgdi_run *r       = c->run;
    asgdi_joint     *j       = r->joint;
    const uint32_t   already = asgdi_load_relaxed(&j->interventions);
    if (already > c->interventions) {
        c->interventions = already;
        if (!c->ending) ASGD_TRY(add_point(c, s, seconds_at(c, asgdi_now()), NULL));
    }
    if (!asgdi_load_relaxed(&j->hopeless)) return ASGD_OK;
    return ASGD_FAIL(
        EDIVERGED,
        "training diverged with lr %g, %u processes: the guard made deltas count less, kept "
        "processes together and went back %u times to a good state, in vain; try lr %g, or a "
        "warmup of 0.1, or fewer processes",
        r->lr, asgd_group_size(r->config->group), already > 2 ? already - 2 : 0, r->lr / 10);
}

static asgd_status look_at_loss(asgdi_control *c, const asgdi_sums *s)
{
    const asgdi_run *r  = c->run;
    double           dw = s->weight - c->loss_sums.weight;
    if (r->guarded) return look_at_guard(c, s);
    if (!(dw > 0) && !isnan(s->loss)) return ASGD_OK;
    double mean  = (s->loss - c->loss_sums.loss) / dw;
    c->loss_sums = *s;
    double first = INFINITY; /* before it could grow */
    for (uint32_t i = 0; i < r->workers; i++) {
        double of = read_double(&c->run->worker[i].first_loss);
        if (of > 0) first = fmin(first, of);
    }
    if (isfinite(mean) && mean < 100 * fmax(isfinite(first) ? first : 1, 1)) return ASGD_OK;
    return ASGD_FAIL(
        EDIVERGED,
        "training diverged: the loss is %g after %llu examples with lr %g, %u workers; try "
        "lr %g, or a warmup of 0.1, or fewer workers",
        mean, (unsigned long long)s->examples, r->lr, r->workers, r->lr / 10);
}

/* ---- pausing ---- */

static asgd_status save_checkpoint(asgdi_control *c)
{
    asgdi_run *r = c->run;
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        for (uint32_t round = 0; !asgdi_load_acquire(&w->ended) &&
                                 asgdi_load_acquire(&w->paused) != asgdi_load_relaxed(&r->ticket);)
            asgdi_backoff(&round);
    }
    asgdi_sums  s     = add_up(r);
    asgdi_state state = {.examples       = s.examples,
                         .dropped        = s.dropped,
                         .seconds        = seconds_at(c, s.ended ? s.ended_at : asgdi_now()),
                         .next_eval      = c->next_eval,
                         .best_loss      = c->best_kept ? c->best_loss : NAN,
                         .without_better = c->without_better};
    return asgdi_resume_save(r, &state);
}

static asgd_status checkpoint_now(asgdi_control *c)
{
    asgdi_add_acq_rel(&c->run->ticket, 1);
    asgdi_tell(c->run, ASGDI_PAUSE);
    asgd_status s = save_checkpoint(c);
    if (!c->ending) asgdi_untell(c->run, ASGDI_PAUSE);
    c->saved_at = asgdi_now();
    return s;
}

/* ---- checkpoints of a group: of a snapshot of what all have learnt, while they go on ---- */

static asgdi_state state_of_all(const asgdi_control *c)
{
    return (asgdi_state){.seconds        = seconds_at(c, asgdi_now()),
                         .next_eval      = c->next_eval,
                         .best_loss      = c->best_kept ? c->best_loss : NAN,
                         .without_better = c->without_better};
}

static void notify(const asgdi_control *c, const char *what, const char *why)
{
    const asgd_config *g = c->run->config;
    char               text[700];
    if (!g->notice) return;
    snprintf(text, sizeof text, "%s%s", what, why);
    g->notice(text, g->user);
}

/* By any process.  The others are told if it cannot; that is no reason to end the run. */
static void write_part(asgdi_control *c)
{
    asgdi_part            out  = {0};
    const asgdi_snapshot *part = asgdi_joint_part(c->run);
    if (!part) return;
    const asgd_status s = asgdi_resume_save_part(c->run, part, &out);
    if (s) notify(c, "this process's part of a checkpoint: ", asgd_errmsg());
    asgdi_joint_part_written(c->run, s == ASGD_OK, &out);
}

/* ELOST: the checkpoint is another side's, which goes on with more processes; to go on beside it would be for nothing. */
static asgd_status commit_parts(asgdi_control *c)
{
    const asgdi_joint *j       = c->run->joint;
    const asgdi_state  state   = state_of_all(c);
    c->run->model->params.side = asgdi_joint_side(c->run);
    const asgd_status s =
        asgdi_resume_save_parts(c->run, j->snapshot, j->parts, j->n_parts, &state);
    if (s == ASGD_ELOST) return s;
    if (s)
        notify(
            c,
            "no checkpoint was made, the last one stays (all processes have to see one folder): ",
            asgd_errmsg());
    else
        c->saved_any = true;
    return ASGD_OK;
}

static asgd_status checkpoint_shared(asgdi_control *c, double now, double every)
{
    uint64_t number;
    write_part(c);
    if (!speaks(c->run)) return ASGD_OK;
    if (c->asked) {
        const asgdi_snapshot_state state = asgdi_joint_snapshot(c->run);
        if (state == ASGDI_SNAPSHOT_UNDER_WAY) return ASGD_OK;
        if (state == ASGDI_SNAPSHOT_WHOLE)
            ASGD_TRY(commit_parts(c));
        else
            notify(c, "no checkpoint was made, the last one stays: ",
                   "a process was lost or could not write its part, or all went back meanwhile");
        c->asked = false;
        /* without one for longer than need be is what is not wanted now */
        c->saved_at = asgdi_now() - (state == ASGDI_SNAPSHOT_WHOLE ? 0 : 0.75 * every);
    }
    if (now - c->saved_at < every) return ASGD_OK;
    const asgdi_side  side = asgdi_joint_side(c->run);
    const asgd_status s    = asgdi_checkpoint_begin(c->run->config->checkpoint, &side, &number);
    if (s) {
        if (!c->saved_any || s == ASGD_ELOST) return s;
        notify(c, "no checkpoint was made, the last one stays: ", asgd_errmsg());
        c->saved_at = now;
        return ASGD_OK;
    }
    asgdi_joint_ask_snapshot(c->run, number);
    c->asked = true;
    return ASGD_OK;
}

/* ---- the loop ---- */

static asgd_status wait_until_ready(asgdi_run *r)
{
    asgd_status s = ASGD_OK;
    for (uint32_t i = 0; i < r->workers; i++) {
        asgdi_worker *w = &r->worker[i];
        for (uint32_t round = 0; !asgdi_load_acquire(&w->ready);) asgdi_backoff(&round);
        if (w->status && !s) s = asgdi_fail(w->status, "%s", w->message);
    }
    return s;
}

static void open_gate(asgdi_control *c, uint64_t at)
{
    asgdi_run *r = c->run;
    asgdi_store_release(&r->leases.gate, at < r->total ? at : r->total);
    if (r->grid.size)
        asgdi_store_release(&r->grid.gate,
                            at < r->total ? at / r->examples * r->grid.size : r->grid.rounds);
}

static asgd_status loop(asgdi_control *c)
{
    asgdi_run         *r            = c->run;
    const asgd_config *g            = r->config;
    double             report_every = g->report_every > 0 ? g->report_every : 0.5;
    double             save_every   = g->checkpoint_every > 0 ? g->checkpoint_every : 60;
    for (;;) {
        double     now     = asgdi_now();
        asgdi_sums s       = add_up(r);
        double     seconds = seconds_at(c, now);
        ASGD_TRY(look_at_loss(c, &s));
        if (s.ended) return ASGD_OK;
        if (g->stop && *g->stop) end(c, ASGD_END_STOPPED);
        if (g->max_seconds > 0 && seconds >= g->max_seconds && speaks(r)) end(c, ASGD_END_SECONDS);
        if (r->joint && asgdi_load_relaxed(&r->joint->stopped)) c->ending = true;
        if (!c->ending) {
            bool due = s.examples >= c->next_eval && s.examples < r->total;
            if (due) {
                if (g->valid && speaks(r))
                    ASGD_TRY(evaluate(c, &s, seconds, c->gated ? 0 : 1, c->gated));
                else
                    ASGD_TRY(add_point(c, &s, seconds, NULL));
                while (c->next_eval <= s.examples) c->next_eval += c->eval_every;
                if (c->gated) c->waited += asgdi_now() - now;
                if (c->gated && !c->ending) open_gate(c, c->next_eval);
            } else if (seconds - c->point_seconds >= report_every) {
                ASGD_TRY(add_point(c, &s, seconds, NULL));
            }
            if (!c->ending && g->checkpoint && r->joint)
                ASGD_TRY(checkpoint_shared(c, now, save_every));
            else if (!c->ending && g->checkpoint && now - c->saved_at >= save_every)
                ASGD_TRY(checkpoint_now(c));
        }
        if (r->joint) asgdi_joint_watch(r);
        asgdi_sleep(c->gated ? 200e-6 : 2e-3);
    }
}

/* In a group: until all have found each other. */
static asgd_status join_others(asgdi_control *c)
{
    asgdi_run *r = c->run;
    ASGD_TRY(asgdi_joint_begin(r));
    while (asgdi_load_acquire(&r->joint->stage) == ASGDI_JOINING) {
        if (r->config->stop && *r->config->stop)
            return ASGD_FAIL(ESTOPPED, "stopped before the other processes had come");
        asgdi_joint_watch(r);
        asgdi_sleep(200e-6);
    }
    return ASGD_OK;
}

/* s: how the loop ended.  The parameters are those of all afterwards. */
static asgd_status leave_others(asgdi_control *c, asgd_status s)
{
    asgdi_run     *r = c->run;
    char           message[512];
    const bool     join = s && asgdi_load_acquire(&r->joint->stage) == ASGDI_JOINING;
    const uint32_t self = asgd_group_process(r->config->group);
    snprintf(message, sizeof message, "%s", asgd_errmsg());
    if (s) asgdi_joint_stop(r, ASGDI_WHY_FAILED | (uint32_t)s | self << 16);
    const asgd_status theirs = asgdi_joint_end(r, !join);
    const uint32_t    why    = asgdi_load_relaxed(&r->joint->stopped);
    if (!(why & ASGDI_WHY_FAILED)) c->result->end = (asgd_end)why;
    return s ? asgdi_fail(s, "%s", message) : theirs;
}

asgd_status asgdi_control_loop(asgdi_control *c)
{
    asgdi_run  *r = c->run;
    asgd_status s = wait_until_ready(r);
    if (c->gated)
        open_gate(c, c->next_eval);
    else
        open_gate(c, r->total);
    if (!s && r->joint) s = join_others(c);
    if (s) asgdi_tell(r, ASGDI_STOP);
    c->began = c->saved_at = asgdi_now();
    c->point_seconds       = r->before.seconds;
    c->point_sums.examples = r->before.examples;
    asgdi_store_release(&r->go, 1);
    if (!s) s = loop(c);
    if (s && r->joint) s = leave_others(c, s); /* workers go on until all know */
    if (s) asgdi_tell(r, ASGDI_STOP);
    for (uint32_t i = 0; i < r->workers; i++)
        if (r->worker[i].started) pthread_join(r->worker[i].thread, NULL);
    if (!s && r->joint) s = leave_others(c, s);
    asgdi_sums sums = add_up(r);
    /* a lost process may have done more than it could say */
    if (!s && r->joint && c->result->end == ASGD_END_EPOCHS) sums.examples = r->total;
    c->result->seconds  = seconds_at(c, r->joint ? asgdi_now() : sums.ended_at);
    c->result->examples = sums.examples - sums.dropped;
    c->result->dropped  = sums.dropped;
    c->result->epochs   = (double)sums.examples / (double)r->examples;
    if (s) return s;
    if (r->config->checkpoint && r->joint) {
        asgdi_state state = state_of_all(c);
        state.examples    = asgdi_ranges_count(&r->joint->done);
        if (speaks(r)) ASGD_TRY(asgdi_resume_save_shared(r, &r->joint->done, &state));
    } else if (r->config->checkpoint) {
        ASGD_TRY(save_checkpoint(c));
    }
    if (c->result->end == ASGD_END_TARGET && (!r->joint || c->target_kept))
        return ASGD_OK; /* evaluated when it was reached */
    if (r->config->valid && speaks(r)) return evaluate(c, &sums, c->result->seconds, 0, true);
    return add_point(c, &sums, c->result->seconds, NULL);
}

static asgd_status parse_target(asgdi_control *c, const char *text)
{
    const char *equals = strchr(text, '=');
    char       *stop   = NULL;
    if (equals && (size_t)(equals - text) < sizeof c->target) {
        asgd_metrics none = {0};
        memcpy(c->target, text, (size_t)(equals - text));
        c->target_value = strtod(equals + 1, &stop);
        (void)asgd_metric_get(&none, c->target, &c->target_better);
    }
    if (!c->target_better || !stop || stop == equals + 1 || *stop || !isfinite(c->target_value))
        return ASGD_FAIL(EINVAL,
                         "target \"%s\": write METRIC=VALUE with one of loss, accuracy, error, "
                         "auc, logloss, rmse, for example accuracy=0.97",
                         text);
    if (!c->run->config->valid)
        return ASGD_FAIL(EINVAL, "target %s needs validation data to be measured on", text);
    return ASGD_OK;
}

asgd_status asgdi_control_init(asgdi_control *c, asgdi_run *run, asgd_result *result)
{
    const asgd_config *g = run->config;
    *c                   = (asgdi_control){.run = run, .result = result, .best_loss = NAN};
    c->gated             = run->grid.size ? g->valid != NULL : run->alone || run->mode == ASGD_SYNC;
    if (g->group) c->gated = false; /* other processes would not stand still */
    double every  = g->eval_every > 0 ? g->eval_every : (double)run->examples;
    c->eval_every = every < 1 ? 1 : every > 1e18 ? (uint64_t)1e18 : (uint64_t)every;
    if (run->grid.size) /* whole epochs: blocks are done in no other order */
        c->eval_every += (run->examples - c->eval_every % run->examples) % run->examples;
    c->next_eval = c->eval_every;
    if (run->before.examples) {
        c->next_eval      = run->before.next_eval;
        c->best_loss      = run->before.best_loss;
        c->without_better = run->before.without_better;
    }
    if (g->target) ASGD_TRY(parse_target(c, g->target));
    if (g->patience && g->patience != ASGD_NEVER && !g->valid)
        return ASGD_FAIL(EINVAL, "patience needs validation data to be measured on");
    return ASGD_OK;
}

void asgdi_control_free(asgdi_control *c)
{
    asgdi_params_free(&c->snapshot);
    asgdi_params_free(&c->best);
    asgdi_ranking_free(&c->ranking);
}
