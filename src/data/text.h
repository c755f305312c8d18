/* text.h -- what the text formats share: parts of a buffer parsed at once, errors with their line,
 * and the cache around it. */
#ifndef ASGDI_TEXT_H
#define ASGDI_TEXT_H

#include <stddef.h>

#include "data/input.h"
#include "data/source.h"

/* What a part of the text gave, and the first error in it. */
typedef struct asgdi_text_part {
    const char *begin, *end; /* whole lines */
    uint64_t    first_line;  /* number of the line at begin; known once all parts are parsed */
    uint64_t    lines;       /* line ends passed; where an error is, up to its line */
    asgd_status status;
    char        error[400]; /* without file and line */
} asgdi_text_part;

/* Cuts text at line ends into at most `parts` pieces; returns how many. */
uint32_t asgdi_text_cut(asgdi_text_part *part, size_t stride, const char *begin, const char *end,
                        uint32_t parts);
/* Numbers the lines and reports the first error, if any: "name:line: error". */
asgd_status asgdi_text_join(asgdi_text_part *part, size_t stride, uint32_t parts,
                            uint64_t first_line, const char *name);
/* Stores an error of a part; returns EFORMAT. */
asgd_status asgdi_text_fail(asgdi_text_part *part, const char *format, ...) ASGD_PRINTF(2, 3);

/* A token for a message: at most 30 characters, unprintable ones as '?', "..." where it is cut. */
typedef struct asgdi_shown {
    char text[36];
} asgdi_shown;
asgdi_shown asgdi_show(const char *p, const char *end);

/* Opens a text format: from the cache, or by parse() and into the cache.  parse fills the storage,
 * targets and schema, and *dropped with the entries left out as unseen features. */
typedef asgd_status asgdi_text_parse(asgd_source *s, const asgdi_input *in, const char *begin,
                                     const char *end, const asgd_source_options *o,
                                     uint64_t *dropped);
asgd_status         asgdi_text_open(asgd_source *s, asgdi_input *in, const asgd_source_options *o,
                                    const char *format, asgdi_text_parse *parse);

#endif
