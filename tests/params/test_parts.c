/* A checkpoint in parts: any number of them gives the same bits; damaged, missing and mixed ones are found, and leave
 * the last checkpoint as it is. */
#define _GNU_SOURCE
#include "test.h"

#include <dirent.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "params/checkpoint.h"

enum { TABLES = 2, MOST = 5, PIECES = 64 };

static const asgd_table tables[TABLES] = {
    {.name = "W", .rows = 200, .dim = 7},
    {.name = "b", .rows = 3, .dim = 1},
};
static char             folder[] = "/tmp/asgd-parts-XXXXXX";
static const asgdi_side no_side;

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int files(bool remove)
{
    int  n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        n++;
        if (remove) unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d) closedir(d);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    files(true);
    return rmdir(folder);
}

static void begin(asgdi_params *p, uint64_t seed)
{
    ok(asgdi_params_init(p, tables, TABLES, 1));
    ok(asgdi_params_set_rule(p, ASGD_RULE_adagrad));
    for (int t = 0; t < TABLES; t++)
        for (size_t i = 0; i < p->table[t].info.rows * p->table[t].stride; i++)
            p->table[t].master[i] = asgdi_uniform(asgdi_random(seed, (uint64_t)t, i)) - 0.5f;
}

static void same(uint64_t seed, const char *state)
{
    asgdi_params     want, got;
    asgdi_checkpoint c;
    begin(&want, seed);
    begin(&got, seed + 1);
    ok(asgdi_checkpoint_load(folder, &got, &c));
    assert_string_equal(c.state, state);
    assert_int_equal(c.workers, 0);
    for (int t = 0; t < TABLES; t++)
        assert_memory_equal(got.table[t].master, want.table[t].master,
                            want.table[t].info.rows * want.table[t].stride * sizeof(float));
    asgdi_checkpoint_free(&c);
    asgdi_params_free(&want);
    asgdi_params_free(&got);
}

static void refused(asgd_status s, const char *says)
{
    asgdi_params     was, got;
    asgdi_checkpoint c;
    begin(&was, 77);
    begin(&got, 77);
    fails(asgdi_checkpoint_load(folder, &got, &c), s, says);
    for (int t = 0; t < TABLES; t++)
        assert_memory_equal(got.table[t].master, was.table[t].master,
                            was.table[t].info.rows * was.table[t].stride * sizeof(float));
    asgdi_params_free(&was);
    asgdi_params_free(&got);
}

/* Process q of n writes every n-th stretch of five rows. */
static void write_part(const asgdi_params *p, uint64_t generation, uint32_t process, uint32_t q,
                       uint32_t n, asgdi_part *out)
{
    asgdi_piece piece[PIECES];
    float      *rows[TABLES];
    uint32_t    pieces = 0, number = 0, extra[] = {q, n};
    for (int t = 0; t < TABLES; t++) {
        const asgdi_table *x    = &p->table[t];
        size_t             used = 0;
        rows[t]                 = calloc(x->info.rows * x->stride, sizeof(float));
        assert_non_null(rows[t]);
        for (uint64_t first = 0; first < x->info.rows; first += 5, number++) {
            const uint64_t left = x->info.rows - first;
            const uint32_t many = left < 5 ? (uint32_t)left : 5;
            if (number % n != q) continue;
            memcpy(rows[t] + used, x->master + first * x->stride, many * x->stride * sizeof(float));
            used += many * x->stride;
            piece[pieces++] = (asgdi_piece){first, many, t};
        }
    }
    out->process = process;
    ok(asgdi_part_write(folder, generation, p, piece, pieces, rows, extra, q ? 2 : 0, out));
    for (int t = 0; t < TABLES; t++) free(rows[t]);
}

static uint64_t write_all(uint64_t seed, uint32_t n, asgdi_part *part)
{
    asgdi_params p;
    uint64_t     generation;
    begin(&p, seed);
    ok(asgdi_checkpoint_begin(folder, &no_side, &generation));
    for (uint32_t q = 0; q < n; q++) write_part(&p, generation, q, q, n, &part[q]);
    asgdi_params_free(&p);
    return generation;
}

static asgd_status check(uint64_t generation, const asgdi_part *part, uint32_t n)
{
    asgdi_params p;
    uint32_t    *extra;
    size_t       n_extra;
    begin(&p, 1);
    const asgd_status s = asgdi_checkpoint_check(folder, generation, &p, part, n, &extra, &n_extra);
    if (!s) {
        assert_int_equal(n_extra, 2 * (n - 1));
        for (uint32_t i = 1; i < n; i++) assert_int_equal(extra[2 * (i - 1)], i);
    }
    asgdi_free(extra);
    asgdi_params_free(&p);
    return s;
}

static void commit(uint64_t generation, const asgdi_part *part, uint32_t n, const char *state)
{
    asgdi_params p;
    begin(&p, 1);
    ok(asgdi_checkpoint_commit(folder, generation, &p, part, n, state));
    asgdi_params_free(&p);
}

static void any_number_of_parts(void **state)
{
    (void)state;
    asgdi_part part[MOST];
    for (uint32_t n = 1; n <= MOST; n++) {
        const uint64_t generation = write_all(n, n, part);
        ok(check(generation, part, n));
        commit(generation, part, n, "so far");
        assert_int_equal(files(false), n + 1); /* the last one's are gone */
        same(n, "so far");
    }
    /* one process alone goes on from it, and several from what that one writes */
    asgdi_params p;
    begin(&p, 9);
    ok(asgdi_checkpoint_save(folder, &p, NULL, 0, "alone"));
    asgdi_params_free(&p);
    assert_int_equal(files(false), TABLES + 1);
    same(9, "alone");
    commit(write_all(10, 2, part), part, 2, "two");
    assert_int_equal(files(false), 2 + 1);
    same(10, "two");
    files(true);
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    assert_int_equal(fclose(f), 0);
}

/* What is wrong with a generation that was not committed leaves the last one; what goes wrong with one that was is found
 * before anything is changed. */
static void parts_that_do_not_fit(void **state)
{
    (void)state;
    asgdi_part part[MOST], other[MOST];
    commit(write_all(1, 3, part), part, 3, "good");
    const uint64_t generation = write_all(2, 3, part);
    char          *path       = asgdi_part_path(folder, generation, 1);
    assert_non_null(path);
    flip(path, -5);
    fails(check(generation, part, 3), ASGD_EFORMAT, "checksum");
    flip(path, -5);
    ok(check(generation, part, 3));
    assert_int_equal(truncate(path, 100), 0);
    assert_int_not_equal(check(generation, part, 3), ASGD_OK);
    assert_int_equal(unlink(path), 0);
    fails(check(generation, part, 3), ASGD_EIO, "part-001");
    same(1, "good");
    /* another process's part in its place, twice the same, or one too few */
    ok(asgdi_checkpoint_begin(folder, &no_side, &(uint64_t){0}));
    assert_int_equal(files(false), 4); /* what belongs to no checkpoint is gone */
    const uint64_t next = write_all(3, 3, part);
    assert_true(next > 0);
    other[0] = part[0], other[1] = part[1], other[2] = part[1];
    fails(check(next, other, 3), ASGD_EFORMAT, "in two");
    fails(check(next, part, 2), ASGD_EFORMAT, "in no part");
    ok(check(next, part, 3));
    same(1, "good");
    /* committed ones */
    commit(next, part, 3, "new");
    same(3, "new");
    char *last = asgdi_part_path(folder, next, 2);
    assert_non_null(last);
    flip(last, -5);
    refused(ASGD_EFORMAT, "checksum");
    assert_int_equal(unlink(last), 0);
    refused(ASGD_EIO, "part-002");
    free(path);
    free(last);
    files(true);
}

/* ---- sides of a run (side.h) ---- */

static asgdi_side side_of(uint64_t run, uint32_t first, uint32_t n)
{
    asgdi_side s = {.run = run};
    for (uint32_t q = first; q < first + n; q++) asgdi_set_add(&s.in, q);
    return s;
}

static asgd_status commit_as(const asgdi_side *side, uint64_t generation, const asgdi_part *part,
                             uint32_t n, const char *state)
{
    asgdi_params p;
    begin(&p, 1);
    p.side              = *side;
    const asgd_status s = asgdi_checkpoint_commit(folder, generation, &p, part, n, state);
    asgdi_params_free(&p);
    return s;
}

/* Parts of processes first..first+n-1, of parameters of this seed. */
static void write_side(const asgdi_side *side, uint64_t seed, uint32_t first, uint32_t n,
                       uint64_t *generation, asgdi_part *part)
{
    asgdi_params p;
    begin(&p, seed);
    ok(asgdi_checkpoint_begin(folder, side, generation));
    for (uint32_t q = 0; q < n; q++) write_part(&p, *generation, first + q, q, n, &part[q]);
    asgdi_params_free(&p);
}

static void the_larger_side_keeps_the_folder(void **state)
{
    (void)state;
    asgdi_part       part[MOST], other[MOST];
    uint64_t         generation, theirs;
    const asgdi_side all = side_of(7, 0, 5), few = side_of(7, 0, 2), many = side_of(7, 2, 3),
                     next = side_of(8, 0, 1);
    write_side(&all, 1, 0, 5, &generation, part);
    ok(commit_as(&all, generation, part, 5, "all"));
    /* both write, neither takes away what the other is writing; the smaller is the first to end */
    write_side(&many, 2, 2, 3, &generation, part);
    write_side(&few, 3, 0, 2, &theirs, other);
    ok(commit_as(&few, theirs, other, 2, "few"));
    same(3, "few");
    ok(check(generation, part, 3));
    ok(commit_as(&many, generation, part, 3, "many"));
    same(2, "many");
    /* which then finds that it is not to go on */
    fails(asgdi_checkpoint_begin(folder, &few, &theirs), ASGD_ELOST, "3 processes of this run");
    fails(commit_as(&few, theirs, other, 2, "few"), ASGD_ELOST, "cut off from these 2");
    asgdi_params p;
    begin(&p, 4);
    p.side = few;
    fails(asgdi_checkpoint_save(folder, &p, NULL, 0, "few"), ASGD_ELOST, "3 processes of this run");
    asgdi_params_free(&p);
    same(2, "many");
    /* the larger one that has lost all but one is still that one's; and another run is free to begin anew */
    const asgdi_side last = side_of(7, 4, 1);
    write_side(&last, 5, 4, 1, &generation, part);
    ok(commit_as(&last, generation, part, 1, "last"));
    same(5, "last");
    write_side(&next, 6, 0, 1, &generation, part);
    ok(commit_as(&next, generation, part, 1, "next"));
    same(6, "next");
    /* what the sides had left goes with the next one at the latest */
    write_side(&next, 7, 0, 1, &generation, part);
    ok(commit_as(&next, generation, part, 1, "next"));
    same(7, "next");
    assert_int_equal(files(false), 2);
    files(true);
}

static void sides_as_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "0123456789abcdef",
                                      "0123456789abcdef ",
                                      "0123456789abcdeg 1",
                                      "0123456789abcdef 1,",
                                      "0123456789abcdef 1 2",
                                      "0123456789abcdef 256",
                                      "0123456789abcdef 1234",
                                      "0123456789abcdef -1"};
    char                     text[ASGDI_SIDE_TEXT];
    asgdi_side               s = side_of(0xfedcba9876543210u, 0, ASGDI_PROCESSES_MAX), back;
    asgdi_side_print(&s, text);
    assert_true(strlen(text) < sizeof text);
    assert_true(asgdi_side_parse(&back, text));
    assert_memory_equal(&back, &s, sizeof s);
    s = side_of(1, 3, 2);
    asgdi_side_print(&s, text);
    assert_string_equal(text, "0000000000000001 3,4");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(asgdi_side_parse(&back, bad[i]));
    /* of equal ones, that with the lowest process */
    const asgdi_side low = side_of(1, 0, 2), high = side_of(1, 2, 2);
    asgdi_side_print(&low, text);
    fails(asgdi_side_check(&high, text, "x"), ASGD_ELOST, "x: 2 processes");
    asgdi_side_print(&high, text);
    ok(asgdi_side_check(&low, text, "x"));
    ok(asgdi_side_check(&low, "by hand", "x"));
}

/* Whoever dies while it writes leaves a part of a file, or a part that nobody asks for. */
static void what_the_dead_leave(void **state)
{
    (void)state;
    asgdi_part part[MOST];
    commit(write_all(1, 2, part), part, 2, "good");
    const uint64_t next = write_all(2, 2, part);
    char           name[128];
    snprintf(name, sizeof name, "%s/part-007-%llu.safetensors.tmp-99", folder,
             (unsigned long long)next + 5);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    same(1, "good");
    const uint64_t after = write_all(3, 1, part);
    assert_true(after > next + 5); /* who is only late writes no file of the new one */
    assert_int_equal(files(false), 3 + 1);
    commit(after, part, 1, "after");
    assert_int_equal(files(false), 2);
    same(3, "after");
    files(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_parts),
        cmocka_unit_test(parts_that_do_not_fit),
        cmocka_unit_test(the_larger_side_keeps_the_folder),
        cmocka_unit_test(sides_as_text),
        cmocka_unit_test(what_the_dead_leave),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
