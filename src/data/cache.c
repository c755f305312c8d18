/* cache.c -- parsed text in a binary file, memory-mapped on the next run.
 *
 * File: a header of 192 bytes, then the sections (start, idx, val, y, labels, rank, dense), each
 * beginning at a multiple of 64 bytes; numbers as this machine has them.  It is valid for one
 * source (size and modification time) and one set of options that matter to parsing.
 *
 * Invariant: a damaged, foreign or forged cache is no cache.  Sizes are recomputed from the header's
 * counts and compared with the file's size; a checksum covers the header, another all sections; and
 * start[] and idx[] are checked entry by entry besides, since what the models index with must not
 * rest on a checksum that anybody can compute.  One pass over the memory, by all threads. */
#define _GNU_SOURCE
#include "data/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "data/build.h"
#include "data/parallel.h"

#define BYTE_ORDER_MARK UINT32_C(0x01020304)
static const char magic[8] = {'A', 'S', 'G', 'D', 'C', 'A', 'C', 'H'};
enum { VERSION = 1, ALIGN = 64, LEAST_TEXT = 256 << 10, BLOCK = 1 << 20 };
enum { START, IDX, VAL, Y, LABELS, RANK, DENSE, SECTIONS };

typedef struct header {
    char     magic[8];
    uint32_t version, byte_order;
    uint64_t source_bytes;
    int64_t  source_mtime;
    uint64_t options;
    uint64_t examples, nonzeros, dropped;
    uint32_t features, classes, dense, ranked;
    uint64_t bytes[SECTIONS];
    uint64_t content_sum;
    uint64_t zero[5];
    uint64_t header_sum; /* of all before it */
} header;
_Static_assert(sizeof(header) == 192, "the header has no holes");

static uint64_t sum_bytes(const void *data, size_t n, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t       a = asgdi_mix(seed + 1), b = ~a;
    for (; n >= 16; n -= 16, p += 16) {
        uint64_t x, y;
        memcpy(&x, p, 8);
        memcpy(&y, p + 8, 8);
        a = (a ^ x) * 0x9e3779b97f4a7c15u;
        b = (b ^ y) * 0xbf58476d1ce4e5b9u;
        a ^= a >> 29;
        b ^= b >> 31;
    }
    for (; n > 0; n--, p++) a = (a ^ *p) * 0x9e3779b97f4a7c15u;
    return asgdi_mix(a) ^ asgdi_mix(b + 0x94d049bb133111ebu);
}

static uint64_t sum_text(const char *s, uint64_t seed)
{
    return s ? sum_bytes(s, strlen(s), seed) : asgdi_mix(seed);
}

/* Everything in the options that changes what parsing gives. */
static uint64_t sum_options(const asgd_source_options *o, const char *format)
{
    uint64_t h    = sum_text(format, 1);
    h             = sum_text(o->label, h);
    uint64_t n    = o->label_values ? (uint64_t)o->n_label_values + 1 : 0;
    uint64_t w[3] = {o->features, o->rank_features, n};
    h             = sum_bytes(w, sizeof w, h);
    return n > 1 ? sum_bytes(o->label_values, o->n_label_values * sizeof(float), h) : h;
}

asgd_status asgdi_cache_open(asgdi_cache *c, const asgdi_input *in, const asgd_source_options *o,
                             const char *format)
{
    *c          = (asgdi_cache){.source_bytes = in->file_bytes, .source_mtime = in->mtime_ns};
    bool beside = !o->cache || !*o->cache;
    if (!in->regular || (!beside && strcmp(o->cache, "none") == 0)) return ASGD_OK;
    c->options = sum_options(o, format);

    const char *slash = strrchr(in->path, '/'), *base = slash ? slash + 1 : in->path;
    size_t      room = strlen(in->path) + (beside ? 0 : strlen(o->cache)) + 64;
    c->path          = asgdi_calloc(room, 1);
    if (c->path && beside) {
        snprintf(c->path, room, "%s.asgd-cache", in->path);
        return ASGD_OK;
    }
    c->folder = asgdi_strdup(o->cache);
    if (!c->path || !c->folder) {
        asgdi_cache_close(c);
        return ASGD_FAIL(ENOMEM, "%s: no memory for a name", in->name);
    }
    char *whole = realpath(in->path, NULL); /* two files of one name get two caches */
    snprintf(c->path, room, "%s/%s-%016llx.asgd-cache", o->cache, base,
             (unsigned long long)sum_text(whole ? whole : in->path, 2));
    free(whole);
    return ASGD_OK;
}

void asgdi_cache_close(asgdi_cache *c)
{
    asgdi_free(c->path);
    asgdi_free(c->folder);
    *c = (asgdi_cache){0};
}

/* ---- layout ---- */

/* Bytes of each section by the header's counts; false where they are absurd. */
static bool layout(const header *h, uint64_t bytes[SECTIONS])
{
    uint64_t n = h->examples, f = h->features, m = h->nonzeros;
    if (n == 0 || f == 0 || f > INT32_MAX || n > UINT64_C(1) << 40 || m > UINT64_C(1) << 40 ||
        h->classes > UINT32_C(1) << 24 || h->dense > 1 || h->ranked > 1 || (h->dense && h->ranked))
        return false;
    uint64_t product = 0;
    if (h->dense && (__builtin_mul_overflow(n, f, &product) || product != m)) return false;
    if (m > UINT64_C(1) << 40) return false;
    memset(bytes, 0, SECTIONS * sizeof *bytes);
    bytes[Y]      = n * 4;
    bytes[LABELS] = (uint64_t)h->classes * 4;
    if (h->dense) {
        bytes[DENSE] = product * 4;
    } else {
        bytes[START] = (n + 1) * 8;
        bytes[IDX] = bytes[VAL] = m * 4;
        bytes[RANK]             = h->ranked ? f * 4 : 0;
    }
    return true;
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static uint64_t header_sum(const header *h)
{
    return sum_bytes(h, offsetof(header, header_sum), 3);
}

/* ---- checks ---- */

typedef struct check {
    const uint8_t  *content; /* all sections */
    uint64_t        bytes;
    const uint64_t *start;
    const uint32_t *idx;
    const float    *y;
    uint64_t        examples, nonzeros;
    uint32_t        features, classes, parts;
    asgdi_u64       sum;
    asgdi_u32       bad;
} check;

/* The sum over blocks of their checksums, each with its place mixed in: any order gives the same. */
static uint64_t sum_blocks(const uint8_t *content, uint64_t bytes, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t b = from; b < to; b++) {
        uint64_t at = b * BLOCK, n = bytes - at < BLOCK ? bytes - at : (uint64_t)BLOCK;
        sum += sum_bytes(content + at, n, b + 4);
    }
    return sum;
}

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + BLOCK - 1) / BLOCK;
}

static bool examples_ok(const check *c, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (!isfinite(c->y[i])) return false;
        if (c->classes &&
            !(c->y[i] >= 0 && c->y[i] < (float)c->classes && c->y[i] == floorf(c->y[i])))
            return false;
        if (!c->start) continue;
        uint64_t a = c->start[i], b = c->start[i + 1];
        if (a > b || b > c->nonzeros || b - a > c->features) return false;
        if (b > a && c->idx[b - 1] >= c->features) return false;
        bool falls = false; /* no early way out: the loop is then as fast as memory */
        for (uint64_t j = a + 1; j < b; j++) falls |= c->idx[j] <= c->idx[j - 1];
        if (falls) return false;
    }
    return true;
}

static void check_part(void *ctx, uint32_t k)
{
    check   *c = ctx;
    uint64_t n = blocks(c->bytes);
    asgdi_add_relaxed(&c->sum, sum_blocks(c->content, c->bytes, asgdi_part(n, c->parts, k),
                                          asgdi_part(n, c->parts, k + 1)));
    if (!examples_ok(c, asgdi_part(c->examples, c->parts, k),
                     asgdi_part(c->examples, c->parts, k + 1)))
        asgdi_store_relaxed(&c->bad, 1);
}

static bool permutation(const uint32_t *rank, uint32_t n)
{
    uint8_t *seen = asgdi_calloc(n, 1);
    bool     ok   = seen != NULL;
    for (uint32_t f = 0; ok && f < n; f++) {
        ok = rank[f] < n && !seen[rank[f]];
        if (ok) seen[rank[f]] = 1;
    }
    asgdi_free(seen);
    return ok;
}

bool asgdi_cache_attach(asgd_source *s, const uint8_t *map, uint64_t size, const asgdi_cache *c,
                        uint32_t threads, uint64_t *dropped)
{
    header h;
    if (size < sizeof h) return false;
    memcpy(&h, map, sizeof h);
    uint64_t bytes[SECTIONS], at = sizeof h;
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.version != VERSION ||
        h.byte_order != BYTE_ORDER_MARK || h.header_sum != header_sum(&h) ||
        h.source_bytes != c->source_bytes || h.source_mtime != c->source_mtime ||
        h.options != c->options || !layout(&h, bytes) || memcmp(bytes, h.bytes, sizeof bytes) != 0)
        return false;
    const uint8_t *section[SECTIONS];
    for (int i = 0; i < SECTIONS; i++) {
        section[i] = bytes[i] ? map + at : NULL;
        at += padded(bytes[i]);
        if (at > size) return false;
    }
    if (at != size) return false;

    check k = {.content  = map + sizeof h,
               .bytes    = size - sizeof h,
               .start    = (const void *)section[START],
               .idx      = (const void *)section[IDX],
               .y        = (const void *)section[Y],
               .examples = h.examples,
               .nonzeros = h.nonzeros,
               .features = h.features,
               .classes  = h.classes};
    if (k.start && (k.start[0] != 0 || k.start[h.examples] != h.nonzeros)) return false;
    k.parts = asgdi_parts(threads, k.bytes, BLOCK);
    asgdi_parallel(k.parts, check_part, &k);
    if (asgdi_load_relaxed(&k.bad) || asgdi_load_relaxed(&k.sum) != h.content_sum) return false;
    if (h.ranked && !permutation((const void *)section[RANK], h.features)) return false;

    s->schema = (asgd_schema){.examples = h.examples,
                              .features = h.features,
                              .classes  = h.classes,
                              .dense    = h.dense == 1};
    s->start  = k.start;
    s->idx    = k.idx;
    s->val    = (const void *)section[VAL];
    s->y      = k.y;
    s->dense  = (const void *)section[DENSE];
    s->labels = (float *)(uintptr_t)section[LABELS];
    s->rank   = (uint32_t *)(uintptr_t)section[RANK];
    *dropped  = h.dropped;
    return true;
}

void asgdi_cache_seal(uint8_t *map, uint64_t size, const asgdi_cache *c)
{
    header h;
    if (size < sizeof h) return;
    memcpy(&h, map, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.version      = VERSION;
    h.byte_order   = BYTE_ORDER_MARK;
    h.source_bytes = c->source_bytes;
    h.source_mtime = c->source_mtime;
    h.options      = c->options;
    h.content_sum  = sum_blocks(map + sizeof h, size - sizeof h, 0, blocks(size - sizeof h));
    h.header_sum   = header_sum(&h);
    memcpy(map, &h, sizeof h);
}

bool asgdi_cache_load(const asgdi_cache *c, asgd_source *s, uint32_t threads, uint64_t *dropped)
{
    if (!c->path) return false;
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat st;
    void       *map  = MAP_FAILED;
    size_t      size = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        size = (size_t)st.st_size;
        map  = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (map == MAP_FAILED) return false;
    if (!asgdi_cache_attach(s, map, size, c, threads, dropped)) {
        munmap(map, size);
        return false;
    }
    asgdi_adopt_map(s, map, size);
    asgdi_summarize(s);
    return true;
}

/* ---- writing ---- */

static asgd_status write_sections(asgdi_file *f, const void *const section[SECTIONS],
                                  const uint64_t bytes[SECTIONS])
{
    static const uint8_t zero[ALIGN];
    for (int i = 0; i < SECTIONS; i++) {
        if (bytes[i] == 0) continue;
        ASGD_TRY(asgdi_file_write(f, section[i], bytes[i]));
        ASGD_TRY(asgdi_file_write(f, zero, padded(bytes[i]) - bytes[i]));
    }
    return ASGD_OK;
}

/* The checksum of what write_sections() writes, block by block over section borders. */
static uint64_t content_sum(const void *const section[SECTIONS], const uint64_t bytes[SECTIONS],
                            uint8_t *block)
{
    uint64_t sum = 0, number = 0;
    size_t   held = 0;
    for (int i = 0; i < SECTIONS; i++) {
        uint64_t all = padded(bytes[i]);
        for (uint64_t at = 0; at < all;) {
            size_t n = BLOCK - held < all - at ? BLOCK - held : (size_t)(all - at);
            size_t m = at >= bytes[i] ? 0 : bytes[i] - at < n ? (size_t)(bytes[i] - at) : n;
            if (m) memcpy(block + held, (const uint8_t *)section[i] + at, m);
            memset(block + held + m, 0, n - m);
            held += n;
            at += n;
            if (held == BLOCK) {
                sum += sum_bytes(block, held, number++ + 4);
                held = 0;
            }
        }
    }
    return held ? sum + sum_bytes(block, held, number + 4) : sum;
}

const char *asgdi_cache_store(const asgdi_cache *c, const asgd_source *s, uint64_t text_bytes,
                              uint64_t dropped)
{
    static const char failed[] = "no cache: folder not writable";
    if (!c->path || text_bytes < LEAST_TEXT) return "";
    const asgd_schema *d = &s->schema;
    header             h = {.version      = VERSION,
                            .byte_order   = BYTE_ORDER_MARK,
                            .source_bytes = c->source_bytes,
                            .source_mtime = c->source_mtime,
                            .options      = c->options,
                            .examples     = d->examples,
                            .nonzeros     = d->nonzeros,
                            .dropped      = dropped,
                            .features     = d->features,
                            .classes      = d->classes,
                            .dense        = d->dense,
                            .ranked       = s->rank != NULL};
    memcpy(h.magic, magic, sizeof magic);
    if (!layout(&h, h.bytes)) return "no cache: too large for one";
    const void *const section[SECTIONS] = {s->start,  s->idx,  s->val,  s->y,
                                           s->labels, s->rank, s->dense};
    uint8_t          *block             = malloc(BLOCK);
    if (!block) return "no cache: no memory to write it";
    h.content_sum = content_sum(section, h.bytes, block);
    h.header_sum  = header_sum(&h);
    free(block);

    asgdi_file f;
    if (c->folder && asgdi_make_folder(c->folder) != ASGD_OK) return failed;
    if (asgdi_file_create(&f, c->path) != ASGD_OK) return failed;
    if (asgdi_file_write(&f, &h, sizeof h) != ASGD_OK ||
        write_sections(&f, section, h.bytes) != ASGD_OK) {
        asgdi_file_abandon(&f);
        return "no cache: disk full";
    }
    return asgdi_file_commit(&f) == ASGD_OK ? "" : "no cache: disk full";
}
