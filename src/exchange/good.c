/* good.c -- the good states of a master, as its owner keeps them for the guard (watch.c).
 *
 * Two copies: `next` is taken when losses are good, and when they are again it has proved to lead somewhere and
 * becomes `good`, which is what the master goes back to. */
#include "exchange/core.h"

static uint64_t examples_in(const asgdi_exchange *x, const asgdi_master *m)
{
    uint64_t sum = 0;
    for (uint32_t q = 0; q < x->c.size; q++) sum += m->included[q];
    return sum - m->undone;
}

void asgdi_good_begin(const asgdi_exchange *x, asgdi_block *b)
{
    asgdi_master *m     = b->master;
    const size_t  bytes = asgdi_x_floats(b) * sizeof(float);
    if (!m->good) return;
    memcpy(m->good, m->m, bytes);
    memcpy(m->next, m->m, bytes);
    m->good_examples = m->next_examples = examples_in(x, m);
    m->good_count = m->next_count = m->version.count;
    m->state                      = x->watch.state;
}

/* What was taken last has stood the test; what the master is now is to.  Of the older copy, which makes room for that, only
 * rows that have changed since are renewed: most of a large table are not touched between two states. */
static void is_next(const asgdi_exchange *x, asgdi_block *b)
{
    asgdi_master  *m     = b->master;
    float         *was   = m->good;
    const uint64_t count = m->good_count;
    m->good              = m->next;
    m->good_examples     = m->next_examples;
    m->good_count        = m->next_count;
    m->next              = was;
    m->next_examples     = examples_in(x, m);
    m->next_count        = m->version.count;
    m->state             = x->watch.state;
    if (m->version.count == count) return;
    for (uint32_t r = 0; r < b->rows; r++) {
        const size_t at = (size_t)r * b->stride;
        if (m->changed[r] > count) memcpy(was + at, m->m + at, b->stride * sizeof(float));
    }
}

/* In stage FETCHING others may have the master already: it stays as it is. */
void asgdi_good_go_back(asgdi_exchange *x, asgdi_block *b, uint32_t times)
{
    asgdi_master *m     = b->master;
    const size_t  bytes = asgdi_x_floats(b) * sizeof(float);
    if (!m->good || m->back >= times || x->stage > ASGDI_FLUSHING) return;
    m->back = times;
    memcpy(m->m, m->good, bytes);
    memcpy(m->next, m->good, bytes);
    m->undone += examples_in(x, m) - m->good_examples;
    m->next_examples = m->good_examples;
    m->state         = x->watch.state; /* what was called good last was not, it seems */
    m->usual         = (asgdi_usual){0};
    m->arrivals      = 0;
    if (m->velocity) memset(m->velocity, 0, bytes);
    if (m->gathered) memset(m->gathered, 0, bytes);
    m->version.count++;
    for (uint32_t r = 0; r < b->rows; r++) m->changed[r] = m->version.count;
    if (m->undone > x->counts.undone) x->counts.undone = m->undone;
}

void asgdi_good_look(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        asgdi_block  *b = &x->block[i];
        asgdi_master *m = b->master;
        if (!m || !m->good || !m->serving) continue;
        asgdi_good_go_back(x, b, x->watch.back);
        if (m->state < x->watch.state) is_next(x, b);
    }
    x->watch.seen_back  = x->watch.back;
    x->watch.seen_state = x->watch.state;
}
