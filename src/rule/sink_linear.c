/* sink_linear.c -- linear models' updates, many examples a call, by a fused kernel (kern_linear.h). */
#include "rule/sink.h"
#include "rule/target.h"

/* Floats at the beginning of a table that live in the core's own cache. */
enum { NEAR_FLOATS = 1 << 16 };

bool asgdi_linear_steps(asgd_sink *s, int weight, int bias, asgdk_loss loss, const asgd_batch *b,
                        float *score)
{
    if (s->kind != ASGDI_APPLY || b->dense) return false;
    const asgdi_table *x     = &s->p->table[weight];
    const uint32_t     slots = s->p->slots.local;
    const bool         local = slots && s->local;
    asgdk_linear       j     = {.w            = s->views[weight],
                                .local        = local ? s->local[weight] : NULL,
                                .local_stride = slots,
                                .loss         = loss,
                                .near         = (uint32_t)(NEAR_FLOATS / x->stride),
                                .begin        = b->begin,
                                .len          = b->len,
                                .idx          = b->idx,
                                .val          = b->val,
                                .y            = b->y,
                                .weight       = b->weight,
                                .score        = score};
    asgdk_step         plain;
    j.step = *step_of(s, x, &plain);
    if (bias >= 0) {
        j.bias       = (float *)(uintptr_t)asgd_row(&s->views[bias], 0);
        j.bias_local = local ? s->local[bias] : NULL;
        j.bias_step  = *step_of(s, &s->p->table[bias], &plain);
    }
    s->k->linear[s->rule.kind](&j, b->n);
    return true;
}
