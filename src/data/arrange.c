/* arrange.c -- ratings into blocks, and a random order inside each.
 *
 * Rows are dealt to strips in groups of 16, as many as share a cache line in a table of one float a row,
 * so that two strips never meet in a line; each group goes to the strip that has the fewest ratings so
 * far (Graham 1969), so that strips, and with them blocks, are about equally long.
 *
 * Within a block, ratings are put side by side by tiles of its users, few enough that their rows stay in the first
 * cache: only the items' rows then come from the second.  With 128 factors that is a fifth of the time.
 *
 * A block is shuffled once.  Its ratings are 12 bytes each and lie side by side, so that reading them is
 * a stream; a table of indices would cost a cache miss a rating. */
#include "data/arrange.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"

enum { GROUP = 16, GRAIN = 1 << 17, STREAM_ARRANGE = 11, TILE_BYTES = 1 << 14, TILES_MAX = 1024 };

typedef struct job {
    asgdi_arranged    *a;
    const asgd_source *s;
    uint32_t           size, parts;
    uint16_t          *strip[2]; /* of each row */
    uint64_t          *at;       /* [parts][size * size] */
    uint64_t          *count[2];
    uint64_t           seed, row_bytes;
    uint16_t          *tile; /* of each user in its strip */
    uint32_t           tiles;
    uint64_t           most;  /* ratings of a block */
    asgd_rating       *spare; /* [parts][most] */
} job;

static void count_blocks(void *ctx, uint32_t k)
{
    job               *j  = ctx;
    const uint64_t     n  = j->s->schema.examples;
    const asgd_rating *r  = j->s->rating;
    uint64_t          *at = j->at + (size_t)k * j->size * j->size;
    for (uint64_t i = asgdi_part(n, j->parts, k); i < asgdi_part(n, j->parts, k + 1); i++)
        at[(size_t)j->strip[0][r[i].user] * j->size + j->strip[1][r[i].item]]++;
}

static void scatter(void *ctx, uint32_t k)
{
    job               *j  = ctx;
    const uint64_t     n  = j->s->schema.examples;
    const asgd_rating *r  = j->s->rating;
    uint64_t          *at = j->at + (size_t)k * j->size * j->size;
    for (uint64_t i = asgdi_part(n, j->parts, k); i < asgdi_part(n, j->parts, k + 1); i++)
        j->a->rating[at[(size_t)j->strip[0][r[i].user] * j->size + j->strip[1][r[i].item]]++] =
            r[i];
}

/* Durstenfeld 1964. */
static void shuffle(asgd_rating *r, uint64_t n, uint64_t seed)
{
    for (uint64_t i = n; i > 1; i--) {
        const uint64_t bits = asgdi_mix(seed + i * UINT64_C(0x9e3779b97f4a7c15));
        const uint64_t j    = i <= UINT32_MAX ? (bits >> 32) * i >> 32 : bits % i;
        asgd_rating    t    = r[i - 1];
        r[i - 1]            = r[j];
        r[j]                = t;
    }
}

/* Ratings of the same tile side by side, otherwise in the order that they are in. */
static void gather_tiles(const job *j, asgd_rating *r, asgd_rating *spare, uint64_t n)
{
    uint64_t at[TILES_MAX + 1] = {0};
    for (uint64_t i = 0; i < n; i++) at[j->tile[r[i].user] + 1]++;
    for (uint32_t t = 0; t < j->tiles; t++) at[t + 1] += at[t];
    for (uint64_t i = 0; i < n; i++) spare[at[j->tile[r[i].user]]++] = r[i];
    memcpy(r, spare, n * sizeof *r);
}

static void shuffle_blocks(void *ctx, uint32_t k)
{
    job *j = ctx;
    for (uint64_t b = k; b < (uint64_t)j->size * j->size; b += j->parts) {
        const uint64_t start = j->a->start[b], n = j->a->start[b + 1] - start;
        shuffle(j->a->rating + start, n, asgdi_random(j->seed, STREAM_ARRANGE, b));
        if (j->tiles > 1) gather_tiles(j, j->a->rating + start, j->spare + k * j->most, n);
    }
}

/* Strips of users are cut further, into tiles whose rows stay in a core's first cache. */
static asgd_status cut_tiles(job *j)
{
    const uint32_t users                 = j->s->schema.users;
    uint32_t       dealt[ASGDI_GRID_MAX] = {0};
    const uint64_t tiles                 = users / j->size * j->row_bytes / TILE_BYTES;
    j->tiles = tiles > TILES_MAX ? TILES_MAX : tiles < 1 || j->size == 1 ? 1 : (uint32_t)tiles;
    if (j->tiles == 1) return ASGD_OK;
    j->tile = asgdi_calloc(users, sizeof *j->tile);
    if (!j->tile) return ASGD_FAIL(ENOMEM, "no memory to arrange ratings");
    for (uint32_t u = 0; u < users; u++)
        j->tile[u] = (uint16_t)(dealt[j->strip[0][u]]++ / GROUP % j->tiles);
    return ASGD_OK;
}

static void deal(const job *j, int w, uint32_t rows)
{
    uint64_t       load[ASGDI_GRID_MAX] = {0};
    const uint32_t group                = rows >= 2 * GROUP * j->size ? GROUP : 1;
    for (uint32_t r = 0; r < rows; r += group) {
        uint32_t least = 0;
        uint64_t here  = 0;
        for (uint32_t i = 1; i < j->size; i++)
            if (load[i] < load[least]) least = i;
        for (uint32_t i = r; i < r + group && i < rows; i++) {
            here += j->count[w][i];
            j->strip[w][i] = (uint16_t)least;
        }
        load[least] += here + 1;
    }
}

static asgd_status remember(job *j)
{
    asgdi_arranged    *a     = j->a;
    const asgd_source *s     = j->s;
    uint64_t           words = 1024;
    while (words * 4 < s->schema.examples) words *= 2; /* 16 to 32 bits a rating */
    a->seen.word   = asgdi_calloc(words, sizeof *a->seen.word);
    a->seen.mask   = words - 1;
    a->items       = asgdi_calloc(s->schema.items, sizeof *a->items);
    a->items_start = asgdi_calloc(j->size + 1, sizeof *a->items_start);
    if (!a->seen.word || !a->items || !a->items_start)
        return ASGD_FAIL(ENOMEM, "no memory to remember what is rated");
    for (uint64_t i = 0; i < s->schema.examples; i++) {
        const uint64_t h = asgdi_mix((uint64_t)s->rating[i].user << 32 | s->rating[i].item);
        a->seen.word[h >> 16 & a->seen.mask] |= UINT64_C(1) << (h & 63) | UINT64_C(1)
                                                                              << (h >> 6 & 63);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->size; i++) {
        a->items_start[i] = n;
        for (uint32_t r = 0; r < s->schema.items; r++)
            if (j->strip[1][r] == i) a->items[n++] = r;
    }
    a->items_start[j->size] = n;
    return ASGD_OK;
}

static asgd_status arrange(job *j, bool negatives)
{
    const asgd_schema *d      = &j->s->schema;
    const size_t       blocks = (size_t)j->size * j->size;
    for (int w = 0; w < 2; w++) {
        const uint32_t rows = w ? d->items : d->users;
        j->strip[w]         = asgdi_calloc(rows + 1, sizeof *j->strip[w]);
        j->count[w]         = asgdi_calloc(rows + 1, sizeof *j->count[w]);
        if (!j->strip[w] || !j->count[w]) return ASGD_FAIL(ENOMEM, "no memory to arrange ratings");
    }
    j->at        = asgdi_calloc(j->parts * blocks, sizeof *j->at);
    j->a->rating = asgdi_malloc(d->examples + ASGDK_PAIRS_AHEAD, sizeof *j->a->rating);
    j->a->start  = asgdi_calloc(blocks + 1, sizeof *j->a->start);
    if (!j->at || !j->a->rating || !j->a->start)
        return ASGD_FAIL(ENOMEM, "no memory for a second copy of %" PRIu64 " ratings", d->examples);
    /* All others are written by several threads, who then touch the memory first. */
    memset(j->a->rating + d->examples, 0, ASGDK_PAIRS_AHEAD * sizeof *j->a->rating);
    for (uint64_t i = 0; i < d->examples; i++) {
        const asgd_rating *r = &j->s->rating[i];
        if (r->user >= d->users || r->item >= d->items)
            return ASGD_FAIL(EMISMATCH,
                             "rating %" PRIu64
                             " of the training data is of a user or item that its "
                             "encoding lacks; train with an encoding of its own",
                             i + 1);
        j->count[0][r->user]++;
        j->count[1][r->item]++;
    }
    deal(j, 0, d->users);
    deal(j, 1, d->items);
    ASGD_TRY(cut_tiles(j));
    asgdi_parallel(j->parts, count_blocks, j);
    uint64_t sum = 0;
    for (size_t b = 0; b < blocks; b++) {
        j->a->start[b] = sum;
        for (uint32_t k = 0; k < j->parts; k++) {
            const uint64_t here   = j->at[k * blocks + b];
            j->at[k * blocks + b] = sum;
            sum += here;
        }
    }
    j->a->start[blocks] = sum;
    for (size_t b = 0; b < blocks; b++) {
        const uint64_t n = j->a->start[b + 1] - j->a->start[b];
        if (n > j->most) j->most = n;
    }
    if (j->tiles > 1) {
        j->spare = asgdi_malloc(j->parts * j->most, sizeof *j->spare);
        if (!j->spare) return ASGD_FAIL(ENOMEM, "no memory to arrange ratings");
    }
    asgdi_parallel(j->parts, scatter, j);
    asgdi_parallel(j->parts, shuffle_blocks, j);
    return negatives ? remember(j) : ASGD_OK;
}

asgd_status asgdi_arrange(asgdi_arranged *a, const asgd_source *s, uint32_t size,
                          uint64_t row_bytes, uint64_t seed, uint32_t threads, bool negatives)
{
    *a                 = (asgdi_arranged){.size = size};
    job j              = {.a = a, .s = s, .size = size, .row_bytes = row_bytes, .seed = seed};
    j.parts            = asgdi_parts(threads, s->schema.examples, GRAIN);
    asgd_status status = arrange(&j, negatives);
    for (int w = 0; w < 2; w++) {
        asgdi_free(j.strip[w]);
        asgdi_free(j.count[w]);
    }
    asgdi_free(j.at);
    asgdi_free(j.tile);
    asgdi_free(j.spare);
    if (status != ASGD_OK) asgdi_arranged_free(a);
    return status;
}

void asgdi_arranged_free(asgdi_arranged *a)
{
    asgdi_free(a->rating);
    asgdi_free(a->start);
    asgdi_free(a->items);
    asgdi_free(a->items_start);
    asgdi_free(a->seen.word);
    *a = (asgdi_arranged){0};
}
