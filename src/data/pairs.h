/* pairs.h -- what LIBSVM's and libFFM's lines have in common: tokens between blanks, labels, values.
 *
 * Lines lie in a window of text: *end can be read, is no digit, and ASGDI_SLACK bytes follow. */
#ifndef ASGDI_PAIRS_H
#define ASGDI_PAIRS_H

#include <math.h>

#include "data/number.h"
#include "data/text.h"

static inline bool asgdi_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static inline const char *asgdi_skip_blanks(const char *p, const char *end)
{
    while (p < end && asgdi_is_blank(*p)) p++;
    return p;
}

static inline bool asgdi_token_stops(const char *p, const char *end)
{
    return p == end || asgdi_is_blank(*p) || *p == '#';
}

static inline const char *asgdi_token_end(const char *p, const char *end)
{
    while (!asgdi_token_stops(p, end)) p++;
    return p;
}

/* The value at p, finite, up to a blank, a comment or the end; NULL: it is none. */
static inline const char *asgdi_pair_value(const char *p, const char *end, float *x)
{
    double v;
    if (p < end && *p == '1' && asgdi_token_stops(p + 1, end)) {
        *x = 1;
        return p + 1;
    }
    p  = asgdi_number(p, end, &v);
    *x = p ? (float)v : 0;
    return p && asgdi_token_stops(p, end) && isfinite(*x) ? p : NULL;
}

/* Whether ":1" and a blank are at p, the commonest value and what ends it; 4 bytes can be read. */
static inline bool asgdi_is_one(const char *p)
{
    return p[0] == ':' && p[1] == '1' && p[2] == ' ';
}

/* Errors, of the token at p.  pair: what is expected, as for instance "3:0.5". */
asgd_status asgdi_bad_label(asgdi_text_part *k, const char *p, const char *end);
asgd_status asgdi_bad_value(asgdi_text_part *k, const char *p, const char *value, const char *end);

/* Whether one of the first lines is a label and then `colons` numbers with a colon behind each. */
bool asgdi_pairs_guess(const uint8_t *head, size_t bytes, int colons);

#endif
