/* csv.h -- a table as text: which of its columns are what, and how a line falls into fields.
 *
 *     first line --csv_head.c--> names, sample --csv_columns.c--> what each column is --> lines
 *                                     recipe --csv_recipe.c-----^
 *
 * source_csv.c reads the lines; the grammar is there. */
#ifndef ASGDI_CSV_H
#define ASGDI_CSV_H

#include "data/find.h"
#include "data/text.h"

enum {
    ASGDI_CSV_COLUMNS = 1 << 20, /* at most, in a file */
    ASGDI_CSV_CLASSES = 1000,    /* at most, where labels are names */
};

/* A field without the blanks around it and without its quotes. */
typedef struct asgdi_csv_field {
    const char *begin, *end;
    bool        doubled; /* it holds "", which stands for one quote */
} asgdi_csv_field;

typedef enum asgdi_csv_role {
    ASGDI_CSV_IGNORED,
    ASGDI_CSV_LABEL,    /* a number */
    ASGDI_CSV_CLASS,    /* a label that is a name */
    ASGDI_CSV_WEIGHT,   /* of the example */
    ASGDI_CSV_NUMBER,   /* a feature of a dense table */
    ASGDI_CSV_BINNED,   /* numbers in groups: a feature each */
    ASGDI_CSV_CATEGORY, /* names: a feature each */
} asgdi_csv_role;

typedef struct asgdi_csv_column {
    const char    *name; /* its number from 1 where the file or its header has none */
    asgdi_csv_role role;
    bool           named;   /* options->categorical has it */
    uint32_t       feature; /* number among the feature columns; its field */
    uint64_t       seed;    /* of the hash of its values */
    double        *edge;    /* binned: [edges], owned */
    uint32_t       edges;
    uint32_t      *group; /* binned: [edges+1] the feature of each group, owned */
} asgdi_csv_column;

typedef struct asgdi_csv {
    const char *file; /* for messages */
    char        delimiter;
    bool        header;   /* the first line is one, and names are from it */
    bool        dense;    /* features are numbers */
    uint32_t    columns;  /* of this file */
    uint32_t    features; /* feature columns */
    uint32_t    bits;     /* of a hash */
    float       absent;   /* y where the file has no label */

    asgdi_csv_column  *column;      /* [columns] */
    asgdi_csv_column **by_name;     /* [columns] sorted */
    asgdi_csv_column  *label;       /* NULL: the file has none */
    asgdi_csv_column  *weight;      /* NULL: all 1 */
    char              *names;       /* text of the names: of the first line, then numbers */
    size_t             names_bytes; /* of the former */

    const char **classes;    /* [n_classes] sorted; NULL: labels are numbers */
    char        *class_text; /* of the classes; NULL where the recipe has them */
    uint32_t     n_classes;

    const char *first, *rest, *end; /* the first line, what follows it */
    uint64_t    first_line;         /* its number */
    json_t     *recipe;             /* that this file is read by; NULL: its own */
} asgdi_csv;

/* Cells here and there in the text: what is guessed from. */
typedef struct asgdi_csv_sample {
    uint32_t rows, room;
    double  *x;      /* [columns][room] numbers, NaN for what is none; row 0 is the first line */
    uint8_t *first;  /* [columns] whether the first line has neither a number nor a missing value */
    uint8_t *word;   /* [columns] whether a row after the first has such a value */
    uint8_t *number; /* [columns] whether one has a number */
    uint8_t *again;  /* [columns] whether one repeats the first line's value */
} asgdi_csv_sample;

/* ---- fields ---- */

static inline bool asgdi_csv_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A quoted field, p at its quote; NULL: it is not closed, or something follows it. */
const char *asgdi_csv_quoted(asgdi_csv_field *f, const char *p, const char *end, char delimiter);

/* The field at p; returns its delimiter, or end, or NULL as above. */
static inline const char *asgdi_csv_take(asgdi_csv_field *f, const char *p, const char *end,
                                         char delimiter)
{
    while (p < end && asgdi_csv_blank(*p) && *p != delimiter) p++;
    if (p < end && *p == '"') return asgdi_csv_quoted(f, p, end, delimiter);
    const char *next = asgdi_find(p, end, delimiter), *stop = next;
    while (stop > p && asgdi_csv_blank(stop[-1])) stop--;
    *f = (asgdi_csv_field){p, stop, false};
    return next;
}

/* The next line that is not empty, without its end; false: there is none.  *p moves past it. */
bool asgdi_csv_line(const char **p, const char *end, const char **from, const char **to);
/* Columns of a line; 0: a quote is not closed. */
uint32_t asgdi_csv_count(const asgdi_csv *t, const char *p, const char *end);
/* Whether f stands for a missing value: empty, ?, NA, NaN, null. */
bool               asgdi_csv_missing_name(const asgdi_csv_field *f);
static inline bool asgdi_csv_missing(const asgdi_csv_field *f)
{
    if (f->begin == f->end) return true;
    char c = *f->begin;
    return (c == 'N' || c == 'n' || c == '?') && asgdi_csv_missing_name(f);
}
/* Whether all of f is a number, infinity and NaN included. */
bool asgdi_csv_number(asgdi_csv_field f, double *x);
/* "4,5", quoted or between semicolons: guessed to be a number, so that it is refused. */
bool asgdi_csv_decimal_comma(asgdi_csv_field f);
/* Writes a field with "" as one quote, and nothing behind it; returns its length, at most f's. */
size_t asgdi_csv_plain(asgdi_csv_field f, char *to);
/* Compares as memcmp() does, a shorter name first. */
int asgdi_csv_compare(const char *a, size_t na, const char *b, size_t nb);
/* The number of the line that p is in. */
uint64_t asgdi_csv_line_of(const asgdi_csv *t, const char *p);
bool     asgdi_csv_utf8(const char *p, size_t n);

/* ---- the table ---- */

/* The delimiter that the line [p, end) has most of. */
char asgdi_csv_delimiter(const char *p, const char *end, uint64_t *count);
/* Finds the first line; its fields are then the columns' names. */
asgd_status asgdi_csv_first(asgdi_csv *t, const asgdi_text_setup *setup);
/* Takes the sample; to be freed also where this fails. */
asgd_status asgdi_csv_sample_take(const asgdi_csv *t, asgdi_csv_sample *s);
void        asgdi_csv_sample_free(asgdi_csv_sample *s);
/* Whether the sample shows that the first line is a header. */
bool asgdi_csv_header(const asgdi_csv *t, const asgdi_csv_sample *s);
/* Checks the names that the header gives and makes the others, once t->header is known. */
asgd_status asgdi_csv_names(asgdi_csv *t);
/* The column of this name, or NULL. */
asgdi_csv_column *asgdi_csv_find(const asgdi_csv *t, const char *name);
/* Its name, for a message. */
static inline asgdi_shown asgdi_csv_show(const asgdi_csv_column *c)
{
    return asgdi_show(c->name, c->name + strlen(c->name));
}
/* The column of this name or, if that is a number, of this number; `purpose` is for the message. */
asgd_status asgdi_csv_resolve(const asgdi_csv *t, const char *name, const char *purpose,
                              asgdi_csv_column **column);
/* `a, b, ...; did you mean "a"?`: the names, and which is like `near` ("": none). */
void asgdi_csv_list(const asgdi_csv *t, const char *near, char *buf, size_t bytes);

/* Whether options name something on the first line, which is then a header. */
bool asgdi_csv_options_on_first(const asgdi_csv *t, const asgd_source_options *o);
/* What the columns are by the options and the sample. */
asgd_status asgdi_csv_guess(asgdi_csv *t, const asgd_source_options *o, const asgdi_csv_sample *s);
/* The same by t->recipe. */
bool        asgdi_csv_recipe_on_first(const asgdi_csv *t);
asgd_status asgdi_csv_follow(asgdi_csv *t, const asgd_source_options *o);
json_t     *asgdi_csv_recipe(const asgdi_csv *t);
/* Makes a feature column hash as one of this name, once its role and its edges are known. */
asgd_status asgdi_csv_hash(const asgdi_csv *t, asgdi_csv_column *c, const char *name);
/* The names of the classes, from all of the text; t->label is known. */
asgd_status asgdi_csv_classes(asgdi_csv *t, uint32_t threads);

#endif
