/* array.c -- long arrays that grow.
 *
 * Small ones are ordinary memory.  From LARGE on an array is a mapping of its own, which mremap()
 * moves by its page tables; mappings begin at a multiple of a huge page, so that huge pages move
 * whole.  What is larger than memory lies in a file: its blocks are reserved before they are mapped,
 * since a write to a mapping of a full disk is a signal and not an error. */
#define _GNU_SOURCE
#include "data/array.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

static const size_t HUGE_PAGE = 2 << 20, LARGE = 8 << 20;

/* Address space for a mapping of `bytes`, aligned. */
static void *reserve(size_t bytes)
{
    size_t room = bytes + HUGE_PAGE;
    char  *p    = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(p, before);
    if (room - before > bytes) munmap(p + before + bytes, room - before - bytes);
    return p + before;
}

static bool map_memory(asgdi_array *a, size_t bytes)
{
    void *p = reserve(bytes);
    if (!p) return false;
    if (mprotect(p, bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(p, bytes);
        return false;
    }
    (void)madvise(p, bytes, MADV_HUGEPAGE); /* a hint */
    *a = (asgdi_array){.p = p, .bytes = bytes, .mapped = true};
    return true;
}

static bool extend_file(int fd, size_t from, size_t to)
{
    int e;
    do e = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    while (e == EINTR);
    return e == 0;
}

static bool remap(asgdi_array *a, size_t bytes)
{
    void *p = mremap(a->p, a->bytes, bytes, 0);
    if (p == MAP_FAILED) {
        void *to = reserve(bytes);
        if (!to) return false;
        p = mremap(a->p, a->bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
        if (p == MAP_FAILED) {
            munmap(to, bytes);
            return false;
        }
    }
    if (!a->file) (void)madvise(p, bytes, MADV_HUGEPAGE);
    a->p     = p;
    a->bytes = bytes;
    return true;
}

static bool grow_to(asgdi_array *a, size_t bytes)
{
    if (a->mapped) {
        bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        if (a->file && !extend_file(a->file - 1, a->bytes, bytes)) return false;
        return remap(a, bytes);
    }
    asgdi_array b = {0};
    if (bytes >= LARGE) {
        if (!map_memory(&b, (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE)) return false;
    } else {
        b.bytes = bytes;
        b.p     = asgdi_calloc(bytes, 1);
        if (!b.p) return false;
    }
    if (a->bytes) memcpy(b.p, a->p, a->bytes);
    asgdi_free(a->p);
    *a = b;
    return true;
}

bool asgdi_array_grow(asgdi_array *a, size_t least, size_t wish)
{
    if (least <= a->bytes) return true;
    if (least > SIZE_MAX / 4) return false;
    if (wish < a->bytes + a->bytes / 2) wish = a->bytes + a->bytes / 2;
    if (wish < least) wish = least;
    return (wish <= SIZE_MAX / 4 && grow_to(a, wish)) || grow_to(a, least);
}

static int unnamed_file(const char *folder)
{
    size_t n    = strlen(folder) + 32;
    char  *path = asgdi_calloc(n, 1);
    if (!path) return -1;
    snprintf(path, n, "%s/.asgd-XXXXXX", folder);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) unlink(path);
    asgdi_free(path);
    return fd;
}

static bool write_all(int fd, const char *p, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool asgdi_array_spill(asgdi_array *a, size_t used, const char *folder)
{
    if (a->file) return true;
    size_t bytes = (used / HUGE_PAGE + 1) * HUGE_PAGE;
    int    fd    = unnamed_file(folder);
    if (fd < 0) return false;
    void *to = write_all(fd, a->p, used) && extend_file(fd, 0, bytes) ? reserve(bytes) : NULL;
    void *p  = MAP_FAILED;
    if (to) p = mmap(to, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (p == MAP_FAILED) {
        if (to) munmap(to, bytes);
        close(fd);
        return false;
    }
    asgdi_array_free(a);
    *a = (asgdi_array){.p = p, .bytes = bytes, .mapped = true, .file = fd + 1};
    return true;
}

void asgdi_array_trim(asgdi_array *a, size_t used)
{
    if (a->mapped) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t keep = used ? (used + page - 1) / page * page : page;
        if (keep < a->bytes) munmap((char *)a->p + keep, a->bytes - keep);
        if (keep < a->bytes) a->bytes = keep;
    }
    if (a->file) {
        if (ftruncate(a->file - 1, (off_t)a->bytes) != 0) errno = 0; /* it is only larger then */
        close(a->file - 1);
        a->file = 0;
    }
}

void asgdi_array_free(asgdi_array *a)
{
    if (a->mapped)
        munmap(a->p, a->bytes);
    else
        asgdi_free(a->p);
    if (a->file) close(a->file - 1);
    *a = (asgdi_array){0};
}
