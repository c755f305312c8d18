/* check_source.h -- what models rely on in a source; a fuzzer's target stops where it does not hold. */
#ifndef CHECK_SOURCE_H
#define CHECK_SOURCE_H

#include <math.h>
#include <stdlib.h>

#include "data/source.h"

static inline void must(bool holds)
{
    if (!holds) abort();
}

static inline void check_source(const asgd_source *s)
{
    const asgd_schema *d = &s->schema;
    must(d->examples > 0 && d->features > 0);
    uint64_t       nonzeros = 0;
    volatile float last     = 0;
    for (uint64_t i = 0; i < d->examples; i++) {
        must(isfinite(s->y[i]));
        if (d->classes)
            must(s->y[i] >= 0 && s->y[i] < (float)d->classes && s->y[i] == floorf(s->y[i]));
        if (d->dense) continue;
        must(s->start[i] <= s->start[i + 1] && s->start[i + 1] - s->start[i] <= s->max_len);
        nonzeros += s->start[i + 1] - s->start[i];
        for (uint64_t j = s->start[i]; j < s->start[i + 1]; j++) {
            must(s->idx[j] < d->features);
            must(j == s->start[i] || s->idx[j] > s->idx[j - 1]);
            last = s->val ? s->val[j] : 1; /* it can be read */
        }
    }
    if (d->dense && s->bytes) last = s->bytes[d->examples * d->features - 1];
    if (d->dense && s->dense) last = s->dense[d->examples * d->features - 1];
    if (s->labels) last = s->labels[d->classes - 1];
    (void)last;
    must(d->dense || nonzeros == d->nonzeros);
}

#endif
