/* target.h -- what an emission is carried out against: a view of rows, a rule and its constants.
 * Shared by the sink's files. */
#ifndef ASGDI_TARGET_H
#define ASGDI_TARGET_H

#include "rule/sink.h"

typedef struct target {
    asgd_view  view;
    float     *local; /* [rows][local_stride] or NULL */
    size_t     local_stride;
    uint64_t   rows;
    uint32_t   dim, pad;
    uint32_t   rule;  /* asgdk_rule_of() */
    bool       plain; /* sgd without penalties: gradients may be added in any pieces */
    asgdk_step step;
} target;

/* The step's constants for a table: those it has, or *plain, which is them without penalties. */
static inline const asgdk_step *step_of(const asgd_sink *s, const asgdi_table *t, asgdk_step *plain)
{
    if (!(t->info.flags & ASGD_TABLE_NO_DECAY) || (s->step.l1 == 0 && s->step.l2 == 0))
        return &s->step;
    *plain    = s->step;
    plain->l1 = plain->l2 = 0;
    return plain;
}

static inline target target_apply(const asgd_sink *s, int table)
{
    const asgdi_table *x     = &s->p->table[table];
    const uint32_t     slots = s->p->slots.local;
    target             t     = {.view         = s->views[table],
                                .local        = slots && s->local ? s->local[table] : NULL,
                                .local_stride = (size_t)x->pad * slots,
                                .rows         = x->info.rows,
                                .dim          = x->info.dim,
                                .pad          = x->pad,
                                .rule         = asgdk_rule_of(s->rule.kind, x->info.flags),
                                .step         = s->step};
    if (x->info.flags & ASGD_TABLE_NO_DECAY) t.step.l1 = t.step.l2 = 0;
    t.plain = t.rule == ASGD_RULE_sgd && t.step.l1 == 0 && t.step.l2 == 0;
    return t;
}

static inline target target_sum(const asgd_sink *s, int table)
{
    const asgdi_table *x = &s->p->table[table];
    return (target){.view  = {.own    = s->grad[table],
                              .shared = s->grad[table],
                              .n_own  = x->info.rows,
                              .stride = x->pad},
                    .rows  = x->info.rows,
                    .dim   = x->info.dim,
                    .pad   = x->pad,
                    .rule  = ASGD_RULE_sgd,
                    .plain = true,
                    .step  = {.lr = -1, .correct1 = 1, .correct2 = 1}};
}

static inline target target_of(const asgd_sink *s, int table)
{
    return s->kind == ASGDI_ACCUMULATE ? target_sum(s, table) : target_apply(s, table);
}

static inline float *row_of(const target *t, uint64_t r)
{
    return (r < t->view.n_own ? t->view.own : t->view.shared) + r * t->view.stride;
}

/* One row with dim > 1; g is padded. */
static inline void step_row(const asgd_sink *s, const target *t, uint64_t r, float scale,
                            const float *g)
{
    s->k->rule[t->rule](row_of(t, r), t->local ? t->local + r * t->local_stride : NULL, g, t->pad,
                        scale, &t->step);
}

static inline void touch(asgd_sink *s, int table, uint64_t r)
{
    if (s->mark[table][r]) return;
    s->mark[table][r]                        = 1;
    s->touched[table][s->n_touched[table]++] = (uint32_t)r;
}

#endif
