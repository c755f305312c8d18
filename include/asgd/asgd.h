/* asgd.h -- asynchronous stochastic gradient descent.
 *
 *     source --batch--> model --gradient--> sink --rule--> params
 *
 * Worker threads run that line without locks, none waiting for another.  The thread that called
 * asgd_train() runs everything slow: schedules, evaluation, reports, checkpoints.
 *
 * Conventions
 *   [n][d] is row-major; counts are in elements, sizes that say `bytes` in bytes, times in seconds.
 *   Zero in a config field means "the default", which the field's comment names.
 *   Functions that can fail return asgd_status; asgd_errmsg() then says what and what to do.
 *   Functions that return void cannot fail.
 *   Who gets an object from _open, _new or _load frees it with _free or _close; NULL is allowed
 * there. Who may call: [any] any thread at any time, [owner] one thread at a time per object,
 *   [worker] inside asgd_model_ops.step or .predict only.
 *
 * Tiers: 1 named model + asgd_train(); 2 own arrays; 3 own model by callbacks; 4 params and sinks. */
#ifndef ASGD_ASGD_H
#define ASGD_ASGD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASGD_VERSION "0.1.0"

#if defined(__GNUC__)
#define ASGD_API __attribute__((visibility("default")))
#define ASGD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define ASGD_API
#define ASGD_PRINTF(fmt, args)
#endif

/* ---- status ---- */

#define ASGD_STATUS_MAP(X)                                \
    X(OK, "success")                                      \
    X(EINVAL, "invalid argument or configuration")        \
    X(ENOMEM, "out of memory")                            \
    X(EIO, "cannot read or write a file")                 \
    X(EFORMAT, "malformed input")                         \
    X(EMISMATCH, "model, data and checkpoint do not fit") \
    X(EDIVERGED, "the loss is no longer a finite number") \
    X(ESTOPPED, "stopped by the observer or by a signal") \
    X(ELOST, "too few processes are left, or this one was given up")

typedef enum asgd_status {
#define X(name, text) ASGD_##name,
    ASGD_STATUS_MAP(X)
#undef X
} asgd_status;

ASGD_API const char *asgd_version(void);           /* [any] "0.1.0" */
ASGD_API const char *asgd_strerror(asgd_status s); /* [any] the fixed text of a code */
ASGD_API const char *asgd_errmsg(void);            /* [any] what last went wrong on this thread */

/* ---- data: one batch type for dense and sparse examples ---- */

/* Who rated what how: an example of data of users and items (schema.users). */
typedef struct asgd_rating {
    uint32_t user, item; /* schema.users, schema.items: one that the training data lack */
    float    y;
} asgd_rating;

/* What a ranking model needs beside its batch; the library's own. */
typedef struct asgd_pool asgd_pool;

/* A borrowed view of n examples: valid until the worker that got it asks for its next batch.
 * Exactly one of `dense`, `begin` and `rating` is set. */
typedef struct asgd_batch {
    uint32_t        n;        /* examples */
    uint32_t        features; /* width of an example; every index is below it */
    const float    *y;      /* [n] target, or class number 0..classes-1; linear logistic: 0 or 1 */
    const float    *weight; /* [n] instance weights, or NULL: all 1 */
    const float    *dense;  /* [n][features], or NULL */
    const uint64_t *begin;  /* [n] example i owns entries begin[i] .. begin[i]+len[i]-1, or NULL */
    const uint32_t *len;    /* [n] */
    const uint32_t *idx;    /* feature numbers, increasing inside an example */
    const float    *val;    /* their values; NULL: all 1 */
    const uint16_t *field;  /* the field of each entry, below schema.fields; NULL: there are none */
    /* Data with a set of labels each (schema.label_sets): example i has label_len[i] of them, from
     * label[label_begin[i]] on, increasing and below schema.classes; its y is then 0. */
    const uint64_t    *label_begin; /* [n], or NULL */
    const uint32_t    *label_len;   /* [n] */
    const uint32_t    *label;
    const asgd_rating *rating; /* [n], or NULL; y may then be NULL in training */
    const asgd_pool   *pool;   /* where sampled items come from; NULL: anywhere */
    uint64_t position;         /* of the first example in the run, counted from 0 over all epochs */
} asgd_batch;

/* What a source holds, once opened. */
typedef struct asgd_schema {
    uint64_t examples;
    uint64_t nonzeros; /* entries stored; examples * features where dense */
    uint32_t features;
    uint32_t classes; /* distinct labels 0..classes-1; 0: real-valued targets */
    uint32_t fields;  /* groups of features, as columns of a table are; 0: there are none */
    bool     dense;
    bool     label_sets; /* an example has any number of the labels, not one */
    float    y_min, y_max;
    uint32_t users, items; /* data of users and items: their numbers, features in all; 0: others */
} asgd_schema;

typedef struct asgd_source asgd_source;

/* How text became features: which feature of the file each row of a model is, and what the format
 * chose (columns, bins, hashing).  A source that is read with the encoding of another, or of a
 * trained model, has the same features; what that one never saw is left out. */
typedef struct asgd_encoding asgd_encoding;

/* How to read a file or folder; zero-initialise for the defaults. */
typedef struct asgd_source_options {
    /* "idx", "libsvm", "libffm", "criteo", "csv", "vw", "xc", "ratings"; NULL: guessed from the name and
     * first bytes, or that of `encoding` */
    const char *format;
    bool        test_part; /* idx folders: read t10k-* instead of train-* */
    const char *cache;    /* folder for the binary cache; NULL: beside the file; "none": no cache */
    uint32_t    features; /* width to force, e.g. that of the training data; 0: what is found */
    uint32_t    threads;  /* for parsing; 0: one per core */
    /* libsvm, libffm: keep only the features that occur, numbered by falling frequency (the other
     * sparse text formats always do): small tables, and what share hot needs */
    bool rank_features;
    /* hashing formats (csv, criteo, vw): features are the low `hash_bits` bits of a hash, 10..32;
     * 0: 32, where collisions are few */
    uint32_t    hash_bits;
    const char *label;       /* csv: name or number (from 1) of the label column; NULL: the first */
    const char *weight;      /* csv: the column of instance weights; NULL: none */
    const char *ignore;      /* csv: columns to leave out, "a,b" */
    const char *categorical; /* csv: columns whose values are names even where they are numbers */
    uint32_t    bins; /* csv, criteo: numbers of a mixed table are cut into so many groups; 0: 32 */
    const char *interactions; /* vw: pairs of namespaces to multiply out, "ab,cd" (vw's -q) */
    /* ratings: files that go on where PATH ends, and whether times are kept, for asgd_source_split() */
    const char *const *also;
    uint32_t           n_also;
    bool               times;
    /* read as this encoding says; borrowed until the source is closed.  NULL: make one where the
     * format has one */
    const asgd_encoding *encoding;
    /* the trained model's labels: class c stands for label_values[c]; NULL: found in the data */
    const float *label_values;
    uint32_t     n_label_values;
} asgd_source_options;

/* Opens PATH: an IDX folder, a file (plain, .gz, .xz, .bz2 or .zst) or "-" for standard input.
 * Errors: EIO, EFORMAT (message `path:line: what is wrong and what to do`), ENOMEM. */
ASGD_API asgd_status asgd_source_open(asgd_source **out, const char *path,
                                      const asgd_source_options *options); /* [owner] */

/* A caller's arrays as a source; they are borrowed and must outlive it.
 * x [n][features]; y [n].  classes 0: y are real targets. */
ASGD_API asgd_status asgd_source_dense(asgd_source **out, const float *x, const float *y,
                                       uint64_t n, uint32_t features,
                                       uint32_t classes); /* [owner] */
/* Compressed sparse rows: example i owns entries start[i]..start[i+1]-1 of idx and val (val NULL:
 * all 1); start [n+1].  Errors: EINVAL where an index is not below features or not increasing. */
ASGD_API asgd_status        asgd_source_sparse(asgd_source **out, const uint64_t *start,
                                               const uint32_t *idx, const float *val, const float *y,
                                               uint64_t n, uint32_t features,
                                               uint32_t classes);     /* [owner] */
ASGD_API const asgd_schema *asgd_source_schema(const asgd_source *s); /* [any] */
/* What was guessed, e.g. "libsvm, 32561 examples, 123 features, from cache"; never NULL. */
ASGD_API const char *asgd_source_describe(const asgd_source *s); /* [any] */
/* [classes] the value each class number stands for in the file (-1 and 1 for a9a); NULL:
 * themselves. */
ASGD_API const float *asgd_source_labels(const asgd_source *s); /* [any] */
/* The encoding it was read with or made; NULL: feature f of the file is feature f. */
ASGD_API const asgd_encoding *asgd_source_encoding(const asgd_source *s); /* [any] */
ASGD_API void                 asgd_source_close(asgd_source *s);          /* [owner] */

/* [*rows] the feature of the file that each row stands for: its number counted from 0, or its hash. */
ASGD_API const uint32_t *asgd_encoding_keys(const asgd_encoding *e, uint32_t *rows); /* [any] */
/* Names of n features, found by reading text that has them: names[i], malloc'ed, for key[i]; NULL
 * where the text lacks it.  For formats whose features are numbers the name is the number. */
ASGD_API asgd_status asgd_encoding_names(const asgd_encoding *e, const char *path,
                                         const asgd_source_options *options, const uint32_t *key,
                                         uint32_t n, char **names); /* [owner] */

/* Ratings: the names of users and items, owned by the encoding, NULL where there is none of this number;
 * and the number that a name has, false where training data lack it.  e NULL: no names. */
ASGD_API const char *asgd_encoding_user(const asgd_encoding *e, uint32_t user); /* [any] */
ASGD_API const char *asgd_encoding_item(const asgd_encoding *e, uint32_t item); /* [any] */
ASGD_API bool        asgd_encoding_find_user(const asgd_encoding *e, const char *name,
                                             uint32_t *user); /* [any] */
ASGD_API bool        asgd_encoding_find_item(const asgd_encoding *e, const char *name,
                                             uint32_t *item); /* [any] */

/* A caller's ratings as a source: rating [n] is borrowed and must outlive it.  Errors: EINVAL where there are
 * none, a user is not below `users`, an item not below `items`, or a rating is not finite. */
ASGD_API asgd_status asgd_source_ratings(asgd_source **out, const asgd_rating *rating, uint64_t n,
                                         uint32_t users, uint32_t items); /* [owner] */

/* How asgd_source_split() chooses what is held out. */
typedef enum asgd_holdout {
    ASGD_HOLDOUT_RANDOM,
    ASGD_HOLDOUT_TIME, /* the latest of all */
    ASGD_HOLDOUT_LAST, /* the latest of each user; without times those that come last */
} asgd_holdout;
/* Ratings: two sources out of one, `part` of it (above 0, below 1) in *valid.  They have its numbers and
 * names, and live on their own.  Errors: EINVAL (part, no ratings, by time without times), ENOMEM. */
ASGD_API asgd_status asgd_source_split(const asgd_source *all, double part, asgd_holdout how,
                                       uint64_t seed, asgd_source **train,
                                       asgd_source **valid); /* [owner] */

/* ---- parameters: tables of rows ---- */

typedef enum asgd_init { ASGD_INIT_ZERO, ASGD_INIT_UNIFORM, ASGD_INIT_NORMAL } asgd_init;

typedef enum asgd_table_flags {
    ASGD_TABLE_BY_FEATURE = 1, /* row r belongs to feature r: may be few touched, and skewed */
    ASGD_TABLE_NO_DECAY   = 2, /* l1 and l2 leave it alone: biases */
    /* adagrad keeps one sum for every four neighbouring weights of a row, of the mean of their squared gradients, in
     * place of four sums: for long rows, of which a third less is then moved.  dim is a multiple of 4. */
    ASGD_TABLE_QUADS = 4,
} asgd_table_flags;

/* One table of a model, declared by asgd_model_ops.shape. */
typedef struct asgd_table {
    char      name[48];
    uint64_t  rows;
    uint32_t  dim;   /* floats a row */
    uint32_t  flags; /* asgd_table_flags */
    asgd_init init;  /* ZERO; UNIFORM in [-scale, scale]; NORMAL with deviation scale */
    float     scale;
} asgd_table;

enum { ASGD_MAX_TABLES = 64 };

/* One table as a worker sees it: rows below n_own are private to the worker (and merged with the
 * other workers' by deltas), all others are shared.  Both bases are addressed by row number. */
typedef struct asgd_view {
    float   *own;    /* base of rows below n_own */
    float   *shared; /* base of all others */
    uint64_t n_own;
    size_t   stride; /* floats from one row to the next; row[dim..] belongs to the rule */
} asgd_view;

static inline const float *asgd_row(const asgd_view *t, uint64_t r) /* [worker] */
{
    return (r < t->n_own ? t->own : t->shared) + r * t->stride;
}

/* ---- sinks: emitting a gradient changes the parameters by the rule in force ---- */

typedef struct asgd_sink asgd_sink;

/* Rows row..row+n-1 of `table`: d loss / d row[i] = scale * g[i][0..dim).  ldg: floats from one row
 * of g to the next.  [worker] */
ASGD_API void asgd_emit_rows(asgd_sink *s, int table, uint64_t row, uint64_t n, float scale,
                             const float *g, size_t ldg);
/* n scattered rows times one vector: d loss / d row idx[j] = scale * coef[j] * v[0..dim)
 * (coef NULL: all 1).  With dim 1 and v NULL: d loss / d row idx[j] = scale * coef[j].  [worker] */
ASGD_API void asgd_emit_scattered(asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                                  const float *coef, float scale, const float *v);
/* A whole layer: d loss / d row f = scale * sum over examples i of x[i][f] * v[i][0..dim), for the
 * examples x of the batch.  ldv: floats from one row of v to the next; v[i][dim..ldv) must be zero.
 * [worker] */
ASGD_API void asgd_emit_outer(asgd_sink *s, int table, const asgd_batch *x, float scale,
                              const float *v, size_t ldv);

/* What the emitting model reads with.  out[i][0..dim) += sum over f of x[i][f] * row f.  ldo as
 * ldv. */
ASGD_API void asgd_forward(const asgd_sink *s, int table, const asgd_batch *x, float *out,
                           size_t ldo);
/* Sum over the n entries of val[j] * row idx[j][0], for a table of dim 1 (val NULL: all 1).  [worker] */
ASGD_API float asgd_dot_sparse(const asgd_sink *s, int table, uint32_t n, const uint32_t *idx,
                               const float *val);

/* ---- model: a pure function from (parameters, batch) to (gradient, loss) ---- */

typedef struct asgd_stats {
    double   loss;    /* sum over examples of weight * loss */
    double   weight;  /* sum of weights */
    uint64_t correct; /* classification: examples whose best class is y (is among its labels) */
} asgd_stats;

/* What predictions mean, so that metrics can be computed. */
typedef enum asgd_task {
    ASGD_TASK_REGRESSION, /* out[n][1]: the value */
    ASGD_TASK_BINARY,     /* out[n][1]: probability (logistic) or margin (hinge) of class 1 */
    ASGD_TASK_CLASSES,    /* out[n][classes]: probabilities */
    ASGD_TASK_LABELS,     /* out[n][classes]: the probability of each label, on its own */
    ASGD_TASK_RANKING,    /* out[n][1]: a score by which items are ranked for a user */
} asgd_task;

typedef struct asgd_model_ops {
    const char *name;
    size_t      self_bytes; /* size of *self; copied for you */
    /* Declare tables for this data (at most ASGD_MAX_TABLES) and set *task and *outputs (floats a
     * prediction).  Called once, before anything else.  May fail. */
    asgd_status (*shape)(void *self, const asgd_schema *d, asgd_table *tables, int *n_tables,
                         asgd_task *task, uint32_t *outputs);
    /* Bytes of private memory a worker needs for batches of up to n examples; NULL: none.
     * It is zeroed once, aligned to 64 bytes, and kept between steps. */
    size_t (*scratch)(const void *self, uint32_t n);
    /* Hot path: add the batch's losses to *st and emit the gradient of the mean over the batch's
     * examples of weight * loss: an example of weight 2 counts as two.  Reads before it emits;
     * allocates nothing, takes no lock, cannot fail. `random` is a
     * seed of this batch's own, the same on every replay. */
    void (*step)(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                 void *scratch, uint64_t random, asgd_stats *st);
    /* Hot path, NULL: step() it is.  Makes b->n updates of one example each, in order: what n calls of
     * step() with one example would do, without their cost, and with the next examples' rows asked
     * for ahead.  Used where the batch is 1. */
    void (*steps)(const void *self, const asgd_batch *b, const asgd_view *w, asgd_sink *g,
                  void *scratch, uint64_t random, asgd_stats *st);
    /* Hot path: out [n][outputs]; adds to *st where st is not NULL.  NULL: the model cannot be
     * evaluated. */
    void (*predict)(const void *self, const asgd_batch *b, const asgd_view *w, const asgd_sink *g,
                    void *scratch, float *out, asgd_stats *st);
} asgd_model_ops;

typedef struct asgd_model asgd_model;

/* An own model.  *self (self_bytes long, NULL where 0) is copied. */
ASGD_API asgd_status asgd_model_new(asgd_model **out, const asgd_model_ops *ops, const void *self,
                                    const asgd_schema *d); /* [owner] */
/* A model of the library: "linear", "softmax", "mlp", "fm", "ffm", "mf" or "bpr" with its options as
 * "key=value key=value";
 * NULL or "": the defaults.  asgd_model_help() lists them. */
ASGD_API asgd_status asgd_model_named(asgd_model **out, const char *name, const char *options,
                                      const asgd_schema *d); /* [owner] */
/* Help on model number i ("name\n\toption=default  text\n..."), NULL past the last. */
ASGD_API const char *asgd_model_help(int i);         /* [any] */
ASGD_API void        asgd_model_free(asgd_model *m); /* [owner] */

/* Reads are free at any time outside asgd_train(). */
ASGD_API const char *asgd_model_name(const asgd_model *m);
ASGD_API const char *asgd_model_options(const asgd_model *m); /* as given to asgd_model_named() */
ASGD_API uint32_t    asgd_model_outputs(const asgd_model *m);
ASGD_API asgd_task   asgd_model_task(const asgd_model *m);
ASGD_API const asgd_schema *asgd_model_schema(const asgd_model *m);
/* [n_label_values] what each class stands for; NULL: the numbers themselves */
ASGD_API const float *asgd_model_labels(const asgd_model *m, uint32_t *n);
/* The training data's encoding, NULL: none.  Read data for this model with it. */
ASGD_API const asgd_encoding *asgd_model_encoding(const asgd_model *m);
ASGD_API int                  asgd_model_tables(const asgd_model *m);
ASGD_API const asgd_table    *asgd_model_table(const asgd_model *m, int table);
/* Row r of a table, dim floats; NULL where there is none.  Writable: set it before training. */
ASGD_API float *asgd_model_row(asgd_model *m, int table, uint64_t r);

/* One safetensors file, written beside and renamed.  ELOST: the model is of a group that was cut in two, and the larger
 * part (of equal ones, that with the lowest process) has saved its own there: that stays. */
ASGD_API asgd_status asgd_save(const asgd_model *m, const char *path); /* [owner] */
ASGD_API asgd_status asgd_load(asgd_model **out, const char *path);    /* [owner] */

/* out [examples][outputs]; threads 0: one per core. */
ASGD_API asgd_status asgd_predict(const asgd_model *m, asgd_source *data, uint32_t threads,
                                  float *out); /* [owner] */

/* ---- metrics ---- */

#define ASGD_METRIC_MAP(X) \
    X(loss, -1)            \
    X(accuracy, 1)         \
    X(error, -1)           \
    X(auc, 1)              \
    X(logloss, -1)         \
    X(ne, -1)              \
    X(calibration, 0)      \
    X(rmse, -1)            \
    X(mae, -1)             \
    X(p1, 1)               \
    X(p3, 1)               \
    X(p5, 1)               \
    X(precision, 1)        \
    X(recall, 1)           \
    X(ndcg, 1)             \
    X(map, 1)

/* NaN where a metric makes no sense for the model.  Instance weights count.
 *   ne           normalised entropy: logloss over that of always predicting the mean label (He et
 *                al. 2014)
 *   calibration  mean prediction over mean label; best is 1, so it cannot be a target
 *   p1 p3 p5     precision@k: of the k labels predicted first, the part that is right
 *   precision recall ndcg map (and auc) of rankings: of the `top` items ranked first for a user, means
 *                over users; src/engine/rank_eval.c has their formulas */
typedef struct asgd_metrics {
#define X(name, better) double name;
    ASGD_METRIC_MAP(X)
#undef X
    uint64_t examples;
    uint32_t top; /* rankings: items looked at, 10 in training */
} asgd_metrics;

/* Value of the metric called name; *better is 1 or -1 (higher, lower); NaN and 0 if there is none. */
ASGD_API double asgd_metric_get(const asgd_metrics *m, const char *name, int *better); /* [any] */
ASGD_API asgd_status asgd_eval(const asgd_model *m, asgd_source *data, uint32_t threads,
                               asgd_metrics *out); /* [owner] */

/* ---- users and items ---- */

/* The metrics of a model's rankings on held-out ratings.  seen: what users have already, which is not
 * ranked, as the training data; NULL: nothing.  top 0: 10.  threads 0: one per core.  Errors: EMISMATCH (no
 * model of users and items, or other data), EINVAL (top), ENOMEM. */
ASGD_API asgd_status asgd_eval_ranking(const asgd_model *m, const asgd_source *data,
                                       const asgd_source *seen, uint32_t top, uint32_t threads,
                                       asgd_metrics *out); /* [owner] */
/* The best items for n users (users NULL: 0, 1, ... n-1; any from schema.users on is an unknown one), of
 * all items, exactly: items and scores [n][top], best first, UINT32_MAX and NaN where there are no more.
 * Scores are what the model would predict.  top: 1 to 1000.  exclude: ratings whose items their users are
 * not given; NULL: none.  Errors as asgd_eval_ranking(). */
ASGD_API asgd_status asgd_recommend(const asgd_model *m, const uint32_t *users, uint64_t n,
                                    uint32_t top, const asgd_source *exclude, uint32_t threads,
                                    uint32_t *items, float *scores); /* [owner] */
/* The items most like n others, by the cosine of their factors: items and scores [n][top] as there, without
 * the item itself.  Errors as there, and EINVAL where one of `of` is no item. */
ASGD_API asgd_status asgd_similar_items(const asgd_model *m, const uint32_t *of, uint64_t n,
                                        uint32_t top, uint32_t threads, uint32_t *items,
                                        float *scores); /* [owner] */

/* ---- a run ---- */

typedef enum asgd_mode {
    ASGD_ASYNC,  /* workers never wait */
    ASGD_SYNC,   /* a barrier after every step; gradients are averaged, lr scaled by their number */
    ASGD_LOCKED, /* gradients computed at will, applied one worker at a time */
    ASGD_SEQUENTIAL, /* one worker; the same bits every time */
} asgd_mode;

typedef enum asgd_share {
    ASGD_SHARE_AUTO,    /* per table, from sizes and row frequencies */
    ASGD_SHARE_SHARED,  /* one copy that all workers write: plain Hogwild */
    ASGD_SHARE_HOT,     /* the most frequent rows private and merged by deltas, all others shared */
    ASGD_SHARE_REPLICA, /* all rows private and merged by deltas */
} asgd_share;

#define ASGD_RULE_MAP(X) X(sgd) X(momentum) X(adagrad) X(rmsprop) X(adam) X(ftrl)
typedef enum asgd_rule_kind {
    ASGD_RULE_DEFAULT, /* the model's */
#define X(name) ASGD_RULE_##name,
    ASGD_RULE_MAP(X)
#undef X
        ASGD_RULES
} asgd_rule_kind;

/* Zero: the rule's default, which asgd_rule_defaults() fills in. */
typedef struct asgd_rule {
    asgd_rule_kind kind;
    float          beta1; /* momentum, adam: 0.9;  rmsprop: 0.99 (decay of its statistics) */
    float          beta2; /* adam: 0.999;  ftrl: its beta, 1 */
    /* adam: added to the root, 1e-8;  rmsprop: added under the root, 1e-8;  adagrad: added under the
     * root, which is what its sums of squares begin at: the model's default, or 1e-12 */
    float eps;
    float l1, l2; /* penalty l1 * |w| + l2/2 * w^2 on the rows a step touches */
} asgd_rule;

typedef enum asgd_schedule { ASGD_CONSTANT, ASGD_LINEAR, ASGD_COSINE } asgd_schedule;

typedef enum asgd_order {
    /* a new random order every epoch; of large sparse data, of stretches of 16 examples */
    ASGD_ORDER_SHUFFLE,
    ASGD_ORDER_FILE, /* as the data come */
} asgd_order;

/* Ratings: how workers share them. */
typedef enum asgd_blocks {
    /* a grid of blocks that no two workers have rows in common of: the same result for any number of
     * workers; without, where data are too sparse for it */
    ASGD_BLOCKS_AUTO,
    ASGD_BLOCKS_OFF, /* any worker any rating: Hogwild */
} asgd_blocks;

/* Staleness of an update, in updates: how many by other workers entered the parameters between the
 * read it was computed on and its own entering them. */
enum { ASGD_STALENESS_BUCKETS = 160 };
typedef struct asgd_staleness {
    uint64_t count; /* updates measured */
    double   mean;
    uint64_t p50, p99, max;
    /* buckets 0..31: exactly that value; then doubling in 8 steps a factor: asgd_staleness_low(i)
     */
    uint64_t bucket[ASGD_STALENESS_BUCKETS];
} asgd_staleness;
ASGD_API uint64_t asgd_staleness_low(int bucket); /* [any] smallest value in a bucket */

/* One observation: given to the observer, kept in the result's history. */
typedef struct asgd_point {
    double       seconds;    /* of training, evaluation that workers wait for left out */
    uint64_t     examples;   /* done */
    double       epochs;     /* done */
    double       train_loss; /* mean over the examples since the last point */
    double       lr;
    double       rate;  /* examples/s since the last point */
    double       total; /* examples the run will do if not stopped early */
    bool         evaluated;
    asgd_metrics valid;         /* where evaluated */
    double       staleness;     /* mean so far */
    uint32_t     interventions; /* of the guard so far, in a group: as in asgd_exchange_result */
} asgd_point;

/* ---- a group of processes ---- */

/* Processes that train one model together, started by mpirun, srun or the like: each calls asgd_train() with
 * the same model, data and settings (workers, share and merge may differ), and the group it opened.  Each
 * trains on its own copy, on its own part of the examples, and exchanges what it has learnt with the others;
 * at the end all have the same parameters.  A process that dies is noticed, and the others do its part. */
typedef struct asgd_group asgd_group;

/* Joins the others over a link: "tcp", sockets of its own; "mpi", MPI's messages; "auto" (NULL too), sockets, or messages
 * where some process cannot be reached by TCP.  One group a process, opened before or after the data are
 * read; a thread of its own then does all that the link has to do.  Errors: EIO (no such link here, or it
 * cannot be opened), ENOMEM. */
ASGD_API asgd_status asgd_group_open(asgd_group **out, const char *link); /* [owner] */
/* Leaves the others.  code: what this process is going to exit with; other than 0, they are ended too. */
ASGD_API void        asgd_group_close(asgd_group *g, int code); /* [owner] */
ASGD_API uint32_t    asgd_group_process(const asgd_group *g);   /* [any] its number; g NULL: 0 */
ASGD_API uint32_t    asgd_group_size(const asgd_group *g);      /* [any] there were; NULL: 1 */
ASGD_API const char *asgd_group_host(const asgd_group *g);      /* [any] its machine */
ASGD_API const char *
asgd_group_link(const asgd_group *g); /* [any] over what they talk: "tcp", "mpi"; g NULL: "" */
/* Is this the process that reports and saves: the lowest one left?  Others' observers are not called, and
 * they do not evaluate.  g NULL: true. */
ASGD_API bool asgd_group_speaks(const asgd_group *g); /* [any] */
/* After asgd_train(): true where this process is to save the result, and then say so by asgd_group_saved();
 * false where that was done.  Waits to know it: if the process that speaks dies before it has saved, the
 * next one does.  g NULL: true. */
ASGD_API bool asgd_group_await_turn(asgd_group *g); /* [owner] */
ASGD_API void asgd_group_saved(asgd_group *g);      /* [owner] */

typedef enum asgd_merging {
    ASGD_MERGING_AUTO,    /* delta; sync with several local steps, or outer_momentum: mean */
    ASGD_MERGING_DELTA,   /* what processes have learnt is added up */
    ASGD_MERGING_MEAN,    /* it is averaged */
    ASGD_MERGING_ELASTIC, /* copies and their centre draw each other (Zhang et al. 2015) */
} asgd_merging;

/* What deltas are sent as.  What a coarse coding leaves out is not lost: it is sent later.  With any of them but the
 * first, what comes back from a block's owner is rounded to 16 bits, until the end. */
typedef enum asgd_compress {
    ASGD_COMPRESS_NONE, /* 32-bit floats */
    ASGD_COMPRESS_BF16,
    ASGD_COMPRESS_FP16,
    ASGD_COMPRESS_INT8,
    ASGD_COMPRESS_TOPK, /* the largest tenth */
    ASGD_COMPRESS_AUTO, /* INT8 while the network is what the exchange waits for, else none */
} asgd_compress;

/* Whether a group looks at whether its training goes wrong, and what it then does: the loss rises far above its
 * best and does not come back, or is not finite.  First deltas count half, stale ones less; then processes keep
 * closer together; then all go back to the last good state, and deltas count half as much again. */
typedef enum asgd_guard {
    ASGD_GUARD_AUTO, /* on, but for mode sync and order file, whose data may change as it goes on */
    ASGD_GUARD_ON,   /* sync has none */
    ASGD_GUARD_OFF,  /* the run fails with EDIVERGED, as that of one process does */
} asgd_guard;

/* How it went, of asgd_result; all zeros without a group. */
enum { ASGD_TAU_BUCKETS = 48 };
typedef struct asgd_exchange_result {
    uint32_t processes, lost; /* there were; given up on the way */
    uint64_t rounds, deltas;  /* of this process: times it told what it has learnt; deltas sent */
    uint64_t bytes_out, bytes_in;
    double   bytes_per_update; /* sent, for each update of this process */
    uint64_t coded;            /* of the deltas: those that were compressed */
    uint32_t local_steps;      /* sync: updates between the last exchanges */
    /* deltas that came to this process and counted less, being stale; not at all, being very stale; that were
     * cut, being large; that were not finite */
    uint64_t damped, dropped, clipped, quarantined;
    double   tau_mean; /* staleness of deltas that came to this process, in updates */
    uint64_t tau_max;
    uint64_t tau[ASGD_TAU_BUCKETS]; /* how many were of staleness 0, 1, 2..3, 4..7 and so on */
    /* what the guard did: 0 nothing; 1 made deltas count less; 2 kept processes together, too; 2 + n went back to a
     * good state n times */
    uint32_t interventions;
    uint64_t undone;        /* examples whose progress was lost by that, about */
    double   stall_seconds; /* sums over workers: stopped while shared rows were corrected */
    double   wait_seconds;  /* had no examples, or were too far ahead of other processes */
    uint64_t positions;     /* examples that the run was to do */
    /* examples that the model has learnt from once more, as processes were lost or the run went on from a checkpoint; and
     * examples counted as done whose progress was lost: since the run began, not since it was resumed */
    uint64_t repeated, missing;
} asgd_exchange_result;

/* Called on the thread in asgd_train(), never by a worker.  Not 0: stop the run (ESTOPPED). */
typedef int asgd_observer(const asgd_point *p, void *user);

/* In a group, called on the thread in asgd_train() of any process, with a text of a line or more for people: nothing has
 * moved for stall_after seconds, and where everybody is; it moves again; a checkpoint could not be made. */
typedef void asgd_notice(const char *text, void *user);

enum { ASGD_NEVER = INT32_MAX, ASGD_STEPS_AUTO = INT32_MAX };

typedef struct asgd_config {
    uint32_t      workers; /* 0: one per core */
    asgd_mode     mode;
    asgd_share    share;
    uint32_t      batch;  /* examples an update; 0: the model's default */
    double        epochs; /* 0: the model's default */
    uint64_t      seed;
    asgd_rule     rule;
    double        lr; /* 0: the model's default for the rule */
    asgd_schedule schedule;
    bool          schedule_set; /* false: the model's default schedule */
    double        warmup;       /* part of the run, 0..1, in which lr rises from 0 */
    asgd_order    order;
    asgd_blocks   blocks;
    /* one pass in the order of the file, with up to ten times the default lr where examples are short;
     * result.online_loss is then the progressive validation loss (Blum, Kalai, Langford 1999) */
    bool progressive;

    uint32_t merge; /* replica, hot: examples of a worker between merges; 0: chosen */
    uint32_t hot;   /* hot: private rows; 0: 4096 */
    /* replica, hot: progress staler than `damp` times the updates usually in flight enters with the weight
     * usual / staleness; 0: 4 times; negative: never */
    double   damp;
    uint32_t backup; /* sync: the slowest this many gradients of a step are dropped */
    bool     pin;    /* bind workers to cores */

    asgd_source *valid;      /* evaluated as training goes on, NULL: none; borrowed */
    double       eval_every; /* examples; 0: an epoch */
    const char  *target;     /* stop when reached: "accuracy=0.97" */
    /* stop after so many evaluations without a better loss, and keep the best parameters; 0: the
     * model's default (linear, fm, ffm: 2; mf, bpr: never, but the best is kept; others: never),
     * ASGD_NEVER */
    uint32_t patience;
    double   max_seconds; /* 0: no limit */

    /* in a group; mode sync then is one of processes too: all take local_steps updates, then wait for the
     * sum of all */
    asgd_group *group;   /* NULL: this process alone; borrowed */
    uint64_t    max_lag; /* async: updates that a process may be ahead of the slowest; 0: any */
    /* updates between exchanges; 0: sync 1, async as often as is cheap; ASGD_STEPS_AUTO: sync as few as hide the
     * network behind computing, within what quality bears; async the same as 0 */
    uint32_t     local_steps;
    asgd_merging merging;
    /* "TABLE=NAME,...": of single tables, by name (asgd_table), otherwise than `merging`; NULL: none; borrowed.
     * EINVAL: a table or a kind that there is not */
    const char   *table_merging;
    asgd_compress compress;
    /* deltas staler than so many times the usual are dropped; 0: never.  Which process gets which examples is left to
     * chance, so no kind of example is dropped more than others */
    double drop;
    double clip_deltas; /* norms beyond so many times the usual are cut to that; 0: never */
    /* 0 to below 1: of the masters, on averages of what processes have learnt (delayed Nesterov: Liu et al. 2024) */
    double     outer_momentum;
    asgd_guard guard;
    double     heartbeat; /* seconds between signs of life; 0: 0.25, or a quarter of dead_after */
    /* seconds of silence after which a process is given up, 0.5 or more; three times as many where more than half of
     * all fall silent together; 0: 10 */
    double   dead_after;
    uint32_t min_processes; /* stop where fewer are left; 0: 1 */

    double
        stall_after; /* seconds without movement, see asgd_notice; 0: 10, or 3 dead_after if that is more */

    const char *checkpoint;       /* folder, NULL: none */
    double      checkpoint_every; /* seconds; 0: 60 */
    bool        resume;           /* go on from the checkpoint if there is one */

    /* experiments: worker w's steps take straggler[w] times as long (0: 1); NULL: none */
    const double *straggler; /* [workers] */
    double        pace;      /* seconds that a step takes at the least, by sleeping; 0: none */

    double              report_every; /* seconds between points without evaluation; 0: 0.5 */
    asgd_observer      *observe;
    asgd_notice        *notice; /* NULL: nobody is told */
    void               *user;
    const volatile int *stop; /* the run ends in good order when this is not 0; NULL: never */
} asgd_config;

typedef enum asgd_end {
    ASGD_END_EPOCHS,
    ASGD_END_TARGET,
    ASGD_END_PATIENCE,
    ASGD_END_SECONDS,
    ASGD_END_STOPPED,
} asgd_end;

typedef struct asgd_result {
    asgd_end end;
    double   seconds; /* training alone */
    double   epochs;
    uint64_t examples, updates;
    uint64_t dropped;    /* examples whose gradients sync with backup workers threw away */
    uint64_t damped;     /* updates that entered with less weight, being very stale */
    double   train_loss; /* mean over the last epoch's worth of examples */
    /* mean over all examples of the run of the loss just before the update that the example made */
    double         online_loss;
    bool           evaluated;
    asgd_metrics   valid;          /* at the end */
    double         target_seconds; /* when the target was first met; NaN: not */
    asgd_staleness staleness;
    double         merge_seconds; /* sum over workers, merging private rows */
    uint32_t       workers, batch;
    asgd_mode      mode;
    asgd_rule_kind rule;
    double         lr;
    char           share[64];       /* what was chosen, e.g. "replica, merge 512" */
    uint64_t      *worker_examples; /* [workers] */
    asgd_point    *history;         /* [n_history] */
    size_t         n_history;
    /* In a group: examples, epochs and seconds are those of all processes, `valid` and the history those of
     * the one that speaks; updates, losses, staleness and workers are of this process. */
    asgd_exchange_result exchange;
} asgd_result;

/* Trains m on the source.  *out is filled even if the run fails (free it either way), NULL: not
 * wanted. Errors: EINVAL, EMISMATCH, ENOMEM, EDIVERGED, EIO (checkpoint), ESTOPPED (observer or
 * stop: the model then holds what was learnt so far), ELOST (in a group: too few processes are left, or
 * this one was given up).  [owner of m and train] */
ASGD_API asgd_status asgd_train(asgd_model *m, asgd_source *train, const asgd_config *c,
                                asgd_result *out);
ASGD_API void        asgd_result_free(asgd_result *r); /* frees what it holds, not *r */

/* Names to enums and back, as the program's options spell them; NULL or false where there is none. */
ASGD_API bool        asgd_mode_parse(const char *text, asgd_mode *out);
ASGD_API const char *asgd_mode_name(asgd_mode m);
ASGD_API bool        asgd_share_parse(const char *text, asgd_share *out);
ASGD_API const char *asgd_share_name(asgd_share s);
ASGD_API bool        asgd_rule_parse(const char *text, asgd_rule_kind *out);
ASGD_API const char *asgd_rule_name(asgd_rule_kind r);
ASGD_API bool        asgd_schedule_parse(const char *text, asgd_schedule *out);
ASGD_API const char *asgd_schedule_name(asgd_schedule s);
ASGD_API bool        asgd_order_parse(const char *text, asgd_order *out);
ASGD_API const char *asgd_order_name(asgd_order o);
ASGD_API bool        asgd_merging_parse(const char *text, asgd_merging *out);
ASGD_API const char *asgd_merging_name(asgd_merging m);
ASGD_API bool        asgd_compress_parse(const char *text, asgd_compress *out);
ASGD_API const char *asgd_compress_name(asgd_compress c);

/* ---- synthetic data ---- */

/* Writes a folder of four IDX files like MNIST's: 28x28 digits drawn with random strokes, shear and
 * noise.  Examples i of one seed are the same however many are asked for. */
ASGD_API asgd_status asgd_synth_digits(const char *folder, uint64_t train, uint64_t test,
                                       uint64_t seed);

/* Click-like data with a known best: see src/data/synth_clicks.c for the law they are drawn from. */
typedef struct asgd_clicks {
    uint64_t rows;
    uint64_t first; /* number of the first row: rows 400000.. of one seed are test data for 0.. */
    uint64_t seed;
    const char *format; /* "libffm", "libsvm", "vw", "criteo", "csv"; NULL: libffm */
    uint32_t    fields; /* 0: 39 */
    uint32_t    threads;
} asgd_clicks;
/* Writes the rows (beside, then renamed) and gives the mean log loss that nobody can beat on them:
 * that of the probabilities which the labels were drawn from.  "-": standard output. */
ASGD_API asgd_status asgd_synth_clicks(const char *path, const asgd_clicks *c,
                                       double *bayes_logloss); /* [any] */

/* Ratings with a known best: src/data/synth_ratings.c.  Zero: the default. */
typedef struct asgd_ratings {
    uint64_t rows, first, seed; /* rows 0: a million; first as in asgd_clicks */
    uint32_t users, items;      /* 6000, 4000 */
    uint32_t rank;              /* 8 */
    double   noise, skew;       /* 0.8, 0.8 */
} asgd_ratings;
/* Writes "user TAB item TAB rating" lines, and gives the RMSE of the truth itself on them. */
ASGD_API asgd_status asgd_synth_ratings(const char *path, const asgd_ratings *r,
                                        double *best_rmse); /* [any] */

/* ---- the machine ---- */

ASGD_API uint32_t    asgd_cores(void); /* [any] this process may run on */
ASGD_API const char *asgd_isa(void);   /* [any] kernels in use: "avx2", ... ; ASGD_ISA overrides */
/* Text describing cores, caches and kernels.  buf [bytes], always terminated. */
ASGD_API void asgd_machine(char *buf, size_t bytes); /* [any] */

#ifdef __cplusplus
}
#endif
#endif
