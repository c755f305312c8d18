/* What an exchange keeps: S, and of the blocks that a process owns the master and its good states.  Large models have
 * thousands of blocks, and what each of them wasted would be many times the model. */
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "exchange/exchange.h"

enum { ROWS = 1 << 19, DIM = 16, PROCESSES = 2 };

static void read_rows(void *user, int table, uint64_t first, uint32_t n, float *to)
{
    const asgdi_table *t = &((asgdi_params *)user)->table[table];
    memcpy(to, t->master + first * t->stride, (size_t)n * t->stride * sizeof *to);
}

/* Bytes of this process that are in memory. */
static size_t resident(void)
{
    FILE         *f = fopen("/proc/self/statm", "r");
    unsigned long all, in = 0;
    if (!f) return 0;
    if (fscanf(f, "%lu %lu", &all, &in) != 2) in = 0;
    fclose(f);
    return (size_t)in * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_an_exchange_is_as_large_as_what_it_keeps(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* they keep more */
#endif
    const asgd_table table = {
        .name = "w", .rows = ROWS, .dim = DIM, .flags = ASGD_TABLE_BY_FEATURE};
    asgdi_exchange_config c = {.size          = PROCESSES,
                               .run           = 1,
                               .total         = 1u << 20,
                               .batch         = 1,
                               .ranked        = true,
                               .chunk_seconds = 1,
                               .damp          = 16,
                               .drop          = 1e9,
                               .clip          = 1e9,
                               .guard         = 512,
                               .heartbeat     = 1,
                               .dead_after    = 10,
                               .join_seconds  = 10,
                               .resend        = 1,
                               .round_most    = 1,
                               .least         = 1};
    asgdi_params          p;
    asgdi_exchange       *x;
    ok(asgdi_params_init(&p, &table, 1, 1));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_adagrad));
    const size_t model  = (size_t)ROWS * p.table[0].stride * sizeof(float);
    const size_t before = resident();
    ok(asgdi_exchange_new(&x, &c, &p, read_rows, &p));
    const size_t keeps = model + 3 * model / PROCESSES + ROWS / PROCESSES * sizeof(uint64_t);
    if (before == 0) skip();
    assert_in_range(resident() - before, keeps - keeps / 16, keeps + keeps / 16);
    asgdi_exchange_free(x);
    asgdi_params_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exchange_is_as_large_as_what_it_keeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
