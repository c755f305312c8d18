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

/* A pseudo-random permutation of 0..n-1, evaluated at i: a four-round Feistel network on the next
 * even power of two, walked until the value is in range (Black and Rogaway 2002).  n <= 2^62. */
static inline uint64_t asgdi_permute(uint64_t seed, uint64_t n, uint64_t i)
{
    unsigned half = 1;
    while (half < 31 && (UINT64_C(1) << (2 * half)) < n) half++;
    uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t l = i >> half, r = i & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t f = asgdi_mix(r + seed + round * 0x9e3779b97f4a7c15u) & mask;
            uint64_t t = l ^ f;
            l          = r;
            r          = t;
        }
        i = (l << half) | r;
    } while (i >= n);
    return i;
}

#endif
