/* kern_factors.h -- factorization machines, one example at a time.  Part of kern_body.h.
 *
 * With x_j = xs * val_j for the n entries of an example:
 *
 *   fm    S = sum_j x_j v_j                              (Rendle 2010: linear in n, not quadratic)
 *         score = sum_c (S_c^2 - sum_j x_j^2 v_jc^2) / 2
 *         d score / d v_j = x_j (S - x_j v_j)
 *
 *   ffm   a row holds a vector w_j[g] (a cell) towards every field g; entry j belongs to field f_j
 *         S[f][g] = sum over entries i of field g of x_i w_i[f]
 *         score = sum_{i<j} x_i x_j w_i[f_j] w_j[f_i] = sum_j x_j w_j . S'[f_j], S' of the i before j
 *         d score / d w_j[g] = x_j (S[f_j][g] - [g = f_j] x_j w_j[g])       (Juan et al. 2016)
 *
 *   Row j times row f_j of S is one pass over contiguous memory, where pairs one by one would jump
 *   about; with several entries a field it also does less: n times the fields, not n^2.
 *
 * The emission is fused with the rule: the gradient is formed from the row that is in registers
 * anyway, as the row is when its turn comes.  Each row is read and written once.
 *
 * What ffm costs is its rows: 160 floats for 39 fields of 4 factors, and as many slots.  With adagrad a cell's four factors
 * have one sum together (ASGD_TABLE_QUADS), 832 bytes in place of 1,280.
 *
 * The roots of adagrad and rmsprop are not refined: a step that is wrong by 1 / 2700 at most (avx2; avx512 1 / 16384)
 * does no harm, and the refinement is a quarter of what a change costs. */

INLINE consts prepare_rough(const asgdk_step *p)
{
    consts c = prepare(p);
    c.rough  = true;
    return c;
}

static void prefetch(const asgd_view *view, uint32_t floats, uint32_t n, const uint32_t *idx)
{
    const asgd_view t = *view;
    for (uint32_t e = 0; e < n; e++) {
        const float *row = row_at(&t, idx[e]);
        for (uint32_t f = 0; f < floats; f += 16) __builtin_prefetch(row + f, 1);
    }
}

/* ---- fm ---- */

enum { FM_UNITS = 4 }; /* widest tile */

/* sum += val v, squares += (val v)^2 */
INLINE void fm_add(int units, const float *row, vf x, vf *sum, vf *squares)
{
    UNROLL for (int k = 0; k < FULL(units); k++)
    {
        const vf w = rload(row + k * VW), v = x * w;
        sum[k]   = sum[k] + v;
        *squares = vfma(v, v, *squares);
    }
    if (REST(units)) {
        const vf w = rloadn(row + FULL(units) * VW, REST(units)), v = x * w;
        sum[FULL(units)] = sum[FULL(units)] + v;
        *squares         = vfma(v, v, *squares);
    }
}

/* Of n entries; in two chains, of even and odd ones, as one waits for its additions. */
INLINE void fm_sum(int units, bool ones, const asgd_view *t, uint32_t n, const uint32_t *idx,
                   const float *val, vf *sum, vf *squares)
{
    const int columns = FULL(units) + (REST(units) > 0);
    vf        odd[FULL(FM_UNITS) + 1], more = vset(0);
    uint32_t  e = 0;
    UNROLL for (int k = 0; k < columns; k++)
    {
        odd[k] = vset(0);
    }
    for (; e + 2 <= n; e += 2) {
        fm_add(units, row_at(t, idx[e]), ones ? vset(1) : vset(val[e]), sum, squares);
        fm_add(units, row_at(t, idx[e + 1]), ones ? vset(1) : vset(val[e + 1]), odd, &more);
    }
    if (e < n) fm_add(units, row_at(t, idx[e]), ones ? vset(1) : vset(val[e]), sum, squares);
    UNROLL for (int k = 0; k < columns; k++)
    {
        sum[k] = sum[k] + odd[k];
    }
    *squares = *squares + more;
}

/* Returns the columns' part of twice the score, and their sums; both without xs. */
INLINE float fm_tile(int units, bool ones, const asgd_view *t, uint32_t n, const uint32_t *idx,
                     const float *val, float *out)
{
    vf acc[ACCUMULATORS], sum[FULL(FM_UNITS) + 1], squares = vset(0), all = vset(0);
    UNROLL for (int k = 0; k < FULL(units) + (REST(units) > 0); k++) sum[k] = vset(0);
    fm_sum(units, ones, t, n, idx, val, sum, &squares);
    UNROLL for (int k = 0; k < FULL(units); k++)
    {
        all = vfma(sum[k], sum[k], all);
        vstore(out + k * VW, sum[k]);
    }
    if (REST(units)) {
        all = vfma(sum[FULL(units)], sum[FULL(units)], all);
        vstoren(out + FULL(units) * VW, sum[FULL(units)], REST(units));
    }
    for (int k = 0; k < ACCUMULATORS; k++) acc[k] = vset(0);
    acc[0] = all - squares;
    return fold(acc);
}

static float fm_score(const asgd_view *view, uint32_t pad, uint32_t n, const uint32_t *idx,
                      const float *val, float xs, float *sum)
{
#ifdef NARROW
    if (pad == UNIT) return NARROW.fm_score(view, pad, n, idx, val, xs, sum);
#endif
    float     twice = 0;
    asgd_view t     = *view;
    for (uint32_t col = 0, width; col < pad; col += width, t.own += width, t.shared += width) {
        float         *out  = sum + col;
        const uint32_t left = pad - col;
        width               = left >= 4 * UNIT ? 4 * UNIT : left >= 2 * UNIT ? 2 * UNIT : UNIT;
#define TILE(units)                                    \
    (val ? fm_tile(units, false, &t, n, idx, val, out) \
         : fm_tile(units, true, &t, n, idx, NULL, out))
        twice += width == 4 * UNIT ? TILE(4) : width == 2 * UNIT ? TILE(2) : TILE(1);
#undef TILE
    }
    return 0.5f * xs * xs * twice;
}

INLINE void fm_change(rule_step *f, int merged, int local_slots, uint32_t pad, const asgd_view *t,
                      float *local, size_t local_stride, uint32_t n, const uint32_t *idx,
                      const float *val, float xs, float slope, const float *sum, const consts *c)
{
    for (uint32_t e = 0; e < n; e++) {
        float      *row = row_at(t, idx[e]);
        float      *l   = local_slots ? local + idx[e] * local_stride : NULL;
        const float x   = val ? xs * val[e] : xs;
        const vf    a = vset(slope * x * xs), b = vset(-slope * x * x);
        uint32_t    i = 0;
        for (; i + VW <= pad; i += VW)
            change(f, merged, local_slots, row + i, local_slots ? l + i : NULL, pad,
                   vfma(b, rload(row + i), a * vload(sum + i)), VW, c);
        if (i < pad)
            change(f, merged, local_slots, row + i, local_slots ? l + i : NULL, pad,
                   vfma(b, rloadn(row + i, pad - i), a * vloadn(sum + i, pad - i)), pad - i, c);
    }
}

INLINE void fm_apply(rule_step *f, int merged, int local_slots, const asgd_view *view, float *local,
                     size_t local_stride, uint32_t pad, uint32_t n, const uint32_t *idx,
                     const float *val, float xs, float slope, const float *sum, const asgdk_step *p)
{
    const asgd_view t = *view;
    const consts    c = prepare_rough(p);
#define CHANGE(width, v) \
    fm_change(f, merged, local_slots, width, &t, local, local_stride, n, idx, v, xs, slope, sum, &c)
    /* the usual widths as constants, so that a row's pieces and their sums are registers */
    if (pad == 8 && !val)
        CHANGE(8, NULL);
    else if (pad == 8)
        CHANGE(8, val);
    else if (pad == 16)
        CHANGE(16, val);
    else
        CHANGE(pad, val);
#undef CHANGE
}

/* ---- ffm ----
 *
 * S is without xs.  Invariants between examples: entry[] is 0 but for the fields present; column f of
 * S (its cells S[.][f]) is zero where stale[f] is 0. */

static void ffm_zero_column(const asgdk_ffm *p, uint32_t f)
{
    for (uint32_t g = 0; g < p->fields; g++)
        for (uint32_t i = 0; i < p->cell; i++) p->sum[(size_t)g * p->pad + f * p->cell + i] = 0;
}

/* Which fields the example has, and the runs of a row that they take up, in whole units. */
static void ffm_fields(asgdk_ffm *p, uint32_t n, const uint16_t *field)
{
    for (uint32_t k = 0; k < p->n_present; k++) p->entry[p->present[k]] = 0;
    p->n_present = p->n_runs = 0;
    p->several               = false;
    for (uint32_t e = 0; e < n; e++) {
        p->several         = p->several || p->entry[field[e]];
        p->entry[field[e]] = e + 1;
    }
    for (uint32_t f = 0; f < p->fields; f++) {
        if (p->entry[f]) {
            p->present[p->n_present++] = (uint16_t)f;
            if (p->several) ffm_zero_column(p, f);
            p->stale[f] = 1;
        } else if (p->stale[f]) {
            ffm_zero_column(p, f);
            p->stale[f] = 0;
        }
    }
    for (uint32_t k = 0; k < p->n_present; k++) {
        const uint32_t from = p->present[k] * p->cell / UNIT * UNIT;
        const uint32_t to   = ((p->present[k] + 1u) * p->cell + UNIT - 1) / UNIT * UNIT;
        if (p->n_runs && from <= p->run[p->n_runs - 1].to)
            p->run[p->n_runs - 1].to = to;
        else
            p->run[p->n_runs++] = (asgdk_run){from, to};
    }
}

/* S[g][f] = (or +=) x w[g] for the fields g of the runs. */
INLINE void ffm_column(const asgdk_ffm *p, uint32_t cell, uint32_t f, const float *w, bool ones,
                       float x, bool add)
{
    const size_t     pad  = p->pad;
    const asgdk_run *run  = p->run;
    const uint32_t   runs = p->n_runs;
    float           *sum  = p->sum + f * cell;
    for (uint32_t r = 0; r < runs; r++) {
        const uint32_t from = run[r].from, to = run[r].to;
        float         *s = sum + from / cell * pad;
        for (uint32_t at = from; at < to; at += cell, s += pad)
            for (uint32_t i = 0; i < cell; i += QUAD) {
                quad v = qload(w + at + i);
                if (!ones) v = x * v;
                if (add) v = v + qread(s + i);
                qwrite(s + i, v);
            }
    }
}

/* Four neighbouring fields' columns at once, from f on, of cells of four floats: whole cache lines of
 * S are written, once. */
INLINE void ffm_columns4(const asgdk_ffm *p, uint32_t f, const float *const *w, bool ones,
                         const float *x)
{
    enum { CELL = 4 };
    const size_t     pad  = p->pad;
    const asgdk_run *run  = p->run;
    const uint32_t   runs = p->n_runs;
    float           *sum  = p->sum + f * CELL;
    for (uint32_t r = 0; r < runs; r++) {
        const uint32_t from = run[r].from, to = run[r].to;
        float         *s = sum + from / CELL * pad;
        for (uint32_t at = from; at < to; at += CELL, s += pad)
            UNROLL for (uint32_t j = 0; j < 4; j++) UNROLL for (uint32_t i = 0; i < CELL; i += QUAD)
            {
                quad v = qload(w[j] + at + i);
                if (!ones) v = x[j] * v;
                qwrite(s + j * CELL + i, v);
            }
    }
}

/* acc += w . s over floats below `end` of the runs. */
INLINE vf ffm_dot(const asgdk_ffm *p, uint32_t end, const float *w, const float *s)
{
    vf sum[2] = {vset(0), vset(0)};
    for (uint32_t r = 0; r < p->n_runs && p->run[r].from < end; r++) {
        const uint32_t to = p->run[r].to < end ? p->run[r].to : end;
        uint32_t       i  = p->run[r].from;
        for (; i + 2 * VW <= to; i += 2 * VW) {
            sum[0] = vfma(rload(w + i), vload(s + i), sum[0]);
            sum[1] = vfma(rload(w + i + VW), vload(s + i + VW), sum[1]);
        }
        for (; i + VW <= to; i += VW) sum[0] = vfma(rload(w + i), vload(s + i), sum[0]);
        if (i < to) sum[0] = vfma(rloadn(w + i, to - i), vloadn(s + i, to - i), sum[0]);
    }
    return sum[0] + sum[1];
}

INLINE float fold1(vf x)
{
    vf acc[ACCUMULATORS];
    for (int k = 0; k < ACCUMULATORS; k++) acc[k] = vset(0);
    acc[0] = x;
    return fold(acc);
}

/* One entry a field: in the order of the fields, each row meets the columns before it. */
INLINE float ffm_score_single(const asgdk_ffm *p, uint32_t cell, const asgd_view *t,
                              const uint32_t *idx, const float *val)
{
    vf sum = vset(0);
    for (uint32_t k = 0, m; k < p->n_present; k += m) {
        const float *w[4];
        float        x[4];
        const bool   four =
            cell == 4 && p->n_present - k >= 4 && p->present[k + 3] == p->present[k] + 3;
        m = four ? 4 : 1;
        for (uint32_t j = 0; j < m; j++) {
            const uint32_t e = p->entry[p->present[k + j]] - 1;
            w[j]             = row_at(t, idx[e]);
            x[j]             = val ? val[e] : 1;
        }
        if (four)
            ffm_columns4(p, p->present[k], w, !val, x);
        else
            ffm_column(p, cell, p->present[k], w[0], !val, x[0], false);
        for (uint32_t j = 0; j < m; j++) {
            const uint32_t f = p->present[k + j];
            float         *s = p->sum + (size_t)f * p->pad;
            for (uint32_t i = 0; i < cell; i++) s[f * cell + i] = 0; /* no pair with itself */
            sum = vfma(vset(x[j]), ffm_dot(p, (f * cell + UNIT - 1) / UNIT * UNIT, w[j], s), sum);
        }
    }
    return fold1(sum);
}

/* Any number of entries a field: all pairs twice, less each entry's with itself. */
static float ffm_score_several(const asgdk_ffm *p, const asgd_view *t, uint32_t n,
                               const uint32_t *idx, const uint16_t *field, const float *val)
{
    vf    sum  = vset(0);
    float self = 0;
    for (uint32_t e = 0; e < n; e++)
        ffm_column(p, p->cell, field[e], row_at(t, idx[e]), false, val ? val[e] : 1, true);
    for (uint32_t e = 0; e < n; e++) {
        const float *w = row_at(t, idx[e]);
        const float  x = val ? val[e] : 1;
        sum = vfma(vset(x), ffm_dot(p, p->pad, w, p->sum + (size_t)field[e] * p->pad), sum);
        for (uint32_t i = 0; i < p->cell; i++) {
            const float v = x * rload1(w + field[e] * p->cell + i);
            self          = sfma(v, v, self);
        }
    }
    return 0.5f * (fold1(sum) - self);
}

#if VW > 1
#include "kern/kern_ffm_whole.h"
#endif

static float ffm_score(const asgd_view *view, asgdk_ffm *p, uint32_t n, const uint32_t *idx,
                       const uint16_t *field, const float *val, float xs)
{
    const asgd_view t = *view;
    float           s;
#if VW > 1
    p->whole = ffm_whole(p, &t, n, idx, field, val);
    if (p->whole) return xs * xs * (val ? ffm_score_whole(p, false) : ffm_score_whole(p, true));
#endif
    ffm_fields(p, n, field);
    if (p->several)
        s = ffm_score_several(p, &t, n, idx, field, val);
    else if (p->cell == 4 && !val)
        s = ffm_score_single(p, 4, &t, idx, NULL);
    else if (p->cell == 8 && !val)
        s = ffm_score_single(p, 8, &t, idx, NULL);
    else
        s = ffm_score_single(p, p->cell, &t, idx, val);
    return xs * xs * s;
}

/* Adds sign x w to the self cell s: an entry has no pair with itself. */
static void ffm_self(const asgdk_ffm *p, const float *w, uint32_t f, float x, float *s)
{
    for (uint32_t i = f * p->cell; i < (f + 1) * p->cell; i++) s[i] = sfma(-x, rload1(w + i), s[i]);
}

INLINE void ffm_apply(rule_step *f, int merged, int local_slots, const asgd_view *view,
                      float *local, size_t local_stride, asgdk_ffm *p, uint32_t n,
                      const uint32_t *idx, const uint16_t *field, const float *val, float xs,
                      float slope, const asgdk_step *step)
{
    const asgd_view t = *view;
    const consts    c = prepare_rough(step);
#if VW > 1
    const float by = slope * xs * xs;
    if (p->whole && val) {
        ffm_apply_whole(f, merged, local_slots, &t, local, local_stride, p, false, idx, by, &c);
    } else if (p->whole && merged == QUADS && !c.shrink) {
        consts plain = c; /* the usual case, without asking each time */
        plain.shrink = false;
        ffm_apply_whole(f, merged, local_slots, &t, local, local_stride, p, true, idx, by, &plain);
    } else if (p->whole) {
        ffm_apply_whole(f, merged, local_slots, &t, local, local_stride, p, true, idx, by, &c);
    }
    if (p->whole) return;
#endif
    for (uint32_t e = 0; e < n; e++) {
        float      *row = row_at(&t, idx[e]), *s = p->sum + (size_t)field[e] * p->pad;
        float      *l = local_slots ? local + idx[e] * local_stride : NULL;
        const float x = val ? val[e] : 1;
        const vf    a = vset(slope * xs * xs * x);
        float       kept[ASGDK_CELL_MAX];
        if (p->several) {
            memcpy(kept, s + field[e] * p->cell, p->cell * sizeof *kept);
            ffm_self(p, row, field[e], x, s);
        }
        for (uint32_t r = 0; r < p->n_runs; r++) {
            uint32_t       i  = p->run[r].from;
            const uint32_t to = p->run[r].to;
            if (merged == QUADS) {
                change_run(row, p->pad, i, to, a, s, &c);
                continue;
            }
            for (; i + VW <= to; i += VW)
                change(f, merged, local_slots, row + i, local_slots ? l + i : NULL, p->pad,
                       a * vload(s + i), VW, &c);
            if (i < to)
                change(f, merged, local_slots, row + i, local_slots ? l + i : NULL, p->pad,
                       a * vloadn(s + i, to - i), to - i, &c);
        }
        if (p->several) memcpy(s + field[e] * p->cell, kept, p->cell * sizeof *kept);
    }
}

/* Where rows of 8 floats, fm's usual ones, would leave half a vector empty, a narrower variant. */
#ifdef NARROW
#define NARROW_FM(kind) (pad == UNIT ? NARROW.fm[kind] : NULL)
#else
#define NARROW_FM(kind) NULL
#endif

#define DEFINE(name, merged, local_slots, together)                                             \
    static void name##_fm(const asgd_view *t, float *local, size_t local_stride, uint32_t pad,  \
                          uint32_t n, const uint32_t *idx, const float *val, float xs,          \
                          float slope, const float *sum, const asgdk_step *p)                   \
    {                                                                                           \
        asgdk_fm_fn *narrow = NARROW_FM(ASGD_RULE_##name);                                      \
        if (narrow)                                                                             \
            narrow(t, local, local_stride, pad, n, idx, val, xs, slope, sum, p);                \
        else                                                                                    \
            fm_apply(name, merged, local_slots, t, local, local_stride, pad, n, idx, val, xs,   \
                     slope, sum, p);                                                            \
    }                                                                                           \
    static void name##_ffm(const asgd_view *t, float *local, size_t local_stride, asgdk_ffm *s, \
                           uint32_t n, const uint32_t *idx, const uint16_t *field,              \
                           const float *val, float xs, float slope, const asgdk_step *p)        \
    {                                                                                           \
        ffm_apply(name, merged, local_slots, t, local, local_stride, s, n, idx, field, val, xs, \
                  slope, p);                                                                    \
    }
RULES(DEFINE)
#undef DEFINE

static void adagrad_quads_ffm(const asgd_view *t, float *local, size_t local_stride, asgdk_ffm *s,
                              uint32_t n, const uint32_t *idx, const uint16_t *field,
                              const float *val, float xs, float slope, const asgdk_step *p)
{
    ffm_apply(NULL, QUADS, 0, t, local, local_stride, s, n, idx, field, val, xs, slope, p);
}
