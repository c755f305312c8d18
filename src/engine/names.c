/* names.c -- enums as the program's options spell them; the machine in words. */
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/topology.h"
#include "kern/kern.h"

static bool find(const char *const *names, int n, const char *text, int *out)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static const char *const modes[]  = {"async", "sync", "locked", "sequential"};
static const char *const shares[] = {"auto", "shared", "hot", "replica"};
static const char *const orders[] = {"shuffle", "file"};
static const char *const merges[] = {"auto", "delta", "mean", "elastic"};
static const char *const codes[]  = {"none", "bf16", "fp16", "int8", "topk", "auto"};

bool asgd_mode_parse(const char *text, asgd_mode *out)
{
    int  i  = 0;
    bool ok = find(modes, 4, text, &i);
    if (ok) *out = (asgd_mode)i;
    return ok;
}

const char *asgd_mode_name(asgd_mode m)
{
    return (unsigned)m < 4 ? modes[m] : NULL;
}

bool asgd_share_parse(const char *text, asgd_share *out)
{
    int  i  = 0;
    bool ok = find(shares, 4, text, &i);
    if (ok) *out = (asgd_share)i;
    return ok;
}

const char *asgd_share_name(asgd_share s)
{
    return (unsigned)s < 4 ? shares[s] : NULL;
}

bool asgd_order_parse(const char *text, asgd_order *out)
{
    int  i  = 0;
    bool ok = find(orders, 2, text, &i);
    if (ok) *out = (asgd_order)i;
    return ok;
}

const char *asgd_order_name(asgd_order o)
{
    return (unsigned)o < 2 ? orders[o] : NULL;
}

bool asgd_merging_parse(const char *text, asgd_merging *out)
{
    int  i  = 0;
    bool ok = find(merges, 4, text, &i);
    if (ok) *out = (asgd_merging)i;
    return ok;
}

const char *asgd_merging_name(asgd_merging m)
{
    return (unsigned)m < 4 ? merges[m] : NULL;
}

bool asgd_compress_parse(const char *text, asgd_compress *out)
{
    int  i  = 0;
    bool ok = find(codes, 6, text, &i);
    if (ok) *out = (asgd_compress)i;
    return ok;
}

const char *asgd_compress_name(asgd_compress c)
{
    return (unsigned)c < 6 ? codes[c] : NULL;
}

const char *asgd_version(void)
{
    return ASGD_VERSION;
}

void asgd_machine(char *buf, size_t bytes)
{
    char            text[512] = "unknown machine";
    asgdi_topology *t         = asgdi_topology_new();
    if (t) asgdi_topology_text(t, text, sizeof text);
    asgdi_topology_free(t);
    char kernels[128] = "";
    for (int i = 0; asgdk_variant(i); i++) {
        size_t used = strlen(kernels);
        snprintf(kernels + used, sizeof kernels - used, "%s%s", i ? ", " : "",
                 asgdk_variant(i)->name);
    }
    snprintf(buf, bytes, "%s\nprocessors this process may use: %u\nkernels: %s; in use: %s", text,
             asgdi_cores(), kernels, asgd_isa());
}
