/* test_link.c -- modules that are not there, or cannot be used: what is said.  That they work is tested by
 * tests/mpi, since it takes an MPI. */
#include "test.h"

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exchange/link.h"

static char folder[] = "/tmp/asgd-link.XXXXXX";

static int setup(void **state)
{
    (void)state;
    return !mkdtemp(folder) || setenv("ASGD_MODULES", folder, 1) != 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void absent(void **state)
{
    (void)state;
    asgdi_link *l = NULL;
    fails(asgdi_link_open(&l, "nowhere"), ASGD_EIO,
          "no module for exchange nowhere (asgd_nowhere.so)");
    assert_non_null(strstr(asgd_errmsg(), folder)); /* where it looked */
    assert_non_null(strstr(asgd_errmsg(), "libopenmpi-dev"));
    assert_null(l);
}

static void damaged(void **state)
{
    (void)state;
    const char *path = in_folder("asgd_damaged.so");
    FILE       *f    = fopen(path, "w");
    assert_non_null(f);
    fputs("not a library\n", f);
    fclose(f);
    asgdi_link *l = NULL;
    fails(asgdi_link_open(&l, "damaged"), ASGD_EIO, "asgd_damaged.so: cannot load it");
    assert_int_equal(unlink(path), 0);
}

static void no_module(void **state)
{
    (void)state;
    Dl_info libc;
    assert_true(dladdr(dlsym(RTLD_NEXT, "qsort"), &libc));
    const char *path = in_folder("asgd_libc.so");
    assert_int_equal(symlink(libc.dli_fname, path), 0);
    asgdi_link *l = NULL;
    fails(asgdi_link_open(&l, "libc"), ASGD_EIO, "asgd_libc.so: is no module of asgd");
    assert_int_equal(unlink(path), 0);
}

/* Found beside the test program, where it is built. */
static void another_interface(void **state)
{
    (void)state;
    asgdi_link *l = NULL;
    fails(asgdi_link_open(&l, "old"), ASGD_EIO, "asgd_old.so: is of another version of asgd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent),
        cmocka_unit_test(damaged),
        cmocka_unit_test(no_module),
        cmocka_unit_test(another_interface),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
