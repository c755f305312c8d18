/* source_idx.c -- IDX, the format of MNIST: a magic number (two zero bytes, a type, the number of
 * dimensions), the dimensions as big-endian 32-bit numbers, then the values, row by row (LeCun,
 * Cortes, Burges: the MNIST database).  A set is a file of images and a file of labels.
 *
 * Pixels are value byte / 255.  Where less than SPARSE_BELOW of them differ from 0 (MNIST: 0.19)
 * they are kept as sparse rows, so that the kernels skip the zeros; otherwise as bytes. */
#include "data/source_idx.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "data/build.h"
#include "data/classes.h"
#include "base/parallel.h"

#define SPARSE_BELOW 0.40
enum { UBYTE = 8, MAX_DIMS = 4, GRAIN = 4096 };

typedef struct header {
    uint32_t       n; /* dimensions */
    uint64_t       dim[MAX_DIMS];
    uint64_t       each; /* values of one item */
    const uint8_t *values;
} header;

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* "60000 images of 28x28" */
static const char *promise(const header *h, char *buf, size_t bytes)
{
    int at = snprintf(buf, bytes, "%" PRIu64 " %s", h->dim[0], h->n > 1 ? "images of " : "labels");
    for (uint32_t i = 1; i < h->n && at > 0 && (size_t)at < bytes; i++)
        at += snprintf(buf + at, bytes - (size_t)at, "%s%" PRIu64, i > 1 ? "x" : "", h->dim[i]);
    return buf;
}

static const char *type_name(uint8_t type)
{
    switch (type) {
    case 9: return "signed bytes";
    case 11: return "16-bit integers";
    case 12: return "32-bit integers";
    case 13: return "floats";
    case 14: return "doubles";
    default: return "an unknown type";
    }
}

static asgd_status parse_header(header *h, const asgdi_input *in, bool labels)
{
    const uint8_t *p = in->data;
    if (in->bytes < 4 || p[0] != 0 || p[1] != 0)
        return ASGD_FAIL(
            EFORMAT,
            "%s: not an IDX file: it does not begin with two zero bytes and a type; is "
            "it the right file?",
            in->name);
    if (p[2] != UBYTE)
        return ASGD_FAIL(EFORMAT,
                         "%s: holds values of type 0x%02X (%s); convert them to unsigned bytes "
                         "(0x08), the only type read",
                         in->name, p[2], type_name(p[2]));
    h->n = p[3];
    if (labels && h->n != 1)
        return ASGD_FAIL(
            EFORMAT, "%s: has %" PRIu32 " dimensions where labels have 1; is it the right file?",
            in->name, h->n);
    if (!labels && h->n == 1)
        return ASGD_FAIL(EFORMAT,
                         "%s: holds labels; give the file with the images, or the folder of both",
                         in->name);
    if (!labels && (h->n < 2 || h->n > MAX_DIMS))
        return ASGD_FAIL(EFORMAT,
                         "%s: has %" PRIu32 " dimensions where images have 3 (2 to %d are read)",
                         in->name, h->n, (int)MAX_DIMS);
    size_t head = 4 + 4 * (size_t)h->n;
    if (in->bytes < head)
        return ASGD_FAIL(EFORMAT,
                         "%s: truncated: %zu bytes are too few for the header; download it again",
                         in->name, in->bytes);
    h->each = 1;
    for (uint32_t i = 0; i < h->n; i++) {
        h->dim[i] = big_endian(p + 4 + 4 * (size_t)i);
        if (i > 0 && __builtin_mul_overflow(h->each, h->dim[i], &h->each)) h->each = UINT64_MAX;
    }
    char     text[120];
    uint64_t total;
    if (h->each == 0 || h->each > INT32_MAX)
        return ASGD_FAIL(EFORMAT, "%s: header promises %s: not images; is the file damaged?",
                         in->name, promise(h, text, sizeof text));
    if (h->dim[0] == 0)
        return ASGD_FAIL(EFORMAT, "%s: holds no %s at all; give a file with some", in->name,
                         labels ? "labels" : "images");
    if (__builtin_mul_overflow(h->dim[0], h->each, &total) || total > in->bytes - head)
        return ASGD_FAIL(EFORMAT,
                         "%s: truncated: header promises %s (%" PRIu64
                         " bytes), the file has %zu; download it again",
                         in->name, promise(h, text, sizeof text), total + head, in->bytes);
    if (total < in->bytes - head)
        return ASGD_FAIL(EFORMAT,
                         "%s: %" PRIu64 " excess bytes: header promises %s (%" PRIu64
                         " bytes), the file has %zu; download it again",
                         in->name, in->bytes - head - total, promise(h, text, sizeof text),
                         total + head, in->bytes);
    h->values = p + head;
    return ASGD_OK;
}

/* ---- pixels ---- */

typedef struct pack {
    const uint8_t *pixels;
    uint64_t       n, each;
    uint32_t       parts;
    uint64_t      *start; /* first counts: start[i + 1] is that of image i */
    uint32_t      *idx;
    float         *val;
} pack;

static void count(void *ctx, uint32_t k)
{
    pack *p = ctx;
    for (uint64_t i = asgdi_part(p->n, p->parts, k); i < asgdi_part(p->n, p->parts, k + 1); i++) {
        const uint8_t *x = p->pixels + i * p->each;
        uint64_t       m = 0;
        for (uint64_t j = 0; j < p->each; j++) m += x[j] != 0;
        p->start[i + 1] = m;
    }
}

static void fill(void *ctx, uint32_t k)
{
    pack *p = ctx;
    for (uint64_t i = asgdi_part(p->n, p->parts, k); i < asgdi_part(p->n, p->parts, k + 1); i++) {
        const uint8_t *x  = p->pixels + i * p->each;
        uint64_t       at = p->start[i];
        for (uint64_t j = 0; j < p->each; j++) {
            if (x[j] == 0) continue;
            p->idx[at]   = (uint32_t)j;
            p->val[at++] = (float)x[j] * (1.0f / 255);
        }
    }
}

static asgd_status store_pixels(asgd_source *s, asgdi_input *images, const header *h,
                                const asgd_source_options *o)
{
    pack p  = {.pixels = h->values, .n = h->dim[0], .each = h->each};
    p.parts = asgdi_parts(o->threads, p.n, GRAIN);
    p.start = asgdi_calloc(p.n + 1, sizeof *p.start);
    if (!p.start) return ASGD_FAIL(ENOMEM, "%s: no memory for its images", images->name);
    asgdi_parallel(p.parts, count, &p);
    for (uint64_t i = 0; i < p.n; i++) p.start[i + 1] += p.start[i];
    uint64_t nonzeros = p.start[p.n];
    if ((double)nonzeros >= SPARSE_BELOW * (double)p.n * (double)p.each) {
        asgdi_free(p.start);
        s->schema.dense = true;
        s->byte_scale   = 1.0f / 255;
        s->bytes        = h->values;
        asgdi_adopt(s, images->data);
        images->data = NULL;
        return ASGD_OK;
    }
    asgdi_adopt(s, p.start);
    s->start = p.start;
    s->idx = p.idx = asgdi_reserve(s, nonzeros, sizeof *p.idx);
    s->val = p.val = asgdi_reserve(s, nonzeros, sizeof *p.val);
    if (!p.idx || !p.val) return ASGD_FAIL(ENOMEM, "%s: no memory for its images", images->name);
    asgdi_parallel(p.parts, fill, &p);
    return ASGD_OK;
}

/* Class numbers by the trained model's labels. */
static asgd_status classify(asgd_source *s, float *y, const char *name,
                            const asgd_source_options *o)
{
    asgdi_classes known;
    char          text[300];
    ASGD_TRY(asgdi_classes_init(&known, o, name));
    asgd_status status = asgdi_classes_give(&known, s, name);
    for (uint64_t i = 0; status == ASGD_OK && known.n && i < s->schema.examples; i++) {
        uint32_t c = asgdi_classes_of(&known, y[i]);
        if (c == ASGDI_NO_CLASS) {
            asgdi_classes_unknown(&known, y[i], text, sizeof text);
            status = ASGD_FAIL(EFORMAT, "%s:%" PRIu64 ": %s", name, i + 1, text);
        }
        y[i] = (float)c;
    }
    asgdi_classes_free(&known);
    return status;
}

asgd_status asgdi_idx_read(asgd_source *s, asgdi_input *images, asgdi_input *labels,
                           const asgd_source_options *o)
{
    header hi, hl;
    ASGD_TRY(asgdi_input_read_all(images));
    ASGD_TRY(parse_header(&hi, images, false));
    ASGD_TRY(asgdi_input_read_all(labels));
    ASGD_TRY(parse_header(&hl, labels, true));
    if (hi.dim[0] != hl.dim[0])
        return ASGD_FAIL(EFORMAT,
                         "%s: holds %" PRIu64 " labels, but %s holds %" PRIu64
                         " images; these files do not belong together",
                         labels->name, hl.dim[0], images->name, hi.dim[0]);
    if (o->features && o->features != hi.each)
        return ASGD_FAIL(EMISMATCH,
                         "%s: its images have %" PRIu64 " pixels, %" PRIu32
                         " are wanted; scale the images to the size of the training data's",
                         images->name, hi.each, o->features);
    s->schema.examples = hi.dim[0];
    s->schema.features = (uint32_t)hi.each;
    float *y           = asgdi_alloc(s, hi.dim[0], sizeof *y);
    if (!y) return ASGD_FAIL(ENOMEM, "%s: no memory for its labels", labels->name);
    uint32_t max = 0;
    for (uint64_t i = 0; i < hi.dim[0]; i++) {
        y[i] = hl.values[i];
        if (hl.values[i] > max) max = hl.values[i];
    }
    s->y              = y;
    s->schema.classes = max + 1;
    if (o->label_values) ASGD_TRY(classify(s, y, labels->name, o));
    ASGD_TRY(store_pixels(s, images, &hi, o));
    asgdi_summarize(s);
    asgdi_describe(s, "idx", s->schema.dense ? "kept as bytes" : "kept as sparse rows");
    return ASGD_OK;
}

/* ---- finding the files ---- */

/* "STEM" + the first suffix that exists; malloc'ed, NULL if none does or memory is out. */
static char *find_with_suffix(const char *stem)
{
    size_t n = strlen(stem);
    char  *p = asgdi_calloc(n + 8, 1);
    if (!p) return NULL;
    for (const char *const *x = asgdi_suffixes; *x; x++) {
        snprintf(p, n + 8, "%s%s", stem, *x);
        if (access(p, F_OK) == 0) return p;
    }
    asgdi_free(p);
    return NULL;
}

static asgd_status find_in_folder(char **out, const char *folder, const char *part)
{
    size_t n = strlen(folder) + 64;
    char  *p = asgdi_calloc(n, 1);
    if (!p) return ASGD_FAIL(ENOMEM, "%s: no memory for its name", folder);
    snprintf(p, n, "%s/%s-images-idx3-ubyte", folder, part);
    *out = find_with_suffix(p);
    snprintf(p, n, "%s/%s-images.idx3-ubyte", folder, part);
    if (!*out) *out = find_with_suffix(p);
    asgdi_free(p);
    if (!*out)
        return ASGD_FAIL(
            EIO,
            "%s: has no file %s-images-idx3-ubyte (plain, .gz, .xz, .bz2 or .zst); give "
            "the folder of an IDX set such as MNIST, or a file",
            folder, part);
    return ASGD_OK;
}

/* The name of the labels that belong to images: images-idx3 becomes labels-idx1. */
static asgd_status find_labels(char **out, const char *images)
{
    const char *slash = strrchr(images, '/'), *base = slash ? slash + 1 : images;
    const char *at = strstr(base, "images-idx");
    if (!at) at = strstr(base, "images.idx");
    if (!at || at[10] < '2' || at[10] > '4')
        return ASGD_FAIL(
            EINVAL,
            "%s: its labels cannot be found: name it like train-images-idx3-ubyte, with "
            "train-labels-idx1-ubyte beside it",
            images);
    char *p = asgdi_strdup(images);
    if (!p) return ASGD_FAIL(ENOMEM, "%s: no memory for its name", images);
    p[asgdi_stem_length(p)] = 0;
    memcpy(p + (at - images), "labels", 6);
    p[at - images + 10] = '1';
    *out                = find_with_suffix(p);
    if (!*out) {
        asgd_status s = ASGD_FAIL(EIO,
                                  "%s: the labels to it, %s (plain, .gz, .xz, .bz2 or .zst), are "
                                  "not there; put them beside it",
                                  images, p);
        asgdi_free(p);
        return s;
    }
    asgdi_free(p);
    return ASGD_OK;
}

static asgd_status open_idx(asgd_source *out, asgdi_input *in, const asgd_source_options *o)
{
    char       *images_path = NULL, *labels_path = NULL;
    asgdi_input found = {0}, labels = {0}, *images = in;
    asgd_status s = ASGD_OK;
    if (strcmp(in->path, "-") == 0)
        return ASGD_FAIL(
            EINVAL, "an IDX set is two files and cannot come from standard input; give a path");
    if (in->folder) {
        ASGD_TRY(find_in_folder(&images_path, in->path, o->test_part ? "t10k" : "train"));
        images = &found;
        ASGD_TRY_GOTO(done, asgdi_input_open(&found, images_path));
    }
    if (images->bytes >= 4 && images->data[3] == 1) { /* the message is parse_header's */
        header h;
        ASGD_TRY_GOTO(done, parse_header(&h, images, false));
    }
    ASGD_TRY_GOTO(done, find_labels(&labels_path, images->path));
    ASGD_TRY_GOTO(done, asgdi_input_open(&labels, labels_path));
    ASGD_TRY_GOTO(done, asgdi_idx_read(out, images, &labels, o));
done:
    asgdi_input_close(&labels);
    asgdi_input_close(&found);
    asgdi_free(images_path);
    asgdi_free(labels_path);
    return s;
}

static bool guess_idx(const char *path, const uint8_t *head, size_t bytes)
{
    (void)path;
    return bytes >= 4 && head[0] == 0 && head[1] == 0 && head[2] >= UBYTE && head[2] <= 14 &&
           head[3] >= 1 && head[3] <= 8;
}

const asgdi_format asgdi_format_idx = {"idx", guess_idx, open_idx, NULL};
