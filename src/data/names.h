/* names.h -- the names of wanted features, collected while text is parsed. */
#ifndef ASGDI_NAMES_H
#define ASGDI_NAMES_H

#include "data/text.h"

/* One a chunk in hand; all share the encoding that holds the wanted features. */
struct asgdi_names {
    const asgd_encoding *wanted; /* its rows are places in `found` */
    char               **found;  /* [wanted->rows], NULL: not yet */
    bool                 no_memory;
};

bool asgdi_names_init(asgdi_names *n, const asgd_encoding *wanted);
/* Names that `to` lacks move there. */
void asgdi_names_take(asgdi_names *to, asgdi_names *from);
bool asgdi_names_all(const asgdi_names *n);
void asgdi_names_free(asgdi_names *n);

/* names[i], malloc'ed, for key[i]; NULL where the text lacks it.  They are NULL before. */
asgd_status asgdi_names_find(asgdi_input *in, const asgd_source_options *o,
                             const asgdi_text_format *f, const uint32_t *key, uint32_t n,
                             char **names);
/* The same for a format whose features are numbers. */
asgd_status asgdi_names_numbers(const asgdi_text_format *f, const uint32_t *key, uint32_t n,
                                char **names);

#endif
