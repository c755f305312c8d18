/* rank.c -- exact top-N: every item is scored for every user, eight users and a panel of items at a time,
 * so that an item's factors are read once for eight users and sums stay in registers. */
#include "engine/rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "base/parallel.h"
#include "model/users_items.h"

/* ---- lists ---- */

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

asgd_status asgdi_lists_make(asgdi_lists *l, const asgd_source *s, uint32_t users, uint32_t items)
{
    const uint64_t n = s ? s->schema.examples : 0;
    l->start         = asgdi_calloc((size_t)users + 2, sizeof *l->start);
    l->item          = asgdi_calloc(n, sizeof *l->item);
    if (!l->start || !l->item) {
        asgdi_lists_free(l);
        return ASGD_FAIL(ENOMEM, "no memory to rank items");
    }
    uint64_t *at = l->start + 1;
    for (uint64_t i = 0; i < n; i++)
        if (s->rating[i].user < users && s->rating[i].item < items) at[s->rating[i].user + 1]++;
    for (uint32_t u = 0; u < users; u++) at[u + 1] += at[u];
    for (uint64_t i = 0; i < n; i++)
        if (s->rating[i].user < users && s->rating[i].item < items)
            l->item[at[s->rating[i].user]++] = s->rating[i].item;
    /* start[u + 1] is now where u ends; sorted and without repetitions they move to the front */
    uint64_t to = 0, from = 0;
    for (uint32_t u = 0; u < users; u++) {
        const uint64_t end = l->start[u + 1], first = to;
        qsort(l->item + from, end - from, sizeof *l->item, by_number);
        for (uint64_t i = from; i < end; i++)
            if (to == first || l->item[to - 1] != l->item[i]) l->item[to++] = l->item[i];
        l->start[u] = first;
        from        = end;
    }
    l->start[users] = to;
    return ASGD_OK;
}

void asgdi_lists_free(asgdi_lists *l)
{
    asgdi_free(l->start);
    asgdi_free(l->item);
    *l = (asgdi_lists){0};
}

/* ---- scores ---- */

asgd_status asgdi_ranker_init(asgdi_ranker *r, const asgd_model *m, const asgdi_params *p)
{
    const asgdi_table *items = &p->table[ASGDI_ITEM], *biases = &p->table[ASGDI_ITEM_BIAS];
    *r = (asgdi_ranker){.k       = asgdk_best(),
                        .items   = m->schema.items,
                        .factors = items->info.dim,
                        .pad     = items->pad,
                        .user    = &p->table[ASGDI_USER]};
    if (!r->k) return ASGD_FAIL(EINVAL, "ASGD_ISA names kernels that this machine or build lacks");
    r->room  = (r->items + ASGDK_PANEL - 1) / ASGDK_PANEL * ASGDK_PANEL;
    r->panel = asgdi_calloc(r->room, r->factors * sizeof *r->panel);
    r->bias  = asgdi_calloc(r->room, sizeof *r->bias);
    if (!r->panel || !r->bias) {
        asgdi_ranker_free(r);
        return ASGD_FAIL(ENOMEM, "no memory to rank %u items", r->items);
    }
    const asgd_view view = {.shared = items->master, .own = items->master, .stride = items->stride};
    r->k->rank_pack(&view, r->factors, r->items, r->panel);
    for (uint32_t i = 0; i < r->items; i++) r->bias[i] = biases->master[i * biases->stride];
    return ASGD_OK;
}

void asgdi_ranker_free(asgdi_ranker *r)
{
    asgdi_free(r->panel);
    asgdi_free(r->bias);
    r->panel = r->bias = NULL;
}

void asgdi_ranker_query(const asgdi_ranker *r, uint32_t user, float *query)
{
    if (user < r->user->info.rows)
        memcpy(query, r->user->master + user * r->user->stride, r->pad * sizeof *query);
    else
        memset(query, 0, r->pad * sizeof *query);
}

void asgdi_ranker_scores(const asgdi_ranker *r, uint32_t n, const float *query, float *out)
{
    for (uint32_t u = 0; u < n; u++)
        memcpy(out + (size_t)u * r->room, r->bias, r->room * sizeof *out);
    r->k->rank_scores(r->factors, r->items, r->panel, n, query, r->pad, out, r->room);
}

/* A heap with the worst at the top; equal ones in order of number. */
typedef struct heap {
    const float *score;
    uint32_t    *item, n;
} heap;

static bool worse(const heap *h, uint32_t a, uint32_t b)
{
    return h->score[a] < h->score[b] || (h->score[a] == h->score[b] && a > b);
}

static void sink_down(heap *h, uint32_t at)
{
    for (uint32_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && worse(h, h->item[child + 1], h->item[child])) child++;
        if (!worse(h, h->item[child], h->item[at])) return;
        const uint32_t t = h->item[at];
        h->item[at]      = h->item[child];
        h->item[child]   = t;
    }
}

uint32_t asgdi_rank_top(const float *score, uint32_t n, uint32_t top, uint32_t *item)
{
    heap     h = {.score = score, .item = item};
    uint32_t i = 0;
    if (top == 0) return 0;
    for (; i < n && h.n < top; i++)
        if (score[i] > -INFINITY) item[h.n++] = i;
    for (uint32_t k = h.n / 2; k-- > 0;) sink_down(&h, k);
    float least = h.n == top ? score[item[0]] : INFINITY;
    for (; i < n; i++) {
        if (!(score[i] > least)) continue; /* an equal one of a higher number stays out */
        item[0] = i;
        sink_down(&h, 0);
        least = score[item[0]];
    }
    const uint32_t found = h.n;
    while (h.n > 1) { /* the worst goes to the end */
        const uint32_t t = item[0];
        item[0]          = item[--h.n];
        item[h.n]        = t;
        sink_down(&h, 0);
    }
    return found;
}

/* ---- recommendations ---- */

typedef struct job {
    const asgdi_ranker *r;
    const asgd_model   *m;
    const asgdi_lists  *exclude; /* NULL: nothing is left out */
    const uint32_t     *user;    /* NULL: 0, 1, 2, ... */
    const float        *query;   /* [n][pad]: instead of users' */
    uint64_t            n;
    uint32_t            top, parts;
    uint32_t           *item;
    float              *score, *room; /* room [parts][ASGDI_RANK_BLOCK][room + pad] */
} job;

/* What mf predicts for a score; bpr's are scores. */
static float output(const asgd_model *m, uint32_t user, float s)
{
    const asgdi_params *p = &m->params;
    if (m->task == ASGD_TASK_RANKING) return s;
    const asgdi_table *biases = &p->table[ASGDI_USER_BIAS];
    const float       *scale  = p->table[ASGDI_SCALE].master;
    if (user < biases->info.rows) s += biases->master[user * biases->stride];
    if (m->task == ASGD_TASK_BINARY) return 1 / (1 + expf(-s));
    s = scale[ASGDI_SCALE_MEAN] + scale[ASGDI_SCALE_DEVIATION] * s;
    if (s < scale[ASGDI_SCALE_LOW]) s = scale[ASGDI_SCALE_LOW];
    return s > scale[ASGDI_SCALE_HIGH] ? scale[ASGDI_SCALE_HIGH] : s;
}

static void recommend_part(void *ctx, uint32_t k)
{
    job                *j     = ctx;
    const asgdi_ranker *r     = j->r;
    float              *query = j->room + (size_t)k * ASGDI_RANK_BLOCK * (r->room + r->pad),
          *out                = query + ASGDI_RANK_BLOCK * r->pad;
    const uint64_t end        = asgdi_part(j->n, j->parts, k + 1);
    for (uint64_t i = asgdi_part(j->n, j->parts, k); i < end; i += ASGDI_RANK_BLOCK) {
        const uint32_t n = end - i < ASGDI_RANK_BLOCK ? (uint32_t)(end - i) : ASGDI_RANK_BLOCK;
        for (uint32_t u = 0; u < n; u++) {
            if (j->query)
                memcpy(query + u * r->pad, j->query + (i + u) * r->pad, r->pad * sizeof *query);
            else
                asgdi_ranker_query(r, j->user ? j->user[i + u] : (uint32_t)(i + u),
                                   query + u * r->pad);
        }
        asgdi_ranker_scores(r, n, query, out);
        for (uint32_t u = 0; u < n; u++) {
            const uint32_t user  = j->user ? j->user[i + u] : (uint32_t)(i + u);
            float         *score = out + (size_t)u * r->room;
            uint32_t      *item  = j->item + (i + u) * j->top;
            if (j->query) score[user] = -INFINITY; /* an item is no neighbour of itself */
            if (j->exclude && user < r->user->info.rows)
                for (uint64_t e = j->exclude->start[user]; e < j->exclude->start[user + 1]; e++)
                    score[j->exclude->item[e]] = -INFINITY;
            const uint32_t found = asgdi_rank_top(score, r->items, j->top, item);
            for (uint32_t t = 0; t < j->top; t++) {
                float *to = j->score + (i + u) * j->top + t;
                if (t >= found) item[t] = UINT32_MAX;
                *to = t >= found ? NAN
                      : j->query ? score[item[t]]
                                 : output(j->m, user, score[item[t]]);
            }
        }
    }
}

static asgd_status check(const char *what, const asgd_model *m, const void *items, uint32_t top)
{
    if (!m || !items) return ASGD_FAIL(EINVAL, "%s: no model, or nowhere to put the items", what);
    if (!m->entry || !m->entry->pairs)
        return ASGD_FAIL(EMISMATCH, "model %s has no users and items; train mf or bpr",
                         m->ops.name);
    if (top == 0 || top > ASGDI_TOP_MAX)
        return ASGD_FAIL(EINVAL, "the best %u items: 1 to %d are allowed", top, ASGDI_TOP_MAX);
    return ASGD_OK;
}

static asgd_status run(job *j, uint32_t threads)
{
    enum { GRAIN = 64 };
    j->parts = asgdi_parts(threads, j->n, GRAIN);
    j->room  = asgdi_calloc((size_t)j->parts * ASGDI_RANK_BLOCK,
                            ((size_t)j->r->room + j->r->pad) * sizeof *j->room);
    if (!j->room) return ASGD_FAIL(ENOMEM, "no memory to rank items");
    asgdi_parallel(j->parts, recommend_part, j);
    asgdi_free(j->room);
    return ASGD_OK;
}

asgd_status asgd_recommend(const asgd_model *m, const uint32_t *users, uint64_t n, uint32_t top,
                           const asgd_source *exclude, uint32_t threads, uint32_t *items,
                           float *scores)
{
    asgdi_ranker r = {0};
    asgdi_lists  l = {0};
    ASGD_TRY(check("asgd_recommend", m, items && scores ? items : NULL, top));
    if (exclude) ASGD_TRY(asgdi_model_check_schema(m, &exclude->schema, "what is to be left out"));
    asgd_status s = asgdi_ranker_init(&r, m, &m->params);
    if (s == ASGD_OK && exclude)
        s = asgdi_lists_make(&l, exclude, m->schema.users, m->schema.items);
    job j = {.r       = &r,
             .m       = m,
             .exclude = exclude ? &l : NULL,
             .user    = users,
             .n       = n,
             .top     = top,
             .item    = items,
             .score   = scores};
    if (s == ASGD_OK) s = run(&j, threads);
    asgdi_lists_free(&l);
    asgdi_ranker_free(&r);
    return s;
}

/* ---- neighbours ---- */

asgd_status asgd_similar_items(const asgd_model *m, const uint32_t *of, uint64_t n, uint32_t top,
                               uint32_t threads, uint32_t *items, float *scores)
{
    asgdi_ranker r = {0};
    ASGD_TRY(check("asgd_similar_items", m, items && scores ? items : NULL, top));
    for (uint64_t i = 0; i < n; i++)
        if (of && of[i] >= m->schema.items)
            return ASGD_FAIL(EINVAL, "there is no item %u, only %u of them", of[i],
                             m->schema.items);
    ASGD_TRY(asgdi_ranker_init(&r, m, &m->params));
    /* rows of length 1, so that products are cosines */
    const asgdi_table *t     = &m->params.table[ASGDI_ITEM];
    float             *unit  = asgdi_calloc(r.items, r.pad * sizeof *unit);
    float             *query = asgdi_calloc(n, r.pad * sizeof *query);
    asgd_status        s     = ASGD_OK;
    if (!unit || !query) s = ASGD_FAIL(ENOMEM, "no memory to compare items");
    for (uint32_t i = 0; s == ASGD_OK && i < r.items; i++) {
        const float *row = t->master + i * t->stride;
        const float  by  = sqrtf(r.k->dot(row, row, r.pad));
        for (uint32_t f = 0; f < r.pad; f++) unit[(size_t)i * r.pad + f] = by > 0 ? row[f] / by : 0;
    }
    if (s == ASGD_OK) {
        const asgd_view view = {.own = unit, .shared = unit, .stride = r.pad};
        r.k->rank_pack(&view, r.factors, r.items, r.panel);
        memset(r.bias, 0, r.room * sizeof *r.bias);
        for (uint64_t i = 0; i < n; i++)
            memcpy(query + i * r.pad, unit + (size_t)(of ? of[i] : i) * r.pad,
                   r.pad * sizeof *query);
        job j = {.r     = &r,
                 .m     = m,
                 .user  = of,
                 .query = query,
                 .n     = n,
                 .top   = top,
                 .item  = items,
                 .score = scores};
        s     = run(&j, threads);
    }
    asgdi_free(unit);
    asgdi_free(query);
    asgdi_ranker_free(&r);
    return s;
}
