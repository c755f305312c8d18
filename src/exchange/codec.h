/* codec.h -- rows of floats as bytes: what deltas and replies carry.
 *
 * A body is the numbers of n rows of a block, increasing, as gaps in few bytes, and their floats in one of the
 * kinds below.  What is decoded is exactly what the sender gets from asgdi_decode() of its own bytes: it
 * takes that as sent, and what a coarse kind left out stays in its own progress (error feedback: Seide et al.
 * 2014; Karimireddy et al. 2019), so that nothing is lost, only late. */
#ifndef ASGDI_CODEC_H
#define ASGDI_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum asgdi_coding {
    ASGDI_FLOAT32, /* exact */
    ASGDI_BF16,    /* rounded to nearest, ties to even */
    ASGDI_FP16, /* the same; what is too large becomes the largest finite number, what is below 2^-25 zero */
    ASGDI_INT8, /* -127..127 times a scale of each row's each part; exact where parts are one float */
    ASGDI_TOPK, /* the largest tenth of all floats by magnitude, exact, with their places; the others are zero */
    ASGDI_CODINGS
} asgdi_coding;
/* Infinity and NaN: the 2-byte kinds keep them; with int8, all of a longer part becomes NaN; the largest tenth counts
 * them as largest.  So who gets them sees that something is wrong. */

/* Rows of `stride` floats, made of parts of `pad` floats (w, then the rule's slots), each with its own scale.
 * stride: 1 to 2^28, a multiple of pad. */
typedef struct asgdi_shape {
    uint32_t rows; /* of the block */
    uint32_t stride, pad;
} asgdi_shape;

/* Bytes that n rows take at the most. */
size_t asgdi_encode_bound(asgdi_coding c, const asgdi_shape *s, uint32_t n);
/* Writes rows row[0..n), increasing, of x [n][stride]; returns the bytes written.  The largest tenth is of
 * these n * stride floats, one at least, and without zeros: rows that keep nothing are left out, and of zeros
 * alone nothing is left. */
size_t asgdi_encode(asgdi_coding c, const asgdi_shape *s, uint32_t n, const uint32_t *row,
                    const float *x, uint8_t *to);
/* row [s->rows] and x [s->rows][stride] get what the bytes say: n rows, increasing, one after another in x.
 * false: they are no such body; what was written then means nothing. */
bool asgdi_decode(asgdi_coding c, const asgdi_shape *s, const uint8_t *from, size_t bytes,
                  uint32_t *n, uint32_t *row, float *x);

/* "none", "bf16", "fp16", "int8", "topk"; NULL for what is none of them. */
const char *asgdi_coding_name(asgdi_coding c);
bool        asgdi_coding_parse(const char *text, asgdi_coding *out);

#endif
