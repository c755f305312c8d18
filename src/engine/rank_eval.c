/* rank_eval.c -- what rankings are worth, measured on held-out pairs of user and item.
 *
 * For each user with held-out items, all items that the user has not in the training data are ranked.  With
 * H held-out items, of which h(r) are among the first r:
 *
 *     precision  h(n) / n                         recall  h(n) / H
 *     ndcg       sum over hits of 1 / log2(rank + 1), over the largest that sum can be
 *     map        sum over hits of h(rank) / rank, over min(n, H)
 *     auc        part of pairs (held out, neither) in right order, equal ones half
 *
 * each the mean over users (Manning, Raghavan, Schuetze 2008, chapter 8).  Held-out items that the training
 * data lack cannot be found, and count in H; users that they lack are left out.  loss is 1 - ndcg, so that
 * patience goes by it. */
#include "engine/rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "base/parallel.h"

typedef struct worth {
    double   precision, recall, ndcg, map, auc;
    uint64_t users, ordered; /* ordered: of auc */
} worth;

typedef struct job {
    const asgdi_ranking *r;
    asgdi_ranker         ranker;
    uint32_t             top, parts;
    worth               *worth; /* [blocks of users] */
    float               *room;
    asgdi_u64            next;
} job;

asgd_status asgdi_ranking_init(asgdi_ranking *r, const asgd_source *data, const asgd_source *seen)
{
    const asgd_schema *d = &data->schema;
    *r            = (asgdi_ranking){.users = d->users, .items = d->items, .examples = d->examples};
    asgd_status s = asgdi_lists_make(&r->held, data, d->users, d->items);
    if (s == ASGD_OK) s = asgdi_lists_make(&r->seen, seen, d->users, d->items);
    r->cold = asgdi_calloc(d->users, sizeof *r->cold);
    if (s == ASGD_OK && !r->cold) s = ASGD_FAIL(ENOMEM, "no memory to rank items");
    for (uint64_t i = 0; s == ASGD_OK && i < d->examples; i++)
        if (data->rating[i].user < d->users && data->rating[i].item == d->items)
            r->cold[data->rating[i].user]++;
    if (s != ASGD_OK) asgdi_ranking_free(r);
    return s;
}

void asgdi_ranking_free(asgdi_ranking *r)
{
    asgdi_lists_free(&r->held);
    asgdi_lists_free(&r->seen);
    asgdi_free(r->cold);
    r->cold = NULL;
}

static bool has(const uint32_t *list, uint64_t n, uint32_t x)
{
    uint64_t lo = 0, hi = n;
    while (lo < hi) {
        const uint64_t mid = (lo + hi) / 2;
        if (list[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && list[lo] == x;
}

static int by_score(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Held-out scores [h] against those of all other candidates; seen and held ones are -infinity.  Few are
 * compared with all, which is a loop that vectorises; many are sorted first. */
static double auc_of(float *held, uint64_t h, const float *score, uint32_t n, uint64_t *others)
{
    enum { FEW = 128 };
    double right = 0;
    *others      = 0;
    for (uint32_t i = 0; i < n; i++) *others += score[i] > -INFINITY;
    if (*others == 0) return NAN;
    for (uint64_t k = 0; h <= FEW && k < h; k++) {
        uint32_t below = 0, equal = 0;
        for (uint32_t i = 0; i < n; i++) {
            below += score[i] < held[k];
            equal += score[i] == held[k];
        }
        right += (double)(below - (n - *others)) + (double)equal / 2;
    }
    if (h <= FEW) return right / ((double)h * (double)*others);
    qsort(held, h, sizeof *held, by_score);
    for (uint32_t i = 0; i < n; i++) {
        if (!(score[i] > -INFINITY)) continue;
        uint64_t lo = 0, hi = h; /* held-out ones below */
        while (lo < hi) {
            const uint64_t mid = (lo + hi) / 2;
            if (held[mid] < score[i])
                lo = mid + 1;
            else
                hi = mid;
        }
        uint64_t end = lo;
        while (end < h && held[end] == score[i]) end++;
        right += (double)(h - end) + (double)(end - lo) / 2;
    }
    return right / ((double)h * (double)*others);
}

static void judge(const job *j, uint32_t user, float *score, float *held, uint32_t *best, worth *w)
{
    const asgdi_ranking *r    = j->r;
    const uint32_t      *mine = r->held.item + r->held.start[user];
    const uint64_t       many = r->held.start[user + 1] - r->held.start[user];
    double               hits = 0, gain = 0, ideal = 0, precise = 0;
    uint64_t             h = 0, others = 0;
    for (uint64_t i = r->seen.start[user]; i < r->seen.start[user + 1]; i++)
        score[r->seen.item[i]] = -INFINITY;
    for (uint64_t i = 0; i < many; i++)
        if (score[mine[i]] > -INFINITY) held[h++] = score[mine[i]];
    const uint64_t wanted = h + r->cold[user];
    if (wanted == 0) return; /* all of them are in the training data */
    const uint32_t n = asgdi_rank_top(score, r->items, j->top, best);
    for (uint32_t i = 0; i < n; i++) {
        if (!has(mine, many, best[i])) continue;
        hits++;
        gain += 1 / log2(i + 2.0);
        precise += hits / (i + 1.0);
    }
    for (uint64_t i = 0; i < wanted && i < j->top; i++) ideal += 1 / log2((double)i + 2);
    w->users++;
    w->precision += hits / j->top;
    w->recall += hits / (double)wanted;
    w->ndcg += gain / ideal;
    w->map += precise / (double)(wanted < j->top ? wanted : j->top);
    for (uint64_t i = 0; i < many; i++) score[mine[i]] = -INFINITY;
    const double auc = h ? auc_of(held, h, score, r->items, &others) : NAN;
    if (isnan(auc)) return;
    w->auc += auc;
    w->ordered++;
}

static void evaluate_part(void *ctx, uint32_t k)
{
    job                 *j    = ctx;
    const asgdi_ranking *r    = j->r;
    const asgdi_ranker  *by   = &j->ranker;
    const size_t         each = ASGDI_RANK_BLOCK * ((size_t)by->room + by->pad) + by->room + j->top;
    float               *query = j->room + k * each, *out = query + ASGDI_RANK_BLOCK * by->pad,
          *held    = out + (size_t)ASGDI_RANK_BLOCK * by->room;
    uint32_t *best = (uint32_t *)(void *)(held + by->room);
    for (;;) {
        const uint64_t block = asgdi_add_relaxed(&j->next, 1);
        if (block * ASGDI_RANK_BLOCK >= r->users) return;
        uint32_t user[ASGDI_RANK_BLOCK], n = 0;
        for (uint32_t i = 0; i < ASGDI_RANK_BLOCK; i++) {
            const uint64_t u = block * ASGDI_RANK_BLOCK + i;
            if (u < r->users && (r->held.start[u + 1] > r->held.start[u] || r->cold[u])) {
                asgdi_ranker_query(by, (uint32_t)u, query + n * by->pad);
                user[n++] = (uint32_t)u;
            }
        }
        asgdi_ranker_scores(by, n, query, out);
        for (uint32_t i = 0; i < n; i++)
            judge(j, user[i], out + (size_t)i * by->room, held, best, &j->worth[block]);
    }
}

asgd_status asgdi_ranking_evaluate(const asgdi_ranking *r, const asgd_model *m,
                                   const asgdi_params *p, uint32_t top, uint32_t threads,
                                   asgd_metrics *out)
{
    const uint64_t blocks = ((uint64_t)r->users + ASGDI_RANK_BLOCK - 1) / ASGDI_RANK_BLOCK;
    job            j      = {.r = r, .top = top, .parts = asgdi_parts(threads, r->users, 64)};
#define X(name, better) .name = NAN,
    *out = (asgd_metrics){ASGD_METRIC_MAP(X).examples = r->examples, .top = top};
#undef X
    ASGD_TRY(asgdi_ranker_init(&j.ranker, m, p));
    const size_t each =
        ASGDI_RANK_BLOCK * ((size_t)j.ranker.room + j.ranker.pad) + j.ranker.room + top;
    j.worth       = asgdi_calloc(blocks, sizeof *j.worth);
    j.room        = asgdi_calloc(j.parts, each * sizeof *j.room);
    asgd_status s = ASGD_OK;
    if (!j.worth || !j.room)
        s = ASGD_FAIL(ENOMEM, "no memory to rank %u items", r->items);
    else
        asgdi_parallel(j.parts, evaluate_part, &j);
    worth sum = {0};
    for (uint64_t b = 0; s == ASGD_OK && b < blocks; b++) {
        const worth *w = &j.worth[b];
        sum.precision += w->precision;
        sum.recall += w->recall;
        sum.ndcg += w->ndcg;
        sum.map += w->map;
        sum.auc += w->auc;
        sum.users += w->users;
        sum.ordered += w->ordered;
    }
    asgdi_free(j.worth);
    asgdi_free(j.room);
    asgdi_ranker_free(&j.ranker);
    if (s != ASGD_OK) return s;
    if (sum.users == 0)
        return ASGD_FAIL(EMISMATCH,
                         "the data hold no item that a known user has not had in training; "
                         "there is nothing to rank");
    const double n = (double)sum.users;
    out->precision = sum.precision / n;
    out->recall    = sum.recall / n;
    out->ndcg      = sum.ndcg / n;
    out->map       = sum.map / n;
    out->auc       = sum.ordered ? sum.auc / (double)sum.ordered : NAN;
    out->loss      = 1 - out->ndcg;
    return ASGD_OK;
}

asgd_status asgd_eval_ranking(const asgd_model *m, const asgd_source *data, const asgd_source *seen,
                              uint32_t top, uint32_t threads, asgd_metrics *out)
{
    asgdi_ranking r;
    if (!m || !data || !out) return ASGD_FAIL(EINVAL, "asgd_eval_ranking: an argument is NULL");
    if (!m->entry || !m->entry->pairs)
        return ASGD_FAIL(EMISMATCH, "model %s has no users and items; train mf or bpr",
                         m->ops.name);
    if (top > ASGDI_TOP_MAX)
        return ASGD_FAIL(EINVAL, "the best %u items: 1 to %d are allowed", top, ASGDI_TOP_MAX);
    ASGD_TRY(asgdi_model_check_schema(m, &data->schema, "the data"));
    if (seen) ASGD_TRY(asgdi_model_check_schema(m, &seen->schema, "what is to be left out"));
    ASGD_TRY(asgdi_ranking_init(&r, data, seen));
    asgd_status s = asgdi_ranking_evaluate(&r, m, &m->params, top ? top : 10, threads, out);
    asgdi_ranking_free(&r);
    return s;
}
