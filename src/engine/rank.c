/* rank.c -- rows between the file's feature numbers and a ranked source's (by falling frequency).
 * Models are initialised, saved and evaluated in the file's order, so ranking changes no result. */
#include <string.h>

#include "base/mem.h"
#include "engine/run.h"

asgd_status asgdi_rank_rows(asgdi_params *p, const asgd_source *s, bool back)
{
    if (!s->rank) return ASGD_OK;
    for (int i = 0; i < p->n_tables; i++) {
        asgdi_table *t = &p->table[i];
        if (!(t->info.flags & ASGD_TABLE_BY_FEATURE)) continue;
        size_t row  = t->stride * sizeof(float);
        float *copy = asgdi_calloc((size_t)t->info.rows, row);
        if (!copy) return ASGD_FAIL(ENOMEM, "no memory to reorder table %s", t->info.name);
        memcpy(copy, t->master, (size_t)t->info.rows * row);
        for (uint32_t f = 0; f < s->schema.features && f < t->info.rows; f++) {
            float       *to   = t->master + (back ? f : s->rank[f]) * t->stride;
            const float *from = copy + (back ? s->rank[f] : f) * t->stride;
            memcpy(to, from, row);
        }
        asgdi_free(copy);
    }
    return ASGD_OK;
}
