/* safetensors.c -- files of named arrays: https://github.com/huggingface/safetensors.
 *
 * Nothing in a file is believed: the header's length, its JSON, types, shapes and offsets are
 * checked before a reader sees a tensor, and the tensors must tile the data without gap or overlap,
 * as the format demands. */
#define _GNU_SOURCE
#include "params/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "params/checksum.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers in these files have their low byte first; this machine needs conversions"
#endif

static const size_t max_header = 100000000; /* the format's own limit */

/* ---- reading ---- */

static asgd_status bad(const char *path, const char *tensor, const char *what)
{
    return ASGD_FAIL(EFORMAT, "%s: tensor %.80s %s; the file is damaged or not safetensors", path,
                     tensor, what);
}

static bool to_u64(const json_t *j, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
    *out = (uint64_t)json_integer_value(j);
    return true;
}

static asgd_status parse_shape(const char *path, const json_t *shape, asgdi_tensor *t)
{
    if (!json_is_array(shape)) return bad(path, t->name, "has no shape");
    if (json_array_size(shape) > ASGDI_TENSOR_DIMS)
        return bad(path, t->name, "has more than 8 dimensions");
    t->n_dims = (int)json_array_size(shape);
    t->floats = 1;
    for (int i = 0; i < t->n_dims; i++) {
        if (!to_u64(json_array_get(shape, (size_t)i), &t->shape[i]))
            return bad(path, t->name, "has a shape that is not of whole numbers");
        if (__builtin_mul_overflow(t->floats, t->shape[i], &t->floats))
            return bad(path, t->name, "has a shape that is too large");
    }
    return ASGD_OK;
}

static asgd_status parse_tensor(const char *path, const char *name, const json_t *j,
                                const unsigned char *data, size_t size, asgdi_tensor *t)
{
    const char *dtype = json_string_value(json_object_get(j, "dtype"));
    json_t     *range = json_object_get(j, "data_offsets");
    uint64_t    begin, end, bytes;
    *t = (asgdi_tensor){.name = name};
    if (!dtype) return bad(path, name, "has no dtype");
    t->u32 = strcmp(dtype, "U32") == 0;
    if (!t->u32 && strcmp(dtype, "F32") != 0)
        return ASGD_FAIL(EFORMAT,
                         "%s: tensor %.80s has type %.16s: only F32 and U32 are read; convert it",
                         path, name, dtype);
    ASGD_TRY(parse_shape(path, json_object_get(j, "shape"), t));
    if (!json_is_array(range) || json_array_size(range) != 2 ||
        !to_u64(json_array_get(range, 0), &begin) || !to_u64(json_array_get(range, 1), &end))
        return bad(path, name, "has no data_offsets");
    if (begin > end || end > size) return bad(path, name, "lies outside the file");
    if (__builtin_mul_overflow(t->floats, sizeof(float), &bytes) || bytes != end - begin)
        return bad(path, name, "has another size than its shape says");
    t->data = data + begin;
    return ASGD_OK;
}

static int by_place(const void *a, const void *b)
{
    const asgdi_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->floats < y->floats ? -1 : x->floats > y->floats;
}

/* Tensors sorted by place must follow each other from the first byte of the data to the last. */
static asgd_status check_tiling(const char *path, const asgdi_tensors *f, const unsigned char *data)
{
    for (int i = 0; i < f->n; i++) {
        if (f->tensor[i].data != data)
            return bad(path, f->tensor[i].name, "overlaps another or leaves a gap before it");
        data += f->tensor[i].floats * sizeof(float);
    }
    if (data != f->bytes + f->size)
        return ASGD_FAIL(EFORMAT, "%s: data of no tensor at the end; the file is damaged", path);
    return ASGD_OK;
}

static asgd_status parse_header(asgdi_tensors *f, const char *path, const unsigned char *data)
{
    const size_t size = (size_t)(f->bytes + f->size - data);
    const char  *name;
    json_t      *j;
    if (!json_is_object(f->header))
        return ASGD_FAIL(EFORMAT, "%s: the header is not a JSON object: no safetensors file", path);
    f->tensor = asgdi_calloc(json_object_size(f->header), sizeof *f->tensor);
    if (!f->tensor) return ASGD_FAIL(ENOMEM, "%s: no memory for its header", path);
    json_object_foreach(f->header, name, j)
    {
        if (strcmp(name, "__metadata__") != 0) {
            ASGD_TRY(parse_tensor(path, name, j, data, size, &f->tensor[f->n]));
            f->n++;
            continue;
        }
        const char *key;
        json_t     *value;
        bool        strings                        = json_is_object(j);
        json_object_foreach(j, key, value) strings = strings && json_is_string(value);
        if (!strings)
            return ASGD_FAIL(EFORMAT, "%s: __metadata__ is not an object of strings", path);
    }
    qsort(f->tensor, (size_t)f->n, sizeof *f->tensor, by_place);
    return check_tiling(path, f, data);
}

asgd_status asgdi_tensors_parse(asgdi_tensors *f, const char *path, const unsigned char *bytes,
                                size_t size)
{
    uint64_t     length = 0;
    json_error_t e;
    *f = (asgdi_tensors){.bytes = bytes, .size = size};
    if (size < sizeof length)
        return ASGD_FAIL(EFORMAT, "%s: %zu bytes: no safetensors file", path, size);
    memcpy(&length, bytes, sizeof length);
    if (length > max_header || length > size - sizeof length)
        return ASGD_FAIL(EFORMAT,
                         "%s: its header should be %llu bytes: cut short, or no safetensors file",
                         path, (unsigned long long)length);
    f->header =
        json_loadb((const char *)bytes + sizeof length, (size_t)length, JSON_REJECT_DUPLICATES, &e);
    if (!f->header)
        return ASGD_FAIL(EFORMAT, "%s: its header is not JSON (%s); the file is damaged", path,
                         e.text);
    asgd_status s = parse_header(f, path, bytes + sizeof length + length);
    if (s != ASGD_OK) asgdi_tensors_close(f);
    return s;
}

asgd_status asgdi_tensors_open(asgdi_tensors *f, const char *path)
{
    struct stat st;
    *f     = (asgdi_tensors){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ASGD_FAIL(EIO, "%s: cannot open it: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return ASGD_FAIL(EIO, "%s: not a file", path);
    }
    const size_t size = (size_t)st.st_size;
    void        *map  = NULL;
    if (size) map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int e = errno;
    close(fd);
    if (map == MAP_FAILED) return ASGD_FAIL(EIO, "%s: cannot read it: %s", path, strerror(e));
    asgd_status s = asgdi_tensors_parse(f, path, map, size);
    if (s == ASGD_OK)
        f->map = map;
    else if (map)
        munmap(map, size);
    return s;
}

void asgdi_tensors_close(asgdi_tensors *f)
{
    json_decref(f->header);
    asgdi_free(f->tensor);
    if (f->map) munmap(f->map, f->size);
    *f = (asgdi_tensors){0};
}

static const asgdi_tensor *find(const asgdi_tensors *f, const char *name, bool u32)
{
    for (int i = 0; i < f->n; i++)
        if (f->tensor[i].u32 == u32 && strcmp(f->tensor[i].name, name) == 0) return &f->tensor[i];
    return NULL;
}

const asgdi_tensor *asgdi_tensors_find(const asgdi_tensors *f, const char *name)
{
    return find(f, name, false);
}

const asgdi_tensor *asgdi_tensors_find_u32(const asgdi_tensors *f, const char *name)
{
    return find(f, name, true);
}

const char *asgdi_tensors_meta(const asgdi_tensors *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

/* ---- writing ---- */

/* The header's text, padded with spaces so that the data begin at a multiple of 8. */
static char *header_text(const asgdi_matrix *m, int n, const json_t *metadata, size_t *length)
{
    json_t  *root = json_object();
    uint64_t at   = 0;
    bool     ok   = root != NULL;
    if (ok && metadata)
        ok = json_object_set_new(root, "__metadata__", json_deep_copy(metadata)) == 0;
    for (int i = 0; ok && i < n; i++) {
        const uint64_t end = at + m[i].rows * m[i].cols * sizeof(float);
        /* the arrays are in memory, hence below 2^63 bytes */
        json_t *t =
            json_pack("{s:s, s:[I], s:[I,I]}", "dtype", m[i].u32 ? "U32" : "F32", "shape",
                      (json_int_t)m[i].rows, "data_offsets", (json_int_t)at, (json_int_t)end);
        if (!m[i].u32)
            json_array_append_new(json_object_get(t, "shape"), json_integer((json_int_t)m[i].cols));
        ok = !json_object_get(root, m[i].name) && json_object_set(root, m[i].name, t) == 0;
        json_decref(t);
        at = end;
    }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return NULL;
    const size_t used = strlen(text), padded = (used + 7) / 8 * 8;
    char        *out = asgdi_calloc(padded + 1, 1);
    if (out) {
        memset(out, ' ', padded);
        memcpy(out, text, used);
        *length = padded;
    }
    free(text);
    return out;
}

static asgd_status put(asgdi_file *file, asgdi_checksum *c, const void *data, size_t bytes)
{
    if (bytes == 0) return ASGD_OK; /* data may be NULL */
    asgdi_checksum_add(c, data, bytes);
    return asgdi_file_write(file, data, bytes);
}

static asgd_status put_matrix(asgdi_file *file, asgdi_checksum *c, const asgdi_matrix *m)
{
    if (m->u32) return put(file, c, m->u32, (size_t)m->rows * sizeof *m->u32);
    if (m->cols == m->stride) /* one piece */
        return put(file, c, m->data, (size_t)m->rows * m->cols * sizeof(float));
    for (uint64_t r = 0; r < m->rows; r++)
        ASGD_TRY(put(file, c, m->data + r * m->stride, m->cols * sizeof(float)));
    return ASGD_OK;
}

asgd_status asgdi_tensors_write(const char *path, const asgdi_matrix *m, int n,
                                const json_t *metadata, uint64_t *size, uint64_t *checksum)
{
    size_t      length = 0;
    char       *header = header_text(m, n, metadata, &length);
    uint64_t    word   = length;
    asgd_status s;
    if (!header)
        return ASGD_FAIL(
            ENOMEM, "%s: no memory for its header, or a name is not UTF-8 or used twice", path);
    asgdi_checksum c = {0};
    asgdi_file     file;
    ASGD_TRY_GOTO(done, asgdi_file_create(&file, path));
    ASGD_TRY_GOTO(abandon, put(&file, &c, &word, sizeof word));
    ASGD_TRY_GOTO(abandon, put(&file, &c, header, length));
    for (int i = 0; i < n; i++) ASGD_TRY_GOTO(abandon, put_matrix(&file, &c, &m[i]));
    s = asgdi_file_commit(&file);
    if (size) *size = c.bytes;
    if (checksum) *checksum = asgdi_checksum_end(&c);
    goto done;
abandon:
    asgdi_file_abandon(&file);
done:
    asgdi_free(header);
    return s;
}
