/* fuzz_codec.c -- any bytes as a body of rows: byte 0 chooses the kind, bytes 1 and 2 the rows' shape.
 *
 * It is refused, or says rows that there are, in their order; and what it says goes through a body again. */
#include <stdlib.h>
#include <string.h>

#include "exchange/codec.h"

static void must(bool holds)
{
    if (!holds) abort();
}

static void *room(size_t bytes) /* so much exactly, for sanitizers */
{
    void *p = malloc(bytes ? bytes : 1);
    must(p != NULL);
    return p;
}

typedef struct said {
    uint32_t n, *row;
    float   *x;
} said;

static said said_new(const asgdi_shape *s)
{
    const size_t rows = s->rows;
    return (said){0, room(rows * sizeof(uint32_t)), room(rows * s->stride * sizeof(float))};
}

static void said_free(said *d)
{
    free(d->row);
    free(d->x);
}

static uint8_t *encode(asgdi_coding c, const asgdi_shape *s, const said *d, size_t *bytes)
{
    size_t   bound = asgdi_encode_bound(c, s, d->n);
    uint8_t *to    = room(bound);
    *bytes         = asgdi_encode(c, s, d->n, d->row, d->x, to);
    must(*bytes <= bound);
    return to;
}

static void check_rows(const asgdi_shape *s, const said *d)
{
    volatile float last = 0;
    must(d->n <= s->rows);
    for (uint32_t i = 0; i < d->n; i++)
        must(d->row[i] < s->rows && (i == 0 || d->row[i] > d->row[i - 1]));
    for (size_t i = 0; i < (size_t)d->n * s->stride; i++) last = d->x[i]; /* it can be read */
    (void)last;
}

/* Floats come out as they went in; halves, too, once they are halves without signalling NaN. */
static void check_again(asgdi_coding c, const asgdi_shape *s, const said *first,
                        const uint8_t *from, size_t from_bytes)
{
    size_t   bytes, bytes2;
    uint8_t *to    = encode(c, s, first, &bytes);
    said     again = said_new(s);
    must(asgdi_decode(c, s, to, bytes, &again.n, again.row, again.x));
    check_rows(s, &again);
    if (c != ASGDI_TOPK) {
        must(again.n == first->n && bytes == from_bytes);
        must(memcmp(again.row, first->row, first->n * sizeof *first->row) == 0);
    }
    if (c == ASGDI_FLOAT32) must(memcmp(to, from, bytes) == 0);
    if (c == ASGDI_BF16 || c == ASGDI_FP16) {
        uint8_t *to2 = encode(c, s, &again, &bytes2);
        must(bytes2 == bytes && memcmp(to2, to, bytes) == 0);
        free(to2);
    }
    said_free(&again);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 3) return 0;
    static const uint32_t pads[] = {1, 3, 8, 16};
    const asgdi_coding    c      = (asgdi_coding)(data[0] % ASGDI_CODINGS);
    const asgdi_shape     s      = {
                 .rows   = data[1] * (data[2] & 16 ? 129u : 1u),
                 .stride = pads[data[2] & 3] * (1u + (data[2] >> 2 & 3)),
                 .pad    = pads[data[2] & 3],
    };
    said d = said_new(&s);
    if (asgdi_decode(c, &s, data + 3, bytes - 3, &d.n, d.row, d.x)) {
        check_rows(&s, &d);
        check_again(c, &s, &d, data + 3, bytes - 3);
    }
    said_free(&d);
    return 0;
}
