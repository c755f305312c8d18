/* text.c -- what the text formats share.
 *
 * The text is cut at line ends into one part per thread.  A part that meets an error stops there;
 * all parts before the first such part are whole, so the line of its error is their lines plus its
 * own: the message is the same for any number of threads. */
#include "data/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/build.h"
#include "data/cache.h"

static asgdi_text_part *at(asgdi_text_part *part, size_t stride, uint32_t k)
{
    return (asgdi_text_part *)(void *)((char *)part + stride * k);
}

uint32_t asgdi_text_cut(asgdi_text_part *part, size_t stride, const char *begin, const char *end,
                        uint32_t parts)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < parts && begin < end; k++) {
        const char *stop = end;
        size_t      rest = (size_t)(end - begin);
        if (k + 1 < parts) {
            const char *near = begin + rest / (parts - k);
            const char *line = memchr(near, '\n', (size_t)(end - near));
            stop             = line ? line + 1 : end;
        }
        asgdi_text_part *p = at(part, stride, n++);
        p->begin           = begin;
        p->end             = stop;
        p->lines           = 0;
        p->status          = ASGD_OK;
        p->error[0]        = 0;
        begin              = stop;
    }
    return n;
}

asgd_status asgdi_text_join(asgdi_text_part *part, size_t stride, uint32_t parts,
                            uint64_t first_line, const char *name)
{
    for (uint32_t k = 0; k < parts; k++) {
        asgdi_text_part *p = at(part, stride, k);
        p->first_line      = first_line;
        if (p->status == ASGD_ENOMEM)
            return ASGD_FAIL(ENOMEM, "%s: no memory for its examples", name);
        if (p->status != ASGD_OK)
            return asgdi_fail(p->status, "%s:%" PRIu64 ": %s", name, first_line + p->lines,
                              p->error);
        first_line += p->lines;
    }
    return ASGD_OK;
}

asgd_status asgdi_text_fail(asgdi_text_part *part, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(part->error, sizeof part->error, format, args);
    va_end(args);
    return ASGD_EFORMAT;
}

asgdi_shown asgdi_show(const char *p, const char *end)
{
    enum { MOST = 30 };
    asgdi_shown s = {""};
    size_t      n = (size_t)(end - p), m = n > MOST ? (size_t)MOST : n;
    for (size_t i = 0; i < m; i++) {
        unsigned char c = (unsigned char)p[i];
        s.text[i]       = c < 32 || c == 127 ? '?' : p[i];
    }
    if (n > MOST) memcpy(s.text + MOST, "...", 4);
    return s;
}

asgd_status asgdi_text_open(asgd_source *s, asgdi_input *in, const asgd_source_options *o,
                            const char *format, asgdi_text_parse *parse)
{
    uint64_t    dropped = 0;
    char        note[100];
    const char *from = "";
    asgdi_cache cache;
    ASGD_TRY(asgdi_cache_open(&cache, in, o, format));
    if (asgdi_cache_load(&cache, s, o->threads, &dropped)) {
        from = "from cache";
    } else {
        asgd_status status = asgdi_input_read_all(in);
        const char *begin = (const char *)in->data, *end = begin + in->bytes;
        if (status == ASGD_OK) {
            if (in->bytes >= 3 && memcmp(begin, "\xef\xbb\xbf", 3) == 0) begin += 3;
            status = parse(s, in, begin, end, o, &dropped);
        }
        if (status == ASGD_OK && o->rank_features && !s->schema.dense)
            status = asgdi_rank(s, NULL, o->threads);
        if (status != ASGD_OK) {
            asgdi_cache_close(&cache);
            return status;
        }
        asgdi_summarize(s);
        from = asgdi_cache_store(&cache, s, in->bytes, dropped);
    }
    asgdi_cache_close(&cache);
    snprintf(note, sizeof note, "%s", from);
    if (dropped)
        snprintf(note, sizeof note, "%" PRIu64 " entries of unseen features dropped%s%s", dropped,
                 *from ? ", " : "", from);
    asgdi_describe(s, format, note);
    return ASGD_OK;
}
