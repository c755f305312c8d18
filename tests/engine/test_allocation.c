/* Between a run's start and its end, workers allocate nothing: malloc and its kin are counted here, by
 * thread, from a worker's first step on.  Allocations that a shared library makes for itself (oneDNN's
 * packing buffers in a large matrix product) are told apart by the caller's address and counted as its.
 * Sanitizers have a malloc of their own, so the test skips there. */
#include "engine/problem.h"
#include "model/model.h"

#include <dlfcn.h>
#include <stdatomic.h>

static _Thread_local int stepping;
static atomic_int        ours, theirs;
static void             *program; /* where it is loaded: the library under test is linked into it */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define OWN_MALLOC 0
#endif
#endif

#ifndef OWN_MALLOC
#define OWN_MALLOC 1
static void note(const void *caller)
{
    if (!stepping) return;
    Dl_info info;
    stepping = 0; /* dladdr may allocate */
    atomic_fetch_add(dladdr(caller, &info) && info.dli_fbase == program ? &ours : &theirs, 1);
    stepping = 1;
}

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t n)
{
    note(__builtin_return_address(0));
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    note(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    note(__builtin_return_address(0));
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    note(__builtin_return_address(0));
    return __libc_memalign(align, n);
}
#endif

/* A model that runs another and marks its worker as stepping from the first step on. */
typedef struct watched {
    const asgd_model_ops *ops;
    char                  self[256];
} watched;

static asgd_status watched_shape(void *self, const asgd_schema *d, asgd_table *tables, int *n,
                                 asgd_task *task, uint32_t *outputs)
{
    watched *w = self;
    return w->ops->shape(w->self, d, tables, n, task, outputs);
}

static size_t watched_scratch(const void *self, uint32_t n)
{
    const watched *w = self;
    return w->ops->scratch ? w->ops->scratch(w->self, n) : 0;
}

static void watched_step(const void *self, const asgd_batch *b, const asgd_view *views,
                         asgd_sink *g, void *scratch, uint64_t random, asgd_stats *st)
{
    const watched *w = self;
    stepping         = 1;
    w->ops->step(w->self, b, views, g, scratch, random, st);
}

static void watched_predict(const void *self, const asgd_batch *b, const asgd_view *views,
                            const asgd_sink *g, void *scratch, float *out, asgd_stats *st)
{
    const watched *w = self;
    w->ops->predict(w->self, b, views, g, scratch, out, st);
}

static const asgd_model_ops watched_ops = {.name       = "watched",
                                           .self_bytes = sizeof(watched),
                                           .shape      = watched_shape,
                                           .scratch    = watched_scratch,
                                           .step       = watched_step,
                                           .predict    = watched_predict};

static void the_hot_path_allocates_nothing(void **state)
{
    (void)state;
    if (!OWN_MALLOC) skip();
    static const struct {
        const char *name, *options;
    } models[] = {{"mlp", "hidden=8 dropout=0.1"}, {"softmax", ""}};
    problem p;
    problem_make(&p, 2000, 12, 3, 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (asgd_mode mode = ASGD_ASYNC; mode <= ASGD_SEQUENTIAL; mode++)
            for (asgd_share share = ASGD_SHARE_AUTO; share <= ASGD_SHARE_REPLICA; share++)
                for (uint32_t batch = 1; batch <= 16; batch *= 4) {
                    if (share != ASGD_SHARE_AUTO && mode != ASGD_ASYNC) continue;
                    const asgdi_model_entry *e = asgdi_model_find(models[i].name);
                    watched                  w = {.ops = e->ops};
                    asgd_model              *m;
                    assert_true(e->ops->self_bytes <= sizeof w.self);
                    ok(e->parse(w.self, models[i].options));
                    ok(asgd_model_new(&m, &watched_ops, &w, asgd_source_schema(p.source)));
                    asgd_config c = {.mode    = mode,
                                     .share   = share,
                                     .workers = 3,
                                     .batch   = batch,
                                     .epochs  = 3,
                                     .lr      = 0.01};
                    ok(asgd_train(m, p.source, &c, NULL));
                    if (atomic_load(&ours))
                        fail_msg("%s, mode %s, share %s, batch %u: %d allocations while stepping",
                                 models[i].name, asgd_mode_name(mode), asgd_share_name(share),
                                 batch, atomic_load(&ours));
                    asgd_model_free(m);
                }
    print_message("allocations of other libraries while stepping: %d\n", atomic_load(&theirs));
    problem_free(&p);
}

/* The count must be able to fail. */
static void an_allocation_is_noticed(void **state)
{
    (void)state;
    if (!OWN_MALLOC) skip();
    void *(*volatile get)(size_t) = malloc; /* a call that no compiler leaves out */
    Dl_info info;
    assert_true(dladdr(&program, &info));
    program  = info.dli_fbase;
    stepping = 1;
    void *p  = get(16);
    stepping = 0;
    free(p);
    assert_int_equal(atomic_exchange(&ours, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_is_noticed),
        cmocka_unit_test(the_hot_path_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
