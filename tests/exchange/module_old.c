/* module_old.c -- a link module of an interface that is no longer spoken (test_link.c). */
#include "exchange/link.h"

static int open_link(asgdi_link **out, const char *carrier, char *why, size_t bytes)
{
    (void)out, (void)carrier, (void)why, (void)bytes;
    return 0; /* nobody should have come here */
}

extern const asgdi_link_module   asgdi_module;
ASGD_API const asgdi_link_module asgdi_module = {
    .abi = ASGDI_LINK_ABI + 1, .made_for = "nothing", .open = open_link};
