/* link.c -- finds the module that talks to other processes, and loads it.
 *
 * Links live in modules, since what they need (libmpi, tens of megabytes with a daemon and plug-ins of its own) is
 * wanted by few runs and is not on every machine.  There is one module for each MPI, as programs built
 * with one cannot talk through the other: that whose mpirun has started this process is taken. */
#define _GNU_SOURCE
#include "exchange/link.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

/* Where `cmake --install` puts modules: from the program, and as an absolute path. */
#ifndef ASGD_MODULES_FROM_PROGRAM
#define ASGD_MODULES_FROM_PROGRAM "../lib/asgd"
#endif
#ifndef ASGD_MODULES_INSTALLED
#define ASGD_MODULES_INSTALLED "/usr/local/lib/asgd"
#endif

enum { PATH = 4096, FOLDERS = 4, NAMES = 3 };

typedef struct places {
    char folder[FOLDERS][PATH];
    int  n;
} places;

static void add_place(places *p, const char *folder, const char *below)
{
    const int n = snprintf(p->folder[p->n], PATH, "%s%s%s", folder, *below ? "/" : "", below);
    if (n > 0 && n < PATH) p->n++;
}

static void find_places(places *p)
{
    const char *told = getenv("ASGD_MODULES");
    char        self[PATH];
    ssize_t     n = readlink("/proc/self/exe", self, sizeof self - 1);
    p->n          = 0;
    if (told && *told) add_place(p, told, "");
    if (n > 0) {
        self[n]   = 0;
        char *end = strrchr(self, '/');
        if (end) {
            *end = 0;
            add_place(p, self, "");
            add_place(p, self, ASGD_MODULES_FROM_PROGRAM);
        }
    }
    add_place(p, ASGD_MODULES_INSTALLED, "");
}

/* Names that say how frames go, and leave it open which module that is. */
static bool is_carrier(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, "tcp") == 0 || strcmp(name, "mpi") == 0;
}

/* The modules that may be meant, the likeliest first; returns how many. */
static int find_names(const char *name, const char *names[NAMES])
{
    if (!is_carrier(name)) {
        names[0] = name;
        return 1;
    }
    /* Slurm's PMIx speaks to Open MPI; its PMI-2, as MPICH's mpirun, sets PMI_RANK. */
    const bool open = getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || !getenv("PMI_RANK");
    names[0]        = open ? "openmpi" : "mpich";
    names[1]        = open ? "mpich" : "openmpi";
    names[2]        = "mpi";
    return NAMES;
}

static asgd_status not_built(const char *name, const places *p)
{
    char   where[1024];
    size_t used = 0;
    where[0]    = 0;
    for (int i = 0; i < p->n && used < sizeof where; i++) {
        const int n =
            snprintf(where + used, sizeof where - used, "%s%s", i ? ", " : "", p->folder[i]);
        if (n > 0) used += (size_t)n;
    }
    return ASGD_FAIL(
        EIO,
        "no module for exchange %s (asgd_%s.so) in %s: this asgd was built without it; install "
        "libopenmpi-dev or libmpich-dev and build again (cmake option ASGD_MPI=ON says what is "
        "missing), or say in ASGD_MODULES in which folder it is",
        name, is_carrier(name) ? "openmpi" : name, where);
}

/* Loads this file, which stays loaded: an MPI that has been begun cannot be unloaded.  NULL: it cannot be. */
static const asgdi_link_module *load(const char *file)
{
    /* Global: some MPIs load plug-ins that expect libmpi's symbols to be there for everybody. */
    void *module = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    if (!module) {
        (void)ASGD_FAIL(
            EIO,
            "%s: cannot load it: %s; is the MPI that it was built with installed on this machine "
            "(package openmpi-bin or mpich)?",
            file, dlerror());
        return NULL;
    }
    const asgdi_link_module *m = dlsym(module, ASGDI_LINK_SYMBOL);
    if (m && m->abi == ASGDI_LINK_ABI) return m;
    if (m)
        (void)ASGD_FAIL(EIO,
                        "%s: is of another version of asgd (interface %u, not %u); build and "
                        "install both again",
                        file, m->abi, (unsigned)ASGDI_LINK_ABI);
    else
        (void)ASGD_FAIL(EIO, "%s: is no module of asgd", file);
    dlclose(module);
    return NULL;
}

asgd_status asgdi_link_open(asgdi_link **out, const char *name)
{
    *out = NULL;
    places p;
    find_places(&p);
    const char *names[NAMES];
    const int   n     = find_names(name, names);
    bool        found = false;
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < p.n; k++) {
            char      file[PATH + 64], why[512] = "";
            const int length = snprintf(file, sizeof file, "%s/asgd_%s.so", p.folder[k], names[i]);
            if (length <= 0 || length >= (int)sizeof file || access(file, R_OK) != 0) continue;
            found                      = true;
            const asgdi_link_module *m = load(file);
            if (!m) break; /* the next name may do; if not, its message is the last one */
            if (m->open(out, is_carrier(name) ? name : "auto", why, sizeof why) != 0)
                return ASGD_FAIL(EIO, "%s: %s", file, why);
            return ASGD_OK;
        }
    }
    return found ? ASGD_EIO : not_built(name, &p);
}
