/* synth_digits.c -- handwritten-looking digits, for trying things out without a download.
 *
 * A digit is a few strokes, each a Catmull-Rom spline (Catmull and Rom 1974) through control points
 * in the unit square.  Per example: the points jitter, a random affine map and a slow sine warp bend
 * the whole, a pen of random width draws it (a pixel's value falls linearly with its distance from
 * the stroke's edge), then ink noise, gaps, specks and a random contrast.  The background stays
 * exactly 0, so that about a fifth of the pixels are not, as in MNIST.
 *
 * Invariant: an example is a function of (seed, part, number) alone: any thread draws any of them,
 * and asking for more examples changes none. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "base/parallel.h"

enum {
    SIDE        = 28,
    PIXELS      = SIDE * SIDE,
    MAX_POINTS  = 16,
    MAX_STROKES = 4,
    SMOOTH      = 5,
    CHUNK       = 4096
};

typedef struct point {
    float x, y;
} point;

typedef struct stroke {
    int   n; /* points; 0 ends the list */
    bool  straight;
    point p[MAX_POINTS];
} stroke;

typedef struct shape {
    stroke s[MAX_STROKES];
} shape;

/* One or more ways to write each digit; x to the right, y down. */
static const shape shapes[] = {
    /* 0 */
    {{{9,
       false,
       {{.5f, 0},
        {.2f, .13f},
        {.08f, .5f},
        {.2f, .87f},
        {.5f, 1},
        {.8f, .87f},
        {.92f, .5f},
        {.8f, .13f},
        {.48f, 0}}}}},
    {{{9,
       false,
       {{.62f, .05f},
        {.3f, .08f},
        {.14f, .5f},
        {.22f, .88f},
        {.5f, 1},
        {.78f, .8f},
        {.88f, .42f},
        {.74f, .1f},
        {.4f, .02f}}}}},
    /* 1 */
    {{{2, true, {{.5f, 0}, {.5f, 1}}}}},
    {{{3, true, {{.3f, .22f}, {.52f, 0}, {.5f, 1}}}}},
    {{{3, true, {{.32f, .2f}, {.52f, 0}, {.5f, 1}}}, {2, true, {{.28f, 1}, {.74f, 1}}}}},
    /* 2 */
    {{{7,
       false,
       {{.12f, .24f}, {.28f, .05f}, {.6f, 0}, {.86f, .2f}, {.76f, .48f}, {.42f, .76f}, {.1f, 1}}},
      {2, true, {{.1f, 1}, {.92f, .98f}}}}},
    {{{11,
       false,
       {{.14f, .2f},
        {.42f, .02f},
        {.76f, .14f},
        {.74f, .44f},
        {.46f, .78f},
        {.2f, .96f},
        {.1f, .84f},
        {.28f, .76f},
        {.5f, .88f},
        {.72f, .98f},
        {.96f, .9f}}}}},
    /* 3 */
    {{{9,
       false,
       {{.14f, .12f},
        {.45f, 0},
        {.78f, .12f},
        {.74f, .36f},
        {.42f, .47f},
        {.78f, .58f},
        {.86f, .8f},
        {.5f, 1},
        {.1f, .88f}}}}},
    {{{2, true, {{.14f, .02f}, {.82f, .02f}}},
      {6, false, {{.82f, .02f}, {.46f, .42f}, {.8f, .54f}, {.84f, .82f}, {.48f, 1}, {.1f, .88f}}}}},
    /* 4 */
    {{{3, true, {{.56f, 0}, {.08f, .64f}, {.94f, .64f}}}, {2, true, {{.7f, .3f}, {.68f, 1}}}}},
    {{{4, false, {{.16f, 0}, {.12f, .38f}, {.4f, .54f}, {.84f, .46f}}},
      {2, true, {{.84f, 0}, {.76f, 1}}}}},
    /* 5 */
    {{{3, true, {{.84f, .02f}, {.26f, .02f}, {.2f, .44f}}},
      {6, false, {{.2f, .44f}, {.5f, .38f}, {.84f, .54f}, {.84f, .82f}, {.5f, 1}, {.1f, .9f}}}}},
    {{{7,
       false,
       {{.3f, .06f}, {.22f, .42f}, {.56f, .42f}, {.82f, .62f}, {.7f, .92f}, {.38f, 1}, {.1f, .9f}}},
      {2, true, {{.3f, .06f}, {.9f, 0}}}}},
    /* 6 */
    {{{10,
       false,
       {{.74f, .02f},
        {.4f, .18f},
        {.16f, .54f},
        {.2f, .88f},
        {.5f, 1},
        {.82f, .86f},
        {.84f, .62f},
        {.56f, .5f},
        {.28f, .6f},
        {.18f, .76f}}}}},
    {{{9,
       false,
       {{.4f, 0},
        {.2f, .36f},
        {.14f, .74f},
        {.34f, .98f},
        {.66f, .96f},
        {.84f, .76f},
        {.68f, .56f},
        {.38f, .6f},
        {.18f, .82f}}}}},
    /* 7 */
    {{{3, true, {{.1f, .04f}, {.88f, .02f}, {.4f, 1}}}}},
    {{{3, true, {{.1f, .04f}, {.88f, .02f}, {.42f, 1}}}, {2, true, {{.3f, .5f}, {.84f, .48f}}}}},
    {{{6, false, {{.12f, .22f}, {.16f, .06f}, {.5f, .08f}, {.88f, .02f}, {.6f, .44f}, {.46f, 1}}}}},
    /* 8 */
    {{{13,
       false,
       {{.78f, .14f},
        {.48f, 0},
        {.2f, .14f},
        {.26f, .36f},
        {.54f, .5f},
        {.82f, .68f},
        {.8f, .9f},
        {.48f, 1},
        {.18f, .88f},
        {.2f, .66f},
        {.48f, .48f},
        {.76f, .34f},
        {.8f, .16f}}}}},
    {{{7,
       false,
       {{.5f, 0}, {.24f, .1f}, {.26f, .38f}, {.5f, .46f}, {.74f, .38f}, {.76f, .1f}, {.48f, 0}}},
      {7,
       false,
       {{.5f, .46f},
        {.18f, .58f},
        {.16f, .88f},
        {.5f, 1},
        {.84f, .88f},
        {.82f, .58f},
        {.48f, .46f}}}}},
    /* 9 */
    {{{8,
       false,
       {{.82f, .22f},
        {.56f, 0},
        {.22f, .12f},
        {.18f, .38f},
        {.46f, .5f},
        {.76f, .38f},
        {.84f, .16f},
        {.8f, .3f}}},
      {3, false, {{.82f, .2f}, {.8f, .6f}, {.66f, 1}}}}},
    {{{10,
       false,
       {{.8f, .14f},
        {.5f, .02f},
        {.2f, .18f},
        {.24f, .42f},
        {.52f, .48f},
        {.78f, .28f},
        {.82f, .16f},
        {.82f, .58f},
        {.66f, .92f},
        {.3f, .98f}}}}},
};

/* shapes[first[d]] .. shapes[first[d + 1] - 1] are digit d. */
static const uint8_t first[11] = {0, 2, 5, 7, 9, 11, 13, 15, 18, 20, 22};

/* An example's own random numbers, one after another. */
typedef struct dice {
    uint64_t seed, stream, i;
} dice;

static float uniform(dice *d, float lo, float hi)
{
    return lo + (hi - lo) * asgdi_uniform(asgdi_random(d->seed, d->stream, d->i++));
}

static float normal(dice *d)
{
    return asgdi_normal(asgdi_random(d->seed, d->stream, d->i++));
}

static float clamp(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* From the unit square to pixels. */
typedef struct place {
    float a, b, c, d; /* linear part */
    float x, y;       /* where the centre goes */
    float wave, freq_x, freq_y, phase_x, phase_y;
} place;

static point put(const place *t, point p)
{
    p.x -= .5f;
    p.y -= .5f;
    float x = p.x + t->wave * sinf(t->freq_y * p.y + t->phase_x);
    float y = p.y + t->wave * sinf(t->freq_x * p.x + t->phase_y);
    return (point){t->x + t->a * x + t->b * y, t->y + t->c * x + t->d * y};
}

static place random_place(dice *r)
{
    float angle = clamp(.17f * normal(r), -.5f, .5f);
    float shear = clamp(.25f * normal(r) - .12f, -.75f, .6f);
    float high = uniform(r, 16, 20.5f), wide = uniform(r, 10.5f, 17.5f);
    float c = cosf(angle), s = sinf(angle);
    return (place){.a       = wide * c,
                   .b       = high * (shear * c - s),
                   .c       = wide * s,
                   .d       = high * (shear * s + c),
                   .x       = SIDE * .5f + clamp(1.1f * normal(r), -3, 3),
                   .y       = SIDE * .5f + clamp(1.1f * normal(r), -3, 3),
                   .wave    = uniform(r, 0, .08f),
                   .freq_x  = uniform(r, 3, 7),
                   .freq_y  = uniform(r, 3, 7),
                   .phase_x = uniform(r, 0, 6.28f),
                   .phase_y = uniform(r, 0, 6.28f)};
}

/* Lowers distance[] to that from the segment a-b, as far as the pen reaches. */
static void draw_segment(float *distance, point a, point b, float reach)
{
    int   x0 = (int)clamp(floorf(fminf(a.x, b.x) - reach), 0, SIDE - 1);
    int   x1 = (int)clamp(ceilf(fmaxf(a.x, b.x) + reach), 0, SIDE - 1);
    int   y0 = (int)clamp(floorf(fminf(a.y, b.y) - reach), 0, SIDE - 1);
    int   y1 = (int)clamp(ceilf(fmaxf(a.y, b.y) + reach), 0, SIDE - 1);
    float dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
    float over = length > 0 ? 1 / length : 0;
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            float px = (float)x + .5f - a.x, py = (float)y + .5f - a.y;
            float t = clamp((px * dx + py * dy) * over, 0, 1);
            px -= t * dx;
            py -= t * dy;
            float d = px * px + py * py, *out = &distance[y * SIDE + x];
            if (d < *out) *out = d;
        }
}

static float spline(float a, float b, float c, float d, float t)
{
    return .5f * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t +
                  (3 * b - a - 3 * c + d) * t * t * t);
}

static void draw_stroke(float *distance, const stroke *s, const place *t, float jitter, float reach,
                        dice *r)
{
    point p[MAX_POINTS];
    for (int i = 0; i < s->n; i++) {
        p[i].x = s->p[i].x + jitter * normal(r);
        p[i].y = s->p[i].y + jitter * normal(r);
    }
    for (int i = 0; i + 1 < s->n; i++) {
        point b = p[i], c = p[i + 1];
        point a = s->straight || i == 0 ? (point){2 * b.x - c.x, 2 * b.y - c.y} : p[i - 1];
        point d = s->straight || i + 2 == s->n ? (point){2 * c.x - b.x, 2 * c.y - b.y} : p[i + 2];
        point from = put(t, b);
        for (int k = 1; k <= SMOOTH; k++) {
            float u = (float)k / SMOOTH;
            point to =
                put(t, (point){spline(a.x, b.x, c.x, d.x, u), spline(a.y, b.y, c.y, d.y, u)});
            draw_segment(distance, from, to, reach);
            from = to;
        }
    }
}

/* Every ten examples hold each digit once, shuffled (Fisher and Yates). */
static uint8_t label_of(uint64_t seed, uint64_t number)
{
    uint8_t d[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (uint64_t i = 9; i > 0; i--) {
        uint64_t j = asgdi_random(seed, 2 * (number / 10) + 1, i) % (i + 1);
        uint8_t  t = d[i];
        d[i]       = d[j];
        d[j]       = t;
    }
    return d[number % 10];
}

static void draw(uint8_t *out, uint8_t digit, dice *r)
{
    float distance[PIXELS];
    for (int i = 0; i < PIXELS; i++) distance[i] = 1e9f;
    place        t      = random_place(r);
    float        pen    = clamp(1.15f + .3f * normal(r), .65f, 2.f); /* half its width, in pixels */
    float        soft   = uniform(r, .9f, 1.6f);
    float        jitter = uniform(r, .02f, .08f), ways = (float)(first[digit + 1] - first[digit]);
    uint32_t     way  = (uint32_t)uniform(r, 0, ways);
    const shape *form = &shapes[first[digit] + way];
    for (int i = 0; i < MAX_STROKES && form->s[i].n; i++)
        draw_stroke(distance, &form->s[i], &t, jitter, pen + soft, r);

    float ink = uniform(r, 170, 255), grain = uniform(r, 0, .12f);
    /* a place where the pen skipped */
    float gap_x = uniform(r, 4, 24), gap_y = uniform(r, 4, 24), gap = uniform(r, -3, 1.6f);
    for (int i = 0; i < PIXELS; i++) {
        float edge = (pen + .5f * soft - sqrtf(distance[i])) / soft;
        out[i]     = 0;
        if (edge <= 0) continue;
        float v  = ink * fminf(edge, 1) * (1 - grain * fabsf(normal(r)));
        float dx = (float)(i % SIDE) + .5f - gap_x, dy = (float)(i / SIDE) + .5f - gap_y;
        if (gap > 0 && dx * dx + dy * dy < gap * gap) v *= .25f;
        out[i] = (uint8_t)clamp(v, 0, 255);
    }
    int specks = (int)uniform(r, 0, 8);
    for (int i = 0; i < specks; i++) {
        int at  = (int)uniform(r, 0, PIXELS - .01f);
        out[at] = (uint8_t)clamp((float)out[at] + uniform(r, 10, 160), 0, 255);
    }
}

typedef struct chunk {
    uint64_t seed, part, first, n;
    uint32_t parts;
    uint8_t *pixels;
} chunk;

static void draw_part(void *ctx, uint32_t k)
{
    chunk *c = ctx;
    for (uint64_t i = asgdi_part(c->n, c->parts, k); i < asgdi_part(c->n, c->parts, k + 1); i++) {
        uint64_t number = c->first + i;
        dice     r      = {c->seed, 2 * number, 0};
        draw(c->pixels + i * PIXELS, label_of(c->seed, number), &r);
    }
}

static void big_endian(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static asgd_status write_images(asgdi_file *f, uint64_t n, uint64_t seed)
{
    uint8_t head[16] = {0, 0, 8, 3};
    big_endian(head + 4, (uint32_t)n);
    big_endian(head + 8, SIDE);
    big_endian(head + 12, SIDE);
    ASGD_TRY(asgdi_file_write(f, head, sizeof head));
    chunk c  = {.seed = seed};
    c.pixels = asgdi_calloc(CHUNK, PIXELS);
    if (!c.pixels) return ASGD_FAIL(ENOMEM, "%s: no memory to draw digits", f->path);
    asgd_status s = ASGD_OK;
    for (; c.first < n && s == ASGD_OK; c.first += c.n) {
        c.n     = n - c.first < CHUNK ? n - c.first : CHUNK;
        c.parts = asgdi_parts(0, c.n, 256);
        asgdi_parallel(c.parts, draw_part, &c);
        s = asgdi_file_write(f, c.pixels, c.n * PIXELS);
    }
    asgdi_free(c.pixels);
    return s;
}

static asgd_status write_labels(asgdi_file *f, uint64_t n, uint64_t seed)
{
    uint8_t buf[4096] = {0, 0, 8, 1};
    big_endian(buf + 4, (uint32_t)n);
    ASGD_TRY(asgdi_file_write(f, buf, 8));
    for (uint64_t i = 0; i < n;) {
        size_t m = 0;
        while (m < sizeof buf && i < n) buf[m++] = label_of(seed, i++);
        ASGD_TRY(asgdi_file_write(f, buf, m));
    }
    return ASGD_OK;
}

static asgd_status write_file(const char *folder, const char *name, uint64_t n, uint64_t seed,
                              asgd_status (*content)(asgdi_file *f, uint64_t n, uint64_t seed))
{
    size_t room = strlen(folder) + strlen(name) + 2;
    char  *path = asgdi_calloc(room, 1);
    if (!path) return ASGD_FAIL(ENOMEM, "%s: no memory for a name", folder);
    snprintf(path, room, "%s/%s", folder, name);
    asgdi_file  f;
    asgd_status s = asgdi_file_create(&f, path);
    asgdi_free(path);
    ASGD_TRY(s);
    s = content(&f, n, seed);
    if (s == ASGD_OK) return asgdi_file_commit(&f);
    asgdi_file_abandon(&f);
    return s;
}

asgd_status asgd_synth_digits(const char *folder, uint64_t train, uint64_t test, uint64_t seed)
{
    if (!folder || !*folder) return ASGD_FAIL(EINVAL, "asgd_synth_digits: no folder is given");
    if (train > UINT32_MAX || test > UINT32_MAX)
        return ASGD_FAIL(EINVAL, "asgd_synth_digits: at most 4294967295 examples fit an IDX file");
    if (train == 0 && test == 0)
        return ASGD_FAIL(EINVAL, "asgd_synth_digits: asks for no example; ask for some");
    ASGD_TRY(asgdi_make_folder(folder));
    uint64_t a = asgdi_random(seed, 1, 0), b = asgdi_random(seed, 1, 1);
    if (train) {
        ASGD_TRY(write_file(folder, "train-images-idx3-ubyte", train, a, write_images));
        ASGD_TRY(write_file(folder, "train-labels-idx1-ubyte", train, a, write_labels));
    }
    if (test) {
        ASGD_TRY(write_file(folder, "t10k-images-idx3-ubyte", test, b, write_images));
        ASGD_TRY(write_file(folder, "t10k-labels-idx1-ubyte", test, b, write_labels));
    }
    return ASGD_OK;
}
