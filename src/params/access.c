/* access.c -- the master's rows for threads other than the workers. */
#include "params/access.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "params/locks.h"

asgd_status asgdi_access_init(asgdi_access *a, asgdi_params *p, asgdi_locks *l,
                              const uint64_t *n_own, const asgd_kern *k, const asgdk_step *step)
{
    *a             = (asgdi_access){.p = p, .locks = l, .n_own = n_own, .k = k, .step = *step};
    size_t longest = 1;
    for (int t = 0; t < p->n_tables; t++)
        if (p->table[t].stride > longest) longest = p->table[t].stride;
    a->row = asgdi_calloc(longest, sizeof *a->row);
    return a->row ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory for a row of %zu floats", longest);
}

void asgdi_access_free(asgdi_access *a)
{
    asgdi_free(a->row);
    *a = (asgdi_access){0};
}

/* The first row after `row` that another lock covers, or none; *lock NULL: none covers row. */
static uint64_t covered(const asgdi_access *a, int table, uint64_t row, asgdi_lock **lock)
{
    const uint64_t all = a->p->table[table].info.rows, own = asgdi_least(a->n_own[table], all);
    *lock = NULL;
    if (row >= own) return all;
    const uint64_t rows  = a->locks->table[table].rows;
    const uint64_t block = row / rows;
    *lock                = &a->locks->table[table].lock[block];
    return asgdi_least((block + 1) * rows, own);
}

void asgdi_access_read(const asgdi_access *a, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *x   = &a->p->table[table];
    const uint64_t     end = first + n;
    for (uint64_t row = first, last; row < end; row = last) {
        asgdi_lock *lock;
        last                = asgdi_least(covered(a, table, row, &lock), end);
        const size_t floats = (size_t)(last - row) * x->stride;
        if (lock) asgdi_lock_take(lock);
        if (lock)
            memcpy(to, x->master + row * x->stride, floats * sizeof(float));
        else
            a->k->load(to, x->master + row * x->stride, floats);
        if (lock) asgdi_lock_drop(lock);
        to += floats;
    }
}

/* Weights that are a function of the slots: nobody may see the one without the other for long, and readers
 * of shared rows none that is neither the old nor the new, so it is made in private memory. */
static void derive(const asgdi_access *a, const asgdi_table *x, float *row, bool replace,
                   const float *by)
{
    asgdk_step step = a->step;
    if (x->info.flags & ASGD_TABLE_NO_DECAY) step.l1 = step.l2 = 0;
    a->k->load(a->row, row, x->stride);
    for (size_t i = x->pad; i < x->stride; i++) a->row[i] = replace ? by[i] : a->row[i] + by[i];
    asgdk_rule_derive(a->p->rule, a->row, x->pad, &step);
    a->k->store(row, a->row, x->stride);
}

static bool has_means(const asgdk_slots *s)
{
    bool any = false;
    for (uint32_t i = 0; i < s->merged; i++) any |= s->slot[i] == ASGDK_MEAN;
    return any;
}

/* Averages of squares: others may have seen theirs fall by more than this process's has left, and what is below zero
 * has no root.  So no change takes more than half of one at a time. */
static void add_to_means(const asgdi_access *a, const asgdi_table *x, float *row, const float *by)
{
    const asgdk_slots *s = &a->p->slots;
    a->k->load(a->row, row, x->stride);
    for (size_t i = 0; i < x->stride; i++) {
        const size_t part = i < x->pad ? 0 : 1 + (i - x->pad) / x->slot;
        const float  was = a->row[i], now = was + by[i];
        const bool   mean = part > 0 && s->slot[part - 1] == ASGDK_MEAN;
        a->row[i]         = mean && now < was / 2 ? was / 2 : now;
    }
    a->k->store(row, a->row, x->stride);
}

void asgdi_access_change(const asgdi_access *a, int table, uint64_t first, uint32_t n, bool replace,
                         const float *by)
{
    const asgdi_table *x   = &a->p->table[table];
    const uint64_t     end = first + n;
    for (uint64_t row = first, last; row < end; row = last) {
        asgdi_lock *lock;
        last                = asgdi_least(covered(a, table, row, &lock), end);
        const size_t floats = (size_t)(last - row) * x->stride;
        float       *to     = x->master + row * x->stride;
        if (lock) asgdi_lock_take(lock);
        if (a->p->slots.w == ASGDK_DERIVED)
            for (size_t i = 0; i < floats; i += x->stride) derive(a, x, to + i, replace, by + i);
        else if (!replace && has_means(&a->p->slots))
            for (size_t i = 0; i < floats; i += x->stride) add_to_means(a, x, to + i, by + i);
        else
            (replace ? a->k->store : a->k->add)(to, by, floats);
        if (lock) asgdi_lock_drop(lock);
        by += floats;
    }
}
