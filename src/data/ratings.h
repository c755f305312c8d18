/* ratings.h -- sources of users and items. */
#ifndef ASGDI_RATINGS_H
#define ASGDI_RATINGS_H

#include "data/encoding.h"
#include "data/source.h"

/* Fills s->describe from what s holds. */
void asgdi_ratings_describe(asgd_source *s);

#endif
