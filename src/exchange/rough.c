/* rough.c -- rounded rows in replies, for networks that are slower than computing.
 *
 * w goes in half precision (fp16), whose error of 2^-11 no training notices; what a rule keeps beside it goes in the
 * upper halves of floats (bf16), since it may be of any magnitude and the step divides by it.  The receiver's S
 * becomes what it got, and its W is corrected to that, so W - S is exactly its own progress, and no rounding ever flows
 * back into a master.  A reply lists such a row even where nobody but its receiver has changed it: S + d would keep the
 * error of S however small the row gets, and an average of squares might fall below zero.  Which rows of S are rounded is kept: the last word is asked for these too, and what a
 * dead owner's successor begins with counts as changed where it is rounded. */
#include "exchange/core.h"

#include <math.h>

static const float W_MOST = 65504, SLOT_MOST = 0x1.fep127f; /* finite when rounded */

bool asgdi_rough_any(const asgdi_exchange *x, const asgdi_block *b)
{
    const uint8_t *is = asgdi_x_rough(x, b);
    return is && memchr(is, 1, b->rows) != NULL;
}

bool asgdi_rough_none(const asgdi_exchange *x, const asgdi_block *b, uint32_t n,
                      const uint32_t *row)
{
    const uint8_t *is   = asgdi_x_rough(x, b);
    bool           none = true;
    for (uint32_t i = 0; is && i < n; i++) none &= !is[row[i]];
    return none;
}

/* ---- lists of rows: a bit each ---- */

size_t asgdi_rows_bytes(const asgdi_block *b)
{
    return ((size_t)b->rows + 7) / 8;
}

void asgdi_put_rows(asgdi_writer *w, const asgdi_block *b, const uint8_t *is)
{
    for (uint32_t r = 0; r < b->rows; r += 8) {
        uint8_t eight = 0;
        for (uint32_t i = 0; is && i < 8 && r + i < b->rows; i++)
            eight |= (uint8_t)(is[r + i] << i);
        asgdi_put_u8(w, eight);
    }
}

bool asgdi_row_is(const uint8_t *list, uint32_t row)
{
    return list[row / 8] >> row % 8 & 1;
}

/* ---- rows ---- */

static asgdi_shape part_w(const asgdi_exchange *x, const asgdi_block *b)
{
    const uint32_t pad = x->p.table[b->table].pad;
    return (asgdi_shape){b->rows, pad, pad};
}

/* Of stride 0 where there are none. */
static asgdi_shape part_slots(const asgdi_exchange *x, const asgdi_block *b)
{
    const asgdi_table *t = &x->p.table[b->table];
    return (asgdi_shape){b->rows, b->stride - t->pad, t->slot};
}

size_t asgdi_rough_room(const asgdi_exchange *x, const asgdi_block *b, uint32_t n)
{
    const asgdi_shape w = part_w(x, b), slots = part_slots(x, b);
    return 4 + asgdi_encode_bound(ASGDI_FP16, &w, n) +
           (slots.stride ? asgdi_encode_bound(ASGDI_BF16, &slots, n) : 0);
}

static bool within(const float *x, uint32_t n, float most)
{
    bool all = true;
    for (uint32_t i = 0; i < n; i++) all &= fabsf(x[i]) <= most; /* not so for NaN */
    return all;
}

bool asgdi_rough_put(asgdi_exchange *x, const asgdi_block *b, uint32_t n, asgdi_writer *w)
{
    const asgdi_shape one = part_w(x, b), rest = part_slots(x, b);
    float            *slots = x->x3 + (size_t)n * one.stride;
    for (uint32_t i = 0; i < n; i++) {
        const float *row = x->x2 + (size_t)i * b->stride;
        if (!within(row, one.stride, W_MOST) || !within(row + one.stride, rest.stride, SLOT_MOST))
            return false;
        memcpy(x->x3 + (size_t)i * one.stride, row, one.stride * sizeof *row);
        memcpy(slots + (size_t)i * rest.stride, row + one.stride, rest.stride * sizeof *row);
    }
    const size_t at = w->at;
    asgdi_put_u32(w, 0);
    const size_t bytes = asgdi_encode(ASGDI_FP16, &one, n, x->rows2, x->x3, w->frame->data + w->at);
    const uint32_t told = (uint32_t)bytes;
    memcpy(w->frame->data + at, &told, sizeof told);
    w->at += bytes;
    if (rest.stride)
        w->at += asgdi_encode(ASGDI_BF16, &rest, n, x->rows2, slots, w->frame->data + w->at);
    return true;
}

bool asgdi_rough_get(asgdi_exchange *x, const asgdi_block *b, asgdi_reader *r, uint32_t *n)
{
    const asgdi_shape one = part_w(x, b), rest = part_slots(x, b);
    const uint32_t    bytes = asgdi_get_u32(r);
    const uint8_t    *body  = asgdi_get_bytes(r, bytes);
    uint32_t          also  = 0;
    if (r->bad || !asgdi_decode(ASGDI_FP16, &one, body, bytes, n, x->rows2, x->x3)) return false;
    float *slots = x->x3 + (size_t)*n * one.stride;
    if (rest.stride && (!asgdi_decode(ASGDI_BF16, &rest, r->at, r->left, &also, x->rows1, x->x2) ||
                        also != *n || memcmp(x->rows1, x->rows2, *n * sizeof *x->rows1) != 0))
        return false;
    if (rest.stride) /* there is room: n rows of w and of slots are n rows */
        memcpy(slots, x->x2, (size_t)*n * rest.stride * sizeof *slots);
    for (uint32_t i = 0; i < *n; i++) {
        float *row = x->x2 + (size_t)i * b->stride;
        memcpy(row, x->x3 + (size_t)i * one.stride, one.stride * sizeof *row);
        memcpy(row + one.stride, slots + (size_t)i * rest.stride, rest.stride * sizeof *row);
    }
    return true;
}
