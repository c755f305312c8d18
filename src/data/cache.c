/* cache.c -- parsed text in a binary file, memory-mapped on the next run.
 *
 * File: a header of 256 bytes, then the sections (enum below), each beginning at a multiple of 64
 * bytes; numbers as this machine has them.  It is valid for one source (size and modification time)
 * and one set of options that matter to parsing, a given encoding among them.
 *
 * Invariant: a damaged, foreign or forged cache is no cache.  Sizes are recomputed from the header's
 * counts and compared with the file's size; a checksum covers the header, another all sections; and
 * every number that something is indexed with is checked besides, since what the models do must not
 * rest on a checksum that anybody can compute.  One pass over the memory, by all threads. */
#define _GNU_SOURCE
#include "data/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
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
#include "base/parallel.h"
#include "data/rows.h"

#define BYTE_ORDER_MARK UINT32_C(0x01020304)
static const char magic[8] = {'A', 'S', 'G', 'D', 'C', 'A', 'C', 'H'};
enum { VERSION = 2, ALIGN = 64, LEAST_TEXT = 256 << 10, BLOCK = 1 << 20 };
enum {
    START,
    IDX,
    VAL,
    FIELD,
    Y,
    WEIGHT,
    LABELS,
    LABEL_START,
    LABEL,
    KEYS,
    RECIPE,
    DENSE,
    SECTIONS
};
enum { /* flags */
       IS_DENSE   = 1,
       VALUED     = 2,
       WEIGHTED   = 4,
       LABELLED   = 8, /* classes have values of their own */
       LABEL_SETS = 16,
       ENCODED    = 32, /* it has an encoding of its own */
       FLAGS      = 64
};

typedef struct header {
    char     magic[8];
    uint32_t version, byte_order;
    uint64_t source_bytes;
    int64_t  source_mtime;
    uint64_t options;
    uint64_t examples, nonzeros, dropped;
    uint64_t labels, recipe_bytes;
    uint32_t features, classes, fields, flags;
    uint64_t bytes[SECTIONS];
    uint64_t zero[6];
    uint64_t content_sum;
    uint64_t header_sum; /* of all before it */
} header;
_Static_assert(sizeof(header) == 256, "the header has no holes");

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
    const char *const text[] = {format,
                                o->label,
                                o->weight,
                                o->ignore,
                                o->categorical,
                                o->interactions,
                                o->encoding ? o->encoding->recipe : NULL};
    uint64_t          h = 1, n = o->label_values ? (uint64_t)o->n_label_values + 1 : 0;
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) h = sum_text(text[i], h);
    uint64_t w[] = {o->features,
                    o->rank_features,
                    o->hash_bits,
                    o->bins,
                    n,
                    o->encoding ? o->encoding->rows : UINT64_MAX,
                    o->encoding ? o->encoding->fields : 0};
    h            = sum_bytes(w, sizeof w, h);
    if (n > 1) h = sum_bytes(o->label_values, o->n_label_values * sizeof(float), h);
    if (o->encoding) h = sum_bytes(o->encoding->key, o->encoding->rows * sizeof(uint32_t), h);
    return h;
}

asgd_status asgdi_cache_open(asgdi_cache *c, const asgdi_input *in, const asgd_source_options *o,
                             const char *format)
{
    *c = (asgdi_cache){
        .source_bytes = in->file_bytes, .source_mtime = in->mtime_ns, .encoding = o->encoding};
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
    const uint64_t most = UINT64_C(1) << 40;
    uint64_t       n = h->examples, f = h->features, m = h->nonzeros, product = 0;
    bool           dense = h->flags & IS_DENSE, sets = h->flags & LABEL_SETS;
    if (n == 0 || f > INT32_MAX || n > most || m > most || h->labels > most ||
        h->classes > UINT32_C(1) << 24 || h->fields > ASGDI_FIELDS_MAX || h->flags >= FLAGS ||
        h->recipe_bytes > UINT32_MAX)
        return false;
    if (dense && (__builtin_mul_overflow(n, f, &product) || product != m || h->fields))
        return false;
    if ((!sets && h->labels) || (!(h->flags & ENCODED) && h->recipe_bytes)) return false;
    memset(bytes, 0, SECTIONS * sizeof *bytes);
    bytes[Y]      = n * 4;
    bytes[WEIGHT] = h->flags & WEIGHTED ? n * 4 : 0;
    bytes[LABELS] = h->flags & LABELLED ? (uint64_t)h->classes * 4 : 0;
    if (dense) {
        bytes[DENSE] = m * 4;
    } else {
        bytes[START] = (n + 1) * 8;
        bytes[IDX]   = m * 4;
        bytes[VAL]   = h->flags & VALUED ? m * 4 : 0;
        bytes[FIELD] = h->fields ? m * 2 : 0;
    }
    if (sets) {
        bytes[LABEL_START] = (n + 1) * 8;
        bytes[LABEL]       = h->labels * 4;
    }
    if (h->flags & ENCODED) {
        bytes[KEYS]   = f * 4;
        bytes[RECIPE] = h->recipe_bytes;
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
    const uint8_t *section[SECTIONS];
    uint64_t       bytes[SECTIONS];
    uint64_t       examples, nonzeros, labels;
    uint32_t       features, fields, classes, parts;
    bool           only_sum, label_sets;
    asgdi_u64      sum;
    asgdi_u32      bad, next; /* next: the part to be done next */

    /* where the file has an encoding, or one is given */
    const header      *h;
    const asgdi_cache *cache;
    asgd_encoding     *encoding;
} check;

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + BLOCK - 1) / BLOCK;
}

/* Part k of the sum over all blocks of all sections of their checksums, each with its place mixed in:
 * any order gives the same. */
static uint64_t sum_part(const check *c, uint32_t k)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < SECTIONS; i++) {
        uint64_t n = blocks(c->bytes[i]), to = asgdi_part(n, c->parts, k + 1);
        for (uint64_t b = asgdi_part(n, c->parts, k); b < to; b++) {
            uint64_t at = b * BLOCK, rest = c->bytes[i] - at;
            sum += sum_bytes(c->section[i] + at, rest < BLOCK ? rest : (uint64_t)BLOCK,
                             i << 48 | (b + 4));
        }
    }
    return sum;
}

/* Entries of examples from..to-1: indices rise in each example and are below `features`, as fields are below
 * `fields`.  Loops over examples would be short ones; here all entries are one loop, which finds how
 * often indices do not rise, and that may be only from one example to the next. */
static bool entries_ok(const check *c, const uint64_t *start, uint64_t from, uint64_t to)
{
    const uint32_t *idx   = (const void *)c->section[IDX];
    const uint16_t *field = (const void *)c->section[FIELD];
    const uint64_t  a = start[from], b = start[to];
    uint32_t        wrong = 0; /* no early way out: the loops are then as fast as memory */
    for (uint64_t i = from; i < to; i++) wrong |= start[i] > start[i + 1];
    if (wrong || b > c->nonzeros) return false;
    if (a == b) return true;
    uint64_t falls = 0, between = 0;
    uint32_t most = idx[a];
    for (uint64_t j = a + 1; j < b; j++) {
        falls += idx[j] <= idx[j - 1];
        most = idx[j] > most ? idx[j] : most;
    }
    for (uint64_t i = from; i < to; i++) {
        const uint64_t s =
            start[i] > a ? start[i] : a + 1; /* of the first example: it is not counted */
        between += (start[i] > a) & (start[i] < start[i + 1]) & (idx[s < b ? s : a] <= idx[s - 1]);
    }
    for (uint64_t j = a; field && j < b; j++) wrong |= field[j] >= c->fields;
    return !wrong && falls == between && most < c->features;
}

static bool labels_ok(const check *c, const uint64_t *start, uint64_t i)
{
    const uint32_t *label = (const void *)c->section[LABEL];
    uint64_t        a = start[i], b = start[i + 1];
    if (a > b || b > c->labels) return false;
    if (b > a && label[b - 1] >= c->classes) return false;
    for (uint64_t j = a + 1; j < b; j++)
        if (label[j] <= label[j - 1]) return false;
    return true;
}

static bool targets_ok(const check *c, uint64_t from, uint64_t to)
{
    const float *y = (const void *)c->section[Y], *weight = (const void *)c->section[WEIGHT];
    const float  classes = (float)c->classes;
    uint32_t     wrong   = 0;
    for (uint64_t i = from; weight && i < to; i++)
        wrong |= !(weight[i] >= 0) | !(weight[i] <= FLT_MAX);
    for (uint64_t i = from; c->label_sets && i < to; i++) wrong |= y[i] != 0;
    for (uint64_t i = from; c->classes && !c->label_sets && i < to; i++) {
        const float z = ((y[i] >= 0) & (y[i] < classes)) ? y[i] : 0.5f;
        wrong |= (float)(int32_t)z != z;
    }
    for (uint64_t i = from; !c->classes && i < to; i++) wrong |= !(fabsf(y[i]) <= FLT_MAX);
    return !wrong;
}

static bool examples_ok(const check *c, uint64_t from, uint64_t to)
{
    enum { SOME = 1024 }; /* examples that stay in the cache from one loop to the next */
    const uint64_t *start       = (const void *)c->section[START];
    const uint64_t *label_start = (const void *)c->section[LABEL_START];
    for (uint64_t i = from, n; i < to; i += n) {
        n = to - i < SOME ? to - i : SOME;
        if (!targets_ok(c, i, i + n)) return false;
        if (start && !entries_ok(c, start, i, i + n)) return false;
        for (uint64_t l = i; label_start && l < i + n; l++)
            if (!labels_ok(c, label_start, l)) return false;
    }
    return true;
}

/* The encoding: the one given, or the file's own; neither: none. */
static bool get_encoding(check *c)
{
    const header *h = c->h;
    if (c->cache->encoding) {
        const asgd_encoding *e = c->cache->encoding;
        return !(h->flags & ENCODED) && h->features == e->rows &&
               (h->fields == 0 || h->fields == e->fields) &&
               asgdi_encoding_copy(&c->encoding, e) == ASGD_OK;
    }
    if (!(h->flags & ENCODED)) return true;
    char *recipe = asgdi_calloc(h->recipe_bytes + 1, 1);
    bool  ok     = recipe != NULL;
    if (ok && h->recipe_bytes) memcpy(recipe, c->section[RECIPE], h->recipe_bytes);
    ok = ok && strlen(recipe) == h->recipe_bytes &&
         asgdi_encoding_new(&c->encoding, (const void *)c->section[KEYS], h->features, h->fields,
                            recipe) == ASGD_OK;
    asgdi_free(recipe);
    return ok;
}

/* Threads take one part after another: they seldom all have a core to themselves. */
static void check_parts(void *ctx, uint32_t thread)
{
    check *c = ctx;
    if (thread == 0 && c->h && !get_encoding(c)) asgdi_store_relaxed(&c->bad, 1);
    for (uint32_t k; (k = asgdi_add_relaxed(&c->next, 1)) < c->parts;) {
        asgdi_add_relaxed(&c->sum, sum_part(c, k));
        if (!c->only_sum && !examples_ok(c, asgdi_part(c->examples, c->parts, k),
                                         asgdi_part(c->examples, c->parts, k + 1)))
            asgdi_store_relaxed(&c->bad, 1);
    }
}

static void run_checks(check *c, uint32_t threads, uint64_t bytes)
{
    enum { PARTS = 8 }; /* for a thread */
    threads  = asgdi_parts(threads, bytes, BLOCK);
    c->parts = PARTS * threads;
    asgdi_parallel(threads, check_parts, c);
}

static uint64_t sum_sections(const void *const section[SECTIONS], const uint64_t bytes[SECTIONS])
{
    check    c   = {.only_sum = true};
    uint64_t all = 0;
    for (int i = 0; i < SECTIONS; i++) {
        c.section[i] = section[i];
        c.bytes[i]   = bytes[i];
        all += bytes[i];
    }
    run_checks(&c, 0, all);
    return asgdi_load_relaxed(&c.sum);
}

/* Where the sections begin.  false: they do not fill the file, or what is between them is not 0. */
static bool find_sections(const uint8_t *map, uint64_t size, const uint64_t bytes[SECTIONS],
                          const void *section[SECTIONS])
{
    uint64_t at = sizeof(header);
    for (int i = 0; i < SECTIONS; i++) {
        section[i] = bytes[i] ? map + at : NULL;
        if (padded(bytes[i]) > size - at) return false;
        for (uint64_t b = bytes[i]; b < padded(bytes[i]); b++)
            if (map[at + b]) return false;
        at += padded(bytes[i]);
    }
    return at == size;
}

static bool header_ok(const header *h, const asgdi_cache *c, uint64_t bytes[SECTIONS])
{
    return memcmp(h->magic, magic, sizeof magic) == 0 && h->version == VERSION &&
           h->byte_order == BYTE_ORDER_MARK && h->header_sum == header_sum(h) &&
           h->source_bytes == c->source_bytes && h->source_mtime == c->source_mtime &&
           h->options == c->options && layout(h, bytes) &&
           memcmp(bytes, h->bytes, sizeof h->bytes) == 0 && (h->features > 0 || c->encoding);
}

bool asgdi_cache_attach(asgd_source *s, const uint8_t *map, uint64_t size, const asgdi_cache *c,
                        uint32_t threads, uint64_t *dropped)
{
    header      h;
    uint64_t    bytes[SECTIONS];
    const void *section[SECTIONS];
    if (size < sizeof h) return false;
    memcpy(&h, map, sizeof h);
    if (!header_ok(&h, c, bytes) || !find_sections(map, size, bytes, section)) return false;

    check k = {.examples   = h.examples,
               .nonzeros   = h.nonzeros,
               .labels     = h.labels,
               .features   = h.features,
               .fields     = h.fields,
               .classes    = h.classes,
               .label_sets = h.flags & LABEL_SETS,
               .h          = &h,
               .cache      = c};
    memcpy(k.bytes, bytes, sizeof bytes);
    for (int i = 0; i < SECTIONS; i++) k.section[i] = section[i];
    const uint64_t *start = section[START], *label_start = section[LABEL_START];
    if (start && (start[0] != 0 || start[h.examples] != h.nonzeros)) return false;
    if (label_start && (label_start[0] != 0 || label_start[h.examples] != h.labels)) return false;
    run_checks(&k, threads, size);
    if (asgdi_load_relaxed(&k.bad) || asgdi_load_relaxed(&k.sum) != h.content_sum) {
        asgdi_encoding_free(k.encoding);
        return false;
    }
    s->encoding    = k.encoding;
    s->schema      = (asgd_schema){.examples   = h.examples,
                                   .features   = h.features,
                                   .classes    = h.classes,
                                   .fields     = h.fields,
                                   .dense      = h.flags & IS_DENSE,
                                   .label_sets = h.flags & LABEL_SETS};
    s->start       = start;
    s->idx         = section[IDX];
    s->val         = section[VAL];
    s->field       = section[FIELD];
    s->y           = section[Y];
    s->weight      = section[WEIGHT];
    s->dense       = section[DENSE];
    s->labels      = (float *)(uintptr_t)section[LABELS];
    s->label_start = label_start;
    s->label       = section[LABEL];
    *dropped       = h.dropped;
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
    uint64_t    bytes[SECTIONS];
    const void *section[SECTIONS];
    if (layout(&h, bytes) && find_sections(map, size, bytes, section))
        h.content_sum = sum_sections(section, bytes);
    h.header_sum = header_sum(&h);
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

const char *asgdi_cache_store(const asgdi_cache *c, const asgd_source *s, uint64_t text_bytes,
                              uint64_t dropped)
{
    static const char failed[] = "no cache: folder not writable";
    if (!c->path || text_bytes < LEAST_TEXT) return "";
    const asgd_schema   *d   = &s->schema;
    const asgd_encoding *own = c->encoding ? NULL : s->encoding;
    header               h   = {.version      = VERSION,
                                .byte_order   = BYTE_ORDER_MARK,
                                .source_bytes = c->source_bytes,
                                .source_mtime = c->source_mtime,
                                .options      = c->options,
                                .examples     = d->examples,
                                .nonzeros     = d->nonzeros,
                                .dropped      = dropped,
                                .labels       = s->label_start ? s->label_start[d->examples] : 0,
                                .recipe_bytes = own ? strlen(own->recipe) : 0,
                                .features     = d->features,
                                .classes      = d->classes,
                                .fields       = d->fields};
    h.flags = (d->dense ? IS_DENSE : 0u) | (s->val ? VALUED : 0u) | (s->weight ? WEIGHTED : 0u) |
              (s->labels ? LABELLED : 0u) | (d->label_sets ? LABEL_SETS : 0u) |
              (own ? ENCODED : 0u);
    memcpy(h.magic, magic, sizeof magic);
    if (!layout(&h, h.bytes)) return "no cache: too large for one";
    const void *const section[SECTIONS] = {[START]       = s->start,
                                           [IDX]         = s->idx,
                                           [VAL]         = s->val,
                                           [FIELD]       = s->field,
                                           [Y]           = s->y,
                                           [WEIGHT]      = s->weight,
                                           [LABELS]      = s->labels,
                                           [LABEL_START] = s->label_start,
                                           [LABEL]       = s->label,
                                           [KEYS]        = own ? own->key : NULL,
                                           [RECIPE]      = own ? own->recipe : NULL,
                                           [DENSE]       = s->dense};
    h.content_sum                       = sum_sections(section, h.bytes);
    h.header_sum                        = header_sum(&h);

    asgdi_file f;
    if (c->folder && asgdi_make_folder(c->folder) != ASGD_OK) return failed;
    if (asgdi_file_create(&f, c->path) != ASGD_OK) return failed;
    if (asgdi_file_write(&f, &h, sizeof h) != ASGD_OK ||
        write_sections(&f, section, h.bytes) != ASGD_OK) {
        asgdi_file_abandon(&f);
        return "no cache: disk full";
    }
    /* nobody waits for the disk: a cache that a crash damages is none */
    return asgdi_file_commit_later(&f) == ASGD_OK ? "" : "no cache: disk full";
}
