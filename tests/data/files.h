/* files.h -- files for the data tests: written into a temporary folder of the test's own. */
#ifndef FILES_H
#define FILES_H

#define _GNU_SOURCE /* mkdtemp */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

static char folder[256]; /* of this test program */

static inline void remove_folder(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) fprintf(stderr, "%s remains\n", folder);
}

static inline int make_folder(void **state)
{
    (void)state;
    const char *where = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/asgd-data.XXXXXX", where && *where ? where : "/tmp");
    if (!mkdtemp(folder)) return 1;
    atexit(remove_folder);
    return 0;
}

/* The path of a file there; a few results live at once. */
static inline const char *at(const char *name)
{
    static char     path[8][512];
    static unsigned next;
    char           *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline const char *put(const char *name, const void *data, size_t bytes)
{
    const char *path = at(name);
    FILE       *f    = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline const char *put_text(const char *name, const char *text)
{
    return put(name, text, strlen(text));
}

/* Compresses by the suffix given; returns the size, *out is malloc'ed. */
static inline size_t compress_as(const char *suffix, const void *data, size_t bytes, uint8_t **out)
{
    size_t room = bytes + bytes / 8 + 4096, n = room;
    *out = malloc(room);
    assert_non_null(*out);
    if (strcmp(suffix, ".gz") == 0) {
        z_stream z = {0};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in   = (Bytef *)(uintptr_t)data;
        z.avail_in  = (uInt)bytes;
        z.next_out  = *out;
        z.avail_out = (uInt)room;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        n = z.total_out;
        deflateEnd(&z);
    } else if (strcmp(suffix, ".xz") == 0) {
        n = 0;
        assert_int_equal(
            lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, data, bytes, *out, &n, room),
            LZMA_OK);
    } else if (strcmp(suffix, ".bz2") == 0) {
        unsigned m = (unsigned)room;
        assert_int_equal(BZ2_bzBuffToBuffCompress((char *)*out, &m, (char *)(uintptr_t)data,
                                                  (unsigned)bytes, 9, 0, 0),
                         BZ_OK);
        n = m;
    } else if (strcmp(suffix, ".zst") == 0) {
        ZSTD_CCtx *z = ZSTD_createCCtx();
        assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1)));
        n = ZSTD_compress2(z, *out, room, data, bytes);
        assert_false(ZSTD_isError(n));
        ZSTD_freeCCtx(z);
    } else {
        n = bytes;
        if (bytes) memcpy(*out, data, bytes);
    }
    return n;
}

/* A data set's path, or NULL after saying that the test is skipped. */
static inline const char *real_data(const char *name)
{
    static char path[2][512];
    static int  next;
    const char *where = getenv("ASGD_DATA");
    char       *p     = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", where ? where : "", name);
    if (where && *where && access(p, R_OK) == 0) return p;
    print_message("skipped: no %s in ASGD_DATA\n", name);
    return NULL;
}

#endif
