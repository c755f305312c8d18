/* input.c -- a file or stream, plain or compressed, as bytes in memory: whole, or bit by bit.
 *
 * What compression it is, the first bytes say, not the name.  Concatenated members (as `cat a.gz
 * b.gz` makes) are one stream.  Memory is bounded by `limit`: the machine's physical memory, at most
 * 64 GiB, so that a decompression bomb is an error message and not the end of the process; the
 * decoders' own windows are bounded by 1 GiB.
 *
 * Invariant: behind data[bytes] there are ASGDI_SLACK readable zeros, so that parsers may look a few
 * bytes past the end. */
#define _GNU_SOURCE
#include "data/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LIMIT_MAX (UINT64_C(64) << 30)
#define WINDOW_MAX (UINT64_C(1) << 30)
enum { CHUNK = 1 << 17, WINDOW_LOG_MAX = 30, WINDOW = 512 << 10 };

typedef enum kind { PLAIN, GZ, XZ, BZ2, ZST } kind;
static const char *const kind_name[] = {"plain", "gzip", "xz", "bzip2", "zstd"};

const char *const asgdi_suffixes[] = {"", ".gz", ".xz", ".bz2", ".zst", NULL};

typedef struct asgdi_decoder {
    kind kind;
    int  fd;        /* -1: memory, or closed */
    bool close_fd;  /* standard input stays open */
    bool eof;       /* nothing more to refill from */
    bool begun;     /* inside a member: the end of the file here is a truncation */
    bool need_init; /* bzip2: the last stream ended, another may follow */
    union {
        z_stream    gz;
        lzma_stream xz;
        bz_stream   bz2;
        ZSTD_DCtx  *zst;
    } u;
    size_t   pos, end;  /* of raw bytes not yet decoded */
    uint64_t raw_bytes; /* read so far */
    uint8_t  raw[CHUNK];
} decoder;

typedef enum outcome { MORE, MEMBER_END, DAMAGED, NO_MEMORY, TOO_WIDE } outcome;

size_t asgdi_stem_length(const char *path)
{
    size_t n = strlen(path);
    for (const char *const *s = asgdi_suffixes + 1; *s; s++) {
        size_t m = strlen(*s);
        if (n > m && memcmp(path + n - m, *s, m) == 0) return n - m;
    }
    return n;
}

static kind detect(const uint8_t *p, size_t n)
{
    if (n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8) return GZ;
    if (n >= 6 && memcmp(p,
                         "\xfd"
                         "7zXZ\0",
                         6) == 0)
        return XZ;
    if (n >= 5 && memcmp(p, "BZh", 3) == 0 && p[3] >= '1' && p[3] <= '9' &&
        (p[4] == 0x31 || p[4] == 0x17))
        return BZ2;
    if (n >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0) return ZST;
    return PLAIN;
}

static asgd_status refill(asgdi_input *in)
{
    decoder *d = in->decoder;
    if (d->pos > 0) {
        memmove(d->raw, d->raw + d->pos, d->end - d->pos);
        d->end -= d->pos;
        d->pos = 0;
    }
    while (!d->eof && d->end < CHUNK) {
        ssize_t n = read(d->fd, d->raw + d->end, CHUNK - d->end);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ASGD_FAIL(EIO, "%s: cannot read: %s", in->name, strerror(errno));
        if (n == 0) d->eof = true;
        d->end += (size_t)n;
        d->raw_bytes += (uint64_t)n;
    }
    return ASGD_OK;
}

static asgd_status codec_init(asgdi_input *in)
{
    decoder *d  = in->decoder;
    bool     ok = true;
    switch (d->kind) {
    case PLAIN: break;
    case GZ: ok = inflateInit2(&d->u.gz, 15 + 16) == Z_OK; break;
    case XZ:
        d->u.xz = (lzma_stream)LZMA_STREAM_INIT;
        ok      = lzma_stream_decoder(&d->u.xz, WINDOW_MAX, LZMA_CONCATENATED) == LZMA_OK;
        break;
    case BZ2: ok = BZ2_bzDecompressInit(&d->u.bz2, 0, 0) == BZ_OK; break;
    case ZST:
        d->u.zst = ZSTD_createDCtx();
        ok       = d->u.zst &&
             !ZSTD_isError(ZSTD_DCtx_setParameter(d->u.zst, ZSTD_d_windowLogMax, WINDOW_LOG_MAX));
        break;
    }
    if (!ok) return ASGD_FAIL(ENOMEM, "%s: no memory to decompress it", in->name);
    return ASGD_OK;
}

static void codec_end(decoder *d)
{
    switch (d->kind) {
    case PLAIN: break;
    case GZ: inflateEnd(&d->u.gz); break;
    case XZ: lzma_end(&d->u.xz); break;
    case BZ2: BZ2_bzDecompressEnd(&d->u.bz2); break;
    case ZST: ZSTD_freeDCtx(d->u.zst); break;
    }
}

static outcome step_gz(decoder *d, uint8_t *out, size_t *room)
{
    z_stream *z  = &d->u.gz;
    z->next_in   = d->raw + d->pos;
    z->avail_in  = (uInt)(d->end - d->pos);
    z->next_out  = out;
    z->avail_out = (uInt)*room;
    int r        = inflate(z, Z_NO_FLUSH);
    d->pos       = d->end - z->avail_in;
    *room        = z->avail_out;
    if (r == Z_STREAM_END) return inflateReset(z) == Z_OK ? MEMBER_END : DAMAGED;
    if (r == Z_MEM_ERROR) return NO_MEMORY;
    return r == Z_OK || r == Z_BUF_ERROR ? MORE : DAMAGED;
}

static outcome step_xz(decoder *d, uint8_t *out, size_t *room)
{
    lzma_stream *x = &d->u.xz;
    x->next_in     = d->raw + d->pos;
    x->avail_in    = d->end - d->pos;
    x->next_out    = out;
    x->avail_out   = *room;
    lzma_ret r     = lzma_code(x, d->eof ? LZMA_FINISH : LZMA_RUN);
    d->pos         = d->end - x->avail_in;
    *room          = x->avail_out;
    switch (r) {
    case LZMA_OK:
    case LZMA_BUF_ERROR: return MORE;
    case LZMA_STREAM_END: return MEMBER_END;
    case LZMA_MEM_ERROR: return NO_MEMORY;
    case LZMA_MEMLIMIT_ERROR: return TOO_WIDE;
    default: return DAMAGED;
    }
}

static outcome step_bz2(decoder *d, uint8_t *out, size_t *room)
{
    bz_stream *z = &d->u.bz2;
    if (d->need_init) {
        BZ2_bzDecompressEnd(z);
        *z = (bz_stream){0};
        if (BZ2_bzDecompressInit(z, 0, 0) != BZ_OK) return NO_MEMORY;
        d->need_init = false;
    }
    z->next_in   = (char *)d->raw + d->pos;
    z->avail_in  = (unsigned)(d->end - d->pos);
    z->next_out  = (char *)out;
    z->avail_out = (unsigned)*room;
    int r        = BZ2_bzDecompress(z);
    d->pos       = d->end - z->avail_in;
    *room        = z->avail_out;
    if (r == BZ_STREAM_END) {
        d->need_init = true;
        return MEMBER_END;
    }
    return r == BZ_OK ? MORE : r == BZ_MEM_ERROR ? NO_MEMORY : DAMAGED;
}

static outcome step_zst(decoder *d, uint8_t *out, size_t *room)
{
    ZSTD_inBuffer  i = {d->raw, d->end, d->pos};
    ZSTD_outBuffer o = {out, *room, 0};
    size_t         r = ZSTD_decompressStream(d->u.zst, &o, &i);
    d->pos           = i.pos;
    *room -= o.pos;
    if (ZSTD_isError(r)) {
        ZSTD_ErrorCode e = ZSTD_getErrorCode(r);
        return e == ZSTD_error_memory_allocation               ? NO_MEMORY
               : e == ZSTD_error_frameParameter_windowTooLarge ? TOO_WIDE
                                                               : DAMAGED;
    }
    return r == 0 ? MEMBER_END : MORE;
}

static outcome step_plain(decoder *d, uint8_t *out, size_t *room)
{
    size_t n = d->end - d->pos < *room ? d->end - d->pos : *room;
    memcpy(out, d->raw + d->pos, n);
    d->pos += n;
    *room -= n;
    return MEMBER_END; /* it may end anywhere */
}

static asgd_status too_large(const asgdi_input *in)
{
    return ASGD_FAIL(EFORMAT,
                     "%s: holds more than %.1f GiB, the limit here (memory of this machine, at "
                     "most 64 GiB); split it, or is it damaged?",
                     in->name, (double)in->limit / (1 << 30));
}

/* Room for at least one more byte than the zeros at the end. */
static asgd_status make_room(asgdi_input *in)
{
    if (in->capacity - in->bytes > CHUNK / 2) return ASGD_OK;
    size_t want = in->capacity < CHUNK ? 2 * CHUNK : in->capacity * 2;
    size_t most = in->limit + 1 + ASGDI_SLACK; /* one byte over the limit shows an excess */
    if (want > most) want = most;
    if (want <= in->capacity) return ASGD_OK;
    uint8_t *p = realloc(in->data, want);
    if (!p) return ASGD_FAIL(ENOMEM, "%s: no memory for %zu bytes of it", in->name, want);
    in->data     = p;
    in->capacity = want;
    return ASGD_OK;
}

asgd_status asgdi_input_fill(asgdi_input *in, size_t want)
{
    static outcome (*const step[])(decoder *, uint8_t *, size_t *) = {step_plain, step_gz, step_xz,
                                                                      step_bz2, step_zst};
    decoder *d                                                     = in->decoder;
    while (!in->complete && in->bytes < want) {
        if (d->end - d->pos < 16 && !d->eof) ASGD_TRY(refill(in));
        if (d->pos == d->end && d->eof && !d->begun && d->kind != XZ) {
            in->complete = true;
            break;
        }
        ASGD_TRY(make_room(in));
        size_t before = in->capacity - in->bytes - ASGDI_SLACK;
        size_t room = before, raw = d->end - d->pos;
        if (room > CHUNK) before = room = CHUNK; /* what 32-bit decoders count in */
        outcome r = step[d->kind](d, in->data + in->bytes, &room);
        in->bytes += before - room;
        memset(in->data + in->bytes, 0, ASGDI_SLACK);
        if (in->bytes > in->limit) return too_large(in);
        bool stuck = before == room && raw == d->end - d->pos;
        d->begun   = r == MORE;
        if (r == MEMBER_END && d->kind == XZ) { /* it looks for more streams itself */
            in->complete = true;
        } else if (r == NO_MEMORY) {
            return ASGD_FAIL(ENOMEM, "%s: no memory to decompress it", in->name);
        } else if (r == TOO_WIDE) {
            return ASGD_FAIL(EFORMAT,
                             "%s: its %s window is larger than the 1 GiB allowed here; compress it "
                             "again with a smaller one",
                             in->name, kind_name[d->kind]);
        } else if (r == MORE && stuck && d->eof) {
            return ASGD_FAIL(EFORMAT,
                             "%s: truncated: the %s data end early; download or copy it again",
                             in->name, kind_name[d->kind]);
        } else if (r == DAMAGED) {
            return ASGD_FAIL(EFORMAT,
                             "%s: damaged: not valid %s data after %" PRIu64 " bytes of content; "
                             "download or copy it again",
                             in->name, kind_name[d->kind], in->before + in->bytes);
        }
    }
    return ASGD_OK;
}

static asgd_status begin(asgdi_input *in)
{
    ASGD_TRY(refill(in));
    in->decoder->kind = detect(in->decoder->raw, in->decoder->end);
    asgd_status s     = codec_init(in);
    if (s == ASGD_OK) s = asgdi_input_fill(in, in->limit < ASGDI_HEAD ? in->limit + 1 : ASGDI_HEAD);
    return s;
}

static asgd_status prepare(asgdi_input *in, const char *path)
{
    *in          = (asgdi_input){.path = path, .name = path};
    long   pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    double memory = pages > 0 && page > 0 ? (double)pages * (double)page : 0x1p30;
    in->limit     = memory < (double)LIMIT_MAX ? (size_t)memory : (size_t)LIMIT_MAX;
    in->memory    = (size_t)(memory / 2);
    in->window    = WINDOW;
    if (strcmp(path, "-") == 0) in->name = "standard input";
    return ASGD_OK;
}

asgd_status asgdi_input_open(asgdi_input *in, const char *path)
{
    ASGD_TRY(prepare(in, path));
    bool standard = strcmp(path, "-") == 0;
    int  fd       = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ASGD_FAIL(EIO, "%s: cannot open it: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int e = errno;
        if (!standard) close(fd);
        return ASGD_FAIL(EIO, "%s: cannot read it: %s", in->name, strerror(e));
    }
    if (S_ISDIR(st.st_mode)) {
        if (!standard) close(fd);
        in->folder = in->complete = true;
        return ASGD_OK;
    }
    in->regular    = S_ISREG(st.st_mode) && !standard;
    in->file_bytes = (uint64_t)st.st_size;
    in->mtime_ns   = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    in->decoder    = calloc(1, sizeof *in->decoder);
    if (!in->decoder) {
        if (!standard) close(fd);
        return ASGD_FAIL(ENOMEM, "%s: no memory to read it", in->name);
    }
    in->decoder->fd       = fd;
    in->decoder->close_fd = !standard;
    asgd_status s         = begin(in);
    if (s != ASGD_OK) asgdi_input_close(in);
    return s;
}

asgd_status asgdi_input_memory(asgdi_input *in, const char *name, const void *data, size_t bytes)
{
    ASGD_TRY(prepare(in, name));
    in->data = malloc(bytes + ASGDI_SLACK);
    if (!in->data) return ASGD_FAIL(ENOMEM, "%s: no memory for %zu bytes of it", name, bytes);
    if (bytes) memcpy(in->data, data, bytes);
    memset(in->data + bytes, 0, ASGDI_SLACK);
    in->bytes    = bytes;
    in->capacity = bytes + ASGDI_SLACK;
    in->complete = true;
    return ASGD_OK;
}

asgd_status asgdi_input_read_all(asgdi_input *in)
{
    if (in->complete) return ASGD_OK;
    if (in->decoder->kind == PLAIN && in->regular && in->file_bytes < in->limit &&
        in->capacity < in->file_bytes + CHUNK) { /* no doubling where the size is known */
        uint8_t *p = realloc(in->data, in->file_bytes + CHUNK);
        if (p) {
            in->data     = p;
            in->capacity = in->file_bytes + CHUNK;
        }
    }
    return asgdi_input_fill(in, SIZE_MAX);
}

double asgdi_input_share(const asgdi_input *in)
{
    if (in->complete) return 1;
    if (!in->regular || !in->file_bytes || !in->decoder) return 0;
    double share = (double)in->decoder->raw_bytes / (double)in->file_bytes;
    return share < 1 ? share : 1;
}

const char *asgdi_input_map(const asgdi_input *in, void **map, size_t *map_bytes)
{
    long page = sysconf(_SC_PAGESIZE);
    if (!in->regular || !in->decoder || in->decoder->kind != PLAIN || !in->file_bytes ||
        in->file_bytes > SIZE_MAX / 2 || page < ASGDI_SLACK)
        return NULL;
    size_t size = (size_t)in->file_bytes, mask = (size_t)page - 1;
    size_t room =
        ((size + mask) & ~mask) + (size_t)page; /* the slack, where it ends at a page's end */
    void *p = mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (mmap(p, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, in->decoder->fd, 0) == MAP_FAILED) {
        munmap(p, room);
        return NULL;
    }
    (void)madvise(p, size, MADV_SEQUENTIAL); /* a hint */
    *map       = p;
    *map_bytes = room;
    return p;
}

void asgdi_input_close(asgdi_input *in)
{
    if (in->decoder) {
        codec_end(in->decoder);
        if (in->decoder->close_fd) close(in->decoder->fd);
        free(in->decoder);
    }
    free(in->data);
    in->data     = NULL;
    in->decoder  = NULL;
    in->complete = true;
}
