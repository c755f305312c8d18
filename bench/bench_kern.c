/* bench_kern.c -- the kernels and the dense products alone, against this machine's measured limits.
 *
 *     bench_kern [--quick]      tables: every kernel of every variant, and the products of a
 *                               784-100-10 net
 *     bench_kern --gemm-json    what the products alone allow, one JSON object a line:
 *                               {"batch":..,"threads":..,"examples_per_second":..}
 *
 * A time is the best of several repetitions.  Limits: `peak` is what 13 independent chains of the
 * default variant's fused multiply-adds reach on one row in the first cache; `copy` is memcpy, bytes
 * read plus bytes written. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "kern/gemm.h"
#include "kern/kern.h"

enum { IN = 784, HIDDEN = 100, LDH = 104, OUT = 10, MAX_THREADS = 256 };

static double budget = 0.1; /* seconds a measurement */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "bench_kern: out of memory\n");
        exit(1);
    }
    memset(p, 0, (bytes + 63) / 64 * 64);
    return p;
}

static float *floats(size_t n)
{
    float *x = room(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = asgdi_uniform(asgdi_random(1, 0, i)) - 0.5f;
    return x;
}

/* ---- one kernel ---- */

/* Everything a kernel can be called with.  Sparse examples have MNIST's density. */
typedef struct work {
    const asgd_kern *k;
    size_t           n; /* of plain vectors */
    float           *a, *b, *c, *out;
    uint8_t         *bytes;
    uint32_t         examples, entries, pad;
    asgd_view        wide, narrow;
    uint64_t        *begin;
    uint32_t        *len, *idx;
    float           *val;
    asgdk_columns    columns;
    asgdk_step       step;
    asgd_rule_kind   rule;
    float            sink;
} work;

typedef struct bench {
    const char *name;
    void (*run)(work *w);
    double bytes, flops; /* of one run, the bytes as if nothing stayed in registers */
} bench;

static void run_dot(work *w)
{
    w->sink += w->k->dot(w->a, w->b, w->n);
}
static void run_axpy(work *w)
{
    w->k->axpy(1e-6f, w->a, w->b, w->n);
}
static void run_exp(work *w)
{
    w->k->exp(w->a, w->c, w->n);
}
static void run_bytes(work *w)
{
    w->k->bytes_to_float(w->bytes, 1 / 255.0f, w->c, w->n);
}
static void run_merge(work *w)
{
    w->k->merge(w->a, w->b, w->c, w->n, 1);
}
static void run_load(work *w)
{
    w->k->load(w->c, w->a, w->n);
}
static void run_add(work *w)
{
    w->k->add(w->c, w->a, w->n);
}
static void run_dot1(work *w)
{
    for (uint32_t i = 0; i < w->examples; i++)
        w->sink += w->k->dot1(&w->narrow, w->len[i], w->idx + w->begin[i], w->val + w->begin[i]);
}
static void run_rule1(work *w)
{
    for (uint32_t i = 0; i < w->examples; i++)
        w->k->rule1[w->rule](&w->narrow, w->c, 1, w->len[i], w->idx + w->begin[i],
                             w->val + w->begin[i], 1e-6f, &w->step);
}
static void run_rule(work *w)
{
    for (uint32_t r = 0; r < IN; r++)
        w->k->rule[w->rule](w->a + r * 3 * (size_t)LDH, w->c, w->b, LDH, 1e-6f, &w->step);
}
static void run_forward(work *w)
{
    w->k->forward(&w->wide, w->pad, w->examples, w->begin, w->len, w->idx, w->val, w->out, w->pad);
}
static void run_forward_dense(work *w)
{
    w->k->forward_dense(&w->wide, w->pad, IN, w->examples, w->c, w->out, w->pad);
}
static void run_outer_sgd(work *w)
{
    w->k->outer_sgd(&w->wide, w->pad, &w->columns, 1e-9f, w->b, w->pad);
}
static void run_outer_row(work *w)
{
    const asgdk_columns *c = &w->columns;
    for (uint32_t j = 0; j < c->n; j++)
        w->k->outer_row(w->pad, c->start[j + 1] - c->start[j], c->ex + c->start[j],
                        c->val + c->start[j], w->b, w->pad, w->out);
}

static void run_peak(work *w)
{
    static const uint32_t same[IN];
    w->k->outer_row(LDH, IN, same, w->c, w->b, LDH, w->out);
}

static double seconds(void (*run)(work *), work *w)
{
    double best = 1e9, start = now();
    int    repeat = 1;
    run(w);
    do {
        double t = now();
        for (int i = 0; i < repeat; i++) run(w);
        t = now() - t;
        if (t / repeat < best) best = t / repeat;
        if (t < budget / 10) repeat *= 2;
    } while (now() - start < budget);
    return best;
}

static void make_examples(work *w)
{
    w->begin        = room(w->examples * sizeof *w->begin);
    w->len          = room(w->examples * sizeof *w->len);
    w->idx          = room((size_t)w->examples * IN * 4);
    w->val          = floats((size_t)w->examples * IN);
    uint32_t *start = room((IN + 1) * 4), *at = room(IN * 4), *rows = room(IN * 4), *ex;
    float    *val;
    for (uint32_t i = 0; i < w->examples; i++) {
        w->begin[i] = w->entries;
        for (uint32_t f = 0; f < IN; f++)
            if (asgdi_random(2, i, f) % 5 == 0) {
                w->idx[w->entries++] = f;
                start[f + 1]++;
            }
        w->len[i] = w->entries - (uint32_t)w->begin[i];
    }
    for (uint32_t f = 0; f < IN; f++) {
        rows[f] = f;
        at[f]   = start[f];
        start[f + 1] += start[f];
    }
    ex  = room(w->entries * 4);
    val = room(w->entries * 4);
    for (uint32_t i = 0; i < w->examples; i++)
        for (uint32_t e = 0; e < w->len[i]; e++) {
            uint32_t q = at[w->idx[w->begin[i] + e]]++;
            ex[q]      = i;
            val[q]     = w->val[w->begin[i] + e];
        }
    w->columns = (asgdk_columns){IN, rows, start, ex, val};
}

static void kernels(void)
{
    enum { N = 4096 };
    work w  = {.n = N, .examples = 32, .pad = LDH, .step = {0.01f, 0.9f, 0.99f, 1e-8f, 0, 0, 2, 3}};
    w.a     = floats((size_t)IN * LDH * 3);
    w.b     = floats((size_t)IN * LDH);
    w.c     = floats((size_t)IN * LDH);
    w.out   = floats((size_t)w.examples * LDH);
    w.bytes = room(N);
    make_examples(&w);
    w.wide   = (asgd_view){.shared = floats((size_t)IN * LDH), .stride = LDH};
    w.narrow = (asgd_view){.shared = floats((size_t)IN * 4), .stride = 4};
    for (size_t i = 0; i < (size_t)IN * 4; i++) w.narrow.shared[i] += 0.5f;

    const double e = w.entries, row = LDH * 4, n = N;
    const bench  list[] = {
         {"dot", run_dot, 8 * n, 2 * n},
         {"axpy", run_axpy, 12 * n, 2 * n},
         {"exp", run_exp, 8 * n, 18 * n},
         {"bytes_to_float", run_bytes, 5 * n, n},
         {"merge", run_merge, 24 * n, 3 * n},
         {"load", run_load, 8 * n, 0},
         {"add", run_add, 12 * n, n},
         {"dot1", run_dot1, 12 * e, 2 * e},
         {"forward", run_forward, e * row, 2 * e * LDH},
         {"forward_dense", run_forward_dense, w.examples * IN * row, 2.0 * w.examples * IN * LDH},
         {"outer_sgd", run_outer_sgd, e * row + 2 * IN * row, 2 * e * LDH},
         {"outer_row", run_outer_row, e * row + IN * row, 2 * e * LDH},
    };

    w.k         = asgdk_best();
    double peak = seconds(run_peak, &w);
    char  *from = room(1 << 26), *to = room(1 << 26);
    double copy = 1e9;
    for (int i = 0; i < 5; i++) {
        double t = now();
        memcpy(to, from, 1 << 26);
        t = now() - t;
        if (t < copy) copy = t;
        from[i] = to[i + 1];
    }
    free(from);
    free(to);
    printf("limits, 1 thread: peak %.1f GFLOP/s, copy %.1f GB/s\n\n", 2.0 * IN * LDH / peak * 1e-9,
           0x1p27 / copy * 1e-9);

    printf("%-16s %-8s %12s %10s %10s\n", "kernel", "variant", "ns", "GB/s", "GFLOP/s");
    for (size_t b = 0; b < sizeof list / sizeof *list; b++)
        for (int v = 0; (w.k = asgdk_variant(v)); v++) {
            for (size_t i = 0; i < (size_t)IN * LDH; i++) w.c[i] = 0.5f;
            double t = seconds(list[b].run, &w);
            printf("%-16s %-8s %12.0f %10.1f %10.1f\n", list[b].name, w.k->name, t * 1e9,
                   list[b].bytes / t * 1e-9, list[b].flops / t * 1e-9);
        }

    printf("\n%-16s %-8s %12s %12s\n", "rule", "variant", "rows ns/float", "scattered ns");
    for (w.rule = ASGD_RULE_sgd; w.rule < ASGD_RULES; w.rule++)
        for (int v = 0; (w.k = asgdk_variant(v)); v++) {
            static const char *const names[ASGD_RULES] = {
#define X(name) [ASGD_RULE_##name] = #name,
                ASGD_RULE_MAP(X)
#undef X
            };
            for (size_t i = 0; i < (size_t)IN * LDH * 3; i++) w.a[i] = 0.25f;
            for (size_t i = 0; i < (size_t)IN * LDH; i++) w.c[i] = 0;
            double rows = seconds(run_rule, &w) / (IN * LDH);
            double one  = seconds(run_rule1, &w) / w.entries;
            printf("%-16s %-8s %12.3f %12.2f\n", names[w.rule], w.k->name, rows * 1e9, one * 1e9);
        }
}

/* ---- dense products ---- */

/* One worker's share: the three products of a 784-100-10 net's first layer and the small ones of
 * its second, forward and backward, for one batch; no gradient flows into the input. */
typedef struct net {
    const asgd_kern   *k;
    uint32_t           batch;
    float             *x, *w1, *h, *g1, *dh, *w2, *o, *g2;
    double             forward, gradient, all; /* seconds a batch */
    pthread_barrier_t *start;
} net;

static void forward1(net *n)
{
    asgdk_gemm(n->k, false, false, n->batch, HIDDEN, IN, 1, n->x, IN, n->w1, LDH, 0, n->h, LDH);
}
static void gradient1(net *n)
{
    asgdk_gemm(n->k, true, false, IN, HIDDEN, n->batch, 1, n->x, IN, n->dh, LDH, 0, n->g1, LDH);
}
static void all(net *n)
{
    forward1(n);
    asgdk_gemm(n->k, false, false, n->batch, OUT, HIDDEN, 1, n->h, LDH, n->w2, 16, 0, n->o, 16);
    asgdk_gemm(n->k, true, false, HIDDEN, OUT, n->batch, 1, n->h, LDH, n->o, 16, 0, n->g2, 16);
    asgdk_gemm(n->k, false, true, n->batch, HIDDEN, OUT, 1, n->o, 16, n->w2, 16, 0, n->dh, LDH);
    gradient1(n);
}

static double batch_seconds(void (*run)(net *), net *n)
{
    double start, t = 0;
    size_t done = 0;
    run(n);
    start = now();
    while ((t = now() - start) < budget || !done) {
        for (int i = 0; i < 10; i++) run(n);
        done += 10;
    }
    return t / (double)done;
}

static void *work_net(void *p)
{
    net *n = p;
    asgdk_gemm_thread();
    n->x        = floats((size_t)n->batch * IN);
    n->w1       = floats((size_t)IN * LDH);
    n->g1       = floats((size_t)IN * LDH);
    n->h        = floats((size_t)n->batch * LDH);
    n->dh       = floats((size_t)n->batch * LDH);
    n->w2       = floats((size_t)LDH * 16);
    n->g2       = floats((size_t)LDH * 16);
    n->o        = floats((size_t)n->batch * 16);
    n->forward  = batch_seconds(forward1, n);
    n->gradient = batch_seconds(gradient1, n);
    pthread_barrier_wait(n->start);
    n->all               = batch_seconds(all, n);
    float *const owned[] = {n->x, n->w1, n->g1, n->h, n->dh, n->w2, n->g2, n->o};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) free(owned[i]);
    return NULL;
}

static void gemm(uint32_t batch, uint32_t threads, bool json)
{
    static net        nets[MAX_THREADS];
    pthread_t         thread[MAX_THREADS];
    pthread_barrier_t start;
    double            rate = 0, flops = 2.0 * batch * IN * HIDDEN;
    pthread_barrier_init(&start, NULL, threads);
    for (uint32_t i = 0; i < threads; i++) {
        nets[i] = (net){.k = asgdk_best(), .batch = batch, .start = &start};
        if (pthread_create(&thread[i], NULL, work_net, &nets[i])) {
            fprintf(stderr, "bench_kern: cannot start %u threads\n", threads);
            exit(1);
        }
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        rate += batch / nets[i].all;
    }
    pthread_barrier_destroy(&start);
    if (json)
        printf("{\"batch\":%u,\"threads\":%u,\"examples_per_second\":%.0f}\n", batch, threads,
               rate);
    else
        printf("%6u %8u %16.1f %16.1f %18.0f\n", batch, threads, flops / nets[0].forward * 1e-9,
               flops / nets[0].gradient * 1e-9, rate);
    fflush(stdout);
}

/* Where asgdk_gemm() should hand over to oneDNN: the time of a product around that size. */
static void small_products(void)
{
    printf("\n%-18s %10s\n", "product m,n,k", "ns");
    for (uint32_t d = 4; d <= 16; d += 2) {
        static float a[256], b[256], c[256];
        double       start = now(), t;
        size_t       done  = 0;
        while ((t = now() - start) < budget)
            for (int i = 0; i < 100; i++, done++)
                asgdk_gemm(asgdk_best(), false, false, d, d, d, 1, a, d, b, d, 0, c, d);
        printf("%5u,%2u,%2u %19.0f\n", d, d, d, t / (double)done * 1e9);
    }
}

int main(int argc, char **argv)
{
    bool     json  = argc == 2 && !strcmp(argv[1], "--gemm-json");
    bool     quick = argc == 2 && !strcmp(argv[1], "--quick");
    uint32_t cores = asgd_cores();
    if (argc > 1 && !json && !quick) {
        fprintf(stderr, "usage: bench_kern [--quick | --gemm-json]\n");
        return 2;
    }
    if (!asgdk_best()) {
        fprintf(stderr, "bench_kern: ASGD_ISA=%s does not run here; choose among: %s\n",
                getenv("ASGD_ISA"), asgdk_names());
        return 2;
    }
    if (cores > MAX_THREADS) cores = MAX_THREADS;
    if (quick) budget = 0.01;
    asgdk_gemm_thread();
    if (!json) {
        printf("kernels in use: %s\n", asgd_isa());
        kernels();
        printf("\ngemm: a 784-100-10 net, ldb 104\n%6s %8s %16s %16s %18s\n", "batch", "threads",
               "forward GFLOP/s", "gradient GFLOP/s", "net, examples/s");
    } else {
        budget = 0.5;
    }
    for (uint32_t batch = 32; batch <= 256; batch = batch == 64 ? 256 : batch * 2) {
        gemm(batch, 1, json);
        if (cores > 1) gemm(batch, cores, json);
    }
    if (!json) small_products();
    return 0;
}
