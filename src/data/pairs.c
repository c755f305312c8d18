/* pairs.c -- what LIBSVM's and libFFM's lines have in common. */
#include "data/pairs.h"

#include <string.h>

asgd_status asgdi_bad_label(asgdi_text_part *k, const char *p, const char *end)
{
    const char *stop  = asgdi_token_end(p, end);
    asgdi_shown shown = asgdi_show(p, stop);
    double      v;
    const char *q = asgdi_number(p, stop, &v);
    if (q && q < stop && *q == ',')
        return asgdi_text_fail(k,
                               "label \"%s\" is several labels, where the first 100 lines have one "
                               "each; put such a line among them, or keep one label a line",
                               shown.text);
    if (memchr(p, ':', (size_t)(stop - p)))
        return asgdi_text_fail(k,
                               "begins with \"%s\" where a label is wanted; begin each line with a "
                               "label (0 if it is not known)",
                               shown.text);
    if (q == stop)
        return asgdi_text_fail(
            k, "label \"%s\" is not a finite number; correct or remove this line", shown.text);
    return asgdi_text_fail(k, "label \"%s\" is not a number; number the labels", shown.text);
}

asgd_status asgdi_bad_value(asgdi_text_part *k, const char *p, const char *value, const char *end)
{
    const char *stop  = asgdi_token_end(p, end);
    asgdi_shown shown = asgdi_show(p, stop);
    double      v;
    if (asgdi_number(value, stop, &v) == stop && value < stop)
        return asgdi_text_fail(k,
                               "\"%s\": the value is not finite as a 32-bit float; correct or "
                               "remove it",
                               shown.text);
    return asgdi_text_fail(
        k, "\"%s\": what follows the colon is not a number; correct or remove it", shown.text);
}

/* 1: a line of the kind, -1: another, 0: it does not say. */
static int judge(const char *p, const char *stop, int colons)
{
    double v;
    p = asgdi_skip_blanks(p, stop);
    if (p == stop || *p == '#') return 0;
    const char *q = asgdi_token_end(p, stop);
    if (!memchr(p, ':', (size_t)(q - p))) { /* else: a set of no labels */
        if (!asgdi_number(p, q, &v)) return -1;
        p = asgdi_skip_blanks(q, stop);
        if (p == stop || *p == '#') return 0;
    }
    if (colons == 1 && stop - p >= 4 && memcmp(p, "qid:", 4) == 0) return 1;
    for (int i = 0; i < colons; i++) {
        for (q = p; q < stop && *q >= '0' && *q <= '9'; q++) {
        }
        if (q == p || q == stop || *q != ':') return -1;
        p = q + 1;
    }
    q = asgdi_token_end(p, stop);
    return memchr(p, ':', (size_t)(q - p)) ? -1 : 1; /* it is no pair with more colons */
}

bool asgdi_pairs_guess(const uint8_t *head, size_t bytes, int colons)
{
    const char *p = (const char *)head, *end = p + bytes;
    int         says = 0;
    if (bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) p += 3;
    while (p < end && says == 0) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        says = judge(p, stop, colons);
        p    = stop < end ? stop + 1 : end;
    }
    return says == 1;
}
