/* Random lines of Vowpal Wabbit text against what they were made from. */
#include "vw_expect.h"

#include <inttypes.h>

static uint64_t seed = 20240607;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % n);
}

static size_t random_name(char *p)
{
    static const char some[] = "abcXYZ019'\"\\-_.,;\x01\x0b\x1b\x7f\x80\xc3\xa9\xff";
    size_t            n      = 1 + random_below(random_below(4) ? 12 : 40);
    for (size_t i = 0; i < n; i++) p[i] = some[random_below(sizeof some - 1)];
    return n;
}

static char *put_blanks(char *p)
{
    uint32_t n = random_below(8) ? 1 : 1 + random_below(70);
    for (uint32_t i = 0; i < n; i++) *p++ = random_below(4) ? ' ' : '\t';
    return p;
}

enum { SPACES = 6, FEATURES = 40 };
static const char *const space_name[SPACES] = {"", "A", "B", "Bird", "Rather-long-namespace", "C"};

/* Quarters, so that sums are exact. */
static char *put_value(char *p, float *x)
{
    *x = 1;
    if (random_below(3)) return p;
    *x = (float)((int)random_below(64) - 32) / 4;
    return p + sprintf(p, ":%g", (double)*x);
}

static char *put_line(char *p, example *e)
{
    entry    f[FEATURES];
    uint32_t n = 0, letter[FEATURES], ends = random_below(3) ? 12 : FEATURES;
    e->n      = 0;
    e->y      = (float)((int)random_below(2) * 2 - 1);
    e->weight = random_below(4) ? 1 : (float)random_below(8) / 4;
    p += sprintf(p, "%g", (double)e->y);
    p = put_blanks(p);
    if (e->weight != 1) {
        p += sprintf(p, "%g", (double)e->weight);
        p = put_blanks(p);
    }
    if (random_below(4) == 0) p += sprintf(p, "'tag%s", random_below(2) ? "" : " ");
    while (n < ends) {
        uint32_t i = random_below(SPACES);
        float    scale;
        *p++ = '|';
        p += sprintf(p, "%s", space_name[i]);
        if (i > 0)
            p = put_value(p, &scale);
        else
            scale = 1;
        for (uint32_t m = random_below(5); m > 0 && n < ends; m--) {
            float x;
            p           = put_blanks(p);
            char  *name = p;
            size_t len  = random_name(p);
            p           = put_value(p + len, &x);
            f[n]        = feature_of(space_name[i], strlen(space_name[i]), name, len, x * scale, i);
            letter[n++] = i == 3 ? 2 : i;
        }
        if (random_below(4)) p = put_blanks(p);
    }
    for (uint32_t i = 0; i < n; i++) add(e, f[i]);
    for (uint32_t i = 0; i < n; i++) /* AB */
        for (uint32_t j = 0; j < n; j++)
            if (letter[i] == 1 && letter[j] == 2) add(e, product(f[i], f[j]));
    for (uint32_t i = 0; i < n; i++) /* CC */
        for (uint32_t j = i; j < n; j++)
            if (letter[i] == 5 && letter[j] == 5) add(e, product(f[i], f[j]));
    if (random_below(4) == 0) *p++ = '\r';
    *p++ = '\n';
    return p;
}

static void random_lines(void **state)
{
    (void)state;
    enum { LINES = 400, ROUNDS = 25, LINE = 10000, ENTRIES = FEATURES * (FEATURES + 1) };
    char    *text = malloc((LINES + 1) * LINE);
    example *e    = calloc(LINES, sizeof *e);
    for (int i = 0; i < LINES; i++) e[i].e = malloc(ENTRIES * sizeof(entry));
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t first = seed;
        char          *p     = text;
        p += sprintf(p, "0.5 ");
        for (uint32_t i = 0; i < SPACES; i++) p += sprintf(p, "|%s", space_name[i]);
        *p++ = '\n';
        for (int i = 0; i < LINES; i++) p = put_line(p, &e[i]);
        if (random_below(2)) p--; /* the last line has no end */
        asgd_source        *s;
        asgd_source_options o = {.format       = "vw",
                                 .cache        = "none",
                                 .threads      = 1 + random_below(4),
                                 .interactions = "AB,CC"};
        ok(asgd_source_open(&s, put("random.vw", text, (size_t)(p - text)), &o));
        assert_int_equal(s->schema.examples, LINES + 1);
        for (int i = 0; i < LINES; i++)
            if (!matches(s, (uint64_t)i + 1, &e[i]))
                fail_msg("line %d of seed %" PRIu64, i + 2, first);
        asgd_source_close(s);
    }
    for (int i = 0; i < LINES; i++) free(e[i].e);
    free(e);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_lines)};
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
