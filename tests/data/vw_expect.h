/* vw_expect.h -- what an example of Vowpal Wabbit text has to be, made by asgdi_hash() and plain loops. */
#ifndef VW_EXPECT_H
#define VW_EXPECT_H

#include "files.h"

#include "data/encoding.h"
#include "data/source.h"

typedef struct entry {
    uint64_t hash;
    uint32_t key, field;
    float    x;
} entry;

typedef struct example {
    float    y, weight;
    uint32_t n;
    entry   *e;
} example;

static inline entry feature_of(const char *space, size_t space_n, const char *name, size_t n,
                               float x, uint32_t field)
{
    uint64_t h = asgdi_hash(name, n, asgdi_hash(space, space_n, 0));
    return (entry){h, asgdi_hash_feature(h, 32), field, x};
}

static inline entry feature(const char *space, const char *name, float x, uint32_t field)
{
    return feature_of(space, strlen(space), name, strlen(name), x, field);
}

static inline entry product(entry a, entry b)
{
    uint64_t h = asgdi_hash_pair(a.hash, b.hash);
    return (entry){h, asgdi_hash_feature(h, 32), a.field, a.x * b.x};
}

/* Equal features are one, of the field of the first. */
static inline void add(example *e, entry x)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (e->e[i].key == x.key) {
            e->e[i].x += x.x;
            return;
        }
    e->e[e->n++] = x;
}

/* Whether example i of the source has just these entries. */
static inline bool matches(const asgd_source *s, uint64_t i, const example *want)
{
    const uint32_t *key    = asgd_encoding_keys(asgd_source_encoding(s), NULL);
    const float    *labels = asgd_source_labels(s);
    const uint64_t  begin = s->start[i], end = s->start[i + 1];
    if (end - begin != want->n || (s->weight ? s->weight[i] : 1) != want->weight ||
        (labels ? labels[(int)s->y[i]] : s->y[i]) != want->y)
        return false;
    for (uint32_t j = 0; j < want->n; j++) {
        uint64_t at = begin;
        while (at < end && key[s->idx[at]] != want->e[j].key) at++;
        if (at == end || (s->val ? s->val[at] : 1) != want->e[j].x ||
            s->field[at] != want->e[j].field)
            return false;
    }
    return true;
}

#endif
