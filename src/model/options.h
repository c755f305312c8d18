/* options.h -- what the models' parsers share, so that every refusal reads alike. */
#ifndef ASGDI_OPTIONS_H
#define ASGDI_OPTIONS_H

#include "base/status.h"

/* One word out of names[n]; its number in *out. */
asgd_status asgdi_option_choice(const char *model, const char *key, const char *value,
                                const char *const *names, int n, int *out);
/* "100,50": 1 to max numbers from 1 to limit. */
asgd_status asgdi_option_sizes(const char *model, const char *key, const char *value,
                               uint32_t limit, int max, uint32_t *out, int *n);
/* A decimal number with 0 <= x < 1. */
asgd_status asgdi_option_fraction(const char *model, const char *key, const char *value,
                                  float *out);
/* Refuses a key; `known` lists the keys there are. */
asgd_status asgdi_option_unknown(const char *model, const char *key, const char *known);

#endif
