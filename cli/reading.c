/* reading.c -- the options that say how data are read: which formats have them, and which of them a
 * trained model remembers, so that they cannot be given again.
 *
 * An option that would do nothing is refused: who gives it expects something of it. */
#include "reading.h"

#include <string.h>

typedef struct reading_option {
    const char *name, *formats;
    bool        given, remembered;
} reading_option;

enum { READING_OPTIONS = 7 };

static void list_options(const cli_options *o, reading_option list[READING_OPTIONS])
{
    const reading_option all[READING_OPTIONS] = {
        {"label", "csv", o->label, false},
        {"weight", "csv", o->weight, false},
        {"ignore", "csv", o->ignore, true},
        {"categorical", "csv", o->categorical, true},
        {"bins", "csv", o->bins, true},
        {"hash-bits", "criteo,csv,vw", o->hash_bits, true},
        {"interactions", "vw", o->interactions, true},
    };
    memcpy(list, all, sizeof all);
}

asgd_source_options reading_options(const cli_options *o)
{
    return (asgd_source_options){.format       = o->format,
                                 .cache        = o->cache,
                                 .hash_bits    = (uint32_t)o->hash_bits,
                                 .label        = o->label,
                                 .weight       = o->weight,
                                 .ignore       = o->ignore,
                                 .categorical  = o->categorical,
                                 .bins         = (uint32_t)o->bins,
                                 .interactions = o->interactions};
}

int reading_check_model(const cli_options *o, const asgd_model *m)
{
    reading_option list[READING_OPTIONS];
    if (!asgd_model_encoding(m)) return CLI_OK;
    list_options(o, list);
    for (size_t i = 0; i < READING_OPTIONS; i++) {
        if (!list[i].given || !list[i].remembered) continue;
        return cli_fail(CLI_USAGE,
                        "--%s: %s remembers how its training data were read, and data for it are "
                        "read alike; leave the option out",
                        list[i].name, o->positional);
    }
    return CLI_OK;
}

void reading_format(char out[16], const asgd_source *s)
{
    const char *text = asgd_source_describe(s);
    size_t      n    = strcspn(text, ", ");
    snprintf(out, 16, "%.*s", (int)(n < 15 ? n : 15), text);
}

int reading_check_format(const cli_options *o, const asgd_source *s)
{
    reading_option list[READING_OPTIONS];
    char           format[16], item[16];
    reading_format(format, s);
    list_options(o, list);
    for (size_t i = 0; i < READING_OPTIONS; i++) {
        bool   fits = !list[i].given;
        size_t k    = 0;
        while (!fits && list_item(list[i].formats, k++, item, sizeof item)) {
            fits = strcmp(item, format) == 0;
        }
        if (fits) continue;
        return cli_fail(CLI_USAGE,
                        "--%s: the data are %s, for which it does nothing; leave it out, or give "
                        "--format (it is for: %s)",
                        list[i].name, format, list[i].formats);
    }
    return CLI_OK;
}
