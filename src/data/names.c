/* names.c -- the names of wanted features.
 *
 * Formats whose features are numbers need no text for it.  Others hash names, so the text is parsed
 * once more and the first name found for each feature is kept: the first in the file, whatever the
 * number of threads, as each collects its own chunk's and the chunks are put together in order. */
#include "data/names.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_key(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

bool asgdi_names_init(asgdi_names *n, const asgd_encoding *wanted)
{
    *n = (asgdi_names){.wanted = wanted, .found = calloc(wanted->rows + 1, sizeof *n->found)};
    return n->found != NULL;
}

void asgdi_names_add(asgdi_names *names, uint32_t key, const char *format, ...)
{
    uint32_t at = asgdi_encoding_row(names->wanted, key);
    if (at == ASGDI_UNSEEN || names->found[at]) return;
    char    text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    names->found[at] = asgdi_strdup(text);
    names->no_memory = names->no_memory || !names->found[at];
}

void asgdi_names_take(asgdi_names *to, asgdi_names *from)
{
    to->no_memory = to->no_memory || from->no_memory;
    for (uint32_t i = 0; i < to->wanted->rows; i++) {
        if (!to->found[i])
            to->found[i] = from->found[i];
        else
            free(from->found[i]);
        from->found[i] = NULL;
    }
}

bool asgdi_names_all(const asgdi_names *n)
{
    for (uint32_t i = 0; i < n->wanted->rows; i++)
        if (!n->found[i]) return false;
    return true;
}

void asgdi_names_free(asgdi_names *n)
{
    for (uint32_t i = 0; n->found && i < n->wanted->rows; i++) free(n->found[i]);
    free(n->found);
    *n = (asgdi_names){0};
}

/* ---- for a caller's list ---- */

static void free_names(char **names, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free(names[i]);
        names[i] = NULL;
    }
}

/* The keys of a list, in which some may stand twice, as an encoding. */
static asgd_status wanted_of(asgd_encoding **out, const uint32_t *key, uint32_t n)
{
    asgd_encoding *e    = NULL;
    uint32_t       used = 0;
    uint32_t      *once = asgdi_calloc(n, sizeof *once);
    if (!once) return ASGD_FAIL(ENOMEM, "no memory for names");
    memcpy(once, key, n * sizeof *once);
    qsort(once, n, sizeof *once, by_key);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || once[i] != once[i - 1]) once[used++] = once[i];
    asgd_status s = asgdi_encoding_new(&e, once, used, 0, "{}");
    asgdi_free(once);
    *out = e;
    return s;
}

asgd_status asgdi_names_find(asgdi_input *in, const asgd_source_options *o,
                             const asgdi_text_format *f, const uint32_t *key, uint32_t n,
                             char **names)
{
    asgd_encoding *wanted = NULL;
    asgdi_names    all    = {0};
    if (n == 0) return ASGD_OK;
    ASGD_TRY(wanted_of(&wanted, key, n));
    asgd_status s = asgdi_names_init(&all, wanted) ? asgdi_text_names(in, o, f, &all)
                                                   : ASGD_FAIL(ENOMEM, "no memory for names");
    for (uint32_t i = 0; s == ASGD_OK && i < n; i++) {
        const char *name = all.found[asgdi_encoding_row(wanted, key[i])];
        names[i]         = asgdi_strdup(name);
        if (name && !names[i]) s = ASGD_FAIL(ENOMEM, "no memory for names");
    }
    if (s != ASGD_OK) free_names(names, n);
    asgdi_names_free(&all);
    asgdi_encoding_free(wanted);
    return s;
}

asgd_status asgdi_names_numbers(const asgdi_text_format *f, const uint32_t *key, uint32_t n,
                                char **names)
{
    for (uint32_t i = 0; i < n; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRIu64, (uint64_t)key[i] + f->first_number);
        names[i] = asgdi_strdup(text);
        if (!names[i]) {
            free_names(names, n);
            return ASGD_FAIL(ENOMEM, "no memory for names");
        }
    }
    return ASGD_OK;
}
