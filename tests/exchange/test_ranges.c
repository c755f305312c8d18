/* Sets of ranges: the same as a bitmap after any operations, also at the end of 64 bits; nothing is
 * changed where there is no memory; bytes give the set back, and other bytes are refused. */
#include "exchange/random_ops.h"

#include "exchange/ranges.h"

#define R(l, h) ((asgdi_range){(l), (h)})
#define MAX UINT64_MAX

enum { PLACES = 160 }; /* of the bitmap */

/* A set and what it should be: place i is position base + i. */
typedef struct pair {
    asgdi_ranges set;
    uint64_t     base;
    bool         has[PLACES];
} pair;

static void check_form(const asgdi_ranges *s)
{
    holds(s->n <= s->room);
    for (uint32_t i = 0; i < s->n; i++) {
        holds(s->range[i].lo < s->range[i].hi);
        holds(i == 0 || s->range[i - 1].hi < s->range[i].lo);
    }
}

static void check(const pair *p)
{
    bool     found[PLACES] = {false};
    uint64_t n             = 0;
    check_form(&p->set);
    for (uint32_t i = 0; i < p->set.n; i++) {
        const asgdi_range r = p->set.range[i];
        holds(r.lo >= p->base && r.hi - p->base <= PLACES);
        for (uint64_t x = r.lo; x < r.hi; x++) found[x - p->base] = true;
    }
    for (int i = 0; i < PLACES; i++) {
        holds(found[i] == p->has[i]);
        n += p->has[i];
    }
    holds(asgdi_ranges_count(&p->set) == n);
}

static bool equal(const asgdi_ranges *a, const asgdi_ranges *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->range, b->range, a->n * sizeof *a->range) == 0);
}

static asgdi_ranges copy(const asgdi_ranges *s)
{
    asgdi_ranges c = {0};
    holds(asgdi_ranges_add_all(&c, s));
    return c;
}

static asgdi_range draw_range(uint64_t base)
{
    const uint64_t lo = draw(PLACES + 1), most = draw(4) ? 8 : PLACES;
    const uint64_t n = draw(most + 1);
    return R(base + lo, base + (lo + n < PLACES ? lo + n : PLACES));
}

static void set_places(pair *p, asgdi_range r, bool to)
{
    for (uint64_t x = r.lo; x < r.hi; x++) p->has[x - p->base] = to;
}

/* One change of p, by r or by q, of which some are without memory. */
static void change(pair *p, const pair *q)
{
    const asgdi_range r      = draw_range(p->base);
    const int         kind   = (int)draw(10);
    asgdi_ranges      before = copy(&p->set);
    for (int tries = 0;; tries++) {
        bool done;
        no_memory = tries == 0 && draw(4) == 0;
        if (kind < 4)
            done = asgdi_ranges_add(&p->set, r);
        else if (kind < 8)
            done = asgdi_ranges_remove(&p->set, r);
        else if (kind == 8)
            done = asgdi_ranges_add_all(&p->set, &q->set);
        else
            done = asgdi_ranges_remove_all(&p->set, &q->set);
        const bool had = !no_memory;
        no_memory      = false;
        if (done) break;
        holds(!had);
        holds(equal(&p->set, &before));
    }
    if (kind < 8) set_places(p, r, kind < 4);
    for (int i = 0; kind >= 8 && i < PLACES; i++)
        if (q->has[i]) p->has[i] = kind == 8;
    asgdi_ranges_free(&before);
}

/* Everything that can be asked about r. */
static void ask(const pair *p)
{
    const asgdi_range r   = draw_range(p->base);
    uint64_t          all = 0, lo = r.hi, hi;
    for (uint64_t x = r.lo; x < r.hi; x++) all += p->has[x - p->base];
    for (uint64_t x = r.hi; x > r.lo; x--)
        if (p->has[x - 1 - p->base]) lo = x - 1;
    for (hi = lo; hi < r.hi && p->has[hi - p->base]; hi++) {
    }
    const asgdi_range c = asgdi_ranges_common(&p->set, r);
    holds(all ? c.lo == lo && c.hi == hi : c.lo >= c.hi);
    holds(asgdi_ranges_meet(&p->set, r) == (all > 0));
    holds(asgdi_ranges_contain(&p->set, r) == (r.lo >= r.hi || all == r.hi - r.lo));
    if (p->base > 0) return; /* the rest is about the lowest positions */

    const uint64_t end = draw(PLACES + 1), most = draw(20);
    for (lo = 0; lo < end && p->has[lo]; lo++) {
    }
    for (hi = lo; hi < end && hi - lo < most && !p->has[hi]; hi++) {
    }
    const asgdi_range g = asgdi_ranges_gap(&p->set, most, end);
    holds(lo < hi ? g.lo == lo && g.hi == hi : g.lo >= g.hi);
}

/* To bytes and back; in less room, the leading ranges. */
static void there_and_back(const pair *p)
{
    const size_t most  = 20 * (size_t)p->set.n + 1;
    size_t       bytes = 0, fewer = 0;
    uint8_t     *all = malloc(most);
    holds(all);
    holds(asgdi_ranges_put(&p->set, all, most, &bytes) == p->set.n);
    asgdi_ranges s = {0};
    holds(asgdi_ranges_add(&s, R(3, 5))); /* what was in it goes */
    holds(asgdi_ranges_get(&s, all, bytes, p->base + PLACES));
    holds(equal(&s, &p->set));

    const size_t room = draw(bytes + 1);
    uint8_t     *some = malloc(room ? room : 1);
    holds(some);
    const uint32_t n = asgdi_ranges_put(&p->set, some, room, &fewer);
    holds(fewer <= room && memcmp(some, all, fewer) == 0 && (n == p->set.n) == (fewer == bytes));
    holds(asgdi_ranges_get(&s, some, fewer, p->base + PLACES) && s.n == n);
    const asgdi_ranges head = {.range = p->set.range, .n = n};
    holds(equal(&s, &head));
    asgdi_ranges_free(&s);
    free(all);
    free(some);
}

static void test_against_bitmap(void **state)
{
    (void)state;
    static const uint64_t base[] = {0, MAX - PLACES, UINT64_C(1) << 32};
    for (uint64_t run = 0; run < 300; run++) {
        begin(run + 1);
        pair p = {.base = base[run % 3]}, q = {.base = base[run % 3]};
        for (int i = 0; i < 60; i++) {
            const bool first = draw(3) > 0;
            change(first ? &p : &q, first ? &q : &p);
            check(&p);
            check(&q);
            ask(&p);
            there_and_back(&p);
        }
        asgdi_ranges_free(&p.set);
        asgdi_ranges_free(&q.set);
    }
}

static void is(const asgdi_ranges *s, const asgdi_range *want, uint32_t n)
{
    assert_int_equal(s->n, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(s->range[i].lo == want[i].lo);
        assert_true(s->range[i].hi == want[i].hi);
    }
}
#define IS(s, ...)                              \
    is((s), (const asgdi_range[]){__VA_ARGS__}, \
       (uint32_t)(sizeof(asgdi_range[]){__VA_ARGS__} / sizeof(asgdi_range)))

static void test_empty(void **state)
{
    (void)state;
    asgdi_ranges s = {0}, none = {0};
    asgdi_range  g = asgdi_ranges_gap(&s, 10, 100);
    begin(0);
    no_memory = true; /* none is needed */
    assert_true(asgdi_ranges_add(&s, R(5, 5)));
    assert_true(asgdi_ranges_add(&s, R(7, 5)));
    assert_true(asgdi_ranges_remove(&s, R(0, MAX)));
    assert_true(asgdi_ranges_add_all(&s, &none));
    assert_true(asgdi_ranges_remove_all(&s, &none));
    assert_true(asgdi_ranges_add_all(&s, &s));
    assert_true(asgdi_ranges_remove_all(&s, &s));
    assert_int_equal(s.n, 0);
    assert_true(asgdi_ranges_count(&s) == 0);
    assert_true(asgdi_ranges_contain(&s, R(3, 3)));
    assert_false(asgdi_ranges_contain(&s, R(3, 4)));
    assert_false(asgdi_ranges_meet(&s, R(0, MAX)));
    assert_true(g.lo == 0 && g.hi == 10);
    g = asgdi_ranges_gap(&s, 10, 0);
    assert_true(g.lo >= g.hi);
    g = asgdi_ranges_common(&s, R(0, MAX));
    assert_true(g.lo >= g.hi);
    asgdi_ranges_clear(&s);
    asgdi_ranges_free(&s);
    asgdi_ranges_free(&s); /* harmless */
}

static void test_touching_merge(void **state)
{
    (void)state;
    asgdi_ranges s = {0}, t = {0};
    begin(0);
    assert_true(asgdi_ranges_add(&s, R(10, 20)));
    assert_true(asgdi_ranges_add(&s, R(30, 40)));
    IS(&s, R(10, 20), R(30, 40));
    assert_true(asgdi_ranges_add(&s, R(20, 22)));
    assert_true(asgdi_ranges_add(&s, R(28, 30)));
    IS(&s, R(10, 22), R(28, 40));
    assert_true(asgdi_ranges_add(&s, R(22, 28)));
    IS(&s, R(10, 40));
    assert_true(asgdi_ranges_remove(&s, R(10, 12)));
    assert_true(asgdi_ranges_remove(&s, R(38, 40)));
    assert_true(asgdi_ranges_remove(&s, R(20, 21)));
    IS(&s, R(12, 20), R(21, 38));
    assert_false(asgdi_ranges_contain(&s, R(19, 22)));
    assert_true(asgdi_ranges_contain(&s, R(21, 38)));
    assert_false(asgdi_ranges_meet(&s, R(20, 21)));
    assert_false(asgdi_ranges_meet(&s, R(0, 12)));
    assert_true(asgdi_ranges_meet(&s, R(0, 13)));
    assert_true(asgdi_ranges_add(&t, R(20, 21)));
    assert_true(asgdi_ranges_add(&t, R(38, 50)));
    assert_true(asgdi_ranges_add_all(&s, &t));
    IS(&s, R(12, 50));
    assert_true(asgdi_ranges_remove_all(&s, &t));
    IS(&s, R(12, 20), R(21, 38));
    assert_true(asgdi_ranges_remove_all(&s, &s));
    assert_int_equal(s.n, 0);
    asgdi_ranges_free(&s);
    asgdi_ranges_free(&t);
}

static void test_whole_range(void **state)
{
    (void)state;
    asgdi_ranges s = {0};
    begin(0);
    assert_true(asgdi_ranges_add(&s, R(0, MAX)));
    IS(&s, R(0, MAX));
    assert_true(asgdi_ranges_count(&s) == MAX);
    assert_true(asgdi_ranges_contain(&s, R(0, MAX)));
    asgdi_range g = asgdi_ranges_gap(&s, 1, MAX);
    assert_true(g.lo >= g.hi);
    assert_true(asgdi_ranges_remove(&s, R(MAX - 1, MAX)));
    g = asgdi_ranges_gap(&s, MAX, MAX);
    assert_true(g.lo == MAX - 1 && g.hi == MAX);
    assert_true(asgdi_ranges_remove(&s, R(1, MAX - 2)));
    IS(&s, R(0, 1), R(MAX - 2, MAX - 1));
    g = asgdi_ranges_gap(&s, MAX, MAX);
    assert_true(g.lo == 1 && g.hi == MAX - 2);
    g = asgdi_ranges_gap(&s, 5, MAX);
    assert_true(g.lo == 1 && g.hi == 6);
    g = asgdi_ranges_gap(&s, 5, 3);
    assert_true(g.lo == 1 && g.hi == 3);
    assert_true(asgdi_ranges_remove(&s, R(0, MAX)));
    assert_int_equal(s.n, 0);
    asgdi_ranges_free(&s);
}

/* What is reserved is enough, and too much is refused, not tried. */
static void test_reserve(void **state)
{
    (void)state;
    asgdi_ranges s = {0}, t = {0};
    begin(0);
    assert_true(asgdi_ranges_add(&t, R(1, 2)));
    assert_true(asgdi_ranges_add(&t, R(4, 6)));
    assert_true(asgdi_ranges_reserve(&s, 4));
    no_memory = true;
    assert_true(asgdi_ranges_add(&s, R(0, 9)));
    assert_true(asgdi_ranges_remove_all(&s, &t));
    IS(&s, R(0, 1), R(2, 4), R(6, 9));
    assert_true(asgdi_ranges_remove(&s, R(7, 8)));
    assert_false(asgdi_ranges_remove(&s, R(2, 3)) && asgdi_ranges_add(&s, R(20, 21)));
    no_memory = false;
    assert_false(asgdi_ranges_reserve(&s, (size_t)UINT32_MAX + 1));
    asgdi_ranges_free(&s);
    asgdi_ranges_free(&t);
}

/* Bytes in a block of exactly their size, so that a sanitizer sees a read past the end. */
static bool get(asgdi_ranges *s, const char *text, size_t bytes, uint64_t end)
{
    uint8_t *exact = malloc(bytes ? bytes : 1);
    assert_non_null(exact);
    memcpy(exact, text, bytes);
    const bool is_set = asgdi_ranges_get(s, exact, bytes, end);
    free(exact);
    return is_set;
}
#define GET(text, end) get(&s, text, sizeof(text) - 1, end)

static void test_bytes(void **state)
{
    (void)state;
    asgdi_ranges s = {0};
    begin(0);
    assert_true(GET("", 0));
    assert_int_equal(s.n, 0);
    assert_true(GET("\x00\x05", 5));
    IS(&s, R(0, 5));
    assert_true(GET("\x00\x05\x01\x80\x01", 134));
    IS(&s, R(0, 5), R(6, 134));
    assert_true(GET("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", MAX));
    IS(&s, R(0, MAX));
    assert_true(GET("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", MAX));
    IS(&s, R(MAX - 1, MAX));

    /* from here on all is refused, and s stays as it is */
    assert_false(GET("\x00\x06", 5));           /* past the end */
    assert_false(GET("\x06\x01", 5));           /* begins there */
    assert_false(GET("\x05\x01", 5));           /* begins at it */
    assert_false(GET("\x00\x01", 0));           /* nothing may be in it */
    assert_false(GET("\x00\x00", 5));           /* empty */
    assert_false(GET("\x00\x01\x00\x01", 5));   /* touches the one before */
    assert_false(GET("\x00\x01\x01", 5));       /* no length */
    assert_false(GET("\x00\x01\x01\x80", 500)); /* half a number */
    assert_false(GET("\x80\x00\x01", 5));       /* a number longer than it need be */
    assert_false(GET("\x00\x81\x80\x00", 5));   /* and another */
    assert_false(GET("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", MAX));     /* 65 bits */
    assert_false(GET("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", MAX)); /* 11 bytes */
    assert_false(GET("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", MAX));     /* wraps round */
    assert_false(GET("\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x07", MAX));
    no_memory = true;
    assert_false(GET("\x00\x01\x01\x01\x01\x01", 5)); /* there is room for two */
    no_memory = false;
    IS(&s, R(MAX - 1, MAX));
    asgdi_ranges_free(&s);
}

/* Any bytes, and good ones of which one is changed or the last cut off: refused, or a set below the
 * end that gives the same bytes. */
static void test_any_bytes(void **state)
{
    (void)state;
    int sets = 0, refused = 0;
    for (uint64_t run = 0; run < 20000; run++) {
        begin(run + 1);
        uint8_t        text[24], again[24];
        size_t         bytes = draw(24), n;
        const uint64_t end   = MAX >> draw(64);
        asgdi_ranges   s     = {0};
        if (draw(2)) {
            for (size_t i = 0; i < bytes; i++) text[i] = (uint8_t)(draw(3) ? draw(4) : draw(256));
        } else {
            for (int i = 0; i < 4; i++) {
                const uint64_t lo = draw(end) & (MAX >> draw(64));
                holds(asgdi_ranges_add(&s, R(lo, lo + 1 + draw(end - lo))));
            }
            (void)asgdi_ranges_put(&s, text, sizeof text, &bytes);
            const uint64_t kind = draw(3);
            if (kind == 0 && bytes > 0) text[draw(bytes)] = (uint8_t)draw(256);
            if (kind == 1 && bytes > 0) bytes--;
            asgdi_ranges_free(&s);
        }
        if (get(&s, (const char *)text, bytes, end)) {
            check_form(&s);
            holds(s.n == 0 || s.range[s.n - 1].hi <= end);
            holds(asgdi_ranges_put(&s, again, sizeof again, &n) == s.n);
            holds(n == bytes && memcmp(again, text, n) == 0);
            sets += s.n > 0;
        } else {
            holds(s.n == 0);
            refused++;
        }
        asgdi_ranges_free(&s);
    }
    assert_true(sets > 2000 && refused > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_bitmap), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_touching_merge), cmocka_unit_test(test_whole_range),
        cmocka_unit_test(test_reserve),        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
