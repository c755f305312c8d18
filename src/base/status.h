/* status.h -- errors: a code to the caller, a sentence in a thread-local buffer. */
#ifndef ASGDI_STATUS_H
#define ASGDI_STATUS_H

#include <asgd/asgd.h>

/* Stores the message (asgd_errmsg) and returns s. */
asgd_status asgdi_fail(asgd_status s, const char *format, ...) ASGD_PRINTF(2, 3);

/* return ASGD_FAIL(EFORMAT, "%s:%zu: ...", path, line); */
#define ASGD_FAIL(code, ...) asgdi_fail(ASGD_##code, __VA_ARGS__)

/* Forwards a failure to the caller. */
#define ASGD_TRY(call)                                \
    do {                                              \
        asgd_status asgd_try_s = (call);              \
        if (asgd_try_s != ASGD_OK) return asgd_try_s; \
    } while (0)

/* The same where something must be freed: needs `asgd_status s` and a label. */
#define ASGD_TRY_GOTO(label, call)    \
    do {                              \
        s = (call);                   \
        if (s != ASGD_OK) goto label; \
    } while (0)

#endif
