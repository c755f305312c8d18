/* check_source.h -- what models rely on in a source; a fuzzer's target stops where it does not hold. */
#ifndef CHECK_SOURCE_H
#define CHECK_SOURCE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/encoding.h"
#include "data/source.h"

static inline void must(bool holds)
{
    if (!holds) abort();
}

static inline void check_target(const asgd_source *s, uint64_t i)
{
    const asgd_schema *d = &s->schema;
    must(isfinite(s->y[i]));
    if (d->classes) must(s->y[i] >= 0 && s->y[i] < (float)d->classes && s->y[i] == floorf(s->y[i]));
    if (s->weight) must(isfinite(s->weight[i]) && s->weight[i] >= 0);
    if (!d->label_sets) return;
    must(s->y[i] == 0 && s->label_start[i] <= s->label_start[i + 1]);
    for (uint64_t j = s->label_start[i]; j < s->label_start[i + 1]; j++) {
        must(s->label[j] < d->classes);
        must(j == s->label_start[i] || s->label[j] > s->label[j - 1]);
    }
}

static inline void check_entries(const asgd_source *s, uint64_t i)
{
    volatile float last = 0;
    must(s->start[i] <= s->start[i + 1] && s->start[i + 1] - s->start[i] <= s->max_len);
    for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++) {
        must(s->idx[j] < s->schema.features);
        must(j == s->start[i] || s->idx[j] > s->idx[j - 1]);
        if (s->schema.fields) must(s->field[j] < s->schema.fields);
        last = s->val ? s->val[j] : 1; /* it can be read */
    }
    (void)last;
}

static inline void check_source(const asgd_source *s)
{
    const asgd_schema *d = &s->schema;
    must(d->examples > 0 && (d->features > 0 || s->encoding));
    volatile float last = 0;
    for (uint64_t i = 0; i < d->examples; i++) {
        check_target(s, i);
        if (!d->dense) check_entries(s, i);
    }
    if (d->dense && s->bytes) last = s->bytes[d->examples * d->features - 1];
    if (d->dense && s->dense) last = s->dense[d->examples * d->features - 1];
    if (s->labels) last = s->labels[d->classes - 1];
    (void)last;
    must(d->dense || s->start[d->examples] - s->start[0] == d->nonzeros);
    if (!s->encoding) return;
    must(s->encoding->rows == d->features && strlen(s->encoding->recipe) > 0);
    must(asgdi_encoding_index(s->encoding) == ASGD_OK);
    for (uint32_t r = 0; r < d->features; r++)
        must(asgdi_encoding_row(s->encoding, s->encoding->key[r]) == r);
}

#endif
