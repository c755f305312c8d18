/* vocab_file.c -- names of users and items in a model file: the text of a list of 32-bit words, a name
 * a line, filled up with line ends. */
#include "model/vocab_file.h"

#include <string.h>

#include "base/mem.h"

static const char *const tensor[2] = {"users", "items"};

asgd_status asgdi_vocab_pack(const asgd_encoding *e, uint32_t *words[2], asgdi_matrix *list, int *n)
{
    for (int w = 0; w < 2; w++) {
        const asgdi_vocab *v = &e->vocab[w];
        if (v->n == 0) continue;
        const size_t many = (v->used + sizeof(uint32_t) - 1) / sizeof(uint32_t);
        words[w]          = asgdi_calloc(many, sizeof(uint32_t));
        if (!words[w]) return ASGD_FAIL(ENOMEM, "no memory to save the names of %s", tensor[w]);
        char *text = (char *)words[w];
        memset(text, '\n', many * sizeof(uint32_t));
        memcpy(text, v->text, v->used);
        for (size_t i = 0; i < v->used; i++)
            if (text[i] == '\0') text[i] = '\n';
        list[(*n)++] = (asgdi_matrix){
            .name = tensor[w], .rows = many, .cols = 1, .stride = 1, .u32 = words[w]};
    }
    return ASGD_OK;
}

static asgd_status unpack(const char *path, const asgdi_tensors *f, int w, uint32_t rows,
                          asgdi_vocab *to)
{
    const asgdi_tensor *t = asgdi_tensors_find_u32(f, tensor[w]);
    if (!t || t->n_dims != 1)
        return ASGD_FAIL(EFORMAT, "%s: the names of its %s are missing; the file is damaged", path,
                         tensor[w]);
    const char *p = (const char *)t->data, *end = p + t->floats * sizeof(uint32_t);
    while (p < end && *p != '\n') {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        if (!line || line - p > ASGDI_NAME_MAX || memchr(p, '\0', (size_t)(line - p))) break;
        const uint32_t number = asgdi_vocab_add(to, p, (size_t)(line - p));
        if (number == ASGDI_NO_NAME)
            return ASGD_FAIL(ENOMEM, "%s: no memory for the names of its %s", path, tensor[w]);
        if (number + 1 != to->n) break; /* a name stands twice */
        p = line + 1;
    }
    if (to->n != rows || end - p > 3)
        return ASGD_FAIL(EFORMAT, "%s: names %u of its %u %s; the file is damaged", path, to->n,
                         rows, tensor[w]);
    return ASGD_OK;
}

asgd_status asgdi_vocab_unpack(const char *path, const asgdi_tensors *f, const asgd_schema *d,
                               asgd_encoding *e)
{
    ASGD_TRY(unpack(path, f, 0, d->users, &e->vocab[0]));
    return unpack(path, f, 1, d->items, &e->vocab[1]);
}
