/* text.h -- the pipeline that all text formats share: chunks of text parsed at once, errors with their
 * line, numbering by frequency, and the cache around it.
 *
 *     text --cut--> chunks --format.line()--> rows --put--> arrays --number--> source --> cache
 *
 * A format is a few functions; it never sees windows, threads or the cache. */
#ifndef ASGDI_TEXT_H
#define ASGDI_TEXT_H

#include <jansson.h>
#include <stddef.h>

#include "data/input.h"
#include "data/rows.h"
#include "data/source.h"

/* Collects the names of wanted features while text is parsed; NULL in training. */
typedef struct asgdi_names asgdi_names;
/* "A^cat": name of the feature `key`, printf-like; kept if it is wanted and has none yet. */
void asgdi_names_add(asgdi_names *names, uint32_t key, const char *format, ...) ASGD_PRINTF(3, 4);

/* What a chunk is parsed into; no two of them on one cache line. */
typedef struct asgdi_text_part {
    _Alignas(ASGDI_LINE) asgdi_rows rows;
    asgdi_names *names;       /* NULL: not wanted */
    const char  *begin, *end; /* whole lines */
    uint64_t     lines;       /* line ends passed; where an error is, up to its line */
    asgd_status  status;
    char         error[400]; /* without file and line */
    void        *scratch;    /* the format's own, freed by its part_end(); NULL at first */
} asgdi_text_part;

/* Stores an error of a part; returns EFORMAT. */
asgd_status asgdi_text_fail(asgdi_text_part *part, const char *format, ...) ASGD_PRINTF(2, 3);

/* A token for a message: at most 30 characters, unprintable ones as '?', "..." where it is cut. */
typedef struct asgdi_shown {
    char text[36];
} asgdi_shown;
asgdi_shown asgdi_show(const char *p, const char *end);

typedef struct asgdi_text_setup {
    const char *name; /* of the file, for messages */
    /* text from the beginning on, whole lines: all of it where it is a plain file, else the first
     * megabytes.  Only begin() may look at it. */
    const char                *head, *end;
    const asgd_source_options *o;
    const json_t              *recipe; /* of o->encoding; NULL: there is none */
    /* for begin() to set */
    void       *self;
    const char *first;      /* where examples begin; set to `head` before */
    uint64_t    first_line; /* its line number; set to 1 before */
    bool        fielded, label_sets;
    uint32_t    dense;  /* as in asgdi_rows */
    uint32_t    fields; /* number of fields, where the format knows it beforehand; else 0 */
    uint32_t    classes, features; /* xc: as its first line says */
    bool        hashed;            /* features are hashes: always numbered by frequency */
} asgdi_text_setup;

typedef struct asgdi_text_format {
    const char *name;
    /* Reads options, recipe and the head of the text; may be NULL.  What it allocates, end() frees,
     * also after a failure. */
    asgd_status (*begin)(asgdi_text_setup *t);
    void (*end)(void *self);
    /* What is to be remembered: a new JSON object without "format"; NULL member: nothing. */
    json_t *(*recipe)(const void *self);
    /* One line [p, end) without its "\n" or "\r\n": an example into k->rows, or nothing where the line
     * is empty or a comment.  ASGDI_SLACK bytes from `end` on can be read, and *end is no character of
     * a number.  Errors by asgdi_text_fail(). */
    asgd_status (*line)(const void *self, asgdi_text_part *k, const char *p, const char *end);
    void (*part_end)(asgdi_text_part *k); /* frees k->scratch; NULL: nothing to free */
    const char *sample;                   /* a line for the message that a file holds no example */
    bool        numbers;                  /* features are numbers, so names need no text ... */
    uint32_t    first_number;             /* ... and the first, 0 in memory, is this in the file */
} asgdi_text_format;

/* Opens a text format: from the cache, or by parsing, and into the cache. */
asgd_status asgdi_text_open(asgd_source *s, asgdi_input *in, const asgd_source_options *o,
                            const asgdi_text_format *f);
/* The names of wanted features, for asgd_encoding_names(). */
asgd_status asgdi_text_names(asgdi_input *in, const asgd_source_options *o,
                             const asgdi_text_format *f, asgdi_names *names);

#endif
