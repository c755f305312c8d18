/* The exchange over a simulated network, with every kind of fault: what comes of it is told exactly (oracle.h).
 *
 * ASGD_SIM_SEED=n runs seed n alone, and tells on stderr what happens to every frame. */
#include "test.h"

#include "seeds.h"

static void test_kind(void **state)
{
    const seed_kind k = *(const seed_kind *)*state;
    run_seeds(k, seeds_of_a_kind(45));
}

int main(void)
{
    return run_kinds("exchange", test_kind);
}
