/* synth_clicks.h -- asgd_synth_clicks() with all that is known about the rows it wrote. */
#ifndef ASGDI_SYNTH_CLICKS_H
#define ASGDI_SYNTH_CLICKS_H

#include "base/status.h"

typedef struct asgdi_clicks_facts {
    uint32_t fields, features;
    uint64_t rows, clicks; /* clicks: rows with label 1 */
    /* Means over the rows, p being the probability that the label was drawn with.
     * realised: of -log p(label), what the truth itself scores on these rows
     * expected: of the entropy of p, what it scores on average over all labels they could have */
    double realised, expected;
} asgdi_clicks_facts;

/* As asgd_synth_clicks(); facts may not be NULL. */
asgd_status asgdi_synth_clicks(const char *path, const asgd_clicks *c, asgdi_clicks_facts *facts);

#endif
