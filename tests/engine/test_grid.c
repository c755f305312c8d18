/* test_grid.c -- the schedule of blocks: no two at once share a strip, every block once an epoch, whatever
 * the workers' number and speed; and runs with it: the same bits for any number of workers, also across
 * a stop and a resume. */
#include "test.h"

#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/blocks.h"
#include "engine/grid.h"

/* ---- the schedule, under virtual workers whose blocks take random times ---- */

enum { MAX = 64 };

static void run_schedule(uint32_t size, uint64_t rounds, uint32_t workers, uint64_t seed)
{
    asgdi_grid       g;
    asgdi_grid_block held[MAX];
    bool             busy[MAX] = {false};
    uint64_t         done = 0, taken = 0;
    uint8_t         *met = asgdi_calloc((size_t)size * size, 1);
    ok(asgdi_grid_init(&g, size, rounds, seed));
    asgdi_store_relaxed(&g.gate, rounds);
    for (uint64_t i = 0; done < rounds * size; i++) {
        const uint32_t w = (uint32_t)(asgdi_random(seed, 1, i) % workers);
        if (busy[w]) {
            asgdi_grid_done(&g, &held[w]);
            busy[w] = false;
            done++;
            continue;
        }
        if (asgdi_grid_take(&g, (uint32_t)asgdi_random(seed, 2, i) % size, &held[w]) != ASGDI_FOUND)
            continue;
        for (uint32_t v = 0; v < workers; v++)
            if (v != w && busy[v])
                assert_true(held[v].user != held[w].user && held[v].item != held[w].item);
        assert_int_equal(held[w].item, asgdi_grid_column(&g, held[w].round, held[w].user));
        busy[w] = true;
        taken++;
        met[held[w].user * size + held[w].item]++;
        if (i > 1000 * rounds * size) fail_msg("the schedule does not go on");
    }
    assert_int_equal(taken, rounds * size);
    for (uint32_t b = 0; b < size * size; b++) assert_int_equal(met[b], rounds / size);
    asgdi_grid_block none;
    assert_int_equal(asgdi_grid_take(&g, 0, &none), ASGDI_RUN_OVER);
    asgdi_free(met);
    asgdi_grid_free(&g);
}

static void blocks_never_meet(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (uint32_t size = 1; size <= 17; size += 4)
            run_schedule(size, 3 * size, 1 + (uint32_t)(seed % 9), seed);
}

static void waits_at_the_gate(void **state)
{
    (void)state;
    asgdi_grid       g;
    asgdi_grid_block b;
    ok(asgdi_grid_init(&g, 4, 8, 1));
    asgdi_store_relaxed(&g.gate, 4);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(asgdi_grid_take(&g, 0, &b), ASGDI_FOUND);
        assert_true(b.round < 4);
        asgdi_grid_done(&g, &b);
    }
    assert_int_equal(asgdi_grid_take(&g, 0, &b), ASGDI_NONE_READY);
    asgdi_store_relaxed(&g.gate, 8);
    assert_int_equal(asgdi_grid_take(&g, 0, &b), ASGDI_FOUND);
    asgdi_grid_free(&g);
}

static void goes_on_where_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        asgdi_grid       g, again;
        asgdi_grid_block b;
        uint64_t         round[MAX];
        ok(asgdi_grid_init(&g, 9, 27, seed));
        asgdi_store_relaxed(&g.gate, 27);
        for (uint64_t i = 0; i < 7 * seed; i++) {
            assert_int_equal(asgdi_grid_take(&g, (uint32_t)(i * 5 % 9), &b), ASGDI_FOUND);
            asgdi_grid_done(&g, &b);
        }
        for (uint32_t i = 0; i < 9; i++) round[i] = asgdi_load_relaxed(&g.user[i].state) / 2;
        ok(asgdi_grid_init(&again, 9, 27, seed));
        ok(asgdi_grid_set(&again, round));
        for (uint32_t i = 0; i < 9; i++)
            assert_true(asgdi_load_relaxed(&g.item[i].state) ==
                        asgdi_load_relaxed(&again.item[i].state));
        round[3] += 30;
        fails(asgdi_grid_set(&again, round), ASGD_EFORMAT, "damaged");
        asgdi_grid_free(&g);
        asgdi_grid_free(&again);
    }
    asgdi_grid g;
    fails(asgdi_grid_init(&g, 0, 1, 1), ASGD_EINVAL, "strips");
    fails(asgdi_grid_init(&g, 257, 1, 1), ASGD_EINVAL, "strips");
}

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(asgdi_blocks_size(800000, 6000, 3700, 128, 2 << 20), 16);
    assert_int_equal(asgdi_blocks_size(16000000, 120000, 74000, 128, 2 << 20), 16);
    assert_int_equal(asgdi_blocks_size(16000000, 120000, 74000, 512, 1 << 20), 29);
    assert_int_equal(asgdi_blocks_size(16000000, 120000, 74000, 512, 2 << 20), 16);
    assert_int_equal(asgdi_blocks_size(100, 50, 50, 128, 1 << 20), 1);
    assert_int_equal(asgdi_blocks_size(1000000, 1000000, 1000000, 128, 1 << 20),
                     0); /* too sparse */
}

/* ---- how ratings are arranged ---- */

static asgd_rating *make_ratings(uint64_t n, uint32_t users, uint32_t items)
{
    asgd_rating *r = asgdi_calloc(n, sizeof *r);
    assert_non_null(r);
    for (uint64_t i = 0; i < n; i++) {
        const float u = asgdi_uniform(asgdi_random(3, 0, i)),
                    v = asgdi_uniform(asgdi_random(3, 1, i));
        r[i].user     = (uint32_t)(u * u * (float)users);
        r[i].item     = (uint32_t)(v * v * (float)items);
        r[i].y        = (float)(1 + (r[i].user * 7 + r[i].item * 13 + i % 3) % 5);
    }
    return r;
}

static void arranges_every_rating_once(void **state)
{
    (void)state;
    enum { RATINGS = 300000, SIZE = 8 };
    asgd_rating *r = make_ratings(RATINGS, 700, 300);
    asgd_source *s;
    ok(asgd_source_ratings(&s, r, RATINGS, 700, 300));
    asgdi_arranged a[2];
    ok(asgdi_arrange(&a[0], s, SIZE, 1024, 5, 1, true));
    ok(asgdi_arrange(&a[1], s, SIZE, 1024, 5, 3, true));
    assert_memory_equal(a[0].rating, a[1].rating, RATINGS * sizeof *r); /* whatever the threads */
    uint64_t user_strip[700] = {0}, item_strip[300] = {0}, sum = 0, wanted = 0;
    for (uint32_t b = 0; b < SIZE * SIZE; b++) {
        const double part = (double)(a[0].start[b + 1] - a[0].start[b]) / RATINGS * SIZE * SIZE;
        assert_true(part > 0.2 && part < 5);
        for (uint64_t i = a[0].start[b]; i < a[0].start[b + 1]; i++) {
            const asgd_rating *x = &a[0].rating[i];
            if (!user_strip[x->user]) user_strip[x->user] = b / SIZE + 1;
            if (!item_strip[x->item]) item_strip[x->item] = b % SIZE + 1;
            assert_int_equal(user_strip[x->user], b / SIZE + 1);
            assert_int_equal(item_strip[x->item], b % SIZE + 1);
            assert_true(asgdi_seen_has(&a[0].seen, x->user, x->item));
            sum += asgdi_mix((uint64_t)x->user << 40 ^ (uint64_t)x->item << 8 ^ (uint64_t)x->y);
        }
    }
    for (uint64_t i = 0; i < RATINGS; i++)
        wanted +=
            asgdi_mix((uint64_t)r[i].user << 40 ^ (uint64_t)r[i].item << 8 ^ (uint64_t)r[i].y);
    assert_true(sum == wanted);
    uint64_t wrong = 0;
    for (uint32_t u = 1000; u < 2000; u++)
        for (uint32_t i = 0; i < 100; i++) wrong += asgdi_seen_has(&a[0].seen, u, i);
    assert_true(wrong < 5000); /* of 100,000 that are not rated */
    asgdi_arranged_free(&a[0]);
    asgdi_arranged_free(&a[1]);
    asgd_source_close(s);
    asgdi_free(r);
}

/* ---- runs ---- */

enum { RATINGS = 20000, USERS = 200, ITEMS = 150 };

static void trained(const asgd_rating *r, const char *name, const char *options, asgd_config c,
                    float **out, size_t *floats)
{
    asgd_source *s, *v;
    asgd_model  *m;
    asgd_result  result;
    ok(asgd_source_ratings(&s, r, RATINGS, USERS, ITEMS));
    static asgd_rating held[2000];
    for (int i = 0; i < 2000; i++)
        held[i] = (asgd_rating){r[i].user, ITEMS - 1 - r[i].item, r[i].y};
    ok(asgd_source_ratings(&v, held, 2000, USERS, ITEMS));
    ok(asgd_model_named(&m, name, options, asgd_source_schema(s)));
    if (c.valid) c.valid = v;
    ok(asgd_train(m, s, &c, &result));
    if (c.blocks == ASGD_BLOCKS_AUTO && !c.resume) {
        assert_non_null(strstr(result.share, "8 x 8 blocks"));
        assert_int_equal(result.examples, result.updates);
    }
    *floats = 0;
    *out    = asgdi_calloc((USERS + ITEMS) * 33, sizeof(float));
    for (int t = 0; t < 4; t++)
        for (uint64_t row = 0; row < asgd_model_table(m, t)->rows; row++)
            for (uint32_t f = 0; f < asgd_model_table(m, t)->dim; f++)
                (*out)[(*floats)++] = asgd_model_row(m, t, row)[f];
    asgd_result_free(&result);
    asgd_model_free(m);
    asgd_source_close(s);
    asgd_source_close(v);
}

static void same_bits_for_any_number_of_workers(void **state)
{
    (void)state;
    static const struct {
        const char    *model, *options;
        asgd_rule_kind rule;
        double         epochs;
    } ways[]       = {{"mf", "k=8", ASGD_RULE_DEFAULT, 3},
                      {"mf", "k=12 loss=absolute", ASGD_RULE_DEFAULT, 2.5},
                      {"mf", "k=8", ASGD_RULE_adagrad, 2},
                      {"bpr", "k=8 negatives=2", ASGD_RULE_DEFAULT, 3},
                      {"bpr", "k=8 draw=popular", ASGD_RULE_DEFAULT, 2},
                      {"bpr", "k=8 loss=logistic", ASGD_RULE_DEFAULT, 2}};
    asgd_rating *r = make_ratings(RATINGS, USERS, ITEMS);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (int valid = 0; valid < 2; valid++) {
            float *first = NULL;
            for (uint32_t workers = 1; workers <= 8; workers *= 2) {
                float      *now;
                size_t      n;
                asgd_config c = {.workers = workers,
                                 .epochs  = ways[i].epochs,
                                 .seed    = 3,
                                 .rule    = {.kind = ways[i].rule},
                                 .valid   = valid ? (asgd_source *)r : NULL};
                trained(r, ways[i].model, ways[i].options, c, &now, &n);
                if (!first) {
                    first = now;
                    continue;
                }
                if (memcmp(first, now, n * sizeof *now) != 0)
                    fail_msg("%s %s: %u workers give other bits than one", ways[i].model,
                             ways[i].options, workers);
                asgdi_free(now);
            }
            asgdi_free(first);
        }
    asgdi_free(r);
}

static int stop_early(const asgd_point *p, void *user)
{
    (void)user;
    return p->epochs > 0.7;
}

static void resumes_bit_for_bit(void **state)
{
    (void)state;
    asgd_rating *r = make_ratings(RATINGS, USERS, ITEMS);
    float       *whole;
    size_t       n;
    asgd_config  c = {.workers = 2, .epochs = 40};
    trained(r, "mf", "k=8", c, &whole, &n);
    char folder[] = "grid-XXXXXX", command[64];
    assert_non_null(mkdtemp(folder));
    asgd_source *s;
    asgd_model  *m;
    ok(asgd_source_ratings(&s, r, RATINGS, USERS, ITEMS));
    ok(asgd_model_named(&m, "mf", "k=8", asgd_source_schema(s)));
    c.checkpoint   = folder;
    c.observe      = stop_early;
    c.report_every = 1e-4;
    fails(asgd_train(m, s, &c, NULL), ASGD_ESTOPPED, "stopped after");
    asgd_model_free(m);
    float *again;
    c.observe = NULL;
    c.resume  = true;
    c.workers = 3;
    trained(r, "mf", "k=8", c, &again, &n);
    assert_memory_equal(whole, again, n * sizeof *again);
    c.blocks = ASGD_BLOCKS_OFF;
    ok(asgd_model_named(&m, "mf", "k=8", asgd_source_schema(s)));
    fails(asgd_train(m, s, &c, NULL), ASGD_EMISMATCH, "--blocks");
    asgd_model_free(m);
    asgd_source_close(s);
    asgdi_free(whole);
    asgdi_free(again);
    asgdi_free(r);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* Without blocks, and in the modes that wait: it learns all the same. */
static void other_ways_learn_too(void **state)
{
    (void)state;
    asgd_rating *r = make_ratings(RATINGS, USERS, ITEMS);
    asgd_source *s;
    ok(asgd_source_ratings(&s, r, RATINGS, USERS, ITEMS));
    const asgd_config ways[] = {
        {.blocks = ASGD_BLOCKS_AUTO, .workers = 1},
        {.blocks = ASGD_BLOCKS_OFF, .workers = 1},
        {.blocks = ASGD_BLOCKS_OFF, .workers = 4, .share = ASGD_SHARE_SHARED},
        {.workers = 3, .share = ASGD_SHARE_REPLICA},
        {.mode = ASGD_SEQUENTIAL},
        {.mode = ASGD_LOCKED, .workers = 3},
        {.order = ASGD_ORDER_FILE, .workers = 2, .share = ASGD_SHARE_SHARED},
        {.workers = 2, .rule = {.kind = ASGD_RULE_adam}, .lr = 0.003},
    };
    double first = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        asgd_model  *m;
        asgd_result  result;
        asgd_metrics metrics;
        asgd_config  c = ways[i];
        c.epochs       = 6;
        ok(asgd_model_named(&m, "mf", "k=8", asgd_source_schema(s)));
        ok(asgd_train(m, s, &c, &result));
        assert_int_equal(result.examples, 6 * RATINGS);
        ok(asgd_eval(m, s, 1, &metrics));
        if (i == 0) first = metrics.rmse;
        assert_true(metrics.rmse < 1.4); /* 1.414: always the mean */
        if (i < 4 && !(fabs(metrics.rmse - first) < 0.05))
            fail_msg("way %d: RMSE %g, not about %g", (int)i, metrics.rmse, first);
        asgd_result_free(&result);
        asgd_model_free(m);
    }
    asgd_source_close(s);
    asgdi_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_never_meet),
        cmocka_unit_test(waits_at_the_gate),
        cmocka_unit_test(goes_on_where_it_was),
        cmocka_unit_test(sizes),
        cmocka_unit_test(arranges_every_rating_once),
        cmocka_unit_test(same_bits_for_any_number_of_workers),
        cmocka_unit_test(resumes_bit_for_bit),
        cmocka_unit_test(other_ways_learn_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
