/* test_options.c -- models are made as their options say, or refused with a message that helps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "model/model.h"

static const asgd_schema real_data  = {.examples = 10, .features = 20, .classes = 0};
static const asgd_schema two        = {.examples = 10, .features = 20, .classes = 2, .fields = 3};
static const asgd_schema three      = {.examples = 10, .features = 20, .classes = 3};
static const asgd_schema one        = {.examples = 10, .features = 20, .classes = 1};
static const asgd_schema no_columns = {.examples = 10, .features = 0, .classes = 2};
static const asgd_schema rated      = {.examples = 10, .features = 7, .users = 4, .items = 3};
static const asgd_schema one_item   = {.examples = 10, .features = 5, .users = 4, .items = 1};

/* What is refused: the code, and words the message must hold. */
static const struct refusal {
    const char        *model, *options;
    const asgd_schema *data;
    asgd_status        status;
    const char        *words[4];
} refusals[] = {
    {"perceptron", "", &two, ASGD_EINVAL, {"perceptron", "linear", "softmax", "mlp"}},
    {NULL, "", &two, ASGD_EINVAL, {"linear"}},
    {"linear", "", NULL, ASGD_EINVAL, {"schema"}},
    {"linear", "", &no_columns, ASGD_EMISMATCH, {"no features"}},
    {"linear", "", &three, ASGD_EMISMATCH, {"3 classes", "softmax"}},
    {"linear", "loss=logistic", &three, ASGD_EMISMATCH, {"loss=logistic", "softmax"}},
    {"linear", "loss=hinge", &real_data, ASGD_EMISMATCH, {"loss=hinge", "loss=squared"}},
    {"linear", "loss=log", &two, ASGD_EINVAL, {"linear", "loss=log", "squared, logistic, hinge"}},
    {"linear", "bias=yes", &two, ASGD_EINVAL, {"linear", "bias=yes", "0, 1"}},
    {"linear", "hidden=3", &two, ASGD_EINVAL, {"linear", "'hidden'", "loss, bias"}},
    {"softmax", "", &real_data, ASGD_EMISMATCH, {"two classes", "linear"}},
    {"softmax", "", &one, ASGD_EMISMATCH, {"two classes"}},
    {"softmax", "bias=1", &three, ASGD_EINVAL, {"softmax", "'bias'"}},
    {"linear", "", &rated, ASGD_EMISMATCH, {"ratings", "mf or bpr"}},
    {"mf", "", &two, ASGD_EMISMATCH, {"user item rating", "ratings"}},
    {"mf", "k=0", &rated, ASGD_EINVAL, {"k=0", "1024"}},
    {"mf", "k=1025", &rated, ASGD_EINVAL, {"k=1025"}},
    {"mf", "loss=hinge", &rated, ASGD_EINVAL, {"squared, absolute, logistic"}},
    {"mf", "l2=-1", &rated, ASGD_EINVAL, {"l2=-1", "from 0"}},
    {"mf", "l2_user=nan", &rated, ASGD_EINVAL, {"l2_user=nan"}},
    {"mf", "l2_bias=1e9", &rated, ASGD_EINVAL, {"l2_bias=1e9", "1000"}},
    {"mf", "nonnegative=yes", &rated, ASGD_EINVAL, {"nonnegative=yes", "0, 1"}},
    {"mf", "negatives=2", &rated, ASGD_EINVAL, {"'negatives'", "nonnegative"}},
    {"bpr", "negatives=65", &rated, ASGD_EINVAL, {"negatives=65", "64"}},
    {"bpr", "draw=all", &rated, ASGD_EINVAL, {"uniform, popular"}},
    {"bpr", "", &one_item, ASGD_EMISMATCH, {"one item"}},
    {"mlp", "loss=softmax", &real_data, ASGD_EMISMATCH, {"loss=softmax", "loss=squared"}},
    {"mlp", "", &one, ASGD_EMISMATCH, {"two classes"}},
    {"mlp", "width=3", &three, ASGD_EINVAL, {"mlp", "'width'", "hidden", "dropout"}},
    {"mlp", "hidden=0", &three, ASGD_EINVAL, {"mlp", "hidden=0", "65536"}},
    {"mlp", "hidden=65537", &three, ASGD_EINVAL, {"hidden=65537"}},
    {"mlp", "hidden=18446744073709551617", &three, ASGD_EINVAL, {"hidden"}},
    {"mlp", "hidden=10,", &three, ASGD_EINVAL, {"hidden=10,"}},
    {"mlp", "hidden=,10", &three, ASGD_EINVAL, {"hidden=,10"}},
    {"mlp", "hidden=10,-5", &three, ASGD_EINVAL, {"hidden=10,-5"}},
    {"mlp", "hidden=10x", &three, ASGD_EINVAL, {"hidden=10x"}},
    {"mlp", "hidden=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", &three, ASGD_EINVAL, {"1 to 15"}},
    {"mlp", "activation=gelu", &three, ASGD_EINVAL, {"activation=gelu", "relu, tanh, sigmoid"}},
    {"mlp", "init=zero", &three, ASGD_EINVAL, {"init=zero", "auto, he, glorot"}},
    {"mlp", "loss=hinge", &three, ASGD_EINVAL, {"loss=hinge", "auto, softmax, squared"}},
    {"mlp", "dropout=1", &three, ASGD_EINVAL, {"dropout=1", "below 1"}},
    {"mlp", "dropout=0.99999999999", &three, ASGD_EINVAL, {"dropout"}},
    {"mlp", "dropout=-0.1", &three, ASGD_EINVAL, {"dropout=-0.1"}},
    {"mlp", "dropout=.", &three, ASGD_EINVAL, {"dropout=."}},
    {"mlp", "dropout=0.2.3", &three, ASGD_EINVAL, {"dropout=0.2.3"}},
    {"mlp", "dropout=nan", &three, ASGD_EINVAL, {"dropout=nan"}},
    {"mlp", "hidden=3 dropout", &three, ASGD_EINVAL, {"'dropout'", "key=value"}},
    {"mlp", "=3", &three, ASGD_EINVAL, {"'=3'", "key"}},
    {"mlp", "hidden=", &three, ASGD_EINVAL, {"'hidden='", "value"}},
    {"mlp", "abcdefghijklmnopqrstuvwxyzabcdef=1", &three, ASGD_EINVAL, {"31 characters"}},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        asgd_model           *m = (asgd_model *)&m;
        asgd_status           s = asgd_model_named(&m, r->model, r->options, r->data);
        if (s != r->status || m != NULL)
            fail_msg("%s %s: status %d, wanted %d: %s", r->model ? r->model : "NULL", r->options,
                     (int)s, (int)r->status, asgd_errmsg());
        for (int w = 0; w < 4 && r->words[w]; w++)
            if (!strstr(asgd_errmsg(), r->words[w]))
                fail_msg("%s %s: '%s' is not in: %s", r->model ? r->model : "NULL", r->options,
                         r->words[w], asgd_errmsg());
    }
}

/* A value of 127 characters is the longest. */
static void refuses_long_values(void **state)
{
    (void)state;
    char        text[200] = "dropout=0.";
    asgd_model *m;
    memset(text + 10, '5', 125);
    assert_int_equal(asgd_model_named(&m, "mlp", text, &three), ASGD_OK);
    asgd_model_free(m);
    text[135] = '5';
    assert_int_equal(asgd_model_named(&m, "mlp", text, &three), ASGD_EINVAL);
    assert_non_null(strstr(asgd_errmsg(), "127"));
}

static void walks_pairs(void **state)
{
    (void)state;
    const char *s = "  a=1\tbc=x=y,z\n";
    char        key[32], value[128];
    asgd_status st = ASGD_EIO;
    assert_true(asgdi_option_next(&s, key, value, &st));
    assert_string_equal(key, "a");
    assert_string_equal(value, "1");
    assert_true(asgdi_option_next(&s, key, value, &st));
    assert_string_equal(key, "bc");
    assert_string_equal(value, "x=y,z");
    assert_false(asgdi_option_next(&s, key, value, &st));
    assert_int_equal(st, ASGD_OK);
    assert_false(asgdi_option_next(&s, key, value, &st));
    s = NULL;
    assert_false(asgdi_option_next(&s, key, value, &st));
    assert_int_equal(st, ASGD_OK);
}

static void check_table(asgd_model *m, int t, const char *name, uint64_t rows, uint32_t dim,
                        uint32_t flags, asgd_init init)
{
    const asgd_table *x = asgd_model_table(m, t);
    assert_non_null(x);
    assert_string_equal(x->name, name);
    assert_int_equal(x->rows, rows);
    assert_int_equal(x->dim, dim);
    assert_int_equal(x->flags, flags);
    assert_int_equal(x->init, init);
}

static void makes_what_the_options_say(void **state)
{
    (void)state;
    asgd_model *m;
    const char *options = "hidden=7,5 hidden=9,4 activation=tanh init=he dropout=0.25";
    assert_int_equal(asgd_model_named(&m, "mlp", options, &three), ASGD_OK);
    assert_string_equal(asgd_model_name(m), "mlp");
    assert_string_equal(asgd_model_options(m), options);
    assert_int_equal(asgd_model_tables(m), 6);
    check_table(m, 0, "layer0.weight", 20, 9, ASGD_TABLE_BY_FEATURE, ASGD_INIT_NORMAL);
    check_table(m, 1, "layer0.bias", 1, 9, ASGD_TABLE_NO_DECAY, ASGD_INIT_ZERO);
    check_table(m, 2, "layer1.weight", 9, 4, 0, ASGD_INIT_NORMAL);
    check_table(m, 4, "layer2.weight", 4, 3, 0, ASGD_INIT_UNIFORM);
    check_table(m, 5, "layer2.bias", 1, 3, ASGD_TABLE_NO_DECAY, ASGD_INIT_ZERO);
    assert_float_equal(asgd_model_table(m, 0)->scale, 0.31622777f, 1e-6f); /* sqrt(2 / 20) */
    assert_int_equal(asgd_model_task(m), ASGD_TASK_CLASSES);
    assert_int_equal(asgd_model_outputs(m), 3);
    assert_int_equal(asgd_model_schema(m)->features, 20);
    assert_null(asgd_model_table(m, 6));
    assert_null(asgd_model_table(m, -1));
    assert_null(asgd_model_row(m, 0, 20));
    assert_null(asgd_model_row(m, 6, 0));
    assert_non_null(asgd_model_row(m, 0, 19));
    asgd_model_free(m);

    assert_int_equal(asgd_model_named(&m, "mlp", NULL, &real_data), ASGD_OK);
    check_table(m, 0, "layer0.weight", 20, 128, ASGD_TABLE_BY_FEATURE, ASGD_INIT_NORMAL);
    check_table(m, 2, "layer1.weight", 128, 1, 0, ASGD_INIT_UNIFORM);
    assert_int_equal(asgd_model_task(m), ASGD_TASK_REGRESSION);
    asgd_model_free(m);

    assert_int_equal(asgd_model_named(&m, "softmax", " ", &two), ASGD_OK);
    check_table(m, 0, "weight", 20, 2, ASGD_TABLE_BY_FEATURE, ASGD_INIT_ZERO);
    check_table(m, 1, "bias", 1, 2, ASGD_TABLE_NO_DECAY, ASGD_INIT_ZERO);
    asgd_model_free(m);

    assert_int_equal(asgd_model_named(&m, "linear", "", &two), ASGD_OK);
    assert_int_equal(asgd_model_task(m), ASGD_TASK_BINARY);
    assert_int_equal(asgd_model_tables(m), 2);
    asgd_model_free(m);
    assert_int_equal(asgd_model_named(&m, "linear", "bias=0", &real_data), ASGD_OK);
    assert_int_equal(asgd_model_task(m), ASGD_TASK_REGRESSION);
    assert_int_equal(asgd_model_tables(m), 1);
    asgd_model_free(m);
    assert_int_equal(asgd_model_named(&m, "linear", "loss=squared", &three), ASGD_OK);
    asgd_model_free(m);
}

static void keeps_labels(void **state)
{
    (void)state;
    asgd_model *m;
    uint32_t    n         = 5;
    const float labels[3] = {-1, 4, 9};
    assert_int_equal(asgd_model_named(&m, "softmax", "", &three), ASGD_OK);
    assert_null(asgd_model_labels(m, &n));
    assert_int_equal(n, 0);
    assert_int_equal(asgdi_model_set_labels(m, labels, 2), ASGD_EMISMATCH);
    assert_int_equal(asgdi_model_set_labels(m, labels, 3), ASGD_OK);
    assert_memory_equal(asgd_model_labels(m, &n), labels, sizeof labels);
    assert_int_equal(n, 3);
    assert_int_equal(asgdi_model_set_labels(m, NULL, 0), ASGD_OK);
    assert_null(asgd_model_labels(m, NULL));
    asgd_model_free(m);
    asgd_model_free(NULL);
}

/* ---- a caller's own model ---- */

static asgd_status own_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                             asgd_task *task, uint32_t *outputs)
{
    int how   = *(int *)self;
    tables[0] = (asgd_table){.name = "a", .rows = d->features, .dim = 3};
    tables[1] = (asgd_table){.name = "b", .rows = 1, .dim = 1};
    *n_tables = 2;
    *task     = ASGD_TASK_REGRESSION;
    *outputs  = 1;
    switch (how) {
    case 1: *n_tables = 0; break;
    case 2: *n_tables = ASGD_MAX_TABLES + 1; break;
    case 3: tables[1].name[0] = 'a'; break;
    case 4: tables[0].name[0] = '\0'; break;
    case 5: memset(tables[0].name, 'x', sizeof tables[0].name); break;
    case 6: tables[0].rows = 0; break;
    case 7: tables[0].dim = 0; break;
    case 8: tables[0].rows = UINT64_MAX; break;
    case 9: tables[0].dim = UINT32_MAX; break;
    case 10: *outputs = 0; break;
    case 11: *outputs = 2; break;
    case 12: tables[0].init = (asgd_init)7; break;
    default: break;
    }
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

static void checks_a_callers_model(void **state)
{
    (void)state;
    asgd_model_ops ops = {.name       = "own",
                          .self_bytes = sizeof(int),
                          .shape      = own_shape,
                          .step       = own_step,
                          .predict    = own_predict};
    asgd_model    *m   = NULL;
    int            how = 0;
    assert_int_equal(asgd_model_new(&m, &ops, &how, &two), ASGD_OK);
    assert_string_equal(asgd_model_options(m), "");
    assert_string_equal(asgd_model_name(m), "own");
    asgd_model_row(m, 0, 19)[2] = 5;
    assert_true(asgd_model_row(m, 0, 19)[2] == 5);
    asgd_model_free(m);
    for (how = 1; how <= 12; how++) {
        if (asgd_model_new(&m, &ops, &how, &two) == ASGD_OK || m != NULL)
            fail_msg("own model with fault %d was accepted", how);
        assert_true(strlen(asgd_errmsg()) > 10);
    }
    how = 0;
    assert_int_equal(asgd_model_new(&m, &ops, NULL, &two), ASGD_EINVAL);
    assert_int_equal(asgd_model_new(NULL, &ops, &how, &two), ASGD_EINVAL);
    assert_int_equal(asgd_model_new(&m, NULL, &how, &two), ASGD_EINVAL);
    ops.step = NULL;
    assert_int_equal(asgd_model_new(&m, &ops, &how, &two), ASGD_EINVAL);
}

/* Each help names its model first and has a line for an option only if the model takes it. */
static void helps(void **state)
{
    (void)state;
    int i = 0;
    for (; asgd_model_help(i); i++) {
        const char *help = asgd_model_help(i), *colon = strchr(help, ':');
        char        name[32] = "", option[64];
        assert_non_null(colon);
        assert_true(colon - help < 32);
        memcpy(name, help, (size_t)(colon - help));
        assert_non_null(asgdi_model_find(name));
        for (const char *p = strstr(help, "\n\t"); p; p = strstr(p + 1, "\n\t")) {
            size_t length = strcspn(p + 2, " ");
            assert_true(length < sizeof option);
            memcpy(option, p + 2, length);
            option[length] = '\0';
            asgd_model *m;
            if (asgd_model_named(&m, name, option, asgdi_model_find(name)->pairs ? &rated : &two) !=
                ASGD_OK)
                fail_msg("%s: its help says %s: %s", name, option, asgd_errmsg());
            asgd_model_free(m);
        }
        const asgdi_model_defaults *d = &asgdi_model_find(name)->defaults;
        assert_true(d->batch > 0 && d->epochs > 0 && d->rule != ASGD_RULE_DEFAULT);
        for (int r = ASGD_RULE_DEFAULT + 1; r < ASGD_RULES; r++) assert_true(d->lr[r] > 0);
    }
    assert_int_equal(i, 7);
    assert_null(asgd_model_help(-1));
    assert_null(asgdi_model_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),      cmocka_unit_test(refuses_long_values),
        cmocka_unit_test(walks_pairs),  cmocka_unit_test(makes_what_the_options_say),
        cmocka_unit_test(keeps_labels), cmocka_unit_test(checks_a_callers_model),
        cmocka_unit_test(helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
