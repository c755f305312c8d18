/* topology.c -- a thin layer on hwloc. */
#include "base/topology.h"

#include <hwloc.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct asgdi_topology {
    hwloc_topology_t topology;
};

asgdi_topology *asgdi_topology_new(void)
{
    asgdi_topology *t = asgdi_calloc(1, sizeof *t);
    if (!t) return NULL;
    if (hwloc_topology_init(&t->topology) != 0) {
        asgdi_free(t);
        return NULL;
    }
    if (hwloc_topology_load(t->topology) != 0) {
        asgdi_topology_free(t);
        return NULL;
    }
    return t;
}

void asgdi_topology_free(asgdi_topology *t)
{
    if (!t) return;
    hwloc_topology_destroy(t->topology);
    asgdi_free(t);
}

void asgdi_topology_bind(const asgdi_topology *t, uint32_t i)
{
    int cores = hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_CORE);
    if (cores <= 0) return;
    uint32_t    n    = (uint32_t)cores;
    hwloc_obj_t core = hwloc_get_obj_by_type(t->topology, HWLOC_OBJ_CORE, i % n);
    if (!core || core->arity == 0) return;
    hwloc_cpuset_t set = hwloc_bitmap_dup(core->children[i / n % core->arity]->cpuset);
    if (!set) return;
    hwloc_bitmap_singlify(set);
    /* a failure costs speed only */
    (void)hwloc_set_cpubind(t->topology, set, HWLOC_CPUBIND_THREAD);
    hwloc_bitmap_free(set);
}

void asgdi_topology_text(const asgdi_topology *t, char *buf, size_t bytes)
{
    hwloc_obj_t root       = hwloc_get_root_obj(t->topology);
    hwloc_obj_t package    = hwloc_get_obj_by_type(t->topology, HWLOC_OBJ_PACKAGE, 0);
    const char *name       = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    char        cache[256] = "";
    for (hwloc_obj_t o = hwloc_get_obj_by_type(t->topology, HWLOC_OBJ_PU, 0); o; o = o->parent) {
        if (!hwloc_obj_type_is_cache(o->type)) continue;
        char   type[32];
        size_t used = strlen(cache);
        hwloc_obj_type_snprintf(type, sizeof type, o, 0);
        snprintf(cache + used, sizeof cache - used, ", %s %llu KiB", type,
                 (unsigned long long)o->attr->cache.size / 1024);
    }
    snprintf(buf, bytes, "%s, %d cores (%d hardware threads), %d NUMA nodes, %llu MiB memory%s",
             name ? name : "unknown processor",
             hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_CORE),
             hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_PU),
             hwloc_get_nbobjs_by_type(t->topology, HWLOC_OBJ_NUMANODE),
             (unsigned long long)root->total_memory >> 20, cache);
}
