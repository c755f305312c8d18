/* params.c -- the master copy of a model's tables.
 *
 * A table is one slab of rows, each [w: pad][merged slot: slot]...; floats between dim and pad are
 * zero and stay zero, so that kernels need no tails.  A random initial value depends on the seed,
 * the table's number, the row and the column alone: not on slots, layout or threads.
 *
 * Large tables are filled and copied by several threads, which also spreads the system's clearing of new pages. */
#include "params/params.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/status.h"

enum { MAX_DIM = 1 << 28, GRAIN = 1 << 20 /* floats that a thread is worth starting for */ };

static asgd_status check_table(const asgd_table *t, int i)
{
    if (!memchr(t->name, 0, sizeof t->name) || !t->name[0])
        return ASGD_FAIL(EINVAL, "table %d has no name, or one longer than %zu characters", i,
                         sizeof t->name - 1);
    /* indices are 32 bits wide wherever rows are named one by one */
    if (t->rows == 0 || t->rows > UINT32_MAX)
        return ASGD_FAIL(EINVAL, "table %s has %llu rows: 1 to %lu are allowed", t->name,
                         (unsigned long long)t->rows, (unsigned long)UINT32_MAX);
    if (t->dim == 0 || t->dim > MAX_DIM)
        return ASGD_FAIL(EINVAL, "table %s has rows of %lu floats: 1 to %d are allowed", t->name,
                         (unsigned long)t->dim, MAX_DIM);
    if (t->init != ASGD_INIT_ZERO && t->init != ASGD_INIT_UNIFORM && t->init != ASGD_INIT_NORMAL)
        return ASGD_FAIL(EINVAL, "table %s: init %d is none of asgd_init", t->name, (int)t->init);
    if (t->init != ASGD_INIT_ZERO && !(t->scale >= 0 && isfinite(t->scale)))
        return ASGD_FAIL(EINVAL, "table %s: the scale of its random start is %g: a number >= 0",
                         t->name, (double)t->scale);
    if (t->flags & ~(uint32_t)(ASGD_TABLE_BY_FEATURE | ASGD_TABLE_NO_DECAY | ASGD_TABLE_QUADS))
        return ASGD_FAIL(EINVAL, "table %s: flags %#lx holds bits that asgd_table_flags lacks",
                         t->name, (unsigned long)t->flags);
    if (t->flags & ASGD_TABLE_QUADS && t->dim % 4 != 0)
        return ASGD_FAIL(EINVAL, "table %s: rows of %lu floats do not consist of quads", t->name,
                         (unsigned long)t->dim);
    return ASGD_OK;
}

/* What is in it is undefined. */
static asgd_status new_slab(const asgdi_table *t, size_t stride, float **out)
{
    *out = NULL;
    if (t->info.rows <= SIZE_MAX / sizeof(float) / stride)
        *out = asgdi_malloc((size_t)t->info.rows * stride, sizeof(float));
    if (!*out)
        return ASGD_FAIL(ENOMEM,
                         "no memory for table %s: %llu rows of %zu floats; take a smaller model "
                         "or fewer features",
                         t->info.name, (unsigned long long)t->info.rows, stride);
    return ASGD_OK;
}

/* Work on all rows of a table, cut among threads. */
typedef struct rows_job {
    asgdi_table *t;
    uint64_t     seed, number; /* of a filling */
    float       *to;           /* of a move */
    size_t       stride;
    uint32_t     parts;
} rows_job;

static void by_parts(rows_job *job, size_t stride, void (*part)(void *, uint32_t))
{
    job->parts = asgdi_parts(0, job->t->info.rows * stride, GRAIN);
    asgdi_parallel(job->parts, part, job);
}

static void fill_part(void *ctx, uint32_t k)
{
    const rows_job    *job   = ctx;
    const asgdi_table *t     = job->t;
    const float        scale = t->info.scale;
    const uint64_t     end   = asgdi_part(t->info.rows, job->parts, k + 1);
    for (uint64_t r = asgdi_part(t->info.rows, job->parts, k); r < end; r++) {
        float *w = t->master + r * t->stride;
        memset(w, 0, t->stride * sizeof *w);
        if (t->info.init == ASGD_INIT_ZERO) continue;
        for (uint32_t c = 0; c < t->info.dim; c++) {
            uint64_t bits = asgdi_random(job->seed, job->number, r * t->info.dim + c);
            w[c]          = t->info.init == ASGD_INIT_NORMAL ? scale * asgdi_normal(bits)
                                                             : scale * (2.0f * asgdi_uniform(bits) - 1.0f);
        }
    }
}

static void fill_table(asgdi_table *t, uint64_t seed, uint64_t number)
{
    rows_job job = {.t = t, .seed = seed, .number = number};
    by_parts(&job, t->stride, fill_part);
}

void asgdi_params_fill(asgdi_params *p, uint64_t seed)
{
    for (int t = 0; t < p->n_tables; t++) fill_table(&p->table[t], seed, (uint64_t)t);
    p->seed = seed;
}

asgd_status asgdi_params_init(asgdi_params *p, const asgd_table *tables, int n, uint64_t seed)
{
    asgd_status s = ASGD_OK;
    *p            = (asgdi_params){0};
    if (n < 1 || n > ASGD_MAX_TABLES)
        return ASGD_FAIL(EINVAL, "a model has 1 to %d tables, not %d", ASGD_MAX_TABLES, n);
    for (int t = 0; t < n; t++) {
        ASGD_TRY_GOTO(fail, check_table(&tables[t], t));
        for (int u = 0; u < t; u++) {
            if (strcmp(tables[t].name, tables[u].name) == 0) {
                s = ASGD_FAIL(EINVAL, "tables %d and %d are both called %s", u, t, tables[t].name);
                goto fail;
            }
        }
        asgdi_table *x = &p->table[t];
        x->info        = tables[t];
        x->pad         = asgdk_pad(tables[t].dim);
        x->slot        = x->pad;
        x->stride      = x->pad;
        ASGD_TRY_GOTO(fail, new_slab(x, x->stride, &x->master));
        p->n_tables = t + 1;
        fill_table(x, seed, (uint64_t)t);
    }
    p->seed = seed;
    return ASGD_OK;
fail:
    asgdi_params_free(p);
    return s;
}

/* Rows move up; what they leave is given back.  So a run of a large model ends without more memory than it had. */
static void narrow(asgdi_table *t, size_t stride)
{
    const size_t rows = (size_t)t->info.rows;
    if (t->stride == stride) return;
    for (size_t r = 0; r < rows; r++)
        memmove(t->master + r * stride, t->master + r * t->stride, t->pad * sizeof(float));
    asgdi_give_back(t->master, rows * stride * sizeof(float), rows * t->stride * sizeof(float));
    t->stride = stride;
}

static void widen_part(void *ctx, uint32_t k)
{
    const rows_job    *job = ctx;
    const asgdi_table *t   = job->t;
    const uint64_t     end = asgdi_part(t->info.rows, job->parts, k + 1);
    for (uint64_t r = asgdi_part(t->info.rows, job->parts, k); r < end; r++) {
        float *row = job->to + r * job->stride;
        memcpy(row, t->master + r * t->stride, t->pad * sizeof *row);
        memset(row + t->pad, 0, (job->stride - t->pad) * sizeof *row);
    }
}

/* The slots begin at zero. */
static void widen(asgdi_table *t, size_t stride, float *slab)
{
    rows_job job = {.t = t, .to = slab, .stride = stride};
    by_parts(&job, stride, widen_part);
    asgdi_free(t->master);
    t->master = slab;
    t->stride = stride;
}

static uint32_t slot_with(const asgdi_table *t, asgd_rule_kind rule)
{
    return asgdk_slot_pad(asgdk_rule_of(rule, t->info.flags), t->pad);
}

static size_t stride_with(const asgdi_table *t, asgd_rule_kind rule, const asgdk_slots *slots)
{
    return t->pad + (size_t)slots->merged * slot_with(t, rule);
}

asgd_status asgdi_params_set_rule(asgdi_params *p, asgd_rule_kind rule)
{
    const asgdk_slots none  = {0};
    const asgdk_slots slots = rule == ASGD_RULE_DEFAULT ? none : asgdk_rule_slots(rule);
    float            *slab[ASGD_MAX_TABLES] = {0};
    asgd_status       s                     = ASGD_OK;
    /* all new slabs before any old one goes: a failure changes nothing */
    for (int t = 0; t < p->n_tables && slots.merged > 0; t++)
        ASGD_TRY_GOTO(fail,
                      new_slab(&p->table[t], stride_with(&p->table[t], rule, &slots), &slab[t]));
    for (int t = 0; t < p->n_tables; t++) {
        asgdi_table *x = &p->table[t];
        if (slab[t])
            widen(x, stride_with(x, rule, &slots), slab[t]);
        else
            narrow(x, x->pad);
        x->slot = slot_with(x, rule);
    }
    p->rule  = rule;
    p->slots = slots;
    return ASGD_OK;
fail:
    for (int t = 0; t < p->n_tables; t++) asgdi_free(slab[t]);
    return s;
}

void asgdi_params_free(asgdi_params *p)
{
    for (int t = 0; t < p->n_tables; t++) asgdi_free(p->table[t].master);
    *p = (asgdi_params){0};
}
