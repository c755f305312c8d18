/* parts.c -- a checkpoint's rows in several files.
 *
 *     part-003-7.safetensors            generation 7, written by process 3
 *         pieces.0  [n, 3]              of table 0: first row (low and high half), and how many
 *         rows.0    [all of them, floats from row to row]
 *         extra     [...]               a list of the caller's
 *
 * A process writes what it owns, and who owns what depends on who is there; so each file says what it holds, and
 * the reader only asks that all of them together hold every row once. */
#include "params/parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "params/checksum.h"

enum { WORDS = 3, NAME = 24 };

struct asgdi_stretch {
    asgdi_piece          piece;
    const unsigned char *data;
};

static asgd_status no_memory(const char *folder)
{
    return ASGD_FAIL(ENOMEM, "%s: no memory for a checkpoint", folder);
}

char *asgdi_part_path(const char *folder, uint64_t generation, uint32_t process)
{
    const size_t bytes = strlen(folder) + 64;
    char        *path  = asgdi_calloc(bytes, 1);
    if (path)
        snprintf(path, bytes, "%s/part-%03" PRIu32 "-%" PRIu64 ".safetensors", folder, process,
                 generation);
    return path;
}

/* ---- writing ---- */

asgd_status asgdi_part_write(const char *folder, uint64_t generation, const asgdi_params *p,
                             const asgdi_piece *piece, uint32_t n, float *const *rows,
                             const uint32_t *extra, size_t n_extra, asgdi_part *out)
{
    const int     tensors = 2 * p->n_tables + 1;
    char         *path    = asgdi_part_path(folder, generation, out->process);
    uint32_t     *words = asgdi_calloc((size_t)n * WORDS + 1, sizeof *words), *at = words;
    asgdi_matrix *m    = asgdi_calloc((size_t)tensors, sizeof *m);
    char(*names)[NAME] = asgdi_calloc((size_t)tensors, sizeof *names);
    asgd_status s      = path && words && m && names ? ASGD_OK : no_memory(folder);
    for (int t = 0; t < p->n_tables && !s; t++) {
        const asgdi_table *x     = &p->table[t];
        const uint32_t    *first = at;
        uint64_t           sum   = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (piece[i].table != t) continue;
            *at++ = (uint32_t)piece[i].first;
            *at++ = (uint32_t)(piece[i].first >> 32);
            *at++ = piece[i].rows;
            sum += piece[i].rows;
        }
        snprintf(names[2 * t], NAME, "pieces.%d", t);
        snprintf(names[2 * t + 1], NAME, "rows.%d", t);
        m[2 * t]     = (asgdi_matrix){names[2 * t], NULL, (uint64_t)(at - first), 1, 1, first};
        m[2 * t + 1] = (asgdi_matrix){names[2 * t + 1], rows[t], sum, x->stride, x->stride, NULL};
    }
    if (!s) {
        m[tensors - 1] = (asgdi_matrix){"extra", NULL, n_extra, 1, 1, extra ? extra : words};
        s              = asgdi_tensors_write(path, m, tensors, NULL, &out->bytes, &out->checksum);
    }
    asgdi_free(names);
    asgdi_free(m);
    asgdi_free(words);
    asgdi_free(path);
    return s;
}

/* ---- reading ---- */

static asgd_status damaged(const char *path, const char *what)
{
    return ASGD_FAIL(EFORMAT, "%s: %s: the file is damaged, or not of this checkpoint", path, what);
}

static asgd_status take_table(asgdi_parts *f, const char *path, const asgdi_tensors *file,
                              const asgdi_params *p, int t)
{
    const asgdi_table *x = &p->table[t];
    char               name[NAME];
    snprintf(name, sizeof name, "pieces.%d", t);
    const asgdi_tensor *pieces = asgdi_tensors_find_u32(file, name);
    snprintf(name, sizeof name, "rows.%d", t);
    const asgdi_tensor *rows = asgdi_tensors_find(file, name);
    if (!pieces || pieces->n_dims != 1 || pieces->shape[0] % WORDS != 0 || !rows ||
        rows->n_dims != 2 || rows->shape[1] != x->stride)
        return damaged(path, "it lacks a table's rows, or what they are");
    const size_t n    = (size_t)pieces->shape[0] / WORDS;
    uint64_t     left = rows->shape[0];
    void        *list = f->stretch;
    if (!asgdi_grow(&list, &f->room, f->n_stretches + n, sizeof *f->stretch))
        return no_memory(path);
    f->stretch                = list;
    const unsigned char *data = rows->data;
    for (size_t i = 0; i < n; i++) {
        uint32_t w[WORDS];
        memcpy(w, pieces->data + i * sizeof w, sizeof w);
        const asgdi_piece one = {(uint64_t)w[1] << 32 | w[0], w[2], t};
        if (one.rows == 0 || one.rows > left || one.first >= x->info.rows ||
            one.rows > x->info.rows - one.first)
            return damaged(path, "rows that the table does not have");
        f->stretch[f->n_stretches++] = (struct asgdi_stretch){one, data};
        left -= one.rows;
        data += (size_t)one.rows * x->stride * sizeof(float);
    }
    return left ? damaged(path, "rows of no place") : ASGD_OK;
}

static asgd_status open_part(asgdi_parts *f, const char *folder, uint64_t generation,
                             const asgdi_params *p, const asgdi_part *part, asgdi_tensors *file)
{
    asgdi_checksum c    = {0};
    char          *path = asgdi_part_path(folder, generation, part->process);
    if (!path) return no_memory(folder);
    asgd_status s = asgdi_tensors_open(file, path);
    if (!s) asgdi_checksum_add(&c, file->bytes, file->size);
    if (!s && (file->size != part->bytes || asgdi_checksum_end(&c) != part->checksum))
        s = damaged(path, "its checksum does not fit");
    for (int t = 0; t < p->n_tables && !s; t++) s = take_table(f, path, file, p, t);
    if (!s && !asgdi_tensors_find_u32(file, "extra")) s = damaged(path, "it lacks a list");
    asgdi_free(path);
    return s;
}

static int by_row(const void *a, const void *b)
{
    const asgdi_piece *x = &((const struct asgdi_stretch *)a)->piece,
                      *y = &((const struct asgdi_stretch *)b)->piece;
    if (x->table != y->table) return x->table < y->table ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

static asgd_status check_tiling(asgdi_parts *f, const char *folder, const asgdi_params *p)
{
    size_t i = 0;
    if (f->n_stretches) qsort(f->stretch, f->n_stretches, sizeof *f->stretch, by_row);
    for (int t = 0; t < p->n_tables; t++) {
        uint64_t row = 0;
        for (; i < f->n_stretches && f->stretch[i].piece.table == t; i++) {
            if (f->stretch[i].piece.first != row) break;
            row += f->stretch[i].piece.rows;
        }
        if (row != p->table[t].info.rows)
            return ASGD_FAIL(EFORMAT,
                             "%s: row %" PRIu64
                             " of table %s is in no part of the checkpoint, or in "
                             "two; the parts do not belong together",
                             folder, row, p->table[t].info.name);
    }
    return ASGD_OK;
}

asgd_status asgdi_parts_open(asgdi_parts *f, const char *folder, uint64_t generation,
                             const asgdi_params *p, const asgdi_part *part, uint32_t n)
{
    *f      = (asgdi_parts){.n = n};
    f->file = asgdi_calloc((size_t)n + 1, sizeof *f->file);
    if (!f->file) return no_memory(folder);
    asgd_status s = ASGD_OK;
    for (uint32_t i = 0; i < n && !s; i++)
        s = open_part(f, folder, generation, p, &part[i], &f->file[i]);
    if (!s) s = check_tiling(f, folder, p);
    if (s) asgdi_parts_close(f);
    return s;
}

void asgdi_parts_copy(const asgdi_parts *f, asgdi_params *p)
{
    for (size_t i = 0; i < f->n_stretches; i++) {
        const struct asgdi_stretch *s = &f->stretch[i];
        const asgdi_table          *t = &p->table[s->piece.table];
        memcpy(t->master + s->piece.first * t->stride, s->data,
               (size_t)s->piece.rows * t->stride * sizeof(float));
    }
}

asgd_status asgdi_parts_extra(const asgdi_parts *f, uint32_t **extra, size_t *n)
{
    size_t all = 0;
    *n         = 0;
    for (uint32_t i = 0; i < f->n; i++)
        all += (size_t)asgdi_tensors_find_u32(&f->file[i], "extra")->floats;
    *extra = asgdi_calloc(all + 1, sizeof **extra);
    if (!*extra) return ASGD_FAIL(ENOMEM, "no memory for a checkpoint");
    for (uint32_t i = 0; i < f->n; i++) {
        const asgdi_tensor *x = asgdi_tensors_find_u32(&f->file[i], "extra");
        memcpy(*extra + *n, x->data, (size_t)x->floats * sizeof **extra);
        *n += (size_t)x->floats;
    }
    return ASGD_OK;
}

void asgdi_parts_close(asgdi_parts *f)
{
    for (uint32_t i = 0; i < f->n && f->file; i++) asgdi_tensors_close(&f->file[i]);
    asgdi_free(f->file);
    asgdi_free(f->stretch);
    *f = (asgdi_parts){0};
}
