/* kern_plain_rows.h -- shared rows read and written like private memory: the sanctioned races. */
#define rload vload
#define rstore vstore
#define rloadn vloadn
#define rstoren vstoren

static inline float rload1(const float *p)
{
    return *p;
}
static inline void rstore1(float *p, float x)
{
    *p = x;
}
