/* kern_merge.h -- private rows and their master: merging by deltas; copies between shared and private memory,
 * and private changes to shared rows.  Part of kern_body.h. */

static void merge(float *own, float *seen, float *master, size_t n, float weight)
{
    const vf s = vset(weight);
    size_t   i = 0;
    for (; n - i >= VW; i += VW) {
        vf m = vfma(s, rload(own + i) - rload(seen + i), rload(master + i));
        rstore(master + i, m);
        rstore(own + i, m);
        rstore(seen + i, m);
    }
    if (i < n) {
        vf m = vfma(s, rloadn(own + i, n - i) - rloadn(seen + i, n - i), rloadn(master + i, n - i));
        rstoren(master + i, m, n - i);
        rstoren(own + i, m, n - i);
        rstoren(seen + i, m, n - i);
    }
}

static void load(float *to, const float *shared, size_t n)
{
    size_t i = 0;
    for (; n - i >= VW; i += VW) vstore(to + i, rload(shared + i));
    if (i < n) vstoren(to + i, rloadn(shared + i, n - i), n - i);
}

static void store(float *shared, const float *from, size_t n)
{
    size_t i = 0;
    for (; n - i >= VW; i += VW) rstore(shared + i, vload(from + i));
    if (i < n) rstoren(shared + i, vloadn(from + i, n - i), n - i);
}

static void add(float *shared, const float *from, size_t n)
{
    size_t i = 0;
    for (; n - i >= VW; i += VW) rstore(shared + i, rload(shared + i) + vload(from + i));
    if (i < n) rstoren(shared + i, rloadn(shared + i, n - i) + vloadn(from + i, n - i), n - i);
}
