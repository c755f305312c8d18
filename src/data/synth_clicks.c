/* synth_clicks.c -- click-like data whose truth is known, so that quality has a ceiling.
 *
 * A row has one value in each of 39 fields, as Criteo's have: 13 of cardinality 50 (numbers that
 * were cut into bins) and 26 of round(10^(1 + i/5)), i = 0..25, from 10 to a million; 2,710,347
 * features in all.  Value k of a field with cardinality c is drawn as
 *
 *     k = floor(c^u) - 1,  u uniform in [0, 1):   P(k) = log((k+2) / (k+1)) / log c  ~  1 / (k+1)
 *
 * which is Zipf's law.  (So the last value, c - 1, has a feature and is never drawn.)  The truth is
 * a logistic factorization machine (Rendle 2010) with 4 factors: of a row with features F
 *
 *     z = -1.3 + sum_F w_f + 1/2 sum_{j<4} ((sum_F v_fj)^2 - sum_F v_fj^2),   P(click) = 1/(1+e^-z)
 *
 * where w_f is uniform in (-0.45, 0.45) and v_fj in (-0.225, 0.225), hashes of (seed, f).  With
 * another number of fields, a third of them, at most 13, have cardinality 50, and the list of the
 * other 26 is repeated as needed.
 *
 * The loss that no model can beat on rows it has not seen is the truth's own on their labels, the
 * mean of -log p(label): the luck of the labels is in it as in any model's.  The entropy of p,
 * its expectation, lacks that luck, and is off by about 0.5/sqrt(rows): 0.0008 with 400,000.
 *
 * Invariant: a row is a function of (seed, number of the row) alone, and the truth of (seed,
 * feature), so rows are made in any order by any thread, and parts of one seed share a truth.  The
 * values come from whole-number arithmetic and are the same on every machine; labels go through
 * exp(), whose last bit decides one label in 10^15. */
#define _POSIX_C_SOURCE 200809L
#include "data/synth_clicks.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sys.h"
#include "base/parallel.h"

enum {
    FIELDS        = 39,
    FIELDS_MIN    = 2,
    FIELDS_MAX    = 200,
    NUMBERS       = 13, /* fields of NUMBER_VALUES */
    NUMBER_VALUES = 50,
    CARDINALITIES = 26,
    FACTORS       = 4,
    VW_FIELDS_MAX = 52,   /* one letter each */
    BLOCK         = 4096, /* rows */
    ENTRY_BYTES   = 16,   /* libffm's are the longest: " 199:18968682:1" */
    LABEL_BYTES   = 8
};

/* Rows and their numbers stay exact in a double, and far from the end of uint64_t. */
static const uint64_t rows_max = UINT64_C(1) << 40;

/* Streams of random numbers: the truth's, then one a row. */
enum { STREAM_TRUTH, STREAM_ROWS };

typedef struct law {
    uint64_t seed;
    uint32_t fields, numbers, features;
    uint32_t begin[FIELDS_MAX]; /* feature of value 0 */
    uint32_t log2[FIELDS_MAX];  /* of the cardinality, times 2^27 */
} law;

typedef struct row {
    uint32_t value[FIELDS_MAX];
    bool     click;
    double   realised, expected; /* log loss of the truth */
} row;

/* Rounding to whole numbers hides the last bits of pow() and log2(), for these 27 values. */
static void law_init(law *l, uint64_t seed, uint32_t fields)
{
    *l         = (law){.seed = seed, .fields = fields};
    l->numbers = fields / 3 < NUMBERS ? fields / 3 : NUMBERS;
    for (uint32_t f = 0; f < fields; f++) {
        double c = NUMBER_VALUES;
        if (f >= l->numbers) c = round(pow(10, 1 + (f - l->numbers) % CARDINALITIES / 5.0));
        l->begin[f] = l->features;
        l->log2[f]  = (uint32_t)llround(log2(c) * 0x1p27);
        l->features += (uint32_t)c;
    }
}

/* 2^32 * (2^x - 1) for x = f / 2^32: the polynomial without constant term, exact at 1, whose
 * largest error is least (Remez): 3.2e-9. */
static uint64_t exp2_fraction(uint64_t f)
{
    uint64_t s = 940269;
    s          = 5320771 + (s * f >> 32);
    s          = 41591717 + (s * f >> 32);
    s          = 238290342 + (s * f >> 32);
    s          = 1031780543 + (s * f >> 32);
    s          = 2977043653 + (s * f >> 32);
    return s * f >> 32;
}

/* floor(c^u) - 1 with u = bits / 2^32, log_c = 2^27 log2(c). */
static uint32_t zipf(uint64_t bits, uint32_t log_c)
{
    uint64_t x = bits * log_c >> 27; /* u log2(c), times 2^32 */
    uint64_t y = (UINT64_C(1) << 32) + exp2_fraction(x & UINT32_MAX);
    return (uint32_t)(y << (x >> 32) >> 32) - 1;
}

/* The sums over features are exact: w is an odd number of 0.45/2^16 (16 bits of the hash), v one of
 * 0.225/2^12 (12 bits each). */
static void draw(const law *l, uint64_t number, row *r)
{
    const uint64_t stream = STREAM_ROWS + number;
    int64_t        w = 0, v[FACTORS] = {0}, squares = 0;
    for (uint32_t f = 0; f < l->fields; f++) {
        r->value[f]   = zipf(asgdi_random(l->seed, stream, f + 1) >> 32, l->log2[f]);
        uint64_t hash = asgdi_random(l->seed, STREAM_TRUTH, l->begin[f] + r->value[f]);
        w += 2 * (int64_t)(hash & 0xffff) - 0xffff;
        for (int j = 0; j < FACTORS; j++) {
            int64_t x = 2 * (int64_t)(hash >> (16 + 12 * j) & 0xfff) - 0xfff;
            v[j] += x;
            squares += x * x;
        }
    }
    int64_t pairs = -squares;
    for (int j = 0; j < FACTORS; j++) pairs += v[j] * v[j];
    double z = -1.3 + 0.45 * 0x1p-16 * (double)w + 0.5 * 0.225 * 0.225 * 0x1p-24 * (double)pairs;

    double e = exp(-z), loss = log1p(e); /* if clicked; else z more */
    double chance = (double)(asgdi_random(l->seed, stream, 0) >> 11) * 0x1p-53;
    r->click      = chance < 1 / (1 + e);
    r->realised   = r->click ? loss : loss + z;
    r->expected   = loss + z * e / (1 + e);
}

/* ---- formats ---- */

static char *put_text(char *p, const char *text)
{
    while (*text) *p++ = *text++;
    return p;
}

static char *put_number(char *p, uint32_t x)
{
    uint32_t n = 1; /* digits */
    for (uint64_t power = 10; x >= power; power *= 10) n++;
    for (char *d = p + n; d > p; x /= 10) *--d = (char)('0' + x % 10);
    return p + n;
}

/* Eight hexadecimal digits, different for every feature: each step can be undone. */
static char *put_category(char *p, uint32_t feature)
{
    uint32_t x = feature + 0x9e3779b9u;
    x          = (x ^ x >> 16) * 0x85ebca6bu;
    x          = (x ^ x >> 13) * 0xc2b2ae35u;
    x ^= x >> 16;
    for (int i = 28; i >= 0; i -= 4) *p++ = "0123456789abcdef"[x >> i & 15];
    return p;
}

static char *put_libffm(char *p, const law *l, const row *r)
{
    *p++ = r->click ? '1' : '0';
    for (uint32_t f = 0; f < l->fields; f++) {
        *p++ = ' ';
        p    = put_number(p, f);
        *p++ = ':';
        p    = put_number(p, l->begin[f] + r->value[f]);
        p    = put_text(p, ":1");
    }
    return p;
}

static char *put_libsvm(char *p, const law *l, const row *r)
{
    *p++ = r->click ? '1' : '0';
    for (uint32_t f = 0; f < l->fields; f++) {
        *p++ = ' ';
        p    = put_number(p, l->begin[f] + r->value[f] + 1);
        p    = put_text(p, ":1");
    }
    return p;
}

static char *put_vw(char *p, const law *l, const row *r)
{
    p = put_text(p, r->click ? "1" : "-1");
    for (uint32_t f = 0; f < l->fields; f++) {
        p    = put_text(p, " |");
        *p++ = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[f];
        *p++ = ' ';
        p    = put_number(p, l->begin[f] + r->value[f]);
    }
    return p;
}

static char *put_columns(char *p, const law *l, const row *r, char separator)
{
    *p++ = r->click ? '1' : '0';
    for (uint32_t f = 0; f < l->fields; f++) {
        *p++ = separator;
        p    = f < l->numbers ? put_number(p, r->value[f])
                              : put_category(p, l->begin[f] + r->value[f]);
    }
    return p;
}

static char *put_criteo(char *p, const law *l, const row *r)
{
    return put_columns(p, l, r, '\t');
}

static char *put_csv(char *p, const law *l, const row *r)
{
    return put_columns(p, l, r, ',');
}

static char *csv_header(char *p, const law *l)
{
    p = put_text(p, "label");
    for (uint32_t f = 0; f < l->fields; f++) {
        p = put_text(p, f < l->numbers ? ",I" : ",C");
        p = put_number(p, f < l->numbers ? f + 1 : f - l->numbers + 1);
    }
    *p++ = '\n';
    return p;
}

typedef struct layout {
    const char *name;
    uint32_t    fields_max;
    char *(*row)(char *p, const law *l, const row *r); /* without the line's end */
    char *(*header)(char *p, const law *l);            /* NULL: none */
} layout;

static const layout formats[] = {
    {"libffm", FIELDS_MAX, put_libffm, NULL}, {"libsvm", FIELDS_MAX, put_libsvm, NULL},
    {"vw", VW_FIELDS_MAX, put_vw, NULL},      {"criteo", FIELDS, put_criteo, NULL},
    {"csv", FIELDS_MAX, put_csv, csv_header},
};

/* ---- writing ---- */

/* What one thread makes at a time. */
typedef struct block {
    char    *text;
    size_t   bytes;
    uint64_t clicks;
    double   realised, expected;
} block;

typedef struct job {
    law           l;
    const layout *format;
    uint64_t      next, end; /* rows */
    uint32_t      blocks;
    block        *block; /* [blocks] */
} job;

static void make_block(void *ctx, uint32_t k)
{
    const job *j     = ctx;
    block     *b     = &j->block[k];
    uint64_t   first = j->next + (uint64_t)k * BLOCK;
    uint64_t   end   = first + BLOCK < j->end ? first + BLOCK : j->end;
    char      *p     = b->text;
    b->clicks        = 0;
    b->realised = b->expected = 0;
    for (uint64_t i = first; i < end; i++) {
        row r;
        draw(&j->l, i, &r);
        p    = j->format->row(p, &j->l, &r);
        *p++ = '\n';
        b->clicks += r.click;
        b->realised += r.realised;
        b->expected += r.expected;
    }
    b->bytes = (size_t)(p - b->text);
}

/* Blocks have the same size whatever the number of threads: so have the sums. */
static asgd_status write_rows(job *j, asgdi_file *f, asgdi_clicks_facts *facts)
{
    while (j->next < j->end) {
        uint64_t left = (j->end - j->next + BLOCK - 1) / BLOCK;
        uint32_t n    = left < j->blocks ? (uint32_t)left : j->blocks;
        asgdi_parallel(n, make_block, j);
        for (uint32_t k = 0; k < n; k++) {
            const block *b = &j->block[k];
            ASGD_TRY(asgdi_file_write(f, b->text, b->bytes));
            facts->clicks += b->clicks;
            facts->realised += b->realised;
            facts->expected += b->expected;
        }
        j->next += (uint64_t)n * BLOCK;
    }
    facts->realised /= (double)facts->rows;
    facts->expected /= (double)facts->rows;
    return ASGD_OK;
}

/* Renaming onto a device would replace it, and onto a link to one. */
static asgd_status open_output(asgdi_file *f, const char *path)
{
    struct stat st;
    if (strcmp(path, "-") != 0) {
        if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
            return ASGD_FAIL(EIO, "%s: is not a regular file; name one, or - for standard output",
                             path);
        return asgdi_file_create(f, path);
    }
    *f = (asgdi_file){.f = stdout, .path = asgdi_strdup("standard output")};
    return f->path ? ASGD_OK : ASGD_FAIL(ENOMEM, "no memory to write standard output");
}

/* Commits where s is OK and so far all went well. */
static asgd_status close_output(asgdi_file *f, asgd_status s)
{
    if (f->temporary && s == ASGD_OK) return asgdi_file_commit(f);
    if (!f->temporary) {
        if (s == ASGD_OK && fflush(f->f) != 0)
            s = ASGD_FAIL(EIO, "%s: cannot write: %s", f->path, strerror(errno));
        f->f = NULL; /* not ours to close */
    }
    asgdi_file_abandon(f);
    return s;
}

static asgd_status write_all(job *j, const char *path, asgdi_clicks_facts *facts)
{
    char header[sizeof "label\n" + FIELDS_MAX * sizeof ",C199"];
    for (uint32_t k = 0; k < j->blocks; k++) {
        j->block[k].text = asgdi_calloc(BLOCK, LABEL_BYTES + ENTRY_BYTES * (size_t)j->l.fields);
        if (!j->block[k].text) return ASGD_FAIL(ENOMEM, "%s: no memory to make clicks", path);
    }
    asgdi_file f;
    ASGD_TRY(open_output(&f, path));
    asgd_status s = ASGD_OK;
    if (j->format->header)
        s = asgdi_file_write(&f, header, (size_t)(j->format->header(header, &j->l) - header));
    if (s == ASGD_OK) s = write_rows(j, &f, facts);
    return close_output(&f, s);
}

static asgd_status make_clicks(const char *path, const asgd_clicks *c, const layout *format,
                               uint32_t fields, asgdi_clicks_facts *facts)
{
    job      j    = {.format = format, .next = c->first, .end = c->first + c->rows};
    uint64_t most = (c->rows - 1) / BLOCK + 1;
    law_init(&j.l, c->seed, fields);
    *facts   = (asgdi_clicks_facts){.fields = fields, .features = j.l.features, .rows = c->rows};
    j.blocks = asgdi_parts(c->threads, c->rows, BLOCK);
    if (j.blocks > most) j.blocks = (uint32_t)most;
    j.block = asgdi_calloc(j.blocks, sizeof *j.block);
    if (!j.block) return ASGD_FAIL(ENOMEM, "%s: no memory to make clicks", path);
    asgd_status s = write_all(&j, path, facts);
    for (uint32_t k = 0; k < j.blocks; k++) asgdi_free(j.block[k].text);
    asgdi_free(j.block);
    return s;
}

static const layout *find_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(name, formats[i].name) == 0) return &formats[i];
    return NULL;
}

asgd_status asgdi_synth_clicks(const char *path, const asgd_clicks *c, asgdi_clicks_facts *facts)
{
    static const char who[] = "asgd_synth_clicks";
    if (!path || !*path) return ASGD_FAIL(EINVAL, "%s: no file is given", who);
    if (!c || c->rows == 0) return ASGD_FAIL(EINVAL, "%s: asks for no row; ask for some", who);
    if (c->rows > rows_max || c->first > rows_max)
        return ASGD_FAIL(EINVAL, "%s: rows and first are at most %llu", who,
                         (unsigned long long)rows_max);
    const char   *name   = c->format ? c->format : formats[0].name;
    const layout *format = find_format(name);
    if (!format)
        return ASGD_FAIL(EINVAL, "%s: format %s: must be libffm, libsvm, vw, criteo or csv", who,
                         name);
    const uint32_t fields = c->fields ? c->fields : FIELDS;
    if (format->row == put_criteo && fields != FIELDS)
        return ASGD_FAIL(EINVAL, "%s: %u fields: format %s always has %u", who, fields, name,
                         FIELDS);
    if (fields < FIELDS_MIN || fields > format->fields_max)
        return ASGD_FAIL(EINVAL, "%s: %u fields: must be %u to %u with format %s", who, fields,
                         FIELDS_MIN, format->fields_max, name);
    return make_clicks(path, c, format, fields, facts);
}

asgd_status asgd_synth_clicks(const char *path, const asgd_clicks *c, double *bayes_logloss)
{
    asgdi_clicks_facts facts = {0};
    ASGD_TRY(asgdi_synth_clicks(path, c, &facts));
    if (bayes_logloss) *bayes_logloss = facts.realised;
    return ASGD_OK;
}
