/* Models on disk: what is saved is loaded again, to the bit; what does not fit is refused. */
#define _GNU_SOURCE
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "model/model.h"
#include "params/safetensors.h"

static char folder[] = "/tmp/asgd-model-XXXXXX";
static char path[256];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static const asgd_schema binary = {
    .examples = 1000, .nonzeros = 14000, .features = 123, .classes = 2, .y_min = 0, .y_max = 1};
static const asgd_schema digits  = {.examples = 60000,
                                    .nonzeros = 47040000,
                                    .features = 784,
                                    .classes  = 10,
                                    .dense    = true,
                                    .y_min    = 0,
                                    .y_max    = 9};
static const asgd_schema targets = {
    .examples = 10, .nonzeros = 30, .features = 3, .y_min = -0.1f, .y_max = 1.0f / 3};

static const struct {
    const char        *name, *options;
    const asgd_schema *schema;
} models[] = {{"linear", "", &binary},
              {"linear", "", &targets},
              {"softmax", "", &digits},
              {"mlp", "hidden=20,7", &digits}};

static void fill(asgd_model *m)
{
    for (int t = 0; t < asgd_model_tables(m); t++)
        for (uint64_t r = 0; r < asgd_model_table(m, t)->rows; r++)
            for (uint32_t c = 0; c < asgd_model_table(m, t)->dim; c++)
                asgd_model_row(m, t, r)[c] =
                    asgdi_normal(asgdi_random(3, (uint64_t)t, r * 1000 + c));
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        asgd_model        *m, *n = NULL;
        const asgd_schema *d = models[i].schema;
        ok(asgd_model_named(&m, models[i].name, models[i].options, d));
        fill(m);
        float labels[10] = {-1, 0.1f, 2, 3, 4, 5, 6, 7, 1e-30f, 1.0f / 3};
        if (i != 1) ok(asgdi_model_set_labels(m, labels, d->classes));
        /* slots do not go into the file */
        if (i == 2) ok(asgdi_params_set_rule(&m->params, ASGD_RULE_adam));
        ok(asgd_save(m, path));
        ok(asgd_load(&n, path));
        assert_string_equal(asgd_model_name(n), models[i].name);
        assert_string_equal(asgd_model_options(n), models[i].options);
        const asgd_schema *e = asgd_model_schema(n);
        assert_true(e->examples == d->examples && e->nonzeros == d->nonzeros &&
                    e->features == d->features && e->classes == d->classes &&
                    e->dense == d->dense && e->y_min == d->y_min && e->y_max == d->y_max);
        assert_true(asgd_model_task(n) == asgd_model_task(m) &&
                    asgd_model_outputs(n) == asgd_model_outputs(m));
        uint32_t     got   = 77;
        const float *again = asgd_model_labels(n, &got);
        assert_int_equal(got, i == 1 ? 0 : d->classes);
        if (i == 1)
            assert_null(again);
        else
            assert_memory_equal(again, labels, d->classes * sizeof(float));
        assert_int_equal(asgd_model_tables(n), asgd_model_tables(m));
        for (int t = 0; t < asgd_model_tables(m); t++) {
            assert_memory_equal(asgd_model_table(n, t), asgd_model_table(m, t), sizeof(asgd_table));
            for (uint64_t r = 0; r < asgd_model_table(m, t)->rows; r++)
                assert_memory_equal(asgd_model_row(n, t, r), asgd_model_row(m, t, r),
                                    asgd_model_table(m, t)->dim * sizeof(float));
        }
        assert_true(n->trained);
        asgd_model_free(m);
        asgd_model_free(n);
    }
}

/* The encoding comes back, and with it how to read other data. */
static void test_encoding(void **state)
{
    (void)state;
    static const uint32_t    key[]  = {7, 4294967295u, 0};
    static const char *const recipe = "{\"format\":\"csv\",\"name\":\"\u00e4 \\\"x\\\"\"}";
    asgd_schema              d      = targets;
    asgd_encoding           *e;
    asgd_model              *m, *n;
    d.fields = 2;
    ok(asgdi_encoding_new(&e, key, 3, 2, recipe));
    ok(asgd_model_named(&m, "linear", "", &d));
    assert_null(asgd_model_encoding(m));
    ok(asgdi_model_set_encoding(m, e));
    ok(asgd_save(m, path));
    ok(asgd_load(&n, path));
    assert_int_equal(asgd_model_schema(n)->fields, 2);
    assert_true(asgdi_encoding_equal(asgd_model_encoding(n), e));
    uint32_t rows;
    assert_memory_equal(asgd_encoding_keys(asgd_model_encoding(n), &rows), key, sizeof key);
    assert_int_equal(rows, 3);
    asgd_model_free(n);
    asgd_model_free(m);
    asgdi_encoding_free(e);

    static const uint32_t four[] = {1, 2, 3, 4};
    ok(asgdi_encoding_new(&e, four, 4, 0, "{}"));
    ok(asgd_model_named(&m, "linear", "", &targets));
    fails(asgdi_model_set_encoding(m, e), ASGD_EMISMATCH, "3 features, but an encoding of 4");
    assert_null(asgd_model_encoding(m));
    asgd_model_free(m);
    asgdi_encoding_free(e);
}

/* A file whose encoding is changed: keys as given (NULL: none), recipe as given (NULL: none). */
static void write_keys(const uint32_t *key, uint64_t n, const char *recipe)
{
    asgd_model   *m;
    asgdi_tensors f;
    ok(asgd_model_named(&m, "linear", "", &targets));
    ok(asgd_save(m, path));
    ok(asgdi_tensors_open(&f, path));
    json_t *meta = json_deep_copy(json_object_get(f.header, "__metadata__"));
    asgdi_tensors_close(&f);
    if (recipe) json_object_set_new(meta, "recipe", json_string(recipe));
    asgdi_matrix list[ASGD_MAX_TABLES + 1];
    int          tables = m->params.n_tables;
    for (int t = 0; t < tables; t++) {
        const asgdi_table *x = &m->params.table[t];
        list[t]              = (asgdi_matrix){.name   = x->info.name,
                                              .data   = x->master,
                                              .rows   = x->info.rows,
                                              .cols   = x->info.dim,
                                              .stride = x->stride};
    }
    if (key)
        list[tables++] =
            (asgdi_matrix){.name = "keys", .u32 = key, .rows = n, .cols = 1, .stride = 1};
    ok(asgdi_tensors_write(path, list, tables, meta, NULL, NULL));
    json_decref(meta);
    asgd_model_free(m);
}

static void test_bad_encoding(void **state)
{
    (void)state;
    static const uint32_t key[] = {5, 6, 7, 8}, twice[] = {5, 6, 5};
    const struct {
        const uint32_t *key;
        uint64_t        n;
        const char     *recipe, *text; /* text NULL: it is fine */
    } file[] = {
        {key, 3, "{}", NULL},
        {key, 2, "{}", NULL}, /* rows beyond it belong to no feature */
        {NULL, 0, NULL, NULL},
        {key, 4, "{}", "keys are missing, or no list of at most 3"},
        {NULL, 0, "{}", "keys are missing"},
        {key, 3, NULL, "\"recipe\""},
        {key, 3, "[]", "\"recipe\""},
        {key, 3, "{\"format\"", "\"recipe\""},
        {twice, 3, "{}", "feature 5 stands twice"},
    };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        asgd_model *m = NULL;
        write_keys(file[i].key, file[i].n, file[i].recipe);
        if (file[i].text) {
            fails(asgd_load(&m, path), ASGD_EFORMAT, file[i].text);
            assert_non_null(strstr(asgd_errmsg(), path));
            assert_null(m);
        } else {
            ok(asgd_load(&m, path));
        }
        asgd_model_free(m);
    }
}

/* The file of a small linear model, with one metadatum changed (value NULL: removed) and the table
 * "which" as given. */
static void write_file(const char *key, const char *value, const asgdi_matrix *table)
{
    asgd_model   *m;
    asgdi_tensors f;
    asgdi_matrix  list[ASGD_MAX_TABLES];
    ok(asgd_model_named(&m, "linear", "", &targets));
    ok(asgd_save(m, path));
    ok(asgdi_tensors_open(&f, path));
    json_t *meta = json_deep_copy(json_object_get(f.header, "__metadata__"));
    asgdi_tensors_close(&f);
    if (key && value) json_object_set_new(meta, key, json_string(value));
    if (key && !value) json_object_del(meta, key);
    int n = 0;
    for (int t = 0; t < m->params.n_tables; t++) {
        const asgdi_table *x = &m->params.table[t];
        list[n++] =
            (asgdi_matrix){x->info.name, x->master, x->info.rows, x->info.dim, x->stride, NULL};
        if (table && strcmp(table->name, x->info.name) == 0) list[n - 1] = *table;
        if (table && !table->data && strcmp(table->name, x->info.name) == 0) n--;
    }
    ok(asgdi_tensors_write(path, list, n, meta, NULL, NULL));
    json_decref(meta);
    asgd_model_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        asgd_status status;
        const char *text;
    } bad[] = {
        {"format", NULL, ASGD_EFORMAT, "no model of asgd"},
        {"format", "asgd-2", ASGD_EFORMAT, "asgd-2"},
        {"model", NULL, ASGD_EFORMAT, "\"model\""},
        {"model", "nothing", ASGD_EMISMATCH, "asgd_model_new"},
        {"own_model", "true", ASGD_EMISMATCH, "asgd_model_new"},
        {"options", NULL, ASGD_EFORMAT, "\"options\""},
        {"options", "no_such_option=1", ASGD_EINVAL, "no_such_option"},
        {"features", "4", ASGD_EMISMATCH, "options and data"},
        {"features", "4294967295", ASGD_EMISMATCH, "options and data"},
        {"features", "4294967296", ASGD_EFORMAT, "\"features\""},
        {"features", "99999999999999999999999", ASGD_EFORMAT, "\"features\""},
        {"features", "-3", ASGD_EFORMAT, "\"features\""},
        {"features", "3x", ASGD_EFORMAT, "\"features\""},
        {"features", "", ASGD_EFORMAT, "\"features\""},
        {"classes", NULL, ASGD_EFORMAT, "\"classes\""},
        {"dense", "maybe", ASGD_EFORMAT, "\"dense\""},
        {"dense", NULL, ASGD_EFORMAT, "\"dense\""},
        {"label_sets", "some", ASGD_EFORMAT, "\"label_sets\""},
        {"fields", "4097", ASGD_EFORMAT, "\"fields\""},
        {"fields", "", ASGD_EFORMAT, "\"fields\""},
        {"y_min", "low", ASGD_EFORMAT, "\"y_min\""},
        {"y_max", "1e999", ASGD_EFORMAT, "\"y_max\""},
        {"labels", "[1,2]", ASGD_EFORMAT, "\"labels\""},
        {"labels", "7", ASGD_EFORMAT, "\"labels\""},
    };
    asgd_model *m = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(bad[i].key, bad[i].value, NULL);
        fails(asgd_load(&m, path), bad[i].status, bad[i].text);
        assert_non_null(strstr(asgd_errmsg(), path));
        assert_null(m);
    }
    static const char *const newer[] = {"fields", "label_sets"}; /* older files lack them */
    for (int i = 0; i < 2; i++) {
        write_file(newer[i], NULL, NULL);
        ok(asgd_load(&m, path));
        asgd_model_free(m);
    }
    write_file("something else", "is ignored", NULL);
    ok(asgd_load(&m, path));
    const char *name   = m->params.table[0].info.name;
    const float nan[3] = {1, NAN, 2}, inf[3] = {-INFINITY, 0, 0};

    asgdi_matrix x = {name, nan, 3, 1, 1, NULL};
    write_file(NULL, NULL, &x);
    asgd_model *none;
    fails(asgd_load(&none, path), ASGD_EFORMAT, "row 1");
    x.data = inf;
    write_file(NULL, NULL, &x);
    fails(asgd_load(&none, path), ASGD_EFORMAT, "row 0");
    x = (asgdi_matrix){name, nan, 1, 3, 3, NULL};
    write_file(NULL, NULL, &x);
    fails(asgd_load(&none, path), ASGD_EMISMATCH, name);
    x = (asgdi_matrix){name, NULL, 1, 3, 3, NULL};
    write_file(NULL, NULL, &x);
    fails(asgd_load(&none, path), ASGD_EMISMATCH, name);
    asgd_model_free(m);

    fails(asgd_load(&none, "/nonexistent/m"), ASGD_EIO, "/nonexistent/m");
    fails(asgd_load(NULL, path), ASGD_EINVAL, "asgd_load");
    fails(asgd_load(&none, NULL), ASGD_EINVAL, "asgd_load");
}

/* A model that diverged, or a full disk: the file that is there stays as it is. */
static void test_kept(void **state)
{
    (void)state;
    asgd_model *m, *n = NULL;
    ok(asgd_model_named(&m, "softmax", "", &digits));
    fill(m);
    ok(asgd_save(m, path));
    asgd_model_row(m, 0, 100)[3] = NAN;
    fails(asgd_save(m, path), ASGD_EDIVERGED, "row 100");
    asgd_model_row(m, 0, 100)[3] = 0;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit limit = {10000, 10000};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        _exit(asgd_save(m, path) == ASGD_EIO && strstr(asgd_errmsg(), path) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ok(asgd_load(&n, path));
    assert_true(asgd_model_row(n, 0, 100)[3] != 0);
    asgd_model_free(n);
    asgd_model_free(m);

    DIR *d     = opendir(folder);
    int  files = 0;
    for (struct dirent *e; d && (e = readdir(d));) files += e->d_name[0] != '.';
    if (d) closedir(d);
    assert_int_equal(files, 1); /* no temporary is left */
}

static asgd_status own_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                             asgd_task *task, uint32_t *outputs)
{
    (void)self;
    tables[0] = (asgd_table){.name = "x", .rows = d->features, .dim = 2};
    *n        = 1;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    return ASGD_OK;
}

static void own_step(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                     void *scratch, uint64_t random, asgd_stats *st)
{
    (void)self, (void)b, (void)w, (void)g, (void)scratch, (void)random, (void)st;
}

static void own_predict(const void *self, const asgd_batch *b, const asgd_view *w,
                        const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    (void)self, (void)b, (void)w, (void)g, (void)scratch, (void)out, (void)st;
}

/* A program's own model can be saved for others to read; even one with a name of ours is not
 * mistaken for ours. */
static void test_own(void **state)
{
    (void)state;
    const asgd_model_ops ops = {
        .name = "linear", .shape = own_shape, .step = own_step, .predict = own_predict};
    asgd_model   *m, *n;
    asgdi_tensors f;
    ok(asgd_model_new(&m, &ops, NULL, &targets));
    ok(asgd_save(m, path));
    asgd_model_free(m);
    ok(asgdi_tensors_open(&f, path));
    assert_non_null(asgdi_tensors_find(&f, "x"));
    asgdi_tensors_close(&f);
    fails(asgd_load(&n, path), ASGD_EMISMATCH, "own");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_bad_encoding), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_kept),         cmocka_unit_test(test_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
