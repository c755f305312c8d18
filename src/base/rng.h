/* rng.h -- counter-based random numbers: (seed, stream, i) -> bits, so that no state is shared, any
 * worker computes any number, and a resumed run draws the same ones.
 * The mixer is SplitMix64's finaliser (Steele, Lea, Flood 2014), applied once per key word. */
#ifndef ASGDI_RNG_H
#define ASGDI_RNG_H

#include <math.h>
#include <stdint.h>

static inline uint64_t asgdi_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 64 random bits. */
static inline uint64_t asgdi_random(uint64_t seed, uint64_t stream, uint64_t i)
{
    uint64_t key = asgdi_mix(seed + 0x9e3779b97f4a7c15u * (stream + 1));
    return asgdi_mix(key + 0x9e3779b97f4a7c15u * (i + 1));
}

/* [0, 1) with 24 bits. */
static inline float asgdi_uniform(uint64_t bits)
{
    return (float)(bits >> 40) * 0x1p-24f;
}

/* Standard normal from one draw (Box and Muller 1958); the two halves of the bits are independent.
 */
static inline float asgdi_normal(uint64_t bits)
{
    double u = ((double)(bits >> 32) + 0.5) * 0x1p-32, v = (double)(bits & 0xffffffffu) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

/* A pseudo-random permutation of 0..n-1 (n <= 2^62), computed at any point without a table: four
 * rounds of an unbalanced Feistel network over the next power of two, walked until the value is in
 * range (Black and Rogaway 2002), less than two walks on average. */
typedef struct asgdi_permutation {
    uint64_t n, mask_low, mask_high, key[4];
    unsigned bits_low;
} asgdi_permutation;

static inline asgdi_permutation asgdi_permutation_make(uint64_t seed, uint64_t stream, uint64_t n)
{
    unsigned bits = 2;
    while (bits < 62 && (UINT64_C(1) << bits) < n) bits++;
    asgdi_permutation p = {.n = n, .bits_low = bits / 2};
    p.mask_low          = (UINT64_C(1) << p.bits_low) - 1;
    p.mask_high         = (UINT64_C(1) << (bits - p.bits_low)) - 1;
    for (uint64_t i = 0; i < 4; i++) p.key[i] = asgdi_random(seed, stream, i);
    return p;
}

static inline uint64_t asgdi_permute(const asgdi_permutation *p, uint64_t i)
{
    do {
        uint64_t high = i >> p->bits_low, low = i & p->mask_low;
        for (int round = 0; round < 4; round += 2) {
            uint64_t f = (low ^ p->key[round]) * 0x9e3779b97f4a7c15u;
            high ^= (f >> 32) & p->mask_high;
            f = (high ^ p->key[round + 1]) * 0xd6e8feb86659fd93u;
            low ^= (f >> 32) & p->mask_low;
        }
        i = high << p->bits_low | low;
    } while (i >= p->n);
    return i;
}

#endif
