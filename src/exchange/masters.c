/* masters.c -- memory of the masters.
 *
 * Of all that come at a time in one piece: they are many, of sizes for which each would have a huge page of its own, most
 * of it empty. */
#include "exchange/core.h"

#include "base/mem.h"

enum { LINE_FLOATS = 16 };

/* Of one of the arrays of a master, in whole cache lines. */
static size_t array_floats(const asgdi_block *b)
{
    return (asgdi_x_floats(b) + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static size_t arrays(const asgdi_exchange *x)
{
    return 1u + (x->c.clock == ASGDI_CLOCK_SYNC) + 2u * (x->c.outer_momentum > 0) +
           2u * (x->c.guard > 0);
}

/* The next array of a piece of memory. */
static float *next_array(float **piece, const asgdi_block *b)
{
    float *array = *piece;
    *piece += array_floats(b);
    return array;
}

/* false: no memory; what is there is freed with the master. */
static bool make_master(const asgdi_exchange *x, asgdi_block *b, float **floats, uint64_t **rows)
{
    const uint32_t size = x->c.size;
    asgdi_master  *m    = asgdi_calloc(1, sizeof *m);
    b->master           = m;
    if (!m) return false;
    m->m       = next_array(floats, b);
    m->changed = *rows;
    *rows += b->rows;
    m->seq      = asgdi_calloc((size_t)size * 2, sizeof *m->seq);
    bool enough = m->seq != NULL;
    if (enough) m->included = m->seq + size;
    if (x->c.clock == ASGDI_CLOCK_SYNC) {
        m->sum        = next_array(floats, b);
        m->in_sum     = asgdi_calloc(b->rows, 1);
        m->round_seq  = asgdi_calloc((size_t)size * 4, sizeof *m->round_seq);
        m->round_came = asgdi_calloc(size, sizeof *m->round_came);
        enough        = enough && m->in_sum && m->round_seq && m->round_came;
        if (enough) m->round_included = m->round_seq + size;
        if (enough) m->round_updates = m->round_included + size;
        if (enough) m->round_count = m->round_updates + size;
    }
    if (x->c.outer_momentum > 0) {
        m->velocity = next_array(floats, b);
        m->gathered = next_array(floats, b);
    }
    if (x->c.guard) {
        m->good = next_array(floats, b);
        m->next = next_array(floats, b);
    }
    return enough;
}

static bool is_missing(const asgdi_exchange *x, const asgdi_block *b)
{
    return b->owner == x->c.self && !b->master;
}

bool asgdi_masters_new(asgdi_exchange *x)
{
    size_t floats = 0, rows = 0;
    void  *list = x->piece;
    for (uint32_t i = 0; i < x->n_blocks; i++) {
        const asgdi_block *b = &x->block[i];
        if (!is_missing(x, b)) continue;
        floats += arrays(x) * array_floats(b);
        rows += b->rows;
    }
    if (rows == 0) return true;
    if (!asgdi_grow(&list, &x->piece_room, x->n_pieces + 2, sizeof *x->piece)) return false;
    x->piece                = list;
    float    *whole         = asgdi_calloc(floats, sizeof *whole);
    uint64_t *of            = asgdi_calloc(rows, sizeof *of);
    bool      enough        = whole && of;
    x->piece[x->n_pieces++] = whole;
    x->piece[x->n_pieces++] = of;
    for (uint32_t i = 0; i < x->n_blocks && enough; i++)
        if (is_missing(x, &x->block[i])) enough = make_master(x, &x->block[i], &whole, &of);
    return enough;
}

static void free_master(asgdi_master *m)
{
    if (!m) return;
    asgdi_free(m->seq);
    asgdi_free(m->in_sum);
    asgdi_free(m->round_seq);
    asgdi_free(m->round_came);
    asgdi_free(m);
}

void asgdi_masters_free(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->n_blocks; i++) free_master(x->block[i].master);
    for (size_t i = 0; i < x->n_pieces; i++) asgdi_free(x->piece[i]);
    asgdi_free(x->piece);
}
