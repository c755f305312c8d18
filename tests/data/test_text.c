/* The pipeline of the text formats: windows, threads, compressions and streams change nothing; errors
 * have their line; what is too large for memory goes to a file; hashed names and their encoding. */
#include "files.h"

#include "base/mem.h"
#include "data/build.h"
#include "data/names.h"
#include "data/text.h"

typedef struct how {
    size_t      window, memory; /* 0: as usual */
    const char *cache;
} how;

static asgd_status open_how(asgd_source **out, const char *path, const asgdi_format *f,
                            asgd_source_options o, how h)
{
    asgdi_input in;
    *out    = asgdi_calloc(1, sizeof **out);
    o.cache = h.cache ? h.cache : "none";
    ok(asgdi_own(*out));
    ok(asgdi_input_open(&in, path));
    if (h.window) in.window = h.window;
    if (h.memory) in.memory = h.memory;
    asgd_status s = f->open(*out, &in, &o);
    asgdi_input_close(&in);
    if (s != ASGD_OK) {
        asgd_source_close(*out);
        *out = NULL;
    }
    return s;
}

static void same(const asgd_source *a, const asgd_source *b)
{
    const asgd_schema *d = &a->schema;
    assert_memory_equal(d, &b->schema, sizeof *d);
    assert_int_equal(a->max_len, b->max_len);
    assert_memory_equal(a->start, b->start, (d->examples + 1) * 8);
    assert_memory_equal(a->idx, b->idx, d->nonzeros * 4);
    assert_memory_equal(a->y, b->y, d->examples * 4);
    assert_int_equal(a->val != NULL, b->val != NULL);
    if (a->val) assert_memory_equal(a->val, b->val, d->nonzeros * 4);
    assert_int_equal(a->field != NULL, b->field != NULL);
    if (a->field) assert_memory_equal(a->field, b->field, d->nonzeros * 2);
    assert_int_equal(a->weight != NULL, b->weight != NULL);
    if (a->weight) assert_memory_equal(a->weight, b->weight, d->examples * 4);
    assert_int_equal(a->label_start != NULL, b->label_start != NULL);
    if (a->label_start) {
        assert_memory_equal(a->label_start, b->label_start, (d->examples + 1) * 8);
        assert_memory_equal(a->label, b->label, a->label_start[d->examples] * 4);
    }
    assert_true(asgdi_encoding_equal(a->encoding, b->encoding));
}

enum { LINES = 9000, LONG_LINE = LINES / 2 };

/* Lines of all kinds; values that are not 1 only from LATE on; one line longer than a window. */
static char *mixed_text(size_t *bytes)
{
    char *text = malloc(LINES * 80 + 400000), *p = text;
    for (int i = 0; i < LINES; i++) {
        if (i % 50 == 3) p += sprintf(p, "# note %d", i);
        if (i % 50 == 4) p += sprintf(p, "%*s", i % 7, "");
        if (i % 50 != 3 && i % 50 != 4) {
            p += sprintf(p, "%d", i % 2);
            int n = i == LONG_LINE ? 15000 : i % 13;
            for (int j = 0; j < n; j++)
                p += sprintf(p, "%s%d:%d:%s", i % 4 ? " " : "\t", j % 20, (i * 31 + j * 7) % 20011,
                             i > LINES - 500 && j == 2 ? "2.5" : "1");
        }
        p += sprintf(p, i % 3 ? "\n" : "\r\n");
    }
    *bytes = (size_t)(p - text) - 1; /* without the last line's end */
    return text;
}

static void any_window(void **state)
{
    (void)state;
    static const char *const suffix[]  = {"", ".gz", ".xz", ".bz2", ".zst"};
    static const size_t      windows[] = {1, 1000, 70000};
    size_t                   n;
    char                    *text = mixed_text(&n);
    asgd_source             *want[2];
    for (int ranked = 0; ranked < 2; ranked++)
        ok(open_how(&want[ranked], put("w", text, n), &asgdi_format_libffm,
                    (asgd_source_options){.rank_features = ranked, .threads = 1}, (how){0}));
    assert_non_null(want[0]->val);
    assert_int_equal(want[0]->max_len, 15000);
    for (int i = 0; i < 6; i++) { /* 5: standard input */
        uint8_t *packed;
        size_t   m   = compress_as(i < 5 ? suffix[i] : "", text, n, &packed);
        int      old = dup(STDIN_FILENO);
        put("x", packed, m);
        for (int w = 0; w < 3; w++)
            for (uint32_t threads = 1; threads <= 3; threads += 2) {
                asgd_source        *s;
                asgd_source_options o = {.rank_features = w == 1, .threads = threads};
                if (i == 5) assert_non_null(freopen(at("x"), "rb", stdin));
                ok(open_how(&s, i < 5 ? at("x") : "-", &asgdi_format_libffm, o,
                            (how){.window = windows[w]}));
                same(want[w == 1], s);
                asgd_source_close(s);
            }
        dup2(old, STDIN_FILENO);
        close(old);
        free(packed);
    }
    asgd_source_close(want[0]);
    asgd_source_close(want[1]);
    free(text);
}

static void errors_in_any_window(void **state)
{
    (void)state;
    static const char *const suffix[] = {"", ".gz"};
    size_t                   n;
    char                    *text = mixed_text(&n), want[100];
    char *at_error = text; /* line 8000 of 9000, and a later one that must not be reported */
    for (int i = 1; i < 8000; i++) at_error = strchr(at_error, '\n') + 1;
    at_error[0]                      = 'x';
    strchr(at_error + 3000, '\n')[1] = 'y';
    snprintf(want, sizeof want, "e:8000: label \"x\" is not a number");
    for (int i = 0; i < 2; i++)
        for (int w = 0; w < 3; w++)
            for (uint32_t threads = 1; threads <= 5; threads += 2) {
                uint8_t     *packed;
                asgd_source *s;
                size_t       m = compress_as(suffix[i], text, n, &packed);
                fails(open_how(&s, put("e", packed, m), &asgdi_format_libffm,
                               (asgd_source_options){.threads = threads},
                               (how){.window = w ? (size_t)w * 3000 : 1000000}),
                      ASGD_EFORMAT, want);
                free(packed);
            }
    /* a label that a trained model does not know is an error of its line, too */
    static const float  known[] = {0};
    asgd_source        *s;
    asgd_source_options o = {.label_values = known, .n_label_values = 1, .threads = 3};
    fails(open_how(&s, put_text("l", "0 1:1:1\n\n# 7\n0 2:2:2\n1 3:3:3\n"), &asgdi_format_libffm, o,
                   (how){.window = 1}),
          ASGD_EFORMAT, "l:5: label 1 is none that the model was trained on (0); correct it");
    /* compressed data that end early, after the first window and before the error */
    uint8_t *packed;
    size_t   m = compress_as(".gz", text, 250000, &packed);
    fails(open_how(&s, put("cut", packed, m - 2000), &asgdi_format_libffm, (asgd_source_options){0},
                   (how){.window = 1000}),
          ASGD_EFORMAT, "cut: truncated: the gzip data end early");
    free(packed);
    free(text);
}

/* Whether p lies in a mapping of a file of this folder that has no name any more. */
static bool in_unnamed_file(const void *p, const char *where)
{
    char          line[1024];
    bool          found = false;
    unsigned long at    = (unsigned long)(uintptr_t)p, from, to;
    FILE         *f     = fopen("/proc/self/maps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        found = found || (sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= at && at < to &&
                          strstr(line, where) && strstr(line, ".asgd-") && strstr(line, "deleted"));
    fclose(f);
    return found;
}

static void larger_than_memory(void **state)
{
    (void)state;
    size_t n;
    char  *text = mixed_text(&n);
    put("m.ffm", text, n);
    for (int ranked = 0; ranked < 2; ranked++)
        for (int beside = 0; beside < 2; beside++) {
            asgd_source        *usual, *s, *again;
            asgd_source_options o = {.rank_features = ranked};
            char                where[300];
            snprintf(where, sizeof where, "%s%s", folder, beside ? "" : "/is/made");
            how h = {.window = 20000, .memory = 100000, .cache = beside ? "" : where};
            ok(open_how(&usual, at("m.ffm"), &asgdi_format_libffm, o, (how){0}));
            assert_false(in_unnamed_file(usual->idx, folder));
            ok(open_how(&s, at("m.ffm"), &asgdi_format_libffm, o, h));
            assert_true(in_unnamed_file(s->start, where) && in_unnamed_file(s->idx, where));
            assert_true(in_unnamed_file(s->field, where) && in_unnamed_file(s->y, where));
            assert_true(in_unnamed_file(s->val, where)); /* made late */
            same(usual, s);
            ok(open_how(&again, at("m.ffm"), &asgdi_format_libffm, o, h)); /* from the cache */
            assert_non_null(strstr(asgd_source_describe(again), "from cache"));
            same(usual, again);
            asgd_source_close(again);
            asgd_source_close(s);
            asgd_source_close(usual);
        }
    free(text);
}

/* ---- a format of the test's own: "[columns]" first, then "label[*weight] name[=value] ..." ---- */

typedef struct words {
    uint32_t bits;
    int      ends;
} words;

static words last; /* what begin() saw */

static asgd_status words_begin(asgdi_text_setup *t)
{
    words *w      = calloc(1, sizeof *w);
    t->self       = w;
    w->bits       = t->o->hash_bits;
    t->first      = memchr(t->head, '\n', (size_t)(t->end - t->head));
    t->first      = t->first ? t->first + 1 : t->end;
    t->first_line = 2;
    t->hashed     = true;
    t->fielded    = true;
    if (t->recipe) assert_int_equal(json_integer_value(json_object_get(t->recipe, "x")), 42);
    last = *w;
    return ASGD_OK;
}

static json_t *words_recipe(const void *self)
{
    (void)self;
    return json_pack("{s:i}", "x", 42);
}

static asgd_status words_line(const void *self, asgdi_text_part *k, const char *p, const char *end)
{
    const words *w = self;
    char        *stop;
    if (!k->scratch) k->scratch = malloc(1);
    if (p == end) return ASGD_OK;
    if (*p < '0' || *p > '9') return asgdi_text_fail(k, "no label");
    if (!asgdi_rows_begin(&k->rows, strtof(p, &stop), (uint64_t)(end - p))) return ASGD_ENOMEM;
    if (*stop == '*') asgdi_rows_weight(&k->rows, strtof(stop + 1, &stop));
    while (stop < end) {
        const char *name = stop + 1;
        size_t      n    = 0;
        float       x    = 1;
        while (name + n < end && name[n] != ' ' && name[n] != '=') n++;
        stop = (char *)(uintptr_t)name + n;
        if (*stop == '=') x = strtof(stop + 1, &stop);
        uint32_t f = asgdi_hash_feature(asgdi_hash(name, n, 0), w->bits);
        asgdi_rows_entry(&k->rows, f, (uint32_t)n, x);
        if (k->names) asgdi_names_add(k->names, f, "%.*s", (int)n, name);
    }
    asgdi_rows_end(&k->rows);
    return ASGD_OK;
}

static void words_part_end(asgdi_text_part *k)
{
    free(k->scratch);
}

static const asgdi_text_format words_format = {.name     = "words",
                                               .begin    = words_begin,
                                               .end      = free,
                                               .recipe   = words_recipe,
                                               .line     = words_line,
                                               .part_end = words_part_end,
                                               .sample   = "1 a b=2"};

static asgd_status words_open(asgd_source *s, asgdi_input *in, const asgd_source_options *o)
{
    return asgdi_text_open(s, in, o, &words_format);
}

static const asgdi_format words_input = {"words", NULL, words_open, &words_format};

static void hashed_names(void **state)
{
    (void)state;
    static const char text[] = "header\n1 cat dog=2 cat\r\n0*0.5 dog\n\n1 bird dog cat\n";
    asgd_source      *s, *t;
    put_text("h.words", text);
    ok(open_how(&s, at("h.words"), &words_input, (asgd_source_options){.threads = 2}, (how){0}));
    assert_int_equal(last.bits, 32);
    assert_int_equal(s->schema.examples, 3);
    assert_int_equal(s->schema.features, 3);
    assert_int_equal(s->schema.fields, 5);
    assert_memory_equal(s->weight, ((float[]){1, 0.5f, 1}), 12);
    uint32_t rows, cat = asgdi_hash_feature(asgdi_hash("cat", 3, 0), 32),
                   dog  = asgdi_hash_feature(asgdi_hash("dog", 3, 0), 32);
    const uint32_t *key = asgd_encoding_keys(asgd_source_encoding(s), &rows);
    assert_int_equal(rows, 3);
    assert_int_equal(key[0], cat < dog ? cat : dog); /* three times each */
    assert_int_equal(key[1], cat < dog ? dog : cat);
    assert_memory_equal(s->start, ((uint64_t[]){0, 2, 3, 6}), 32);
    uint32_t c = cat < dog ? 0 : 1;
    assert_true(s->val[c] == 2 && s->val[1 - c] == 2 && s->val[2] == 1);
    assert_memory_equal(s->field, ((uint16_t[]){3, 3, 3, 3, 3, 4}), 12);
    asgdi_cursor cursor;
    asgd_batch   b;
    ok(asgdi_cursor_init(&cursor, s, 2));
    asgdi_cursor_batch(&cursor, NULL, (uint64_t[]){1, 2}, 2, &b);
    assert_memory_equal(b.weight, ((float[]){0.5f, 1}), 8);
    asgdi_cursor_free(&cursor);
    assert_string_equal(s->encoding->recipe, "{\"x\":42,\"format\":\"words\",\"hash_bits\":32}");

    /* names, of features that the text has */
    uint32_t            wanted[4] = {cat, dog + 1, key[2], cat};
    asgd_source_options o         = {.encoding = s->encoding, .threads = 3};
    for (int whole = 0; whole < 2;
         whole++) { /* in one window of several parts, or window by window */
        asgdi_input in;
        char       *name[4] = {NULL};
        ok(asgdi_input_open(&in, at("h.words")));
        if (!whole) in.window = 1;
        ok(asgdi_names_find(&in, &o, &words_format, wanted, 4, name));
        asgdi_input_close(&in);
        assert_string_equal(name[0], "cat");
        assert_null(name[1]);
        assert_string_equal(name[2], "bird");
        assert_string_equal(name[3], "cat");
        for (int i = 0; i < 4; i++) free(name[i]);
    }

    /* the encoding says how many bits and what begin() remembered */
    ok(open_how(&t, put_text("i.words", "h\n1 bird=3 cow\n"), &words_input, o, (how){0}));
    assert_int_equal(t->schema.features, 3);
    assert_memory_equal(t->idx, ((uint32_t[]){2}), 4);
    assert_true(asgdi_encoding_equal(s->encoding, t->encoding));
    asgd_source_close(t);
    asgd_source_close(s);
    ok(open_how(&s, at("h.words"), &words_input, (asgd_source_options){.hash_bits = 10}, (how){0}));
    assert_int_equal(last.bits, 10);
    o.encoding = s->encoding;
    ok(open_how(&t, at("i.words"), &words_input, o, (how){0}));
    assert_int_equal(last.bits, 10);
    asgd_source_close(t);
    fails(open_how(&t, put_text("j.ffm", "1 1:1:1\n"), &asgdi_format_libffm, o, (how){0}),
          ASGD_EMISMATCH, "j.ffm: cannot be read as libffm with the encoding of words data; give");
    asgd_source_close(s);
    o = (asgd_source_options){.hash_bits = 9};
    fails(open_how(&t, at("i.words"), &words_input, o, (how){0}), ASGD_EINVAL,
          "hash_bits is 9; choose 10 to 32");
    o.hash_bits = 0;
    fails(open_how(&t, put_text("k.words", "h\n\n1 a\nx\n"), &words_input, o, (how){.window = 1}),
          ASGD_EFORMAT, "k.words:4: no label"); /* lines before begin()'s first count */
    fails(open_how(&t, put_text("l.words", "h\n"), &words_input, o, (how){0}), ASGD_EFORMAT,
          "l.words: holds no example; give a file with lines like \"1 a b=2\"");
}

/* Many names, so that the hash tables grow: the numbering is by frequency, whatever the threads. */
static void numbered_by_frequency(void **state)
{
    (void)state;
    enum { N = 300000 };
    char    *text = malloc(N * 12 + 10), *p = text + sprintf(text, "h\n");
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < N; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        double u = (double)(x >> 11) * 0x1p-53;
        p += sprintf(p, "%s%d", i % 10 ? " " : i ? "\n1 " : "1 ", (int)(100000 * u * u * u));
    }
    put("z.words", text, (size_t)(p - text));
    asgd_source *one, *s;
    ok(open_how(&one, at("z.words"), &words_input, (asgd_source_options){.threads = 1}, (how){0}));
    for (uint32_t threads = 2; threads < 9; threads += 3) {
        ok(open_how(&s, at("z.words"), &words_input, (asgd_source_options){.threads = threads},
                    (how){.window = 30000}));
        same(one, s);
        asgd_source_close(s);
    }
    double   *times = calloc(one->schema.features, sizeof *times);
    uint32_t *key   = one->encoding->key;
    for (uint64_t j = 0; j < one->schema.nonzeros; j++)
        times[one->idx[j]] += (double)(one->val ? one->val[j] : 1);
    for (uint32_t r = 1; r < one->schema.features; r++)
        assert_true(times[r] < times[r - 1] || (times[r] == times[r - 1] && key[r] > key[r - 1]));
    assert_true(one->schema.features > 20000);
    free(times);
    asgd_source_close(one);
    free(text);
}

/* Feature numbers too large for an array of them are numbered in the order of small ones. */
static void large_numbers(void **state)
{
    (void)state;
    enum { N = 60000 };
    asgd_source *small, *s;
    char        *text[2];
    for (int large = 0; large < 2; large++) {
        char *p = text[large] = malloc(N * 24 + 10);
        for (uint32_t i = 0; i < N; i++) {
            const uint32_t x = i * UINT32_C(2654435769) >> 16,
                           f = x % (1 + x % 65536) * (large ? 65000 : 1);
            p += sprintf(p, "%s%u:%u:1", i % 10 ? " " : i ? "\n1 " : "1 ", i % 10, f);
        }
        put(large ? "large.ffm" : "small.ffm", text[large], (size_t)(p - text[large]));
    }
    asgd_source_options o = {.rank_features = true, .threads = 1};
    ok(open_how(&small, at("small.ffm"), &asgdi_format_libffm, o, (how){0}));
    const uint32_t rows = small->schema.features;
    assert_true(rows > 10000);
    for (o.threads = 1; o.threads < 6; o.threads += 2) {
        ok(open_how(&s, at("large.ffm"), &asgdi_format_libffm, o, (how){.window = 20000}));
        assert_int_equal(s->schema.features, rows);
        assert_memory_equal(s->idx, small->idx, s->schema.nonzeros * 4);
        for (uint32_t r = 0; r < rows; r++)
            assert_int_equal(s->encoding->key[r], small->encoding->key[r] * 65000);
        asgd_source_close(s);
    }
    asgd_source_close(small);
    for (int large = 0; large < 2; large++) free(text[large]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_window),
        cmocka_unit_test(errors_in_any_window),
        cmocka_unit_test(hashed_names),
        cmocka_unit_test(larger_than_memory),
        cmocka_unit_test(numbered_by_frequency),
        cmocka_unit_test(large_numbers),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL);
}
