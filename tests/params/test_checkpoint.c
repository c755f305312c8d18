/* A run on disk: the same bits come back; a crash at any point leaves the old checkpoint or the new
 * one; damage is found. */
#define _GNU_SOURCE
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/sys.h"
#include "params/checkpoint.h"

enum { TABLES = 2, WORKERS = 3 };

static const asgd_table tables[TABLES] = {
    {.name = "W", .rows = 20, .dim = 7},
    {.name = "b", .rows = 900, .dim = 1},
};
static char folder[] = "/tmp/asgd-checkpoint-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* Removes all files; says how many there were. */
static int clear(void)
{
    int  n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') n += unlinkat(dirfd(d), e->d_name, 0) == 0;
    if (d) closedir(d);
    return n;
}

static int count(void)
{
    int  n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    clear();
    return rmdir(folder);
}

typedef struct run {
    asgdi_params  p;
    asgdi_private w[WORKERS];
    float *const *local[WORKERS];
} run;

static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) x[i] = asgdi_uniform(asgdi_random(seed, 0, i)) - 0.5f;
}

static size_t floats_of(const run *r, int t)
{
    return (size_t)r->p.table[t].info.rows * r->p.table[t].stride;
}

static size_t local_of(const run *r, int t)
{
    return (size_t)r->p.table[t].info.rows * r->p.table[t].pad * r->p.slots.local;
}

static void begin(run *r, asgd_rule_kind rule, uint64_t seed)
{
    static const uint64_t none[TABLES] = {0, 0};
    ok(asgdi_params_init(&r->p, tables, TABLES, 0));
    ok(asgdi_params_set_rule(&r->p, rule));
    for (int t = 0; t < TABLES && seed; t++) fill(r->p.table[t].master, floats_of(r, t), seed);
    for (uint32_t w = 0; w < WORKERS; w++) {
        ok(asgdi_private_init(&r->w[w], &r->p, none));
        r->local[w] = r->w[w].local;
        for (int t = 0; t < TABLES && seed; t++)
            if (r->w[w].local[t]) fill(r->w[w].local[t], local_of(r, t), seed + 10 + w);
    }
}

static void end(run *r)
{
    for (int w = 0; w < WORKERS; w++) asgdi_private_free(&r->w[w]);
    asgdi_params_free(&r->p);
}

static asgd_status save(const run *r, const char *state)
{
    return asgdi_checkpoint_save(folder, &r->p, r->local, WORKERS, state);
}

/* The checkpoint in the folder is that of the run made with this seed. */
static void expect(asgd_rule_kind rule, uint64_t seed, const char *state)
{
    run              want, got;
    asgdi_checkpoint c;
    begin(&want, rule, seed);
    begin(&got, rule, 0);
    ok(asgdi_checkpoint_load(folder, &got.p, &c));
    assert_string_equal(c.state, state);
    assert_int_equal(c.workers, want.p.slots.local ? WORKERS : 0);
    for (int t = 0; t < TABLES; t++)
        assert_memory_equal(got.p.table[t].master, want.p.table[t].master,
                            floats_of(&want, t) * sizeof(float));
    for (uint32_t w = 0; w < 2 * WORKERS && c.workers; w++) { /* also more than there were */
        const uint32_t here = w % WORKERS;
        asgdi_checkpoint_local(&c, w, got.local[here]);
        for (int t = 0; t < TABLES; t++) {
            assert_memory_equal(got.local[here][t], want.local[here][t],
                                local_of(&want, t) * sizeof(float));
            memset(got.local[here][t], 0, local_of(&want, t) * sizeof(float));
        }
    }
    asgdi_checkpoint_free(&c);
    asgdi_checkpoint_free(&c); /* harmless */
    end(&want);
    end(&got);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int rule = ASGD_RULE_DEFAULT; rule < ASGD_RULES; rule++) {
        run r;
        begin(&r, (asgd_rule_kind)rule, 5);
        assert_false(asgdi_checkpoint_exists(folder));
        ok(save(&r, "{\"epoch\": 3, \"text\": \"\\u00e4\"}"));
        assert_true(asgdi_checkpoint_exists(folder));
        end(&r);
        expect((asgd_rule_kind)rule, 5, "{\"epoch\": 3, \"text\": \"\\u00e4\"}");
        assert_int_equal(clear(), TABLES + 1);
    }
}

/* A save replaces the one before it and clears what crashes have left; files of others stay. */
static void put(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_crashes(void **state)
{
    (void)state;
    run r;
    begin(&r, ASGD_RULE_adam, 1);
    ok(save(&r, "one"));
    end(&r);
    /* killed after some tables of a next generation, and in the middle of others */
    put("table-000-2.safetensors", "whole, but no manifest names it");
    put("table-001-2.safetensors.tmp-123", "ha");
    put("manifest.json.tmp-123", "{");
    put("table-notes.txt", "somebody's");
    expect(ASGD_RULE_adam, 1, "one");
    begin(&r, ASGD_RULE_adam, 2);
    ok(save(&r, "two"));
    end(&r);
    expect(ASGD_RULE_adam, 2, "two");
    assert_int_equal(count(), TABLES + 2);
    clear();
}

/* No room on the disk: the save fails, the checkpoint before it stays, and nothing lies around. */
static void test_full(void **state)
{
    (void)state;
    run r;
    begin(&r, ASGD_RULE_ftrl, 1);
    ok(save(&r, "one"));
    const int files = count();
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {5000, 5000}; /* table W fits, b does not */
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        _exit(save(&r, "two") == ASGD_EIO ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(count(), files);
    end(&r);
    expect(ASGD_RULE_ftrl, 1, "one");
    clear();
}

static long size_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    fclose(f);
    return n;
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 4, f);
    fclose(f);
}

static void refused(const char *text)
{
    static const char *const known = "checkpoint";
    run                      r, untouched;
    asgdi_checkpoint         c;
    begin(&r, ASGD_RULE_momentum, 9);
    begin(&untouched, ASGD_RULE_momentum, 9);
    const asgd_status s = asgdi_checkpoint_load(folder, &r.p, &c);
    if ((s != ASGD_EFORMAT && s != ASGD_EIO) || !strstr(asgd_errmsg(), text) ||
        !strstr(asgd_errmsg(), known))
        fail_msg("%s: %s", asgd_strerror(s), asgd_errmsg());
    for (int t = 0; t < TABLES; t++)
        assert_memory_equal(r.p.table[t].master, untouched.p.table[t].master,
                            floats_of(&r, t) * sizeof(float));
    assert_null(c.state);
    end(&r);
    end(&untouched);
}

/* Any changed bit of any file, any file cut short or gone. */
static void test_damage(void **state)
{
    (void)state;
    static const char *const names[] = {"table-000-1.safetensors", "table-001-1.safetensors",
                                        "manifest.json"};
    run                      r;
    begin(&r, ASGD_RULE_momentum, 1);
    ok(save(&r, "{\"examples\":123}"));
    for (int i = 0; i < 3; i++) {
        char path[512], away[600];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        snprintf(away, sizeof away, "%s.away", path);
        const long n = size_of(path);
        for (long at = 0; at < n; at += n / 50 + 1) {
            FILE *f = fopen(path, "rb");
            assert_non_null(f);
            fseek(f, at, SEEK_SET);
            const int c = fgetc(f);
            fclose(f);
            if (i == 2 && (c == ' ' || c == '\n')) continue; /* blanks mean nothing in JSON */
            flip(path, at);
            refused(names[i]);
            flip(path, at);
        }
        assert_int_equal(rename(path, away), 0);
        refused(names[i]);
        assert_int_equal(rename(away, path), 0);
    }
    expect(ASGD_RULE_momentum, 1, "{\"examples\":123}"); /* it was all put back */
    for (int i = 2; i >= 0; i--) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        ok(save(&r, "x"));
        clear();
        ok(save(&r, "x"));
        assert_int_equal(truncate(path, size_of(path) - 5), 0);
        refused(names[i]);
        assert_int_equal(truncate(path, 0), 0);
        refused(names[i]);
    }
    end(&r);
    clear();
}

/* A checkpoint of something else is not loaded, and the message says what differs. */
static void test_mismatch(void **state)
{
    (void)state;
    run              r;
    asgdi_checkpoint c;
    asgdi_params     p;
    begin(&r, ASGD_RULE_adagrad, 1);
    ok(save(&r, ""));
    end(&r);

    asgd_table other[TABLES] = {tables[0], tables[1]};
    other[0].dim             = 8; /* as wide with its padding */
    ok(asgdi_params_init(&p, other, TABLES, 0));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_adagrad));
    fails(asgdi_checkpoint_load(folder, &p, &c), ASGD_EMISMATCH, "table W of 20x7, not 20x8");
    asgdi_params_free(&p);

    strcpy(other[0].name, "V");
    ok(asgdi_params_init(&p, other, TABLES, 0));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_adagrad));
    fails(asgdi_checkpoint_load(folder, &p, &c), ASGD_EMISMATCH, "table W, not V");
    asgdi_params_free(&p);

    ok(asgdi_params_init(&p, tables, 1, 0));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_adagrad));
    fails(asgdi_checkpoint_load(folder, &p, &c), ASGD_EMISMATCH, "2 tables, not 1");
    asgdi_params_free(&p);

    ok(asgdi_params_init(&p, tables, TABLES, 0));
    ok(asgdi_params_set_rule(&p, ASGD_RULE_rmsprop)); /* rows of the same length */
    fails(asgdi_checkpoint_load(folder, &p, &c), ASGD_EMISMATCH, "rule adagrad, not rmsprop");
    asgdi_params_free(&p);

    put("manifest.json", "{\"format\":\"asgd-checkpoint-9\"}");
    ok(asgdi_params_init(&p, tables, TABLES, 0));
    fails(asgdi_checkpoint_load(folder, &p, &c), ASGD_EFORMAT, "asgd-checkpoint-9");
    asgdi_params_free(&p);
    clear();
}

static void test_places(void **state)
{
    (void)state;
    run              r;
    asgdi_checkpoint c;
    char             deep[300];
    begin(&r, ASGD_RULE_sgd, 1);
    fails(asgdi_checkpoint_load(folder, &r.p, &c), ASGD_EIO, "no checkpoint here");
    assert_false(asgdi_checkpoint_exists("/nonexistent"));
    fails(asgdi_checkpoint_save("/dev/null/x", &r.p, NULL, 0, ""), ASGD_EIO, "/dev/null");
    fails(asgdi_checkpoint_save(folder, &r.p, NULL, 0, "\xff"), ASGD_EINVAL, "UTF-8");
    assert_int_equal(count(), 0);
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    ok(asgdi_checkpoint_save(deep, &r.p, NULL, 0, "")); /* folders are made */
    assert_true(asgdi_checkpoint_exists(deep));
    end(&r);
    const char *const left[] = {"/manifest.json", "/table-000-1.safetensors",
                                "/table-001-1.safetensors"};
    for (int i = 0; i < 3; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s%s", deep, left[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(deep), 0);
    deep[strlen(deep) - 2] = 0;
    assert_int_equal(rmdir(deep), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_full),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_mismatch),   cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
