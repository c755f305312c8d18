/* 05_hogwild_from_scratch.c -- the idea behind asynchronous SGD, whole, without the library.
 *
 * Workers take examples and change one shared vector w without any lock (Niu, Recht, Re, Wright:
 * Hogwild!, 2011).  An update is load, add, store, not one indivisible addition: when two workers do
 * it to the same weight at once, one addition is lost.  The paper's point is that this hardly matters
 * where examples are sparse, because two workers seldom meet.  Here you can count it: each weight
 * carries a counter that is incremented in the same careless way, so that
 *
 *     lost = increments made - sum of the counters
 *
 * "Relaxed" atomics make each load and store whole and say nothing about their order; on common
 * processors they cost the same as ordinary ones, and unlike those they are defined behaviour. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { N = 60000, LEN = 16, EPOCHS = 20, MOST = 1 << 16, MOST_WORKERS = 2 };

typedef struct weight {
    _Atomic float    w;
    _Atomic uint32_t count;
} weight;

static weight   shared[MOST];
static uint32_t idx[N][LEN]; /* example i has value 1 at features idx[i], 0 elsewhere */
static float    y[N];        /* 0 or 1 */

static float load(uint32_t f)
{
    return atomic_load_explicit(&shared[f].w, memory_order_relaxed);
}

static void add(uint32_t f, float change)
{
    atomic_store_explicit(&shared[f].w, load(f) + change, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&shared[f].count, memory_order_relaxed);
    atomic_store_explicit(&shared[f].count, count + 1, memory_order_relaxed);
}

static float score(int i)
{
    float z = 0;
    for (int j = 0; j < LEN; j++) z += load(idx[i][j]);
    return z;
}

/* One worker: every workers-th example, EPOCHS times.  This loop is the algorithm. */
typedef struct part {
    int   first, workers;
    float lr;
} part;

static void *work(void *argument)
{
    const part *p = argument;
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int i = p->first; i < N; i += p->workers) {
            float slope = 1 / (1 + expf(-score(i))) - y[i]; /* d loss / d score */
            for (int j = 0; j < LEN; j++) add(idx[i][j], -p->lr * slope);
        }
    return NULL;
}

static uint64_t next(uint64_t *state) /* xorshift, Marsaglia 2003 */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static float uniform(uint64_t *state)
{
    return (float)(next(state) >> 40) * 0x1p-24f;
}

static void make_data(uint32_t features)
{
    static float hidden[MOST];
    uint64_t     state = 12345;
    for (uint32_t f = 0; f < features; f++) hidden[f] = 2 * uniform(&state) - 1;
    for (int i = 0; i < N; i++) {
        float z = 0;
        for (int j = 0; j < LEN; j++) {
            idx[i][j] = (uint32_t)(next(&state) % features);
            z += hidden[idx[i][j]];
        }
        y[i] = uniform(&state) < 1 / (1 + expf(-z)) ? 1 : 0;
    }
}

/* Trains from zero; returns the mean loss afterwards and *lost. */
static double run(uint32_t features, int workers, long long *lost)
{
    for (uint32_t f = 0; f < features; f++) {
        atomic_store(&shared[f].w, 0);
        atomic_store(&shared[f].count, 0);
    }
    pthread_t       thread[MOST_WORKERS];
    part            parts[MOST_WORKERS];
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int k = 0; k < workers; k++) {
        parts[k] = (part){.first = k, .workers = workers, .lr = 0.02f};
        if (pthread_create(&thread[k], NULL, work, &parts[k])) exit(1);
    }
    for (int k = 0; k < workers; k++) pthread_join(thread[k], NULL);
    clock_gettime(CLOCK_MONOTONIC, &t1);

    double seconds = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    double loss    = 0;
    for (int i = 0; i < N; i++) {
        double z = (double)score(i);
        loss += log1p(exp(y[i] > 0 ? -z : z)) / N;
    }
    long long made = (long long)N * LEN * EPOCHS;
    *lost          = made;
    for (uint32_t f = 0; f < features; f++) *lost -= (long long)atomic_load(&shared[f].count);
    printf("%6u features, %d worker%s: loss %.4f, %5.2f M examples/s, lost %lld of %lld updates\n",
           features, workers, workers > 1 ? "s" : " ", loss, 1e-6 * N * EPOCHS / seconds, *lost,
           made);
    return loss;
}

int main(void)
{
    static const uint32_t sizes[] = {MOST, 32}; /* workers seldom meet; workers always meet */
    bool                  good    = true;
    for (int k = 0; k < 2; k++) {
        long long lost;
        make_data(sizes[k]);
        double alone = run(sizes[k], 1, &lost);
        good         = good && lost == 0; /* nobody to lose an update to */
        double both  = run(sizes[k], 2, &lost);
        good         = good && lost >= 0 && both < alone * 1.1 && both < log(2);
    }
    puts(
        "Few features: more updates are lost, and two workers are often slower than one: their\n"
        "cores pass the same cache lines to and fro.  The library therefore gives each worker its\n"
        "own copy of such rows and merges them; see docs/design.md.");
    return good ? 0 : 1;
}
