/* resume.c -- a run's state as JSON in a checkpoint's manifest, and back.
 *
 * What workers had leased but not done is listed as open ranges, so that every position of the run is
 * still done exactly once, by however many workers the resumed run has.  A worker's step number comes
 * back to the worker of the same number, as its local slots do; so one worker goes on bit for bit. */
#include "engine/resume.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/run.h"
#include "params/checkpoint.h"

/* ---- saving ---- */

static int append_range(json_t *list, uint64_t lo, uint64_t hi)
{
    if (lo >= hi) return 0;
    return json_array_append_new(list, json_pack("[I,I]", (json_int_t)lo, (json_int_t)hi));
}

/* What is not done below the last position that is. */
static json_t *gaps(const asgdi_ranges *done)
{
    json_t *list = json_array();
    int     bad  = list == NULL;
    for (uint32_t i = 0; i < done->n; i++)
        bad |= append_range(list, i ? done->range[i - 1].hi : 0, done->range[i].lo);
    if (!bad) return list;
    json_decref(list);
    return NULL;
}

static json_t *open_ranges(asgdi_run *r)
{
    json_t *list = json_array();
    int     bad  = list == NULL;
    for (uint32_t i = 0; i < r->workers; i++)
        bad |= append_range(list, r->worker[i].lease.lo, r->worker[i].lease.hi);
    for (uint32_t i = asgdi_load_relaxed(&r->leases.next_open); i < r->leases.n_open; i++)
        bad |= append_range(list, r->leases.open[i].lo, r->leases.open[i].hi);
    if (!bad) return list;
    json_decref(list);
    return NULL;
}

static json_t *steps(const asgdi_run *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < r->workers; i++)
        json_array_append_new(list, json_integer((json_int_t)r->worker[i].steps));
    return list;
}

/* The round that each strip of users is in; nothing where there are no blocks. */
static json_t *rounds(asgdi_run *r)
{
    json_t *list = r->grid.size ? json_array() : NULL;
    for (uint32_t i = 0; list && i < r->grid.size; i++)
        json_array_append_new(
            list, json_integer((json_int_t)(asgdi_load_relaxed(&r->grid.user[i].state) / 2)));
    return list;
}

/* Takes hold of open and steps. */
static json_t *state_of(asgdi_run *r, const asgdi_state *s, uint64_t next, json_t *open,
                        json_t *steps)
{
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:f, s:I, s:o?, s:I, "
        "s:I, s:I, s:o, s:o, s:o*}",
        "model", r->model->ops.name, "options", r->model->options ? r->model->options : "", "rule",
        asgd_rule_name(r->rule.kind), "seed", (json_int_t)r->seed, "batch", (json_int_t)r->batch,
        "data_examples", (json_int_t)r->examples, "nonzeros",
        (json_int_t)r->source->schema.nonzeros, "ranked", r->source->encoding != NULL, "next",
        (json_int_t)next, "examples", (json_int_t)s->examples, "dropped", (json_int_t)s->dropped,
        "seconds", s->seconds, "next_eval", (json_int_t)s->next_eval, "best_loss",
        isfinite(s->best_loss) ? json_real(s->best_loss) : NULL, "without_better",
        (json_int_t)s->without_better, "repeated", (json_int_t)(r->before.repeated + s->repeated),
        "missing", (json_int_t)(r->before.missing + s->missing), "open", open, "steps", steps,
        "rounds", rounds(r));
}

asgd_status asgdi_resume_save(asgdi_run *r, const asgdi_state *state)
{
    json_t *json =
        state_of(r, state, asgdi_load_relaxed(&r->leases.next), open_ranges(r), steps(r));
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    float *const **local = asgdi_calloc(r->workers, sizeof *local);
    asgd_status    s     = ASGD_FAIL(ENOMEM, "no memory to save a checkpoint");
    if (text && local) {
        for (uint32_t i = 0; i < r->workers; i++) local[i] = r->worker[i].priv.local;
        s = asgdi_checkpoint_save(r->config->checkpoint, &r->model->params,
                                  r->model->params.slots.local ? local : NULL, r->workers, text);
    }
    asgdi_free((void *)local);
    free(text);
    return s;
}

/* Of a group; NULL: no memory.  Slots that belong to a worker are of no use to the others, and begin anew. */
static char *text_of(asgdi_run *r, const asgdi_ranges *done, const asgdi_state *state)
{
    const uint64_t next = done->n ? done->range[done->n - 1].hi : 0;
    json_t        *json = state_of(r, state, next, gaps(done), json_array());
    char          *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(json);
    return text;
}

/* Examples that a block has learnt from in this run: in the one that has most, and in the one that has least. */
typedef struct learnt {
    uint64_t most, least;
} learnt;

static asgdi_state count_learnt(const asgdi_run *r, const asgdi_ranges *done, const learnt *l,
                                const asgdi_state *state)
{
    const uint64_t due = asgdi_ranges_count(done) - asgdi_ranges_count(&r->joint->before);
    asgdi_state    s   = *state;
    s.repeated         = l->most > due ? l->most - due : 0;
    s.missing          = l->least < due ? due - l->least : 0;
    return s;
}

asgd_status asgdi_resume_save_shared(asgdi_run *r, const asgdi_ranges *done,
                                     const asgdi_state *state)
{
    const learnt      l    = {r->joint->counts.learnt_most, r->joint->counts.learnt_least};
    const asgdi_state all  = count_learnt(r, done, &l, state);
    char             *text = text_of(r, done, &all);
    asgd_status       s    = ASGD_FAIL(ENOMEM, "no memory to save a checkpoint");
    if (text) s = asgdi_checkpoint_save(r->config->checkpoint, &r->model->params, NULL, 0, text);
    free(text);
    return s;
}

/* Of two numbers, in a part: of a range its beginning and its end, the larger one; or of a `learnt` most and least, which is
 * not larger. */
enum { WORDS = 4 };

static void put_pair(uint32_t *words, uint64_t a, uint64_t b)
{
    const uint32_t w[WORDS] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};
    memcpy(words, w, sizeof w);
}

static learnt learnt_by(const asgdi_snapshot *part, uint32_t size)
{
    learnt l = {0, UINT64_MAX};
    for (uint32_t i = 0; i < part->n; i++) {
        uint64_t sum = 0;
        for (uint32_t q = 0; q < size; q++) sum += part->included[(size_t)i * size + q];
        if (sum > l.most) l.most = sum;
        if (sum < l.least) l.least = sum;
    }
    return l;
}

asgd_status asgdi_resume_save_part(asgdi_run *r, const asgdi_snapshot *part, asgdi_part *out)
{
    const asgdi_ranges *d     = part->done;
    const learnt        l     = learnt_by(part, asgd_group_size(r->config->group));
    uint32_t           *words = asgdi_calloc(((size_t)d->n + 1) * WORDS, sizeof *words);
    size_t              n     = 0;
    if (!words) return ASGD_FAIL(ENOMEM, "no memory to save a checkpoint");
    for (uint32_t i = 0; i < d->n; i++, n += WORDS)
        put_pair(words + n, d->range[i].lo, d->range[i].hi);
    if (part->n) { /* else it has learnt nothing */
        put_pair(words + n, l.most, l.least);
        n += WORDS;
    }
    out->process        = asgd_group_process(r->config->group);
    const asgd_status s = asgdi_part_write(r->config->checkpoint, part->number, &r->model->params,
                                           part->piece, part->n, part->rows, words, n, out);
    asgdi_free(words);
    return s;
}

static asgd_status add_pairs(const asgdi_run *r, const uint32_t *words, size_t n,
                             asgdi_ranges *done, learnt *l)
{
    for (size_t i = 0; i + WORDS <= n; i += WORDS) {
        const asgdi_range one = {words[i] | (uint64_t)words[i + 1] << 32,
                                 words[i + 2] | (uint64_t)words[i + 3] << 32};
        if (one.lo >= one.hi) {
            if (one.lo > l->most) l->most = one.lo;
            if (one.hi < l->least) l->least = one.hi;
            continue;
        }
        if (one.hi > r->total)
            return ASGD_FAIL(EFORMAT, "%s: a part is not of this run", r->config->checkpoint);
        if (!asgdi_ranges_add(done, one))
            return ASGD_FAIL(ENOMEM, "no memory to save a checkpoint");
    }
    return ASGD_OK;
}

asgd_status asgdi_resume_save_parts(asgdi_run *r, uint64_t number, const asgdi_part *part,
                                    uint32_t n, const asgdi_state *state)
{
    const char   *folder = r->config->checkpoint;
    asgdi_params *p      = &r->model->params;
    asgdi_ranges  done   = {0};
    uint32_t     *words  = NULL;
    learnt        l      = {0, UINT64_MAX};
    size_t        n_words;
    ASGD_TRY(asgdi_checkpoint_check(folder, number, p, part, n, &words, &n_words));
    asgd_status s   = add_pairs(r, words, n_words, &done, &l);
    asgdi_state all = count_learnt(r, &done, &l, state);
    all.examples    = asgdi_ranges_count(&done);
    char *text      = s ? NULL : text_of(r, &done, &all);
    if (!s && !text) s = ASGD_FAIL(ENOMEM, "no memory to save a checkpoint");
    if (!s) s = asgdi_checkpoint_commit(folder, number, p, part, n, text);
    free(text);
    asgdi_free(words);
    asgdi_ranges_free(&done);
    return s;
}

asgd_status asgdi_resume_done(const asgdi_run *r, asgdi_ranges *out)
{
    const asgdi_leases *l    = &r->leases;
    const uint64_t      next = atomic_load_explicit((asgdi_u64 *)&l->next, memory_order_relaxed);
    bool                good = asgdi_ranges_add(out, (asgdi_range){0, next});
    for (uint32_t i = 0; i < l->n_open && good; i++) good = asgdi_ranges_remove(out, l->open[i]);
    return good ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory to resume");
}

/* ---- loading ---- */

static uint64_t whole(const json_t *state, const char *key)
{
    json_int_t i = json_integer_value(json_object_get(state, key));
    return i > 0 ? (uint64_t)i : 0;
}

static asgd_status same_text(const asgdi_run *r, const json_t *state, const char *key,
                             const char *ours)
{
    const char *theirs = json_string_value(json_object_get(state, key));
    if (theirs && strcmp(theirs, ours) == 0) return ASGD_OK;
    return ASGD_FAIL(EMISMATCH,
                     "%s: the checkpoint's %s is \"%s\", this run's \"%s\": give the same, or "
                     "another checkpoint folder",
                     r->config->checkpoint, key, theirs ? theirs : "missing", ours);
}

static asgd_status same_number(const asgdi_run *r, const json_t *state, const char *key,
                               uint64_t ours)
{
    uint64_t theirs = (uint64_t)json_integer_value(json_object_get(state, key));
    if (theirs == ours) return ASGD_OK;
    return ASGD_FAIL(EMISMATCH,
                     "%s: the checkpoint's %s is %llu, this run's %llu: give the same, or "
                     "another checkpoint folder",
                     r->config->checkpoint, key, (unsigned long long)theirs,
                     (unsigned long long)ours);
}

static asgd_status load_ranges(asgdi_run *r, const json_t *list)
{
    size_t n       = json_array_size(list);
    r->leases.open = asgdi_calloc(n, sizeof *r->leases.open);
    if (!r->leases.open) return ASGD_FAIL(ENOMEM, "no memory to resume");
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        json_int_t    lo   = json_integer_value(json_array_get(pair, 0));
        json_int_t    hi   = json_integer_value(json_array_get(pair, 1));
        if (lo < 0 || lo >= hi || (uint64_t)hi > asgdi_load_relaxed(&r->leases.next))
            return ASGD_FAIL(EFORMAT, "%s: the checkpoint's list of open examples is damaged",
                             r->config->checkpoint);
        r->leases.open[i] = (asgdi_range){(uint64_t)lo, (uint64_t)hi};
    }
    r->leases.n_open = (uint32_t)n;
    return ASGD_OK;
}

static asgd_status load_rounds(asgdi_run *r, const json_t *list)
{
    const size_t n = json_array_size(list);
    if (n == 0 && r->grid.size == 0) return ASGD_OK;
    if (n != r->grid.size)
        return ASGD_FAIL(
            EMISMATCH,
            "%s: the checkpoint is of a run with %zu strips of blocks, this one has %u: give "
            "the same --blocks and --share, on a machine with the same caches",
            r->config->checkpoint, n, r->grid.size);
    uint64_t round[ASGDI_GRID_MAX];
    for (size_t i = 0; i < n; i++) {
        const json_int_t x = json_integer_value(json_array_get(list, i));
        round[i]           = x < 0 ? UINT64_MAX : (uint64_t)x;
    }
    asgd_status s = asgdi_grid_set(&r->grid, round);
    return s == ASGD_OK ? s : asgdi_fail(s, "%s: %s", r->config->checkpoint, asgd_errmsg());
}

static asgd_status take_state(asgdi_run *r, const json_t *state)
{
    ASGD_TRY(same_text(r, state, "model", r->model->ops.name));
    ASGD_TRY(same_text(r, state, "options", r->model->options ? r->model->options : ""));
    ASGD_TRY(same_text(r, state, "rule", asgd_rule_name(r->rule.kind)));
    ASGD_TRY(same_number(r, state, "seed", r->seed));
    ASGD_TRY(same_number(r, state, "batch", r->batch));
    ASGD_TRY(same_number(r, state, "data_examples", r->examples));
    ASGD_TRY(same_number(r, state, "nonzeros", r->source->schema.nonzeros));
    if (json_is_true(json_object_get(state, "ranked")) != (r->source->encoding != NULL))
        return ASGD_FAIL(EMISMATCH,
                         "%s: the checkpoint numbers features otherwise: rank_features differs",
                         r->config->checkpoint);
    const json_t *best       = json_object_get(state, "best_loss");
    r->before.examples       = whole(state, "examples");
    r->before.dropped        = whole(state, "dropped");
    r->before.seconds        = json_number_value(json_object_get(state, "seconds"));
    r->before.next_eval      = whole(state, "next_eval");
    r->before.best_loss      = json_is_number(best) ? json_number_value(best) : NAN;
    r->before.without_better = (uint32_t)whole(state, "without_better");
    r->before.repeated       = whole(state, "repeated");
    r->before.missing        = whole(state, "missing");
    asgdi_store_relaxed(&r->leases.next, whole(state, "next"));
    const json_t *list = json_object_get(state, "steps");
    size_t        n    = json_array_size(list);
    for (uint32_t i = 0; n && i < r->workers; i++)
        r->worker[i].steps = (uint64_t)json_integer_value(json_array_get(list, i % n));
    ASGD_TRY(load_rounds(r, json_object_get(state, "rounds")));
    return load_ranges(r, json_object_get(state, "open"));
}

/* Weights that are computed from slots.  Owners of masters do not: it is left to who uses them. */
static void derive(asgdi_run *r)
{
    asgdi_params *p = &r->model->params;
    for (int t = 0; t < p->n_tables && p->slots.w == ASGDK_DERIVED; t++) {
        const asgdi_table *x = &p->table[t];
        asgdk_step         step;
        asgdi_rule_step(&r->rule, r->lr, 1, &step);
        if (x->info.flags & ASGD_TABLE_NO_DECAY) step.l1 = step.l2 = 0;
        for (uint64_t row = 0; row < x->info.rows; row++)
            asgdk_rule_derive(p->rule, x->master + row * x->stride, x->pad, &step);
    }
}

asgd_status asgdi_resume_load(asgdi_run *r)
{
    const char *folder = r->config->checkpoint;
    if (!asgdi_checkpoint_exists(folder)) return ASGD_OK;
    ASGD_TRY(asgdi_checkpoint_load(folder, &r->model->params, &r->checkpoint));
    if (r->checkpoint.masters) derive(r);
    json_t     *state = json_loads(r->checkpoint.state, 0, NULL);
    asgd_status s     = json_is_object(state)
                            ? take_state(r, state)
                            : ASGD_FAIL(EFORMAT, "%s: the checkpoint's state is damaged", folder);
    json_decref(state);
    return s;
}
