/* joint.c -- a run of a group, seen from the run: its beginning and its end, and what it asks the group's thread for
 * meanwhile. */
#include "engine/joint.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "engine/group.h"
#include "engine/run.h"

static const double POLL_SECONDS  = 500e-6;
static const double STALL_SECONDS = 10;

enum { WHERE_BYTES = 200 }; /* a process, of the text that says where everybody is */

_Static_assert((int)ASGD_TAU_BUCKETS == (int)ASGDI_TAU_BUCKETS, "one histogram");

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_row_reader *reader = user;
    if (reader->access) asgdi_access_read(reader->access, table, first, n, to);
}

static asgd_status prepare_watch(const asgdi_run *r, double dead_after)
{
    const asgd_config *c = r->config;
    asgdi_joint       *j = r->joint;
    /* a process that has died is given up before that, and one that never comes too */
    j->stall_after = c->stall_after > 0 ? c->stall_after : fmax(STALL_SECONDS, 3 * dead_after);
    j->parts       = asgdi_calloc(asgd_group_size(c->group), sizeof *j->parts);
    if (!j->parts) return ASGD_FAIL(ENOMEM, "no memory for a run of a group");
    if (!c->notice) return ASGD_OK;
    j->text_bytes = ((size_t)asgd_group_size(c->group) + 1) * WHERE_BYTES;
    j->text       = asgdi_calloc(1, j->text_bytes);
    return j->text ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory for a run of a group");
}

asgd_status asgdi_joint_new(asgdi_run *r)
{
    asgdi_params         *p   = &r->model->params;
    asgdi_exchange_config set = {0};
    ASGD_TRY(asgdi_joint_config(r, &set));
    asgdi_joint *j = r->joint = asgdi_calloc(1, sizeof *j);
    if (j) j->reader = asgdi_calloc(1, sizeof *j->reader);
    if (!j || !j->reader) return ASGD_FAIL(ENOMEM, "no memory for a run of a group");
    asgdk_step step;
    asgdi_rule_step(&r->rule, r->lr, 1, &step);
    j->run        = r;
    j->rate_least = asgdi_joint_rate_least(r);
    r->bounded    = true;
    r->guarded    = set.guard > 0;
    ASGD_TRY(asgdi_access_init(&j->access, p, r->locks, r->n_own, r->k, &step));
    j->reader->access = &j->access;
    asgdi_store_relaxed(&j->stock.most, r->batch * (r->batch < 64 ? 64 / r->batch : 1));
    r->leases.stock     = &j->stock;
    asgdi_ranges done   = {0};
    j->number           = set.run;
    const asgdi_set all = asgdi_set_first(set.size);
    for (int i = 0; i < ASGDI_SET_WORDS; i++) asgdi_store_relaxed(&j->in[i], all.word[i]);
    ASGD_TRY(prepare_watch(r, set.dead_after));
    asgd_status s = asgdi_resume_done(r, &done);
    set.done      = &done;
    if (!s) s = asgdi_exchange_new(&j->exchange, &set, p, read_rows, j->reader);
    j->before = done;
    return s;
}

void asgdi_joint_free(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    if (!j) return;
    asgdi_exchange_free(j->exchange);
    asgdi_free(j->reader);
    asgdi_free(j->text);
    asgdi_free(j->parts);
    asgdi_access_free(&j->access);
    asgdi_ranges_free(&j->done);
    asgdi_ranges_free(&j->before);
    asgdi_free(j);
    r->joint = NULL;
}

/* ---- the run ---- */

asgd_status asgdi_joint_begin(asgdi_run *r)
{
    ASGD_TRY(asgdi_group_drive(r->config->group, r->joint));
    r->joint->driven = true;
    return ASGD_OK;
}

void asgdi_joint_stop(asgdi_run *r, uint32_t why)
{
    uint32_t none = 0;
    (void)atomic_compare_exchange_strong(&r->joint->stop, &none, why);
}

/* What another process failed with. */
static asgd_status failed_there(const asgdi_run *r, uint32_t why)
{
    const asgd_status s       = (asgd_status)(why & 0xff);
    const uint32_t    process = why >> 16;
    if (process == asgd_group_process(r->config->group)) return ASGD_OK; /* known better here */
    return asgdi_fail(s, "process %u ended the run of all: %s", process, asgd_strerror(s));
}

asgd_status asgdi_joint_end(asgdi_run *r, bool wait)
{
    asgdi_joint *j = r->joint;
    if (!j->driven) return ASGD_OK;
    while (wait && asgdi_load_acquire(&j->stage) < ASGDI_FINISHED) {
        asgdi_joint_watch(r);
        asgdi_sleep(POLL_SECONDS);
    }
    asgdi_joint_watch(r);
    const uint32_t stage = asgdi_load_acquire(&j->stage), why = asgdi_load_acquire(&j->stopped);
    asgdi_store_release(&j->leave, 1);
    while (!asgdi_load_acquire(&j->let_go)) asgdi_sleep(POLL_SECONDS);
    j->exchange           = NULL; /* the group's, for the other processes */
    j->reader             = NULL;
    r->model->params.side = asgdi_joint_side(r);
    if (stage == ASGDI_OUT)
        return ASGD_FAIL(ELOST, "the other processes go on without this one: %s", j->why);
    if (stage == ASGDI_FAILED)
        return asgdi_fail(j->unlike ? ASGD_EMISMATCH : ASGD_ELOST, "%s", j->why);
    return why & ASGDI_WHY_FAILED ? failed_there(r, why) : ASGD_OK;
}

void asgdi_joint_watch(asgdi_run *r)
{
    asgdi_joint   *j     = r->joint;
    const uint32_t stall = asgdi_load_acquire(&j->stall);
    if (stall == asgdi_load_relaxed(&j->stall_told)) return;
    r->config->notice(j->text, r->config->user);
    asgdi_store_release(&j->stall_told, stall);
}

asgdi_side asgdi_joint_side(const asgdi_run *r)
{
    asgdi_side s = {.run = r->joint->number};
    for (int i = 0; i < ASGDI_SET_WORDS; i++) s.in.word[i] = asgdi_load_relaxed(&r->joint->in[i]);
    return s;
}

void asgdi_joint_ask_snapshot(asgdi_run *r, uint64_t number)
{
    asgdi_store_release(&r->joint->snapshot_asked, number);
}

asgdi_snapshot_state asgdi_joint_snapshot(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    if (asgdi_load_acquire(&j->snapshot_asked)) return ASGDI_SNAPSHOT_UNDER_WAY;
    return (asgdi_snapshot_state)asgdi_load_acquire(&j->snapshot_state);
}

const asgdi_snapshot *asgdi_joint_part(asgdi_run *r)
{
    asgdi_joint *j = r->joint;
    return asgdi_load_acquire(&j->part_step) == ASGDI_PART_THERE ? &j->part : NULL;
}

void asgdi_joint_part_written(asgdi_run *r, bool good, const asgdi_part *part)
{
    asgdi_joint *j = r->joint;
    j->part_good   = good;
    j->part_told   = *part;
    asgdi_store_release(&j->part_step, ASGDI_PART_WRITTEN);
}

void asgdi_joint_result(const asgdi_run *r, asgd_result *out)
{
    const asgdi_joint           *j = r->joint;
    const asgdi_exchange_counts *c = &j->counts;
    asgd_exchange_result        *x = &out->exchange;
    *x           = (asgd_exchange_result){.processes     = asgd_group_size(r->config->group),
                                          .lost          = j->lost,
                                          .rounds        = c->rounds,
                                          .deltas        = c->deltas,
                                          .bytes_out     = c->bytes_out,
                                          .bytes_in      = c->bytes_in,
                                          .damped        = c->damped,
                                          .dropped       = c->dropped,
                                          .clipped       = c->clipped,
                                          .quarantined   = c->quarantined,
                                          .interventions = c->interventions,
                                          .undone        = c->undone,
                                          .coded         = c->coded,
                                          .local_steps   = c->steps,
                                          .tau_mean      = c->tau_count > 0 ? c->tau_sum / c->tau_count : 0,
                                          .tau_max       = c->tau_max};
    x->positions = r->total;
    memcpy(x->tau, c->tau, sizeof x->tau);
    if (out->end == ASGD_END_EPOCHS && c->learnt_least <= c->learnt_most) {
        const uint64_t due = r->total - asgdi_ranges_count(&j->before);
        x->repeated        = r->before.repeated + (c->learnt_most > due ? c->learnt_most - due : 0);
        x->missing = r->before.missing + (c->learnt_least < due ? due - c->learnt_least : 0);
    }
    for (uint32_t i = 0; i < r->workers; i++) {
        x->stall_seconds += r->worker[i].stall;
        x->wait_seconds += r->worker[i].wait;
    }
    if (out->updates > 0) x->bytes_per_update = (double)c->bytes_out / (double)out->updates;
}
