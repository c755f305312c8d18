/* net.h -- layers of units, shared by softmax and linear on sets of labels (no hidden layer), and
 * mlp. */
#ifndef ASGDI_NET_H
#define ASGDI_NET_H

#include "base/status.h"

enum { ASGDI_NET_LAYERS = 16 }; /* of weights, at most */

typedef enum asgdi_activation { ASGDI_RELU, ASGDI_TANH, ASGDI_LOGISTIC } asgdi_activation;

/* What the last layer's scores are for, and the loss that goes with it. */
typedef enum asgdi_output {
    ASGDI_SOFTMAX, /* one of the classes: cross-entropy */
    ASGDI_SQUARES, /* a value: least squares */
    ASGDI_LABELS,  /* any number of labels: a logistic loss each, labels.h */
} asgdi_output;

/* The first member of such a model's self.  Tables: weight of layer l is number 2 l, its bias
 * 2 l + 1. */
typedef struct asgdi_net {
    uint32_t         layers;                      /* of weights */
    uint32_t         width[ASGDI_NET_LAYERS + 1]; /* [0] features, [layers] outputs */
    asgdi_activation activation;                  /* of hidden layers */
    asgdi_output     output;
    float            dropout;
    bool             normalize; /* examples are scaled to length 1 */
} asgdi_net;

/* asgd_model_ops members; self points to an asgdi_net. */
size_t asgdi_net_scratch(const void *self, uint32_t n);
void   asgdi_net_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                      void *scratch, uint64_t random, asgd_stats *st);
void   asgdi_net_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                         const asgd_sink *g, void *scratch, float *out, asgd_stats *st);

#endif
