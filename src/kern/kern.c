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
        [ASGD_RULE_adagrad]  = {.merged = 1},
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
