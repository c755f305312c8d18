/* Checkpoints of groups: any number of processes goes on from what any other number wrote on its way; one that dies, or
 * a folder that is not everybody's, costs a checkpoint and nothing else. */
#include "engine/group_of_threads.h"

#include <sys/stat.h>

enum { FEATURES = 7, PIECE = 64 /* examples that a worker tells at a time */ };

static char base[28], from[64], copy[64];
static bool copied, knew_three, knew_two; /* set by who speaks, one process at a time */

static void shell(const char *format, const char *a, const char *b)
{
    char command[256];
    snprintf(command, sizeof command, format, a, b);
    MUST(system(command) == 0);
}

/* Parts of the checkpoint that is there now; has: whether process `who` wrote one. */
static int parts(const char *folder, int who, bool *has)
{
    char  path[128], text[1 << 16], name[32];
    int   n = 0;
    FILE *f;
    *has = false;
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    if (!(f = fopen(path, "r"))) return 0;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    snprintf(name, sizeof name, "\"process\": %d\n", who);
    *has = strstr(text, name) != NULL;
    for (const char *at = text; (at = strstr(at, "\"process\": ")) != NULL; at++) n++;
    return n;
}

/* Who speaks makes checkpoints valid on the thread that this is called on: the folder stands still. */
static int copy_once(const asgd_point *point, void *user)
{
    process *p = user;
    bool     has;
    (void)point;
    p->points++;
    if (copied || parts(from, 0, &has) == 0) return 0;
    shell("cp -r %s %s", from, copy);
    copied = true;
    return 0;
}

static void begin(void)
{
    snprintf(base, sizeof base, "group-checkpoint-XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(from, sizeof from, "%s", base);
}

static asgd_config slow(void)
{
    asgd_config c      = config(1, ASGD_SHARE_REPLICA, 1);
    c.epochs           = 1;
    c.pace             = 5e-4;
    c.checkpoint       = from;
    c.checkpoint_every = 0.02;
    c.resume           = true;
    return c;
}

/* Each example has been counted, and none of those in the checkpoint is done again but for the last ones before it, which
 * the result tells. */
static void counted(const process *p, double epochs)
{
    double more = 0;
    for (uint32_t f = 0; f < FEATURES; f++) {
        const double want = epochs * (double)(EXAMPLES / FEATURES + (f < EXAMPLES % FEATURES));
        const double got  = (double)asgd_model_row(p->model, 0, f)[0];
        if (got < want) fail_msg("row %u is %g, less than %g", f, got, want);
        more += got - want;
    }
    /* of checkpoints, all but the last piece of each worker */
    const double told = (double)p->result.exchange.repeated, last = 3 + 1;
    if (more < told || more > told + last * PIECE)
        fail_msg("%g examples were done again, and %g are counted", more, told);
}

/* 1 -> 3 -> 2: of a run that goes on with other processes from the middle. */
static void any_number_goes_on_from_the_middle(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 3, 2};
    for (int rule = 0; rule < 2; rule++) {
        begin();
        for (int i = 0; i < 3; i++) {
            crowd       g;
            asgd_config c = slow();
            c.observe     = copy_once;
            c.rule.kind   = rule ? ASGD_RULE_ftrl : ASGD_RULE_sgd;
            copied        = false;
            snprintf(copy, sizeof copy, "%s-%d", base, i);
            crowd_init(&g, sizes[i], &c, FEATURES);
            run_all(g.p, sizes[i]);
            for (uint32_t q = 0; q < sizes[i]; q++) {
                ok(g.p[q].status);
                assert_int_equal(g.p[q].result.examples, EXAMPLES);
                assert_int_equal(g.p[q].result.exchange.missing, 0);
                if (!rule) counted(&g.p[q], 1);
            }
            crowd_free(&g);
            assert_true(copied);
            shell("rm -r %s", from, "");
            snprintf(from, sizeof from, "%s", copy);
        }
        shell("rm -r %s", copy, "");
    }
}

/* Masters hold ftrl's sums and not its weights, which whoever goes on has to have before the first step. */
static void weights_that_are_computed_are_there(void **state)
{
    (void)state;
    crowd       g;
    count_data  d;
    asgd_config c = slow();
    c.observe     = copy_once;
    c.rule.kind   = ASGD_RULE_ftrl;
    copied        = false;
    begin();
    snprintf(copy, sizeof copy, "%s-copy", base);
    crowd_init(&g, 2, &c, FEATURES);
    run_all(g.p, 2);
    crowd_free(&g);
    assert_true(copied);
    count_setup(&d, EXAMPLES, FEATURES, 0);
    c.group       = NULL;
    c.observe     = NULL;
    c.checkpoint  = copy;
    c.max_seconds = 1e-9;
    ok(asgd_train(d.model, d.source, &c, NULL));
    for (uint32_t f = 0; f < FEATURES; f++) assert_true(asgd_model_row(d.model, 0, f)[0] != 0);
    count_free(&d);
    shell("rm -r %s %s", from, copy);
}

/* ---- one is lost ---- */

static int see_parts(const asgd_point *point, void *user)
{
    process  *p = user;
    bool      has;
    const int n = parts(from, 1, &has);
    (void)point;
    if (n == 3 && !knew_three) {
        knew_three = true;
        local_cut(p->net, 1);
    }
    if (knew_three && n == 2 && !has) knew_two = true;
    return knew_two; /* all has been seen */
}

static void a_lost_process_writes_no_part(void **state)
{
    (void)state;
    crowd       g;
    asgd_config c   = slow();
    c.epochs        = 1e4;
    c.dead_after    = 2;
    c.min_processes = 2;
    c.observe       = see_parts;
    c.resume        = false;
    knew_three = knew_two = false;
    begin();
    crowd_init(&g, 3, &c, FEATURES);
    run_all(g.p, 3);
    for (uint32_t q = 0; q < 3; q++) {
        if (q == 1) {
            assert_int_equal(g.p[q].status, ASGD_ELOST);
            continue;
        }
        ended_with(&g.p[q], ASGD_ESTOPPED);
        assert_int_equal(g.p[q].result.exchange.lost, 1);
    }
    assert_true(knew_three && knew_two);
    crowd_free(&g);
    shell("rm -r %s", from, "");
}

/* Both sides of a cut go on in one folder: what is in it at the end is the larger one's, and whole.  The smaller one ends
 * when it sees that, or it is done before. */
static int cut_first(const asgd_point *point, void *user)
{
    process *p = user;
    bool     has;
    (void)point;
    if (parts(from, 0, &has) == 3 && !p->was_cut) {
        p->was_cut = true;
        local_cut(p->net, 0);
    }
    return 0;
}

static void the_larger_side_keeps_the_folder(void **state)
{
    (void)state;
    crowd       g;
    asgd_config c = slow();
    char        text[1 << 16], path[128];
    count_data  d;
    c.dead_after = 2;
    c.observe    = cut_first;
    for (int times = 1;; times++) {
        begin();
        crowd_init(&g, 3, &c, FEATURES);
        run_all(g.p, 3);
        if (g.p[0].was_cut || times == 5) break;
        /* one that starved was given up before there were three parts: no cut, and nothing shown */
        crowd_free(&g);
        shell("rm -r %s", from, "");
    }
    assert_true(g.p[0].was_cut);
    for (uint32_t q = 1; q < 3; q++) {
        ok(g.p[q].status);
        assert_int_equal(g.p[q].result.exchange.lost, 1);
    }
    /* as the folder is not its own, or before, as it was starved and may have been given up */
    if (g.p[0].status) ended_with(&g.p[0], ASGD_ELOST);
    snprintf(path, sizeof path, "%s/manifest.json", from);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    assert_non_null(strstr(text, " 1,2\""));
    /* at the end it says that all is done: to go on from it is to take it as it is */
    count_setup(&d, EXAMPLES, FEATURES, 0);
    c.group   = NULL;
    c.observe = NULL;
    ok(asgd_train(d.model, d.source, &c, NULL));
    for (uint32_t row = 0; row < FEATURES; row++)
        assert_true(asgd_model_row(d.model, 0, row)[0] == asgd_model_row(g.p[1].model, 0, row)[0]);
    count_free(&d);
    crowd_free(&g);
    shell("rm -r %s", from, "");
}

/* ---- a folder of one's own ---- */

static void note(const char *text, void *user)
{
    process *p = user;
    p->knew |= strstr(text, "no checkpoint was made") && strstr(text, "have to see one folder") &&
               strstr(text, "part-001");
}

static int see_none(const asgd_point *point, void *user)
{
    bool has;
    (void)point;
    (void)user;
    MUST(parts(from, 0, &has) == 0);
    return 0;
}

static void all_have_to_see_the_folder(void **state)
{
    (void)state;
    crowd       g;
    asgd_config c = slow();
    char        other[sizeof from + 8];
    struct stat st;
    c.notice  = note;
    c.observe = see_none;
    begin();
    snprintf(other, sizeof other, "%s-other", base);
    assert_int_equal(mkdir(other, 0777), 0);
    crowd_init(&g, 2, &c, FEATURES);
    g.p[1].config.checkpoint = other;
    run_all(g.p, 2);
    for (uint32_t q = 0; q < 2; q++) {
        ok(g.p[q].status);
        counted(&g.p[q], 1);
        assert_int_equal(g.p[q].knew, q == 0);
    }
    crowd_free(&g);
    /* at the end one writes all */
    char path[128];
    snprintf(path, sizeof path, "%s/manifest.json", from);
    assert_int_equal(stat(path, &st), 0);
    shell("rm -r %s %s", from, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_goes_on_from_the_middle),
        cmocka_unit_test(weights_that_are_computed_are_there),
        cmocka_unit_test(a_lost_process_writes_no_part),
        cmocka_unit_test(the_larger_side_keeps_the_folder),
        cmocka_unit_test(all_have_to_see_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
