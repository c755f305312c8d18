/* rank.h -- all items for a user, best first: recommendations, neighbours, metrics of rankings. */
#ifndef ASGDI_RANK_H
#define ASGDI_RANK_H

#include "data/source.h"
#include "model/model.h"

enum { ASGDI_RANK_BLOCK = 8, ASGDI_TOP_MAX = 1000 }; /* users at once */

/* The items that each user has, increasing, each once; cold ones are left out. */
typedef struct asgdi_lists {
    uint64_t *start; /* [users + 1] */
    uint32_t *item;
} asgdi_lists;
asgd_status asgdi_lists_make(asgdi_lists *l, const asgd_source *s, uint32_t users, uint32_t items);
void        asgdi_lists_free(asgdi_lists *l);

/* Items packed for scoring; the query of a user is its row of factors. */
typedef struct asgdi_ranker {
    const asgd_kern *k;
    uint32_t items, room, factors, pad; /* room: scores of a user, a multiple of ASGDK_PANEL */
    float   *panel;
    float   *bias; /* [room] */
    const asgdi_table *user;
} asgdi_ranker;
asgd_status asgdi_ranker_init(asgdi_ranker *r, const asgd_model *m, const asgdi_params *p);
void        asgdi_ranker_free(asgdi_ranker *r);
/* out[i][room] for users user[0..n), n <= ASGDI_RANK_BLOCK: item bias + product; query [n][pad]. */
void asgdi_ranker_scores(const asgdi_ranker *r, uint32_t n, const float *query, float *out);
void asgdi_ranker_query(const asgdi_ranker *r, uint32_t user,
                        float *query); /* zeros where it is cold */

/* The best `top` of score[0..n), best first, the lower of equal ones first; -infinity is none.  Returns
 * how many. */
uint32_t asgdi_rank_top(const float *score, uint32_t n, uint32_t top, uint32_t *item);

/* ---- rank_eval.c ---- */

typedef struct asgdi_ranking {
    asgdi_lists held, seen;
    uint32_t   *cold; /* [users]: held-out items that the training data lack */
    uint32_t    users, items;
    uint64_t    examples;
} asgdi_ranking;
/* seen NULL: nothing is left out. */
asgd_status asgdi_ranking_init(asgdi_ranking *r, const asgd_source *data, const asgd_source *seen);
void        asgdi_ranking_free(asgdi_ranking *r);
asgd_status asgdi_ranking_evaluate(const asgdi_ranking *r, const asgd_model *m,
                                   const asgdi_params *p, uint32_t top, uint32_t threads,
                                   asgd_metrics *out);

#endif
