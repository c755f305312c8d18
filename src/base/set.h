/* set.h -- sets of processes. */
#ifndef ASGDI_SET_H
#define ASGDI_SET_H

#include <stdbool.h>
#include <stdint.h>

enum { ASGDI_PROCESSES_MAX = 256 };
enum { ASGDI_SET_WORDS = ASGDI_PROCESSES_MAX / 64 };
typedef struct asgdi_set {
    uint64_t word[ASGDI_SET_WORDS];
} asgdi_set;

static inline bool asgdi_set_has(const asgdi_set *s, uint32_t p)
{
    return p < ASGDI_PROCESSES_MAX && (s->word[p / 64] >> (p % 64) & 1);
}

static inline void asgdi_set_add(asgdi_set *s, uint32_t p)
{
    s->word[p / 64] |= UINT64_C(1) << (p % 64);
}

static inline void asgdi_set_take(asgdi_set *s, uint32_t p)
{
    s->word[p / 64] &= ~(UINT64_C(1) << (p % 64));
}

static inline asgdi_set asgdi_set_first(uint32_t n) /* 0..n-1 */
{
    asgdi_set s = {0};
    for (uint32_t p = 0; p < n; p++) asgdi_set_add(&s, p);
    return s;
}

static inline asgdi_set asgdi_set_without(asgdi_set a, asgdi_set b)
{
    for (int i = 0; i < ASGDI_SET_WORDS; i++) a.word[i] &= ~b.word[i];
    return a;
}

static inline asgdi_set asgdi_set_both(asgdi_set a, asgdi_set b)
{
    for (int i = 0; i < ASGDI_SET_WORDS; i++) a.word[i] |= b.word[i];
    return a;
}

static inline bool asgdi_set_empty(asgdi_set a)
{
    uint64_t any = 0;
    for (int i = 0; i < ASGDI_SET_WORDS; i++) any |= a.word[i];
    return any == 0;
}

static inline bool asgdi_set_within(asgdi_set a, asgdi_set b) /* a is part of b */
{
    return asgdi_set_empty(asgdi_set_without(a, b));
}

static inline uint32_t asgdi_set_count(asgdi_set a)
{
    uint32_t n = 0;
    for (int i = 0; i < ASGDI_SET_WORDS; i++) n += (uint32_t)__builtin_popcountll(a.word[i]);
    return n;
}

static inline uint32_t asgdi_set_lowest(asgdi_set a) /* ASGDI_PROCESSES_MAX: empty */
{
    for (uint32_t i = 0; i < ASGDI_SET_WORDS; i++)
        if (a.word[i]) return i * 64 + (uint32_t)__builtin_ctzll(a.word[i]);
    return ASGDI_PROCESSES_MAX;
}

#endif
