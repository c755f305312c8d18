/* test_exchange.c over many more seeds.  ASGD_SIM_SEEDS=n runs n of each kind, ASGD_SIM_FIRST=n others than usual. */
#include "test.h"

#include "seeds.h"

static void test_kind(void **state)
{
    run_seeds(*(const seed_kind *)*state, seeds_of_a_kind(1000));
}

int main(void)
{
    return run_kinds("exchange, long", test_kind);
}
