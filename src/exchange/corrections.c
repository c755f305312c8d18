/* corrections.c -- what comes back from the owners, and what is to be made of it in W: W += M' - (S + d), S = M'. */
#include "exchange/core.h"

#include "base/mem.h"
#include "base/status.h"
#include "exchange/rows.h"

static void free_fixes(asgdi_fixes *f)
{
    for (uint32_t i = 0; i < f->n; i++) asgdi_free(f->fix[i].by);
    asgdi_free(f->fix);
    asgdi_free(f->entry);
}

void asgdi_corrections_free(asgdi_exchange *x)
{
    free_fixes(&x->ready);
    free_fixes(&x->handed);
}

/* Not zeroed, and no larger than it has to be: there are many at a time. */
static float *buffer(asgdi_exchange *x, size_t floats)
{
    void  *b    = NULL;
    size_t room = 0;
    if (!asgdi_grow(&b, &room, floats ? floats : 1, sizeof(float)))
        asgdi_x_fail(x, "no memory for a correction");
    return b;
}

static bool add_fix(asgdi_exchange *x, uint32_t block, float *by)
{
    asgdi_fixes *f    = &x->ready;
    void        *list = f->fix;
    if (!asgdi_grow(&list, &f->room, f->n + 1, sizeof *f->fix)) {
        asgdi_free(by);
        asgdi_x_fail(x, "no memory for a correction");
        return false;
    }
    f->fix                     = list;
    f->fix[f->n++]             = (asgdi_fix){block, by};
    x->block[block].correcting = true;
    return true;
}

static bool add_entry(asgdi_exchange *x, const asgdi_block *b, uint32_t row, uint32_t n,
                      bool replace, const float *by)
{
    asgdi_fixes *f    = &x->ready;
    void        *list = f->entry;
    if (f->n_entries) { /* next to the one before it? */
        asgdi_correction *last = &f->entry[f->n_entries - 1];
        if (last->table == b->table && last->first + last->n == b->first + row &&
            last->replace == replace && last->by + (size_t)last->n * b->stride == by) {
            last->n += n;
            return true;
        }
    }
    if (!asgdi_grow(&list, &f->entry_room, f->n_entries + 1, sizeof *f->entry)) {
        asgdi_x_fail(x, "no memory for a correction");
        return false;
    }
    f->entry                 = list;
    f->entry[f->n_entries++] = (asgdi_correction){b->table, b->first + row, n, replace, by};
    return true;
}

/* Of one row [n], c = M' - (S + d) and then S = M': whether any of it is not zero. */
static bool follow(size_t n, float *restrict s, const float *restrict d, const float *restrict m,
                   float *restrict c)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        c[i] = m[i] - (s[i] + d[i]);
        any |= !(c[i] == 0);
        s[i] = m[i];
    }
    return any != 0;
}

static bool follow_others(size_t n, float *restrict s, const float *restrict m, float *restrict c)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        c[i] = m[i] - s[i];
        any |= !(c[i] == 0);
        s[i] = m[i];
    }
    return any != 0;
}

static bool take_back(size_t n, const float *restrict d, float *restrict c)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        c[i] = -d[i];
        any |= !(c[i] == 0);
    }
    return any != 0;
}

typedef enum asgdi_unlisted {          /* rows of a delta that its reply does not have */
                              DROPPED, /* the master is as it was */
                              ADDED,   /* it is S + d, as nobody else had changed them */
} asgdi_unlisted;

/* What is to be added to a row of W, to c: of d, what was sent, or NULL, and m, the master now, or NULL where it was not
 * listed; S becomes the master.  false: nothing. */
static bool correction(bool elastic, size_t n, float *s, const float *d, const float *m,
                       asgdi_unlisted unlisted, float *c)
{
    bool any = false;
    if (d && m)
        any = follow(n, s, d, m, c);
    else if (m)
        any = follow_others(n, s, m, c);
    else if (unlisted == ADDED)
        for (size_t i = 0; i < n; i++) s[i] += d[i];
    if (elastic) return d && take_back(n, d, c); /* it is drawn back by what it has given */
    return d && !m && unlisted == DROPPED ? take_back(n, d, c) : any;
}

/* S += d of rows from the i-th on that are before row `to`; returns the first that is not. */
ASGDI_INLINE uint32_t take_in(const uint32_t stride, uint32_t i, uint32_t n, uint32_t to,
                              const uint32_t *row, const float *restrict d, float *restrict s)
{
    for (; i < n && row[i] < to; i++) {
        float *restrict at = s + (size_t)row[i] * stride;
        for (uint32_t c = 0; c < stride; c++) at[c] += d[(size_t)i * stride + c];
    }
    return i;
}

/* rows1, x1 [n1]: what was sent; rows2, x2 [n2]: what the master has now, of rows that changed. */
static void correct(asgdi_exchange *x, asgdi_block *b, uint32_t n1, uint32_t n2, bool replace,
                    asgdi_unlisted unlisted)
{
    const uint32_t number = (uint32_t)(b - x->block), stride = b->stride;
    const uint32_t most    = n1 + n2 < b->rows ? n1 + n2 : b->rows;
    const bool     elastic = asgdi_x_merging(x, b) == ASGDI_MERGE_ELASTIC;
    const bool     plain   = unlisted == ADDED && !replace && !elastic;
    float         *s = asgdi_x_s(x, b), *by = buffer(x, (size_t)most * stride);
    if (!by || !add_fix(x, number, by)) return;
    uint32_t i = 0, j = 0, n = 0;
    while (i < n1 || j < n2) {
        if (plain && i < n1) { /* rows that came in as they were sent, which most did */
            const uint32_t to = j < n2 ? x->rows2[j] : UINT32_MAX;
            ASGDI_BY_STRIDE(i =, stride, take_in, i, n1, to, x->rows1, x->x1, s)
            if (i == n1 && j == n2) break;
        }
        const uint32_t r1  = i < n1 ? x->rows1[i] : UINT32_MAX,
                       r2  = j < n2 ? x->rows2[j] : UINT32_MAX;
        const uint32_t row = r1 < r2 ? r1 : r2;
        const float   *d   = r1 == row ? x->x1 + (size_t)i * stride : NULL;
        const float   *m   = r2 == row ? x->x2 + (size_t)j * stride : NULL;
        float         *was = s + (size_t)row * stride, *c = by + (size_t)n * stride;
        const bool     put = replace && d; /* not finite: W is not worth keeping */
        i += d != NULL;
        j += m != NULL;
        if (put) {
            if (m) memcpy(was, m, stride * sizeof *was);
            memcpy(c, was, stride * sizeof *c);
        } else if (!correction(elastic, stride, was, d, m, unlisted, c)) {
            continue; /* of rows that nobody else has changed there is nothing to correct */
        }
        if (!add_entry(x, b, row, 1, put, c)) return;
        n++;
    }
    if (n == 0) { /* nothing to make after all */
        x->ready.n--;
        b->correcting = false;
        asgdi_free(by);
        x->under_way--;
    }
}

/* The same once the workers have stopped, for W will be made from the masters: S alone follows. */
static void follow_last(asgdi_exchange *x, const asgdi_block *b, uint32_t n1, uint32_t n2,
                        asgdi_unlisted unlisted)
{
    const uint32_t stride = b->stride;
    float         *s      = asgdi_x_s(x, b);
    uint32_t       i      = 0;
    for (uint32_t j = 0; j <= n2; j++) {
        const uint32_t to = j < n2 ? x->rows2[j] : UINT32_MAX;
        if (unlisted == ADDED) ASGDI_BY_STRIDE(i =, stride, take_in, i, n1, to, x->rows1, x->x1, s)
        if (j == n2) break;
        while (i < n1 && x->rows1[i] <= to) i++;
        memcpy(s + (size_t)to * stride, x->x2 + (size_t)j * stride, stride * sizeof *s);
    }
    x->under_way--;
}

void asgdi_copy_on_reply(asgdi_exchange *x, uint32_t from, asgdi_reader *r)
{
    const size_t   bytes  = r->left;
    const uint32_t number = asgdi_get_u32(r);
    const uint64_t seq    = asgdi_get_u64(r);
    if (r->bad || number >= x->n_blocks) return;
    asgdi_block      *b     = &x->block[number];
    const asgdi_shape shape = asgdi_x_shape(x, b);
    if (!b->sent || seq != b->next_seq || from != b->owner) return; /* of an earlier sending */
    const asgdi_version version = {asgdi_get_u64(r), asgdi_get_u64(r)};
    const uint64_t      updates = asgdi_get_u64(r), sync_round = asgdi_get_u64(r);
    const uint32_t      back = asgdi_get_u32(r);
    const double        held = asgdi_get_double(r);
    const uint8_t       said = asgdi_get_u8(r), verdict = said & 0x7f, rough = asgdi_get_u8(r);
    const uint8_t      *vector = asgdi_get_bytes(r, (size_t)x->c.size * 16);
    uint32_t            n1 = 0, n2 = 0;
    if (r->bad || asgdi_version_before(version, b->base)) return;
    if (rough) {
        if (!x->rough[b->table] || !asgdi_rough_get(x, b, r, &n2)) return;
    } else if (!asgdi_decode(ASGDI_FLOAT32, &shape, r->at, r->left, &n2, x->rows2, x->x2)) {
        return;
    }
    const uint8_t *mine   = b->sent->data + sizeof(asgdi_head);
    const size_t   before = 4 + 6 * 8 + 4;
    uint32_t       scales;
    memcpy(&scales, mine + before + 2, sizeof scales);
    const size_t after = before + 6 + scales * sizeof *x->scale1;
    const bool   pull  = mine[before] & ASGDI_PULL;
    if (!pull && !asgdi_decode((asgdi_coding)mine[before + 1], &shape, mine + after,
                               b->sent->bytes - sizeof(asgdi_head) - after, &n1, x->rows1, x->x1))
        n1 = 0; /* not possible: it was encoded here */
    for (uint32_t q = 0; q < x->c.size; q++) {
        memcpy(&b->seq[q], vector + (size_t)q * 16, 8);
        memcpy(&b->included[q], vector + (size_t)q * 16 + 8, 8);
    }
    b->base         = version;
    b->base_updates = updates;
    b->sync_round   = sync_round;
    b->back         = back;
    asgdi_watch_learn(x, 0, back, 0);
    if (x->rough[b->table])
        for (uint32_t i = 0; i < n2; i++) asgdi_x_rough(x, b)[x->rows2[i]] = rough;
    if (from != x->c.self) x->round_raw += (double)n2 * b->stride * sizeof(float);
    asgdi_copy_took(x, b, held, bytes);
    asgdi_copy_answered(x, b);
    x->counts.replies++;
    x->brought += n2 > 0 || pull;
    if (updates > x->learnt) x->learnt = updates;
    if (pull) { /* the last word: W becomes the master, bit for bit */
        float *s = asgdi_x_s(x, b);
        for (uint32_t i = 0; i < n2; i++)
            memcpy(s + (size_t)x->rows2[i] * b->stride, x->x2 + (size_t)i * b->stride,
                   b->stride * sizeof(float));
        if (add_fix(x, number, NULL)) add_entry(x, b, 0, b->rows, true, s);
        return;
    }
    if (b->owner == x->c.self)
        asgdi_master_unseen(x, b);
    else
        b->safe_mark = b->read_mark; /* it is in the owner's master and in this process's S */
    const asgdi_unlisted unlisted = said != verdict ? ADDED : DROPPED;
    if (x->round_stage == ASGDI_FLUSHING && asgdi_x_merging(x, b) != ASGDI_MERGE_ELASTIC)
        follow_last(x, b, n1, n2, unlisted);
    else
        correct(x, b, n1, n2, verdict == ASGDI_QUARANTINED, unlisted);
}

/* All of W goes back at once, or workers would compute with what goes together with nothing. */
static bool some_to_come(const asgdi_exchange *x)
{
    if (x->cursor < x->n_blocks) return true;
    for (uint32_t i = 0; i < x->n_blocks; i++)
        if (x->block[i].sent) return true;
    return false;
}

uint32_t asgdi_exchange_corrections(asgdi_exchange *x, const asgdi_correction **out)
{
    if (x->handed.n || !x->ready.n || (x->going_back && some_to_come(x))) return 0;
    const asgdi_fixes empty = x->handed; /* its memory serves again */
    x->handed               = x->ready;
    x->ready                = empty;
    *out                    = x->handed.entry;
    return x->handed.n_entries;
}

void asgdi_exchange_corrected(asgdi_exchange *x)
{
    for (uint32_t i = 0; i < x->handed.n; i++) {
        asgdi_fix *f                  = &x->handed.fix[i];
        x->block[f->block].correcting = false;
        x->under_way--;
        asgdi_free(f->by);
    }
    x->handed.n = x->handed.n_entries = 0;
}
