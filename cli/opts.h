/* opts.h -- the program's options: one table that parsing, help, completion and --config read. */
#ifndef CLI_OPTS_H
#define CLI_OPTS_H

#include <stdio.h>

#include "cli.h"

enum {
    CMD_TRAIN     = 1,
    CMD_EVAL      = 2,
    CMD_PREDICT   = 4,
    CMD_COMPARE   = 8,
    CMD_SYNTH     = 16,
    CMD_INSPECT   = 32,
    CMD_RECOMMEND = 64,
};

typedef struct cli_command {
    const char *name;
    unsigned    bit;
    const char *usage;      /* after "asgd NAME " */
    const char *summary;    /* one line */
    const char *examples;   /* what help begins with */
    const char *notes;      /* after the options; NULL: none */
    const char *positional; /* what the positional argument is; NULL: there is none */
    bool        optional;   /* the positional may be left out */
    int (*run)(const cli_options *o);
} cli_command;

extern const cli_command cli_commands[]; /* ends with a NULL name */

/* Values as given; zero, NULL and NAN-free: what is not given keeps the library's default. */
struct cli_options {
    const cli_command *command;
    int                argc; /* the whole command line, to tell how to resume */
    char             **argv;
    const char        *positional;

    const char *train, *valid, *data, *part, *format, *cache;
    const char *label, *weight, *ignore, *categorical, *interactions;
    uint64_t    bins, hash_bits;
    const char *hidden, *activation, *dropout, *init, *loss, *bias, *k, *normalize;
    const char *nonnegative, *l2_user, *l2_item, *l2_bias, *negatives, *draw, *positive;
    const char *blocks, *holdout_by, *exclude, *user, *item;
    double      holdout;
    const char *workers, *mode, *modes, *share;
    bool        pin;
    uint64_t    merge, hot, backup;
    double      damp;
    uint64_t    batch, seed;
    double      epochs, lr, warmup, beta1, beta2, eps, l1, l2;
    const char *rule, *schedule, *order;
    bool        progressive;
    double      eval_every, max_seconds;
    const char *target;
    uint64_t    patience;
    const char *checkpoint;
    double      checkpoint_every;
    bool        resume;
    const char *exchange, *merging, *compress, *guard;
    uint64_t    max_lag, local_steps, min_processes;
    double      dead_after, drop, clip_deltas, outer_momentum;
    const char *straggler;
    double      pace;
    const char *log, *report, *output, *config;
    bool        json, quiet, probabilities, machine;
    uint64_t    examples, test;
    uint64_t    rows, first, fields, users, items, ratings;
    double      noise, skew;
    uint64_t    top;

    void *memory; /* strings that came from a file or were joined */
};

typedef enum opt_kind {
    OPT_FLAG,   /* bool */
    OPT_TEXT,   /* const char * */
    OPT_LIST,   /* const char *; given again, values are joined with commas */
    OPT_CHOICE, /* const char *, one of spec.choices */
    OPT_WHOLES, /* const char *: whole numbers joined by commas, each in [low, high] */
    OPT_WHOLE,  /* uint64_t in [low, high] */
    OPT_REAL,   /* double in [low, high], without low where `above` */
    OPT_TIME,   /* double in seconds; 5ms, 10us, 2s, 1.5min, 1h */
} opt_kind;

typedef struct opt_spec {
    const char *name; /* without the dashes */
    const char *group;
    unsigned    commands;
    opt_kind    kind;
    size_t      field; /* in cli_options */
    const char *arg;   /* NULL: none */
    const char *fallback;
    const char *help;
    const char *choices; /* "a,b,c" */
    double      low, high;
    bool        above, below; /* low, high themselves are not allowed */
    const char *word;         /* OPT_WHOLE: this word is the largest number, as ASGD_NEVER */
    char        letter;
} opt_spec;

enum { OPT_CAPACITY = 96 };
extern const opt_spec opt_table[]; /* grouped; ends with a NULL name */

const cli_command *command_find(const char *name);
/* Reads argv[2..], then the --config file for what the command line left open.  Returns CLI_OK or
 * CLI_USAGE (said why), or -1 where help was asked for. */
int  opts_parse(cli_options *o, int argc, char **argv);
void opts_free(cli_options *o);

/* The name most like `wrong` among n names, or NULL if none is like it. */
const char *nearest_name(const char *wrong, const char *const *names, size_t n);
size_t      list_count(const char *list); /* elements of "a,b,c" */
/* Element i of "a,b,c" into out; false past the last or where it does not fit. */
bool list_item(const char *list, size_t i, char *out, size_t bytes);

/* help.c */
void help_program(FILE *f);
void help_command(FILE *f, const cli_command *c);
void help_completion(FILE *f, const cli_command *c);
bool help_model(FILE *f, const char *name); /* false: there is no such model */
/* Names of the library's models; returns their number. */
size_t model_names(char (*names)[32], size_t capacity);
/* CLI_OK if there is such a model, else CLI_USAGE, said what there is. */
int model_check(const char *name);

#endif
