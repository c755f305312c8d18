/* test.h -- cmocka, and what every test here wants of it. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, nanosleep: include this file first */
#endif

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the others: cmocka.h needs them */
#include <cmocka.h>

#include <asgd/asgd.h>

/* Fails with the library's message unless the call succeeds. */
#define ok(call)                                                                                \
    do {                                                                                        \
        asgd_status ok_s = (call);                                                              \
        if (ok_s != ASGD_OK) fail_msg("%s: %s: %s", #call, asgd_strerror(ok_s), asgd_errmsg()); \
    } while (0)

/* Fails unless the call fails with this code and a message that holds this text. */
#define fails(call, code, text)                                                                   \
    do {                                                                                          \
        asgd_status fails_s = (call);                                                             \
        if (fails_s != (code) || !strstr(asgd_errmsg(), (text)))                                  \
            fail_msg("%s: %s: \"%s\" lacks \"%s\"", #call, asgd_strerror(fails_s), asgd_errmsg(), \
                     (text));                                                                     \
    } while (0)

#endif
