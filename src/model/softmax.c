/* softmax.c -- multinomial logistic regression: a net (net.c) without hidden layers.
 *
 *     p = softmax(x W + b);   loss = -log p_y
 *
 * The objective is convex, so the weights start at zero. */
#include "model/model.h"
#include "model/net.h"
#include "model/options.h"

static asgd_status parse(void *self, const char *options)
{
    char        key[32], value[128];
    asgd_status s;
    *(asgdi_net *)self = (asgdi_net){.layers = 1, .output = ASGDI_SOFTMAX};
    if (asgdi_option_next(&options, key, value, &s))
        return asgdi_option_unknown("softmax", key, "none");
    return s;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    asgdi_net *net = self;
    if (d->label_sets)
        return ASGD_FAIL(EMISMATCH,
                         "model softmax gives an example one class, but these have any number of "
                         "labels; use the model linear or mlp");
    if (d->classes < 2)
        return ASGD_FAIL(EMISMATCH,
                         "model softmax needs at least two classes, but the data have "
                         "%s; use the model linear",
                         d->classes ? "one" : "real-valued targets");
    net->width[0] = d->features;
    net->width[1] = d->classes;
    tables[0]     = (asgd_table){
            .name = "weight", .rows = d->features, .dim = d->classes, .flags = ASGD_TABLE_BY_FEATURE};
    tables[1] =
        (asgd_table){.name = "bias", .rows = 1, .dim = d->classes, .flags = ASGD_TABLE_NO_DECAY};
    *n_tables = 2;
    *task     = ASGD_TASK_CLASSES;
    *outputs  = d->classes;
    return ASGD_OK;
}

static const asgd_model_ops ops = {
    .name       = "softmax",
    .self_bytes = sizeof(asgdi_net),
    .shape      = shape,
    .scratch    = asgdi_net_scratch,
    .step       = asgdi_net_step,
    .predict    = asgdi_net_predict,
};

const asgdi_model_entry asgdi_model_softmax = {
    .ops      = &ops,
    .help     = "softmax: logistic regression for two or more classes\n",
    .defaults = {.batch    = 32,
                 .epochs   = 10,
                 .rule     = ASGD_RULE_sgd,
                 .schedule = ASGD_LINEAR,
                 .lr       = {[ASGD_RULE_sgd]      = 0.1,
                              [ASGD_RULE_momentum] = 0.02,
                              [ASGD_RULE_adagrad]  = 0.01,
                              [ASGD_RULE_rmsprop]  = 0.001,
                              [ASGD_RULE_adam]     = 0.001,
                              [ASGD_RULE_ftrl]     = 0.1}},
    .parse    = parse,
};
