/* kern.c -- which kernels this machine runs, and what rules keep besides the weights.
 *
 * Compiled for the plain ABI: it runs before anything is known about the machine.  Detection is
 * a few loads, so it is done anew at each call instead of being remembered in a global. */
#include "kern/kern.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KERN(name, supported) extern const asgd_kern asgdk_##name;
#include "kern/kern_list.inc"
#undef KERN

enum {
#define KERN(name, supported) INDEX_##name,
#include "kern/kern_list.inc"
#undef KERN
    VARIANTS
};

static const asgd_kern *const variants[VARIANTS] = {
#define KERN(name, supported) &asgdk_##name,
#include "kern/kern_list.inc"
#undef KERN
};

static bool supported(int i)
{
    switch (i) {
#define KERN(name, expression) \
    case INDEX_##name:         \
        return expression;
#include "kern/kern_list.inc"
#undef KERN
    default: return false;
    }
}

const asgd_kern *asgdk_variant(int i)
{
    for (int v = 0; v < VARIANTS; v++)
        if (supported(v) && i-- == 0) return variants[v];
    return NULL;
}

const asgd_kern *asgdk_best(void)
{
    const char *name = getenv("ASGD_ISA");
    if (name && *name) {
        for (int v = 0; v < VARIANTS; v++)
            if (!strcmp(variants[v]->name, name)) return supported(v) ? variants[v] : NULL;
        return NULL;
    }
    int v = VARIANTS - 1;
    while (v > INDEX_scalar && (v == INDEX_atomic || !supported(v))) v--;
    return variants[v];
}

const char *asgdk_names(void)
{
    static const char names[] =
#define KERN(name, supported) " " #name
#include "kern/kern_list.inc"
#undef KERN
        ;
    return names + 1;
}

const char *asgd_isa(void)
{
    const asgd_kern *k = asgdk_best();
    return k ? k->name : "unsupported";
}

asgdk_slots asgdk_rule_slots(asgd_rule_kind kind)
{
    static const asgdk_slots slots[ASGD_RULES] = {
        [ASGD_RULE_momentum] = {.local = 1},
        [ASGD_RULE_adagrad]  = {.merged = 1, .scale = 1},
        [ASGD_RULE_rmsprop]  = {.merged = 1, .slot = {ASGDK_MEAN}},
        [ASGD_RULE_adam]     = {.merged = 1, .local = 1, .slot = {ASGDK_MEAN}},
        [ASGD_RULE_ftrl]     = {.merged = 2, .w = ASGDK_DERIVED},
    };
    return slots[kind < ASGD_RULES ? kind : ASGD_RULE_DEFAULT];
}

/* The operations of ftrl's last step in kern_rules.h, one for one: the same bits. */
void asgdk_rule_derive(asgd_rule_kind kind, float *row, uint32_t pad, const asgdk_step *p)
{
    if (kind != ASGD_RULE_ftrl) return;
    const float *z = row + pad, *n = z + pad;
    for (uint32_t i = 0; i < pad; i++) {
        float den = (p->beta2 + sqrtf(n[i])) / p->lr + p->l2;
        float up = z[i] - p->l1, down = -z[i] - p->l1;
        float soft = (0 > up ? 0 : up) - (0 > down ? 0 : down);
        row[i]     = -soft / (FLT_MIN > den ? FLT_MIN : den);
    }
}

/* Takes n elements of `size` bytes off the memory; at NULL counts only. */
static void *take(unsigned char *memory, size_t *at, size_t n, size_t size)
{
    void *p = memory ? memory + *at : NULL;
    *at += (n * size + 63) & ~(size_t)63;
    return p;
}

static size_t lay_out(asgdk_ffm *p, unsigned char *memory, uint32_t fields, uint32_t cell)
{
    const size_t f = fields, pad = asgdk_pad(fields * cell);
    size_t       at = 0;
    (void)take(memory, &at, 1, sizeof *p);
    *p          = (asgdk_ffm){.fields = fields, .cell = cell, .pad = (uint32_t)pad};
    p->sum      = take(memory, &at, (f + 2) * pad, sizeof *p->sum);
    p->entry    = take(memory, &at, f, sizeof *p->entry);
    p->present  = take(memory, &at, f, sizeof *p->present);
    p->stale    = take(memory, &at, f, sizeof *p->stale);
    p->run      = take(memory, &at, f, sizeof *p->run);
    p->row      = take(memory, &at, f + ASGDK_CELLS, sizeof *p->row);
    p->local    = take(memory, &at, f, sizeof *p->local);
    p->of_field = take(memory, &at, f, sizeof *p->of_field);
    p->x        = take(memory, &at, pad + 16, sizeof *p->x);
    p->ahead    = take(memory, &at, f, sizeof *p->ahead);
    for (uint32_t i = 0; memory && i < ASGDK_CELLS; i++) p->row[f + i] = p->sum + (f + 1) * pad;
    return at;
}

size_t asgdk_ffm_bytes(uint32_t fields, uint32_t cell)
{
    asgdk_ffm none;
    return lay_out(&none, NULL, fields, cell);
}

asgdk_ffm *asgdk_ffm_lay_out(void *memory, uint32_t fields, uint32_t cell)
{
    asgdk_ffm *p = memory;
    lay_out(p, memory, fields, cell);
    return p;
}
