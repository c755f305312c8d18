/* side.c -- whose work a file is. */
#include "params/side.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void asgdi_side_print(const asgdi_side *s, char text[ASGDI_SIDE_TEXT])
{
    int n = snprintf(text, ASGDI_SIDE_TEXT, "%016" PRIx64, s->run);
    for (uint32_t q = 0, k = 0; q < ASGDI_PROCESSES_MAX; q++)
        if (asgdi_set_has(&s->in, q))
            n +=
                snprintf(text + n, (size_t)(ASGDI_SIDE_TEXT - n), "%c%" PRIu32, k++ ? ',' : ' ', q);
}

bool asgdi_side_parse(asgdi_side *s, const char *text)
{
    *s = (asgdi_side){0};
    if (strspn(text, "0123456789abcdef") != 16 || text[16] != ' ') return false;
    s->run = strtoull(text, NULL, 16);
    for (const char *at = text + 16; *at;) {
        const size_t digits = strspn(at + 1, "0123456789");
        if (digits < 1 || digits > 3) return false;
        const unsigned long q = strtoul(at + 1, NULL, 10);
        if (q >= ASGDI_PROCESSES_MAX) return false;
        asgdi_set_add(&s->in, (uint32_t)q);
        at += 1 + digits;
        if (*at && *at != ',') return false;
    }
    return true;
}

asgd_status asgdi_side_check(const asgdi_side *s, const char *theirs, const char *path)
{
    asgdi_side other;
    if (!s->run || !theirs || !asgdi_side_parse(&other, theirs) || other.run != s->run)
        return ASGD_OK;
    const uint32_t us = asgdi_set_count(s->in), them = asgdi_set_count(other.in);
    /* they counted on this process: what they wrote is this side's, from before it lost some */
    if (asgdi_set_has(&other.in, asgdi_set_lowest(s->in))) return ASGD_OK;
    if (them < us || (them == us && asgdi_set_lowest(s->in) < asgdi_set_lowest(other.in)))
        return ASGD_OK;
    return ASGD_FAIL(ELOST,
                     "%s: %" PRIu32
                     " processes of this run have written it, which were cut off from "
                     "these %" PRIu32 " and went on by themselves, as these did; theirs stays",
                     path, them, us);
}
