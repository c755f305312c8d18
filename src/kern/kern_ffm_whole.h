/* kern_ffm_whole.h -- ffm where an example has one entry in every field, and cells are of four floats.  Part of
 * kern_factors.h, whose S it does without.
 *
 * The usual case: the cell of row j towards field g meets that of row g towards field j and
 * no other, so rows are taken C at a time, C the cells of a vector, and the C x C cells that rows J..
 * have towards fields G.. are paired with those that rows G.. have towards J.., transposed in registers.
 * Both sides of such a pair of blocks are changed at once, each by the other as it was. */

enum { C = VW / QUAD, CELL = QUAD };

/* The rows of a whole example in the order of fields, and C more of zeros; false: it is not one. */
static bool ffm_whole(asgdk_ffm *p, const asgd_view *t, uint32_t n, const uint32_t *idx,
                      const uint16_t *field, const float *val)
{
    if (p->cell != CELL || n != p->fields || p->sums) return false;
    for (uint32_t f = 0; f < n; f++) p->row[f] = NULL;
    for (uint32_t e = 0; e < n; e++) {
        float **at = &p->row[field[e]];
        if (*at) return false;
        *at                   = row_at(t, idx[e]);
        p->of_field[field[e]] = e;
    }
    if (val)
        for (uint32_t f = 0; f < n; f++)
            for (uint32_t i = 0; i < CELL; i++) p->x[f * CELL + i] = val[p->of_field[f]];
    return true;
}

/* Floats of a row from column `at` on that a vector takes: rows end with whole units. */
INLINE size_t ffm_width(uint32_t pad, uint32_t at)
{
    return pad - at < VW ? pad - at : VW;
}

/* C rows' cells from column `at` on. */
INLINE void ffm_block(float *const *row, size_t at, size_t m, vf *out)
{
    if (m == VW)
        UNROLL for (int i = 0; i < C; i++) out[i] = rload(row[i] + at);
    else
        UNROLL for (int i = 0; i < C; i++) out[i] = rloadn(row[i] + at, m);
}

INLINE float ffm_score_whole(const asgdk_ffm *p, bool ones)
{
    vf sum[2] = {vset(0), vset(0)};
    for (uint32_t j = 0; j < p->fields; j += C) {
        float *const *row = p->row + j;
        const size_t  m   = ffm_width(p->pad, j * CELL);
        vf            a[C], b[C], acc[C];
        UNROLL for (int i = 0; i < C; i++) acc[i] = vset(0);
        for (uint32_t g = 0; g < j; g += C) {
            ffm_block(row, g * CELL, VW, a);
            ffm_block(p->row + g, j * CELL, m, b);
            vcells(b);
            UNROLL for (int i = 0; i < C; i++)
            {
                if (!ones) a[i] = a[i] * vload(p->x + g * CELL);
                acc[i] = vfma(a[i], b[i], acc[i]);
            }
        }
        ffm_block(row, j * CELL, m, a);
        UNROLL for (int i = 0; i < C; i++) b[i] = a[i];
        vcells(b);
        UNROLL for (int i = 1; i < C; i++)
        {
            vf lower = vfirst(a[i], (size_t)i * CELL);
            if (!ones) lower = lower * vload(p->x + j * CELL);
            acc[i] = vfma(lower, b[i], acc[i]);
        }
        UNROLL for (int i = 0; i < C; i++)
        {
            if (!ones) acc[i] = acc[i] * vset(p->x[(j + (uint32_t)i) * CELL]);
            sum[i & 1] = sum[i & 1] + acc[i];
        }
    }
    return fold1(sum[0] + sum[1]);
}

#ifdef HAVE_QUADS
/* Pieces, a vector each, of rows that have one sum for every four weights. */
typedef struct pieces {
    float *at[QUAD], *sums[QUAD];
    vf     w[QUAD], g[QUAD];
} pieces;

/* Pieces k, k + 1 ... are C rows' from column `at` on. */
INLINE void ffm_take(pieces *p, uint32_t k, float *const *row, size_t pad, size_t at, const vf *w,
                     const vf *g)
{
    UNROLL for (uint32_t i = 0; i < C; i++)
    {
        p->at[k + i]   = row[i] + at;
        p->sums[k + i] = row[i] + pad + at / CELL;
        p->w[k + i]    = w[i];
        p->g[k + i]    = g[i];
    }
}

/* m floats of each of the first n pieces.  The sums of four fill a vector, so their roots are taken at once. */
INLINE void ffm_change_pieces(const pieces *p, uint32_t n, size_t m, const consts *c)
{
    vf h[QUAD], square[QUAD];
    UNROLL for (uint32_t i = 0; i < QUAD; i++)
    {
        h[i]      = vfma(c->l2, p->w[i], p->g[i]);
        square[i] = h[i] * h[i];
    }
    const vf sum  = vfma(vset(0.25f), vquads_turned(square), vload_turned(p->sums, n));
    const vf step = c->lr * inverse_root(sum + c->eps, c);
    vstore_turned(p->sums, n, sum);
    UNROLL for (uint32_t i = 0; i < QUAD; i++)
    {
        if (i >= n) continue;
        const vf now = move(p->w[i], vfour(step, i), h[i], c);
        if (m == VW)
            rstore(p->at[i], now);
        else
            rstoren(p->at[i], now, m);
    }
}
#endif

/* m floats, from column `at` on, of n of C rows that have one sum for every four weights. */
INLINE void ffm_change_quads(uint32_t n, float *const *row, size_t pad, size_t at, size_t m,
                             const vf *w, const vf *g, const consts *c)
{
#ifdef HAVE_QUADS
    pieces p = {0};
    ffm_take(&p, 0, row, pad, at, w, g);
    ffm_change_pieces(&p, n, m, c);
#else
    UNROLL for (uint32_t i = 0; i < C; i++) if (i < n)
        change_quads(row[i], pad, at, w[i], g[i], m, c);
#endif
}

/* m floats of C rows from column `at` on: what the rule needs of them but w, which is there. */
INLINE void ffm_change(rule_step *f, int merged, int local_slots, uint32_t n, float *const *row,
                       float *const *local, size_t pad, size_t at, size_t m, const vf *w,
                       const vf *g, const consts *c)
{
    state x[C];
    if (merged == QUADS) {
        ffm_change_quads(n, row, pad, at, m, w, g, c);
        return;
    }
#define AT(p) (m == VW ? rload(p) : rloadn((p), m))
#define PUT(p, v) (m == VW ? rstore((p), (v)) : rstoren((p), (v), m))
    UNROLL for (uint32_t i = 0; i < C; i++)
    {
        x[i] = (state){.w = w[i]};
        if (i >= n) continue;
        if (merged > 0) x[i].a = AT(row[i] + pad + at);
        if (merged > 1) x[i].b = AT(row[i] + 2 * pad + at);
        if (local_slots) x[i].l = m == VW ? vload(local[i] + at) : vloadn(local[i] + at, m);
    }
    UNROLL for (uint32_t i = 0; i < C; i++) x[i] = f(x[i], g[i], c);
    UNROLL for (uint32_t i = 0; i < C; i++)
    {
        if (i >= n) continue;
        PUT(row[i] + at, x[i].w);
        if (merged > 0) PUT(row[i] + pad + at, x[i].a);
        if (merged > 1) PUT(row[i] + 2 * pad + at, x[i].b);
        if (local_slots && m == VW)
            vstore(local[i] + at, x[i].l);
        else if (local_slots)
            vstoren(local[i] + at, x[i].l, m);
    }
#undef AT
#undef PUT
}

/* Both sides of a pair of blocks: n rows' cells towards the fields from g on, w by gw, and those C rows' m floats towards
 * theirs, from j on, v by gv. */
INLINE void ffm_change_both(rule_step *f, int merged, int local_slots, uint32_t n,
                            float *const *row, float *const *local, size_t j, const vf *w,
                            const vf *gw, float *const *other, float *const *other_local, size_t g,
                            size_t m, const vf *v, const vf *gv, size_t pad, const consts *c)
{
#if defined HAVE_QUADS && VW == 8
    if (merged == QUADS) { /* C is two, and UNIT, which m is at the least, VW */
        pieces p;
        ffm_take(&p, 0, other, pad, j * CELL, v, gv);
        ffm_take(&p, C, row, pad, g * CELL, w, gw);
        ffm_change_pieces(&p, C + n, VW, c);
        return;
    }
#endif
    ffm_change(f, merged, local_slots, n, row, local, pad, g * CELL, VW, w, gw, c);
    ffm_change(f, merged, local_slots, C, other, other_local, pad, j * CELL, m, v, gv, c);
}

/* Lines of the rows to come that are still to be asked for. */
typedef struct asking {
    const float *const *row, *const *end;
    uint32_t at, floats, lines;
} asking;

INLINE asking ffm_begin_asking(const asgdk_ffm *p, uint32_t floats)
{
    const uint32_t blocks = (p->fields + C - 1) / C, times = blocks * (blocks + 1) / 2;
    const uint32_t lines = p->n_ahead * ((floats + 15) / 16);
    return (asking){.row    = p->ahead,
                    .end    = p->ahead + p->n_ahead,
                    .floats = floats,
                    .lines  = (lines + times - 1) / times};
}

INLINE void ffm_ask(asking *a)
{
    if (a->row == a->end) return;
    for (uint32_t k = 0; k < a->lines && a->row < a->end; k++) {
        __builtin_prefetch(*a->row + a->at, 0, 2);
        a->at += 16;
        if (a->at >= a->floats) {
            a->at = 0;
            a->row++;
        }
    }
}

/* Rows from field j on, m of whose floats are columns of fields from there on, with all before them and with each
 * other. */
INLINE void ffm_apply_rows(rule_step *f, int merged, int local_slots, const asgdk_ffm *p, bool ones,
                           size_t j, uint32_t n, size_t m, vf a, asking *ahead, const consts *c)
{
    const size_t  pad  = p->pad;
    float *const *rows = p->row;
    float        *row[C], *local[C];
    vf            x[C], y[C], gx[C], gy[C];
    UNROLL for (uint32_t i = 0; i < C; i++) row[i] = rows[j + i];
    UNROLL for (uint32_t i = 0; i < C; i++) local[i] =
        local_slots && i < n ? p->local[j + i] : NULL;
    for (size_t g = 0; g < j; g += C) {
        float *other[C], *other_local[C];
        UNROLL for (uint32_t i = 0; i < C; i++) other[i] = rows[g + i];
        UNROLL for (uint32_t i = 0; i < C; i++) other_local[i] =
            local_slots ? p->local[g + i] : NULL;
        ffm_block(row, g * CELL, VW, x);
        ffm_block(other, j * CELL, m, y);
        UNROLL for (uint32_t i = 0; i < C; i++) gx[i] = y[i];
        UNROLL for (uint32_t i = 0; i < C; i++) gy[i] = x[i];
        vcells(gx);
        vcells(gy);
        UNROLL for (uint32_t i = 0; i < C; i++)
        {
            gx[i] = a * gx[i];
            gy[i] = a * gy[i];
            if (!ones) {
                gx[i] = gx[i] * (vset(p->x[(j + i) * CELL]) * vload(p->x + g * CELL));
                gy[i] = gy[i] * (vset(p->x[(g + i) * CELL]) * vload(p->x + j * CELL));
            }
        }
        ffm_change_both(f, merged, local_slots, n, row, local, j, x, gx, other, other_local, g, m,
                        y, gy, pad, c);
        ffm_ask(ahead);
    }
    ffm_block(row, j * CELL, m, x);
    UNROLL for (uint32_t i = 0; i < C; i++) gx[i] = x[i];
    vcells(gx);
    UNROLL for (uint32_t i = 0; i < C; i++)
    {
        gx[i] = a * vwithout(gx[i], i);
        if (!ones) gx[i] = gx[i] * (vset(p->x[(j + i) * CELL]) * vload(p->x + j * CELL));
    }
    ffm_change(f, merged, local_slots, n, row, local, pad, j * CELL, m, x, gx, c);
    ffm_ask(ahead);
}

INLINE void ffm_apply_whole(rule_step *f, int merged, int local_slots, const asgd_view *t,
                            float *local, size_t local_stride, const asgdk_ffm *p, bool ones,
                            const uint32_t *idx, float slope, const consts *c)
{
    const vf a     = vset(slope);
    asking   ahead = ffm_begin_asking(p, (uint32_t)t->stride);
    if (local_slots)
        for (uint32_t k = 0; k < p->fields; k++)
            p->local[k] = local + idx[p->of_field[k]] * local_stride;
    uint32_t j = 0;
    for (; j + C <= p->fields; j += C)
        ffm_apply_rows(f, merged, local_slots, p, ones, j, C, VW, a, &ahead, c);
    if (p->pad - j * CELL >= VW)
        ffm_apply_rows(f, merged, local_slots, p, ones, j, p->fields - j, VW, a, &ahead, c);
    else if (j < p->fields)
        ffm_apply_rows(f, merged, local_slots, p, ones, j, p->fields - j, UNIT, a, &ahead, c);
}
