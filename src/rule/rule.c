/* rule.c -- update rules: defaults, validation, the constants of one step.  What the rules do to a
 * row is in kern/; how slots are merged, in params/. */
#include "rule/rule.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/status.h"

/* Defaults by rule; 0: the rule has no such number. */
static const struct {
    const char *name;
    float       beta1, beta2, eps;
} rules[ASGD_RULES] = {
    [ASGD_RULE_sgd]      = {"sgd", 0, 0, 0},
    [ASGD_RULE_momentum] = {"momentum", 0.9f, 0, 0},
    [ASGD_RULE_adagrad]  = {"adagrad", 0, 0, 1e-12f},
    [ASGD_RULE_rmsprop]  = {"rmsprop", 0.99f, 0, 1e-8f},
    [ASGD_RULE_adam]     = {"adam", 0.9f, 0.999f, 1e-8f},
    [ASGD_RULE_ftrl]     = {"ftrl", 0, 1, 0},
};

static asgd_status fill(asgd_rule_kind kind, const char *field, float standard, float end, float *x)
{
    if (*x == 0) *x = standard;
    if (standard == 0 && *x != 0)
        return ASGD_FAIL(EINVAL, "rule %s has no %s: leave it 0, or take another rule",
                         rules[kind].name, field);
    if (standard != 0 && !(*x > 0 && *x < end)) {
        if (isinf(end))
            return ASGD_FAIL(EINVAL, "rule %s: %s is %g: a number above 0 (0: %g)",
                             rules[kind].name, field, (double)*x, (double)standard);
        return ASGD_FAIL(EINVAL, "rule %s: %s is %g: a number above 0 and below %g (0: %g)",
                         rules[kind].name, field, (double)*x, (double)end, (double)standard);
    }
    return ASGD_OK;
}

static asgd_status check_penalty(const char *field, float x)
{
    if (!(x >= 0 && isfinite(x)))
        return ASGD_FAIL(EINVAL, "%s is %g: a number >= 0 (0: no penalty)", field, (double)x);
    return ASGD_OK;
}

asgd_status asgdi_rule_defaults(asgd_rule *r)
{
    const int kind = (int)r->kind;
    if (kind <= ASGD_RULE_DEFAULT || kind >= ASGD_RULES)
        return ASGD_FAIL(EINVAL,
                         "rule %d is none: take sgd, momentum, adagrad, rmsprop, adam or "
                         "ftrl",
                         kind);
    const float beta2_end = r->kind == ASGD_RULE_ftrl ? INFINITY : 1.0f;
    ASGD_TRY(fill(r->kind, "beta1", rules[kind].beta1, 1.0f, &r->beta1));
    ASGD_TRY(fill(r->kind, "beta2", rules[kind].beta2, beta2_end, &r->beta2));
    ASGD_TRY(fill(r->kind, "eps", rules[kind].eps, INFINITY, &r->eps));
    ASGD_TRY(check_penalty("l1", r->l1));
    return check_penalty("l2", r->l2);
}

/* 1 / (1 - beta^t) in double: in float, 1 - 0.999 has lost half its digits. */
static float correction(float beta, uint64_t t)
{
    return (float)(1.0 / -expm1((double)t * log((double)beta)));
}

/* eps: what the processor takes for 0 would give an infinite step, and no gradient then NaN. */
void asgdi_rule_step(const asgd_rule *r, double lr, uint64_t t, asgdk_step *out)
{
    const bool adam = r->kind == ASGD_RULE_adam;
    *out            = (asgdk_step){.lr       = (float)lr,
                                   .beta1    = r->beta1,
                                   .beta2    = r->beta2,
                                   .eps      = r->eps > FLT_MIN ? r->eps : FLT_MIN,
                                   .l1       = r->l1,
                                   .l2       = r->l2,
                                   .correct1 = adam ? correction(r->beta1, t) : 1.0f,
                                   .correct2 = adam ? correction(r->beta2, t) : 1.0f};
}

bool asgd_rule_parse(const char *text, asgd_rule_kind *out)
{
    for (int i = ASGD_RULE_DEFAULT + 1; text && i < ASGD_RULES; i++) {
        if (strcmp(text, rules[i].name) == 0) {
            *out = (asgd_rule_kind)i;
            return true;
        }
    }
    return false;
}

const char *asgd_rule_name(asgd_rule_kind r)
{
    return (int)r > ASGD_RULE_DEFAULT && (int)r < ASGD_RULES ? rules[r].name : NULL;
}

/* w = -shrink(z, l1) / (beta2 / lr + l2) while n = 0, solved for z. */
void asgdi_rule_start(const asgd_rule *r, double lr, asgdi_params *p)
{
    if (r->kind != ASGD_RULE_ftrl) return;
    for (int i = 0; i < p->n_tables; i++) {
        const asgdi_table *t      = &p->table[i];
        const bool         decays = !(t->info.flags & ASGD_TABLE_NO_DECAY);
        const float        l1 = decays ? r->l1 : 0, l2 = decays ? r->l2 : 0;
        const float        scale = r->beta2 / (float)lr + l2;
        for (uint64_t row = 0; row < t->info.rows; row++) {
            const float *w = t->master + row * t->stride;
            float       *z = t->master + row * t->stride + t->pad;
            for (uint32_t c = 0; c < t->info.dim; c++)
                z[c] = w[c] == 0 ? 0 : -w[c] * scale - copysignf(l1, w[c]);
        }
    }
}
