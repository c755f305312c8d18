/* sink_single.c -- updates of models of one score an example, many examples a call, by a fused kernel
 * (kern_single.h). */
#include "rule/sink.h"
#include "rule/target.h"

bool asgdi_sink_steps(asgd_sink *s, const asgdi_steps *m, const asgd_batch *b, float *score)
{
    if (s->kind != ASGDI_APPLY || b->dense) return false;
    const asgdi_table *x     = &s->p->table[m->weight];
    const uint32_t     slots = s->p->slots.local;
    const bool         local = slots && s->local;
    asgdk_single       j     = {.w            = s->views[m->weight],
                                .local        = local ? s->local[m->weight] : NULL,
                                .local_stride = slots,
                                .loss         = m->loss,
                                .normalize    = m->normalize,
                                .near         = (uint32_t)(ASGDI_NEAR_FLOATS / x->stride),
                                .begin        = b->begin,
                                .len          = b->len,
                                .idx          = b->idx,
                                .field        = b->field,
                                .val          = b->val,
                                .y            = b->y,
                                .weight       = b->weight,
                                .score        = score};
    asgdk_step         plain;
    j.step = *step_of(s, x, &plain);
    if (m->bias >= 0) {
        j.bias       = (float *)(uintptr_t)asgd_row(&s->views[m->bias], 0);
        j.bias_local = local ? s->local[m->bias] : NULL;
        j.bias_step  = *step_of(s, &s->p->table[m->bias], &plain);
    }
    uint32_t rule = s->rule.kind;
    if (m->factors >= 0) {
        const asgdi_table *v = &s->p->table[m->factors];
        j.v                  = s->views[m->factors];
        j.v_local            = local ? s->local[m->factors] : NULL;
        j.v_local_stride     = (size_t)v->pad * slots;
        j.v_pad              = v->pad;
        j.v_near             = (uint32_t)(ASGDI_NEAR_FLOATS / v->stride);
        j.v_far              = (uint32_t)(s->far_floats / v->stride);
        j.v_step             = *step_of(s, v, &plain);
        j.sum                = m->sum;
        j.ffm                = m->ffm;
        if (j.ffm) {
            j.ffm->sums = false;
            rule        = asgdk_rule_of(s->rule.kind, v->info.flags);
        }
    }
    (m->factors < 0 ? s->k->linear : m->ffm ? s->k->ffm_steps : s->k->fm_steps)[rule](&j, b->n);
    return true;
}
