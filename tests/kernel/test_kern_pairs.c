/* test_kern_pairs.c -- the kernels of matrix factorization against the formulas in double precision, for
 * every variant, on private, shared and split tables, with and without room for slots. */
#define _GNU_SOURCE
#include "kernel/fixture.h"

enum { USERS = 11, ITEMS = 7, N = 50 };

typedef struct world {
    table       user, item, user_bias, item_bias;
    asgdk_pairs p;
} world;

static world make_world(uint32_t pad, uint32_t own, size_t slots)
{
    world w = {.user      = make_table(USERS, own, pad, pad * slots),
               .item      = make_table(ITEMS, own, pad, pad * slots),
               .user_bias = make_table(USERS, own, 1, slots),
               .item_bias = make_table(ITEMS, own, 1, slots)};
    w.p     = (asgdk_pairs){.users    = USERS,
                            .items    = ITEMS,
                            .pad      = pad,
                            .biases   = true,
                            .mean     = 3.25f,
                            .inverse  = 0.8f,
                            .lr       = 0.05f,
                            .l2_user  = 0.1f,
                            .l2_item  = 0.2f,
                            .l2_bias  = 0.3f,
                            .positive = 1.5f};
    /* products of about 1: steps then stay far from where rounding grows */
    for (uint32_t r = 0; r < USERS; r++)
        for (uint32_t f = 0; f < pad; f++) table_row(&w.user, r)[f] /= sqrtf((float)pad) / 2;
    for (uint32_t r = 0; r < ITEMS; r++)
        for (uint32_t f = 0; f < pad; f++) table_row(&w.item, r)[f] /= sqrtf((float)pad) / 2;
    return w;
}

static asgdk_pairs params(const world *w)
{
    asgdk_pairs p = w->p;
    p.user        = w->user.view;
    p.item        = w->item.view;
    p.user_bias   = w->user_bias.view;
    p.item_bias   = w->item_bias.view;
    return p;
}

/* The same in double. */
typedef struct model {
    double user[USERS][256], item[ITEMS][256], b[USERS], c[ITEMS];
} model;

static void take(model *m, const world *w)
{
    for (uint32_t r = 0; r < USERS; r++) {
        for (uint32_t f = 0; f < w->p.pad; f++) m->user[r][f] = table_row(&w->user, r)[f];
        m->b[r] = *table_row(&w->user_bias, r);
    }
    for (uint32_t r = 0; r < ITEMS; r++) {
        for (uint32_t f = 0; f < w->p.pad; f++) m->item[r][f] = table_row(&w->item, r)[f];
        m->c[r] = *table_row(&w->item_bias, r);
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double mf_model(model *m, const asgdk_pairs *p, const asgd_rating *r)
{
    double s = m->b[r->user] + m->c[r->item], g, loss;
    for (uint32_t f = 0; f < p->pad; f++) s += m->user[r->user][f] * m->item[r->item][f];
    const double e = s - ((double)r->y - (double)p->mean) * (double)p->inverse;
    if (p->loss == ASGDK_PAIRS_SQUARED) {
        g    = e;
        loss = e * e / 2;
    } else if (p->loss == ASGDK_PAIRS_ABSOLUTE) {
        g    = e > 0 ? 1 : -1;
        loss = fabs(e);
    } else {
        const double weight = r->y > 0 ? (double)p->positive : 1, sign = r->y > 0 ? 1 : -1;
        g    = -weight * sign * sigmoid(-sign * s);
        loss = -weight * log(sigmoid(sign * s));
    }
    const double lr = (double)p->lr;
    for (uint32_t f = 0; f < p->pad; f++) {
        double *u = &m->user[r->user][f], *v = &m->item[r->item][f], was = *u;
        *u -= lr * (g * *v + (double)p->l2_user * *u);
        *v -= lr * (g * was + (double)p->l2_item * *v);
        if (p->nonnegative) {
            *u = *u > 0 ? *u : 0;
            *v = *v > 0 ? *v : 0;
        }
    }
    if (!p->biases) return loss;
    m->b[r->user] -= lr * (g + (double)p->l2_bias * m->b[r->user]);
    m->c[r->item] -= lr * (g + (double)p->l2_bias * m->c[r->item]);
    return loss;
}

static double bpr_model(model *m, const asgdk_pairs *p, const asgdk_triple *t)
{
    double  x = p->biases ? m->c[t->item] - m->c[t->other] : 0;
    double *u = m->user[t->user], *i = m->item[t->item], *j = m->item[t->other];
    for (uint32_t f = 0; f < p->pad; f++) x += u[f] * (i[f] - j[f]);
    const double g = sigmoid(-x), lr = (double)p->lr;
    for (uint32_t f = 0; f < p->pad; f++) {
        const double a = u[f], b = i[f], c = j[f];
        u[f] += lr * (g * (b - c) - (double)p->l2_user * a);
        i[f] += lr * (g * a - (double)p->l2_item * b);
        j[f] += lr * (-g * a - (double)p->l2_item * c);
    }
    if (p->biases) {
        m->c[t->item] += lr * (g - (double)p->l2_bias * m->c[t->item]);
        m->c[t->other] += lr * (-g - (double)p->l2_bias * m->c[t->other]);
    }
    return -log(sigmoid(x));
}

static void close_to(const char *what, const asgd_kern *k, const asgdk_pairs *p, double got,
                     double wanted)
{
    if (!(fabs(got - wanted) <= 2e-4 * (1 + fabs(wanted))))
        fail_msg("%s, %s, pad %u, loss %d: %g, not %g", what, k->name, p->pad, (int)p->loss, got,
                 wanted);
}

static void compare(const world *w, const model *m, const asgd_kern *k)
{
    for (uint32_t r = 0; r < USERS; r++) {
        for (uint32_t f = 0; f < w->p.pad; f++)
            close_to("user", k, &w->p, table_row(&w->user, r)[f], m->user[r][f]);
        close_to("user bias", k, &w->p, *table_row(&w->user_bias, r), m->b[r]);
    }
    for (uint32_t r = 0; r < ITEMS; r++) {
        for (uint32_t f = 0; f < w->p.pad; f++)
            close_to("item", k, &w->p, table_row(&w->item, r)[f], m->item[r][f]);
        close_to("item bias", k, &w->p, *table_row(&w->item_bias, r), m->c[r]);
    }
}

static asgd_rating *make_ratings(uint32_t n, bool binary)
{
    asgd_rating *r = array(n, sizeof *r);
    for (uint32_t i = 0; i < n; i++)
        r[i] = (asgd_rating){draw_below(USERS), draw_below(ITEMS),
                             binary ? (float)draw_below(2) : (float)(1 + draw_below(5))};
    return r;
}

static void one_mf(const asgd_kern *k, uint32_t pad, uint32_t own, size_t slots, uint32_t n,
                   int loss, bool nonnegative, bool biases)
{
    static model m;
    world        w   = make_world(pad, own, slots);
    w.p.loss         = (asgdk_pairs_loss)loss;
    w.p.nonnegative  = nonnegative;
    w.p.biases       = biases;
    asgd_rating *r   = make_ratings(n, loss == ASGDK_PAIRS_LOGISTIC);
    asgdk_pairs  p   = params(&w);
    double       sum = 0;
    take(&m, &w);
    for (uint32_t i = 0; i < n; i++) sum += mf_model(&m, &p, &r[i]);
    close_to("loss", k, &p, k->mf_steps(&p, n, r), sum);
    compare(&w, &m, k);
    free_arrays();
}

static void ratings_step(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    for (uint32_t pad = 1; pad && pad <= 256;
         pad          = next_pad(pad) == 1000 ? pad == 256 ? 0 : 256 : next_pad(pad))
        for (uint32_t n = 0; n <= N; n += 25) {
                     one_mf(k, pad, 0, 1, n, ASGDK_PAIRS_SQUARED, false, true);
                     one_mf(k, pad, 0, 1, n, ASGDK_PAIRS_SQUARED, false, false);
                     one_mf(k, pad, 3, 1, n, ASGDK_PAIRS_SQUARED, false, true);
                     one_mf(k, pad, 3, 2, n, ASGDK_PAIRS_SQUARED, true, true);
                     one_mf(k, pad, 0, 2, n, ASGDK_PAIRS_ABSOLUTE, false, true);
                     one_mf(k, pad, 0, 1, n, ASGDK_PAIRS_LOGISTIC, false, true);
        }
}

static void ratings_read_ahead_as_told(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    {
        world        w = make_world(32, 0, 1), v = w;
        asgd_rating *r = make_ratings(N + ASGDK_PAIRS_AHEAD, false);
        v.user         = copy_table(&w.user);
        v.item         = copy_table(&w.item);
        v.user_bias    = copy_table(&w.user_bias);
        v.item_bias    = copy_table(&w.item_bias);
        asgdk_pairs p = params(&w), q = params(&v);
        q.ahead        = ASGDK_PAIRS_AHEAD;
        const double a = k->mf_steps(&p, N, r), b = k->mf_steps(&q, N, r);
        assert_true(a == b);
        for (uint32_t i = 0; i < USERS; i++)
            assert_memory_equal(table_row(&w.user, i), table_row(&v.user, i), 32 * sizeof(float));
        free_arrays();
    }
}

static void scores(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    for (uint32_t pad = 8; pad <= 64; pad += 8)
        for (uint32_t own = 0; own <= 3; own += 3) {
            world        w  = make_world(pad, own, 2);
            asgd_rating *r  = make_ratings(N, false);
            r[3].user       = USERS;
            r[5].item       = ITEMS;
            r[7]            = (asgd_rating){USERS, ITEMS, 1};
            asgdk_pairs p   = params(&w);
            float      *out = floats(N);
            k->mf_scores(&p, N, r, out);
            for (uint32_t i = 0; i < N; i++) {
                const bool u = r[i].user < USERS, v = r[i].item < ITEMS;
                double     s = u ? (double)*table_row(&w.user_bias, r[i].user) : 0;
                if (v) s += (double)*table_row(&w.item_bias, r[i].item);
                for (uint32_t f = 0; u && v && f < pad; f++)
                    s += (double)table_row(&w.user, r[i].user)[f] *
                         (double)table_row(&w.item, r[i].item)[f];
                close_to("score", k, &p, out[i], s);
            }
            free_arrays();
        }
}

static void ranking_step(void **state)
{
    (void)state;
    static model m;
    EACH_VARIANT(k)
    for (uint32_t pad = 8; pad <= 128; pad += 8)
        for (int way = 0; way < 4; way++) {
            world         w   = make_world(pad, way % 2 ? 3 : 0, way == 2 ? 2 : 1);
            asgdk_triple *t   = array(N, sizeof *t);
            double        sum = 0;
            w.p.biases        = way != 3;
            asgdk_pairs p     = params(&w);
            for (uint32_t i = 0; i < N; i++) {
                const uint32_t item = draw_below(ITEMS);
                t[i]                = (asgdk_triple){draw_below(USERS), item,
                                                     (item + 1 + draw_below(ITEMS - 1)) % ITEMS};
            }
            take(&m, &w);
            for (uint32_t i = 0; i < N; i++) sum += bpr_model(&m, &p, &t[i]);
            close_to("loss", k, &p, k->bpr_steps(&p, N, t), sum);
            compare(&w, &m, k);
            free_arrays();
        }
}

static void ranks_all_items(void **state)
{
    (void)state;
    EACH_VARIANT(k)
    for (uint32_t items = 1; items <= 40; items += 13)
        for (uint32_t factors = 1; factors <= 20; factors += 6)
            for (uint32_t users = 0; users <= 19; users++) {
                const uint32_t pad  = asgdk_pad(factors),
                               room = (items + ASGDK_PANEL - 1) / ASGDK_PANEL * ASGDK_PANEL;
                table  t            = make_table(items, items > 5 ? 5 : 0, pad, pad);
                float *panel = floats((size_t)room * factors), *user = floats((size_t)users * pad);
                float *out    = floats((size_t)users * room),
                      *before = copy(out, (size_t)users * room);
                k->rank_pack(&t.view, factors, items, panel);
                k->rank_scores(factors, items, panel, users, user, pad, out, room);
                for (uint32_t u = 0; u < users; u++)
                    for (uint32_t i = 0; i < items; i++) {
                        double s = (double)before[u * room + i];
                        for (uint32_t f = 0; f < factors; f++)
                            s += (double)user[u * pad + f] * (double)table_row(&t, i)[f];
                        if (fabs((double)out[u * room + i] - s) > 1e-5 * (1 + fabs(s)))
                            fail_msg("%s: %u items, %u factors: user %u item %u: %g, not %g",
                                     k->name, items, factors, u, i, (double)out[u * room + i], s);
                    }
                free_arrays();
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ratings_step),    cmocka_unit_test(ratings_read_ahead_as_told),
        cmocka_unit_test(scores),          cmocka_unit_test(ranking_step),
        cmocka_unit_test(ranks_all_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
