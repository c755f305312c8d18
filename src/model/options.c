/* options.c -- a model's options as text: "hidden=100,50 activation=tanh".
 *
 * Pairs are separated by white space, so a value may hold commas.  The text comes from a command
 * line or a model file: nothing is believed, and a refusal names the model, the option and what it
 * may be.  Numbers are read without the locale, which would turn 0.2 into 0 in half of Europe. */
#include "model/model.h"
#include "model/options.h"

#include <stdio.h>
#include <string.h>

static const char space[] = " \t\r\n";

bool asgdi_option_next(const char **s, char key[32], char value[128], asgd_status *st)
{
    *st           = ASGD_OK;
    const char *p = *s ? *s + strspn(*s, space) : "";
    if (*p == '\0') {
        *s = p;
        return false;
    }
    size_t length = strcspn(p, space), k = strcspn(p, "=");
    if (k >= length) {
        *st = ASGD_FAIL(EINVAL, "model option '%.*s': write it as key=value",
                        (int)(length < 64 ? length : 64), p);
        return false;
    }
    size_t v = length - k - 1;
    if (k == 0 || k >= 32 || v == 0 || v >= 128) {
        *st = ASGD_FAIL(EINVAL,
                        "model option '%.*s': a key has 1 to 31 characters and a value 1 to 127",
                        (int)(length < 64 ? length : 64), p);
        return false;
    }
    memcpy(key, p, k);
    key[k] = '\0';
    memcpy(value, p + k + 1, v);
    value[v] = '\0';
    *s       = p + length;
    return true;
}

asgd_status asgdi_option_choice(const char *model, const char *key, const char *value,
                                const char *const *names, int n, int *out)
{
    char   list[256] = "";
    size_t used      = 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = i;
            return ASGD_OK;
        }
        int more = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
        if (more > 0 && (size_t)more < sizeof list - used) used += (size_t)more;
    }
    return ASGD_FAIL(EINVAL, "model %s: %s=%s is not known; use one of: %s", model, key, value,
                     list);
}

asgd_status asgdi_option_sizes(const char *model, const char *key, const char *value,
                               uint32_t limit, int max, uint32_t *out, int *n)
{
    const char *p     = value;
    int         count = 0;
    for (;;) {
        uint64_t x = 0;
        size_t   digits;
        for (digits = 0; p[digits] >= '0' && p[digits] <= '9'; digits++)
            if (x <= limit) x = 10 * x + (uint64_t)(p[digits] - '0');
        if (digits == 0 || x == 0 || x > limit || count == max) break;
        out[count++] = (uint32_t)x;
        p += digits;
        if (*p == '\0') {
            *n = count;
            return ASGD_OK;
        }
        if (*p++ != ',') break;
    }
    return ASGD_FAIL(EINVAL,
                     "model %s: %s=%s: give 1 to %d numbers from 1 to %u, with commas between them",
                     model, key, value, max, limit);
}

asgd_status asgdi_option_fraction(const char *model, const char *key, const char *value, float *out)
{
    const char *p = value;
    double      x = 0, unit = 1;
    bool        point  = false;
    int         digits = 0;
    for (; *p != '\0'; p++) {
        if (*p == '.' && !point) {
            point = true;
        } else if (*p >= '0' && *p <= '9') {
            digits++;
            if (point) unit /= 10;
            x = point ? x + unit * (*p - '0') : 10 * x + (*p - '0');
        } else {
            break;
        }
    }
    if (*p != '\0' || digits == 0 || (float)x >= 1)
        return ASGD_FAIL(EINVAL, "model %s: %s=%s: give a number from 0 to below 1, such as 0.2",
                         model, key, value);
    *out = (float)x;
    return ASGD_OK;
}

asgd_status asgdi_option_unknown(const char *model, const char *key, const char *known)
{
    return ASGD_FAIL(EINVAL, "model %s has no option '%s'; it has: %s", model, key, known);
}
