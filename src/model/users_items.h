/* users_items.h -- what mf and bpr share: tables, options, and steps over terms of users and items.
 *
 *     s(u, i) = b_u + c_i + p_u . q_i
 *
 * Tables: 0 user factors, 1 item factors, 2 user biases, 3 item biases, 4 scale: {mean, deviation, lowest,
 * highest} of the training ratings, which is data and never learnt.  Targets are (y - mean) / deviation,
 * so that step sizes and penalties mean the same for stars and for percentages. */
#ifndef ASGDI_USERS_ITEMS_H
#define ASGDI_USERS_ITEMS_H

#include "data/source.h"
#include "model/model.h"
#include "rule/sink.h"

enum { ASGDI_USER, ASGDI_ITEM, ASGDI_USER_BIAS, ASGDI_ITEM_BIAS, ASGDI_SCALE };
enum { ASGDI_SCALE_MEAN, ASGDI_SCALE_DEVIATION, ASGDI_SCALE_LOW, ASGDI_SCALE_HIGH };
enum { ASGDI_FACTORS_MAX = 1024, ASGDI_STEPS_MOST = 256 };

typedef struct asgdi_pairs {
    uint32_t k, users, items;
    float    init, l2_user, l2_item, l2_bias, positive;
    int      loss; /* asgdk_pairs_loss */
    bool     bias, nonnegative;
} asgdi_pairs;

/* Options k, init, bias, l2, l2_user, l2_item, l2_bias; *known: was it one of them? */
asgd_status asgdi_pairs_option(asgdi_pairs *m, const char *model, const char *key,
                               const char *value, bool *known);
asgd_status asgdi_pairs_number(const char *model, const char *key, const char *value, double high,
                               float *out);
asgd_status asgdi_pairs_shape(asgdi_pairs *m, const asgd_schema *d, asgd_table *tables,
                              int *n_tables);

/* The model as its kernels want it; lr and the rule's penalty are the sink's. */
asgdk_pairs asgdi_pairs_kernel(const asgdi_pairs *m, const asgd_view *w, const asgd_sink *g);
/* Do the fused kernels do what the sink would? */
bool asgdi_pairs_fused(const asgd_sink *g);

/* One term of a loss. */
typedef struct asgdi_term {
    uint32_t user, item, other; /* other: ASGDI_NO_NAME where the term is of a rating */
    float    y;
} asgdi_term;
size_t asgdi_pairs_scratch(const asgdi_pairs *m, uint32_t terms);
/* The gradient of scale * the sum of the terms' losses and penalties, emitted row by row: for any rule
 * and any sink.  Returns the sum of losses. */
double asgdi_pairs_emit(const asgdi_pairs *m, const asgd_view *w, asgd_sink *g,
                        const asgdi_term *term, uint32_t n, float scale, void *scratch);

/* Users and items without a rating: factors and biases become 0, so that their part of a score is. */
asgd_status asgdi_pairs_start(asgd_model *m, const asgd_source *train, const asgdi_pairs *self);

#endif
