/* status.c -- the thread-local message behind asgd_errmsg(). */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

asgd_status asgdi_fail(asgd_status s, const char *format, ...)
{
    char    text[sizeof message]; /* an argument may be the old message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(message, sizeof message, "%s", text);
    return s;
}

const char *asgd_errmsg(void)
{
    return message;
}

const char *asgd_strerror(asgd_status s)
{
    switch (s) {
#define X(name, text) \
    case ASGD_##name: return text;
        ASGD_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}
