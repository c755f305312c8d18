/* mlp.c -- multi-layer perceptron: the options, tables and initial weights of a net (net.c).
 *
 * Initial weights of hidden layers: He's normal distribution with deviation sqrt(2 / in) for relu
 * (He et al. 2015), Glorot's uniform one on +-sqrt(6 / (in + out)) for tanh and sigmoid (Glorot and
 * Bengio 2010).  The output layer is linear and always takes Glorot's. */
#include "model/model.h"
#include "model/net.h"
#include "model/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HIDDEN = ASGDI_NET_LAYERS - 1, MAX_WIDTH = 65536 };

typedef enum init_kind { INIT_AUTO, INIT_HE, INIT_GLOROT, INITS } init_kind;
typedef enum loss_kind { LOSS_AUTO, LOSS_SOFTMAX, LOSS_SQUARED, LOSS_LOGISTIC, LOSSES } loss_kind;
static const char *const init_names[INITS]   = {"auto", "he", "glorot"};
static const char *const loss_names[LOSSES]  = {"auto", "softmax", "squared", "logistic"};
static const char *const activation_names[3] = {"relu", "tanh", "sigmoid"};
static const char *const switch_names[3]     = {"0", "1", "auto"};
enum { AUTO = 2 };

typedef struct mlp {
    asgdi_net net;
    init_kind init;
    loss_kind loss;
    int       normalize; /* a switch_names[] */
    bool      dropout_set, hidden_set;
} mlp;

static asgd_status parse(void *self, const char *options)
{
    mlp        *m = self;
    char        key[32], value[128];
    asgd_status s;
    int         hidden = 1, choice = 0;
    *m = (mlp){.net = {.activation = ASGDI_RELU}, .normalize = AUTO};
    while (asgdi_option_next(&options, key, value, &s)) {
        if (strcmp(key, "hidden") == 0) {
            m->hidden_set = strcmp(value, "auto") != 0;
            if (m->hidden_set)
                ASGD_TRY(asgdi_option_sizes("mlp", key, value, MAX_WIDTH, MAX_HIDDEN,
                                            m->net.width + 1, &hidden));
        } else if (strcmp(key, "activation") == 0) {
            ASGD_TRY(asgdi_option_choice("mlp", key, value, activation_names, 3, &choice));
            m->net.activation = (asgdi_activation)choice;
        } else if (strcmp(key, "dropout") == 0) {
            m->dropout_set = strcmp(value, "auto") != 0;
            m->net.dropout = 0;
            if (m->dropout_set) ASGD_TRY(asgdi_option_fraction("mlp", key, value, &m->net.dropout));
        } else if (strcmp(key, "init") == 0) {
            ASGD_TRY(asgdi_option_choice("mlp", key, value, init_names, INITS, &choice));
            m->init = (init_kind)choice;
        } else if (strcmp(key, "loss") == 0) {
            ASGD_TRY(asgdi_option_choice("mlp", key, value, loss_names, LOSSES, &choice));
            m->loss = (loss_kind)choice;
        } else if (strcmp(key, "normalize") == 0) {
            ASGD_TRY(asgdi_option_choice("mlp", key, value, switch_names, 3, &m->normalize));
        } else {
            return asgdi_option_unknown("mlp", key,
                                        "hidden, activation, dropout, init, loss, normalize");
        }
    }
    m->net.layers = (uint32_t)hidden + 1;
    return s;
}

static void declare_layer(const mlp *m, uint32_t l, asgd_table *weight, asgd_table *bias)
{
    uint32_t in = m->net.width[l], out = m->net.width[l + 1];
    bool     he = m->init == INIT_HE || (m->init == INIT_AUTO && m->net.activation == ASGDI_RELU);
    *weight     = (asgd_table){.rows = in, .dim = out, .flags = l == 0 ? ASGD_TABLE_BY_FEATURE : 0};
    *bias       = (asgd_table){.rows = 1, .dim = out, .flags = ASGD_TABLE_NO_DECAY};
    snprintf(weight->name, sizeof weight->name, "layer%u.weight", l);
    snprintf(bias->name, sizeof bias->name, "layer%u.bias", l);
    if (he && l + 1 < m->net.layers) {
        weight->init  = ASGD_INIT_NORMAL;
        weight->scale = (float)sqrt(2 / (double)in);
    } else {
        weight->init  = ASGD_INIT_UNIFORM;
        weight->scale = (float)sqrt(6 / ((double)in + (double)out));
    }
}

/* The loss that fits the data, or why the one asked for does not. */
static asgd_status choose_loss(mlp *m, const asgd_schema *d)
{
    if (m->loss == LOSS_AUTO)
        m->loss = d->label_sets ? LOSS_LOGISTIC : d->classes == 0 ? LOSS_SQUARED : LOSS_SOFTMAX;
    if (d->label_sets && m->loss != LOSS_LOGISTIC)
        return ASGD_FAIL(EMISMATCH,
                         "model mlp: loss=%s is for one target an example, but these have any "
                         "number of labels; use loss=logistic",
                         loss_names[m->loss]);
    if (!d->label_sets && m->loss == LOSS_LOGISTIC)
        return ASGD_FAIL(EMISMATCH,
                         "model mlp: loss=logistic is for examples with any number of labels, but "
                         "these have one %s each; use loss=%s",
                         d->classes ? "class" : "value", d->classes ? "softmax" : "squared");
    if (m->loss == LOSS_SOFTMAX && d->classes < 2)
        return ASGD_FAIL(
            EMISMATCH,
            "model mlp: loss=softmax needs at least two classes, but the data have %s; "
            "use loss=squared",
            d->classes ? "one" : "real-valued targets");
    return ASGD_OK;
}

static asgd_status shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs)
{
    mlp       *m   = self;
    asgdi_net *net = &m->net;
    ASGD_TRY(choose_loss(m, d));
    switch (m->loss) {
    case LOSS_SQUARED:
        net->output = ASGDI_SQUARES;
        *task       = ASGD_TASK_REGRESSION;
        break;
    case LOSS_LOGISTIC:
        net->output = ASGDI_LABELS;
        *task       = ASGD_TASK_LABELS;
        break;
    default:
        net->output = ASGDI_SOFTMAX;
        *task       = ASGD_TASK_CLASSES;
        break;
    }
    net->normalize = m->normalize == AUTO ? d->label_sets : m->normalize == 1;
    if (!m->dropout_set) net->dropout = d->label_sets ? 0.2f : 0;
    if (!m->hidden_set) net->width[1] = d->label_sets ? 256 : 128;
    net->width[0]           = d->features;
    net->width[net->layers] = net->output == ASGDI_SQUARES ? 1 : d->classes;
    for (uint32_t l = 0; l < net->layers; l++)
        declare_layer(m, l, &tables[2 * l], &tables[2 * l + 1]);
    *n_tables = (int)(2 * net->layers);
    *outputs  = net->width[net->layers];
    return ASGD_OK;
}

static const asgd_model_ops ops = {
    .name       = "mlp",
    .self_bytes = sizeof(mlp),
    .shape      = shape,
    .scratch    = asgdi_net_scratch,
    .step       = asgdi_net_step,
    .predict    = asgdi_net_predict,
};

const asgdi_model_entry asgdi_model_mlp = {
    .ops = &ops,
    .help =
        "mlp: fully connected layers; classes, sets of labels or real-valued targets\n"
        "\thidden=auto  units of each hidden layer, such as 300,100; auto: 256 for sets of labels, "
        "else "
        "128\n"
        "\tactivation=relu  relu, tanh, sigmoid\n"
        "\tdropout=auto  part of the hidden units left out of a step, below 1; auto: 0.2 for sets "
        "of labels, else 0\n"
        "\tinit=auto  he, glorot; auto: he for relu, else glorot\n"
        "\tloss=auto  softmax, squared, logistic; auto: softmax for classes, logistic for sets of "
        "labels, else squared\n"
        "\tnormalize=auto  0, 1: examples are scaled to length 1; auto: 1 for sets of labels\n",
    .defaults = {.batch    = 32,
                 .epochs   = 15,
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
