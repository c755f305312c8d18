/* model.h -- what a model is inside the library, and the registry of those it comes with. */
#ifndef ASGDI_MODEL_H
#define ASGDI_MODEL_H

#include "data/encoding.h"
#include "params/params.h"

/* Defaults that make `asgd train MODEL --train X` good. */
typedef struct asgdi_model_defaults {
    uint32_t       batch;
    double         epochs;
    asgd_rule_kind rule;
    asgd_schedule  schedule;
    double         lr[ASGD_RULES]; /* by rule */
    float          adagrad_eps;    /* 0: the rule's */
    uint32_t       patience;       /* where there are validation data; 0: never stop early */
} asgdi_model_defaults;

typedef struct asgdi_model_entry {
    const asgd_model_ops *ops;
    const char           *help; /* "one line\n\toption=default  what it does\n..." */
    asgdi_model_defaults  defaults;
    bool                  sparse, fields; /* data that it cannot do without */
    bool                  pairs;          /* it needs ratings, which others cannot read */
    bool                  negatives;      /* it draws items: batches have a pool */
    /* pairs, after parameters were given their first values: what depends on the data.  May refuse. */
    asgd_status (*start)(struct asgd_model *m, const asgd_source *train);
    /* what lr is multiplied by for a single pass, at the least; NULL: 1 */
    double (*one_pass)(const void *self);
    /* NULL: never.  What the model was asked for is done by its steps of sgd alone; its name */
    const char *(*sgd_only)(const void *self);
    /* *self from "key=value ..." ; EINVAL names the option and what is allowed */
    asgd_status (*parse)(void *self, const char *options);
} asgdi_model_entry;

extern const asgdi_model_entry asgdi_model_linear, asgdi_model_softmax, asgdi_model_mlp,
    asgdi_model_fm, asgdi_model_ffm, asgdi_model_mf, asgdi_model_bpr;
const asgdi_model_entry *asgdi_model_find(const char *name);

struct asgd_model {
    asgd_model_ops           ops;
    const asgdi_model_entry *entry; /* NULL: a caller's own */
    void                    *self;
    char                    *options;
    asgd_schema              schema;
    float                   *labels;   /* [schema.classes] or NULL */
    asgd_encoding           *encoding; /* of the training data, or NULL */
    asgd_task                task;
    uint32_t                 outputs;
    asgdi_params             params;
    bool                     trained; /* false: asgd_train() initialises w with its seed */
    bool                     touched; /* w may not be what params.seed makes it */
};

/* Walks "key=value key=value"; false at the end.  *s is advanced; malformed text gives EINVAL in
 * *st. */
bool asgdi_option_next(const char **s, char key[32], char value[128], asgd_status *st);
/* Copies the file's meaning of the classes into the model. */
asgd_status asgdi_model_set_labels(asgd_model *m, const float *labels, uint32_t n);
/* The model's rows are these features from now on. */
asgd_status asgdi_model_set_encoding(asgd_model *m, const asgd_encoding *e);
/* EMISMATCH: the model cannot read data like these. */
asgd_status asgdi_model_check_schema(const asgd_model *m, const asgd_schema *d, const char *what);
/* EMISMATCH: data with encoding e (NULL: none; from_file: not a caller's arrays) do not have the
 * features of the model's rows. */
asgd_status asgdi_model_check_encoding(const asgd_model *m, const asgd_encoding *e, bool from_file,
                                       const char *what);

#endif
