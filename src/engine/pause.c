/* pause.c -- corrections of shared rows, made by the workers between their steps.
 *
 * The words `arrived` and `next` carry the number of the call, so that a worker that was off its core
 * during a whole call cannot count itself out of, or take corrections from, the one after it.
 *
 *     arrived == workers  =>  nobody leaves before made == n  =>  over = the call's number
 *
 * A worker may leave only by an exchange that finds arrived < workers; so either all of them are there and
 * stay, or none begins. */
#include "engine/pause.h"

#include "base/sys.h"
#include "engine/run.h"

bool asgdi_is_private(const asgdi_run *r, const asgdi_correction *c)
{
    return !c->replace && c->first + c->n <= r->n_own[c->table];
}

void asgdi_pause_call(asgdi_run *r, const asgdi_correction *c, uint32_t n)
{
    asgdi_pause   *p    = &r->joint->pause;
    const uint64_t call = (uint64_t)(asgdi_load_relaxed(&p->over) + 1) << 32;
    p->todo             = (asgdi_to_correct){c, n, n / (4 * r->workers) + 1, false};
    for (uint32_t i = 0; i < n; i++) p->todo.replace |= c[i].replace;
    asgdi_store_relaxed(&p->made, 0);
    asgdi_store_release(&p->next, call);
    asgdi_store_release(&p->arrived, call);
    asgdi_tell(r, ASGDI_CORRECT);
}

bool asgdi_pause_is_over(asgdi_run *r)
{
    asgdi_pause *p = &r->joint->pause;
    return asgdi_load_acquire(&p->over) == (uint32_t)(asgdi_load_relaxed(&p->arrived) >> 32);
}

/* Takes corrections and makes them until there are none left to take. */
static void make(asgdi_worker *w, uint32_t call, const asgdi_to_correct *todo)
{
    asgdi_run   *r    = w->run;
    asgdi_pause *p    = &r->joint->pause;
    uint64_t     next = asgdi_load_acquire(&p->next);
    while ((uint32_t)(next >> 32) == call && (uint32_t)next < todo->n) {
        const uint32_t from = (uint32_t)next, left = todo->n - from;
        const uint32_t m = left < todo->piece ? left : todo->piece;
        if (!asgdi_cas_acq_rel(&p->next, &next, next + m)) continue;
        for (uint32_t i = from; i < from + m; i++) {
            if (asgdi_is_private(r, &todo->correction[i])) continue;
            asgdi_correct(&w->access, &todo->correction[i]);
        }
        if (asgdi_add_acq_rel(&p->made, m) + m == todo->n) {
            asgdi_untell(r, ASGDI_CORRECT);
            asgdi_store_release(&p->over, call);
        }
        next = asgdi_load_acquire(&p->next);
    }
}

double asgdi_pause_attend(asgdi_worker *w)
{
    asgdi_run     *r       = w->run;
    asgdi_pause   *p       = &r->joint->pause;
    uint64_t       arrived = asgdi_load_acquire(&p->arrived);
    const uint32_t call    = (uint32_t)(arrived >> 32);
    if (asgdi_load_acquire(&p->over) == call) return 0;
    const double           began = asgdi_now();
    const asgdi_to_correct todo  = p->todo; /* while this call cannot be over yet */
    arrived                      = asgdi_add_acq_rel(&p->arrived, 1) + 1;
    for (uint32_t round = 0; asgdi_load_acquire(&p->over) != call;) {
        if ((uint32_t)arrived == r->workers) {
            make(w, call, &todo);
        } else if (asgdi_load_relaxed(&r->command) & ASGDI_STOP &&
                   asgdi_cas_acq_rel(&p->arrived, &arrived, arrived - 1)) {
            break;
        }
        asgdi_backoff(&round);
        arrived = asgdi_load_acquire(&p->arrived);
        if ((uint32_t)(arrived >> 32) != call) break; /* it was over long ago */
    }
    if (todo.replace) asgdi_private_forget(&w->priv, &r->model->params, r->locks);
    return asgdi_now() - began;
}
