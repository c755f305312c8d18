/* checkpoint.c -- a run on disk.
 *
 *     manifest.json                     which generation is valid; sizes and checksums; the state
 *     table-000-7.safetensors           generation 7 of table 0: its rows with merged slots, and
 *                                       each worker's local slots
 *     part-003-7.safetensors            or, of several processes, what each of them wrote (parts.c)
 *
 * The invariant: at every moment, a manifest that is there names whole files.  New files have a new
 * generation in their names, so that none of the valid ones is touched; the manifest is renamed into
 * place when they are on disk; only then do old files go.  Whatever a crash leaves behind is removed
 * by the next save. */
#define _GNU_SOURCE
#include "params/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "params/checksum.h"
#include "params/safetensors.h"

static const char format_name[]   = "asgd-checkpoint-1";
static const char manifest_name[] = "manifest.json";

enum { MAX_WORKERS = 1 << 16 };

/* ---- names ---- */

/* folder/name; NULL: no memory. */
static char *join(const char *folder, const char *name)
{
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    char        *path  = asgdi_calloc(bytes, 1);
    if (path) snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

static char *table_path(const char *folder, int table, uint64_t generation)
{
    char name[64];
    snprintf(name, sizeof name, "table-%03d-%" PRIu64 ".safetensors", table, generation);
    return join(folder, name);
}

static asgd_status no_memory(const char *folder)
{
    return ASGD_FAIL(ENOMEM, "%s: no memory for a checkpoint", folder);
}

/* The generation in a name like ours, also of an unfinished file; 0: none of ours. */
static uint64_t generation_of(const char *name)
{
    static const char suffix[] = ".safetensors";
    const size_t      kind     = strncmp(name, "table-", 6) == 0  ? 6
                                 : strncmp(name, "part-", 5) == 0 ? 5
                                                                  : 0;
    size_t            digits   = strspn(name + kind, "0123456789");
    if (!kind || digits < 3 || name[kind + digits] != '-') return 0;
    name += kind + 1 + digits;
    digits = strspn(name, "0123456789");
    if (digits < 1 || digits > 18 || strncmp(name + digits, suffix, sizeof suffix - 1) != 0)
        return 0;
    const char *end = name + digits + sizeof suffix - 1;
    if (*end && strncmp(end, ".tmp-", 5) != 0) return 0;
    return strtoull(name, NULL, 10);
}

/* May the file be one that another side (side.h) is about to make valid? */
static bool may_be_others(const char *name, const asgdi_side *side)
{
    const bool part = strncmp(name, "part-", 5) == 0;
    return side->run && !(part && asgdi_set_has(&side->in, (uint32_t)strtoul(name + 5, NULL, 10)));
}

/* The highest generation that any file in the folder belongs to. */
static uint64_t highest_generation(const char *folder)
{
    uint64_t highest = 0;
    DIR     *d       = opendir(folder);
    if (!d) return 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        const uint64_t g = generation_of(e->d_name);
        if (g > highest) highest = g;
    }
    closedir(d);
    return highest;
}

/* Removes the files of all generations but `keep`; those that another side may be writing only up to generation
 * `old`, which was valid before.  What cannot be removed is tried again by the next save. */
static void remove_others(const char *folder, uint64_t keep, uint64_t old, const asgdi_side *side)
{
    DIR *d = opendir(folder);
    if (!d) return;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        const uint64_t g          = generation_of(e->d_name);
        const bool     unfinished = g ? strstr(e->d_name, ".tmp-") != NULL
                                      : strncmp(e->d_name, "manifest.json.tmp-", 18) == 0;
        if (!((g && g != keep) || unfinished)) continue;
        if (g > old && may_be_others(e->d_name, side)) continue;
        (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

/* Renames are on disk when the folder is. */
static asgd_status sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* some file systems cannot sync a folder: EINVAL */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
        int e = errno;
        if (fd >= 0) close(fd);
        return ASGD_FAIL(EIO, "%s: cannot write: %s", folder, strerror(e));
    }
    close(fd);
    return ASGD_OK;
}

/* ---- the manifest's checksum, over its own canonical text ---- */

static bool manifest_checksum(const json_t *manifest, char hex[17])
{
    char *text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) return false;
    asgdi_checksum c = {0};
    asgdi_checksum_add(&c, text, strlen(text));
    free(text);
    snprintf(hex, 17, "%016" PRIx64, asgdi_checksum_end(&c));
    return true;
}

/* ---- saving ---- */

static asgd_status save_table(const char *folder, const asgdi_params *p, int t,
                              float *const *const *local, uint32_t workers, uint64_t generation,
                              json_t *list)
{
    const asgdi_table *x     = &p->table[t];
    const size_t       slots = (size_t)x->pad * p->slots.local;
    char              *path  = table_path(folder, t, generation);
    asgdi_matrix      *m     = asgdi_calloc((size_t)workers + 1, sizeof *m);
    char(*names)[24]         = asgdi_calloc((size_t)workers + 1, sizeof *names);
    asgd_status s            = ASGD_OK;
    uint64_t    size = 0, checksum = 0;
    if (!path || !m || !names) {
        s = no_memory(folder);
        goto done;
    }
    m[0] = (asgdi_matrix){"rows", x->master, x->info.rows, x->stride, x->stride, NULL};
    for (uint32_t w = 0; w < workers; w++) {
        snprintf(names[w], sizeof names[w], "local.%u", (unsigned)w);
        m[w + 1] = (asgdi_matrix){names[w], local[w][t], x->info.rows, slots, slots, NULL};
    }
    ASGD_TRY_GOTO(done, asgdi_tensors_write(path, m, (int)workers + 1, NULL, &size, &checksum));
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, checksum);
    json_t *entry = json_pack("{s:s, s:I, s:I, s:I, s:s}", "name", x->info.name, "rows",
                              (json_int_t)x->info.rows, "dim", (json_int_t)x->info.dim, "bytes",
                              (json_int_t)size, "checksum", hex);
    if (!entry || json_array_append_new(list, entry) != 0) s = no_memory(folder);
done:
    asgdi_free(names);
    asgdi_free(m);
    asgdi_free(path);
    return s;
}

static asgd_status save_manifest(const char *folder, json_t *manifest)
{
    char       *path = join(folder, manifest_name), *text = NULL;
    char        hex[17];
    asgdi_file  file;
    asgd_status s = ASGD_OK;
    if (!path || !manifest_checksum(manifest, hex) ||
        json_object_set_new(manifest, "checksum", json_string(hex)) != 0 ||
        !(text = json_dumps(manifest, JSON_INDENT(1) | JSON_SORT_KEYS))) {
        s = no_memory(folder);
        goto done;
    }
    ASGD_TRY_GOTO(done, asgdi_file_create(&file, path));
    s = asgdi_file_write(&file, text, strlen(text));
    if (s == ASGD_OK)
        s = asgdi_file_commit(&file);
    else
        asgdi_file_abandon(&file);
done:
    free(text);
    asgdi_free(path);
    return s;
}

static json_t *manifest_of(const asgdi_params *p, uint64_t generation, uint32_t workers,
                           const char *state, json_t *tables)
{
    const char *rule = p->rule == ASGD_RULE_DEFAULT ? "none" : asgd_rule_name(p->rule);
    char        side[ASGDI_SIDE_TEXT];
    asgdi_side_print(&p->side, side);
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:s, s:O, s:s*}", "format", format_name,
                     "asgd_version", ASGD_VERSION, "generation", (json_int_t)generation, "rule",
                     rule, "workers", (json_int_t)workers, "state", state, "tables", tables,
                     "processes", p->side.run ? side : NULL);
}

static asgd_status not_text(const char *folder)
{
    return ASGD_FAIL(EINVAL, "%s: the state to be saved is not UTF-8, or there is no memory",
                     folder);
}

static asgd_status read_manifest(const char *folder, json_t **out);
static bool        get_u64(const json_t *object, const char *key, uint64_t limit, uint64_t *out);

/* The checkpoint that is there and may be replaced: its generation, 0: none.  damaged: it cannot be read.
 * ELOST: it is not to be replaced. */
static asgd_status look(const char *folder, const asgdi_side *side, uint64_t *generation,
                        bool *damaged)
{
    json_t *manifest = NULL;
    *generation      = 0;
    *damaged = asgdi_checkpoint_exists(folder) && read_manifest(folder, &manifest) != ASGD_OK;
    if (!manifest) return ASGD_OK;
    const char       *theirs = json_string_value(json_object_get(manifest, "processes"));
    const asgd_status s      = asgdi_side_check(side, theirs, folder);
    (void)get_u64(manifest, "generation", UINT64_MAX - 1, generation);
    json_decref(manifest);
    return s;
}

/* Files on disk become the checkpoint. */
static asgd_status make_valid(const char *folder, json_t *manifest, uint64_t generation,
                              const asgdi_side *side, bool *begun)
{
    uint64_t old;
    bool     damaged;
    ASGD_TRY(look(folder, side, &old, &damaged));
    ASGD_TRY(sync_folder(folder));
    ASGD_TRY(save_manifest(folder, manifest));
    *begun = true;
    ASGD_TRY(sync_folder(folder));
    remove_others(folder, generation, old, side);
    return ASGD_OK;
}

asgd_status asgdi_checkpoint_save(const char *folder, const asgdi_params *p,
                                  float *const *const *local, uint32_t workers, const char *state)
{
    if (!local || p->slots.local == 0) workers = 0;
    if (workers > MAX_WORKERS)
        return ASGD_FAIL(EINVAL, "%s: a checkpoint holds at most %d workers", folder, MAX_WORKERS);
    ASGD_TRY(asgdi_make_folder(folder));
    const uint64_t generation = highest_generation(folder) + 1;
    json_t        *list       = json_array();
    json_t        *manifest   = manifest_of(p, generation, workers, state, list);
    asgd_status    s          = ASGD_OK;
    if (!list || !manifest) {
        s = not_text(folder);
        goto done;
    }
    for (int t = 0; t < p->n_tables; t++)
        ASGD_TRY_GOTO(undo, save_table(folder, p, t, local, workers, generation, list));
    bool valid = false;
    s          = make_valid(folder, manifest, generation, &p->side, &valid);
    if (s == ASGD_OK || valid) goto done;
undo: /* the disk may be full: leave no half of a checkpoint on it */
    for (int t = 0; t < p->n_tables; t++) {
        char *path = table_path(folder, t, generation);
        if (path) (void)unlink(path);
        asgdi_free(path);
    }
done:
    json_decref(manifest);
    json_decref(list);
    return s;
}

/* ---- in parts ---- */

asgd_status asgdi_checkpoint_begin(const char *folder, const asgdi_side *side, uint64_t *generation)
{
    uint64_t valid;
    bool     damaged;
    ASGD_TRY(asgdi_make_folder(folder));
    ASGD_TRY(look(folder, side, &valid, &damaged));
    *generation = highest_generation(folder) + 1;
    /* a damaged one is left as it is, for whoever wants to look at it */
    if (!damaged) remove_others(folder, valid, valid, side);
    return ASGD_OK;
}

asgd_status asgdi_checkpoint_check(const char *folder, uint64_t generation, const asgdi_params *p,
                                   const asgdi_part *part, uint32_t n, uint32_t **extra,
                                   size_t *n_extra)
{
    asgdi_parts f;
    *extra   = NULL;
    *n_extra = 0;
    ASGD_TRY(asgdi_parts_open(&f, folder, generation, p, part, n));
    const asgd_status s = asgdi_parts_extra(&f, extra, n_extra);
    asgdi_parts_close(&f);
    return s;
}

asgd_status asgdi_checkpoint_commit(const char *folder, uint64_t generation, const asgdi_params *p,
                                    const asgdi_part *part, uint32_t n, const char *state)
{
    json_t *tables = json_array(), *parts = json_array();
    int     bad = !tables || !parts;
    for (int t = 0; t < p->n_tables && !bad; t++) {
        const asgd_table *x = &p->table[t].info;
        bad |= json_array_append_new(tables,
                                     json_pack("{s:s, s:I, s:I}", "name", x->name, "rows",
                                               (json_int_t)x->rows, "dim", (json_int_t)x->dim));
    }
    for (uint32_t i = 0; i < n && !bad; i++) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016" PRIx64, part[i].checksum);
        bad |= json_array_append_new(parts, json_pack("{s:I, s:I, s:s}", "process",
                                                      (json_int_t)part[i].process, "bytes",
                                                      (json_int_t)part[i].bytes, "checksum", hex));
    }
    json_t     *manifest = bad ? NULL : manifest_of(p, generation, 0, state, tables);
    bool        valid    = false;
    asgd_status s        = ASGD_OK;
    if (!manifest || json_object_set(manifest, "parts", parts) != 0)
        s = not_text(folder);
    else
        s = make_valid(folder, manifest, generation, &p->side, &valid);
    json_decref(manifest);
    json_decref(tables);
    json_decref(parts);
    return s;
}

/* ---- loading ---- */

bool asgdi_checkpoint_exists(const char *folder)
{
    struct stat st;
    char       *path = join(folder, manifest_name);
    const bool  yes  = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    asgdi_free(path);
    return yes;
}

static asgd_status damaged(const char *folder, const char *what)
{
    return ASGD_FAIL(EFORMAT, "%s/%s: %s; start anew, without this folder", folder, manifest_name,
                     what);
}

static bool get_u64(const json_t *object, const char *key, uint64_t limit, uint64_t *out)
{
    const json_t *j = json_object_get(object, key);
    if (!json_is_integer(j) || json_integer_value(j) < 0) return false;
    *out = (uint64_t)json_integer_value(j);
    return *out <= limit;
}

static asgd_status read_manifest(const char *folder, json_t **out)
{
    json_error_t e;
    char         hex[17];
    char        *path = join(folder, manifest_name);
    *out              = NULL;
    if (!path) return no_memory(folder);
    FILE *f = fopen(path, "rb");
    int   n = errno;
    asgdi_free(path);
    if (!f)
        return ASGD_FAIL(EIO, "%s: no checkpoint here: %s: %s", folder, manifest_name, strerror(n));
    json_t *j = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
    fclose(f);
    if (!json_is_object(j)) {
        json_decref(j);
        return damaged(folder, "is not a JSON object");
    }
    const char *format = json_string_value(json_object_get(j, "format"));
    json_t     *sum    = json_incref(json_object_get(j, "checksum"));
    json_object_del(j, "checksum");
    asgd_status s = ASGD_OK;
    if (!format || strcmp(format, format_name) != 0)
        s = ASGD_FAIL(EFORMAT, "%s/%s: its format is %.40s, not %s: written by another version?",
                      folder, manifest_name, format ? format : "missing", format_name);
    else if (!json_is_string(sum) || !manifest_checksum(j, hex) ||
             strcmp(hex, json_string_value(sum)) != 0)
        s = damaged(folder, "its checksum does not fit: the file is damaged");
    json_decref(sum);
    if (s == ASGD_OK)
        *out = j;
    else
        json_decref(j);
    return s;
}

/* Does the checkpoint fit what is to be loaded? */
static asgd_status check_fit(const char *folder, const json_t *manifest, const asgdi_params *p)
{
    const char   *rule = json_string_value(json_object_get(manifest, "rule"));
    const char   *want = p->rule == ASGD_RULE_DEFAULT ? "none" : asgd_rule_name(p->rule);
    const json_t *list = json_object_get(manifest, "tables");
    if (!rule || !json_is_array(list)) return damaged(folder, "names no rule or no tables");
    if (strcmp(rule, want) != 0)
        return ASGD_FAIL(EMISMATCH,
                         "%s: checkpoint is of a run with rule %.20s, not %s: same rule?", folder,
                         rule, want);
    if (json_array_size(list) != (size_t)p->n_tables)
        return ASGD_FAIL(EMISMATCH,
                         "%s: checkpoint is for a model with %zu tables, not %d: same model and "
                         "options?",
                         folder, json_array_size(list), p->n_tables);
    for (int t = 0; t < p->n_tables; t++) {
        const json_t *j    = json_array_get(list, (size_t)t);
        const char   *name = json_string_value(json_object_get(j, "name"));
        uint64_t      rows = 0, dim = 0;
        if (!name || !get_u64(j, "rows", UINT64_MAX, &rows) || !get_u64(j, "dim", UINT64_MAX, &dim))
            return damaged(folder, "lacks the shape of a table");
        const asgd_table *x = &p->table[t].info;
        if (strcmp(name, x->name) != 0)
            return ASGD_FAIL(EMISMATCH,
                             "%s: checkpoint is for a model with table %.48s, not %s: same model "
                             "and options?",
                             folder, name, x->name);
        if (rows != x->rows || dim != x->dim)
            return ASGD_FAIL(EMISMATCH,
                             "%s: checkpoint is for model with table %s of %" PRIu64 "x%" PRIu64
                             ", not %" PRIu64 "x%u: same model and options?",
                             folder, name, rows, dim, x->rows, x->dim);
    }
    return ASGD_OK;
}

static asgd_status check_tensor(const char *path, const asgdi_tensors *f, const char *name,
                                uint64_t rows, uint64_t cols)
{
    const asgdi_tensor *x = asgdi_tensors_find(f, name);
    if (!x || x->n_dims != 2 || x->shape[0] != rows || x->shape[1] != cols)
        return ASGD_FAIL(EFORMAT,
                         "%s: no tensor %s of %" PRIu64 "x%" PRIu64 "; the file is not of "
                         "this checkpoint",
                         path, name, rows, cols);
    return ASGD_OK;
}

/* Opens a table's file and checks every bit of it. */
static asgd_status open_table(const char *path, const asgdi_params *p, int t, const json_t *entry,
                              uint32_t workers, asgdi_tensors *f)
{
    const asgdi_table *x    = &p->table[t];
    const char        *want = json_string_value(json_object_get(entry, "checksum"));
    uint64_t           size = 0;
    asgdi_checksum     c    = {0};
    char               hex[17], name[24];
    ASGD_TRY(asgdi_tensors_open(f, path));
    asgdi_checksum_add(&c, f->bytes, f->size);
    snprintf(hex, sizeof hex, "%016" PRIx64, asgdi_checksum_end(&c));
    if (!get_u64(entry, "bytes", UINT64_MAX, &size) || size != f->size || !want ||
        strcmp(want, hex) != 0)
        return ASGD_FAIL(EFORMAT,
                         "%s: its checksum does not fit: the file is damaged; start anew, "
                         "without this checkpoint",
                         path);
    ASGD_TRY(check_tensor(path, f, "rows", x->info.rows, x->stride));
    for (uint32_t w = 0; w < workers; w++) {
        snprintf(name, sizeof name, "local.%u", (unsigned)w);
        ASGD_TRY(check_tensor(path, f, name, x->info.rows, (uint64_t)x->pad * p->slots.local));
    }
    return ASGD_OK;
}

static asgd_status copy_local(const char *folder, const asgdi_params *p, int t,
                              const asgdi_tensors *f, asgdi_checkpoint *out)
{
    const asgdi_table *x      = &p->table[t];
    const size_t       floats = (size_t)x->info.rows * x->pad * p->slots.local;
    char               name[24];
    if (out->workers == 0) return ASGD_OK;
    /* the file holds as many, hence no overflow */
    out->local[t]        = asgdi_calloc(floats * out->workers, sizeof(float));
    out->local_floats[t] = floats;
    if (!out->local[t]) return no_memory(folder);
    for (uint32_t w = 0; w < out->workers; w++) {
        snprintf(name, sizeof name, "local.%u", (unsigned)w);
        memcpy(out->local[t] + w * floats, asgdi_tensors_find(f, name)->data,
               floats * sizeof(float));
    }
    return ASGD_OK;
}

static asgd_status load_parts(const char *folder, const json_t *list, uint64_t generation,
                              asgdi_params *p)
{
    const size_t n = json_array_size(list);
    asgdi_parts  f;
    asgdi_part  *part = asgdi_calloc(n + 1, sizeof *part);
    asgd_status  s    = part ? ASGD_OK : no_memory(folder);
    for (size_t i = 0; i < n && !s; i++) {
        const json_t *j       = json_array_get(list, i);
        const char   *hex     = json_string_value(json_object_get(j, "checksum"));
        uint64_t      process = 0;

        if (!hex || !get_u64(j, "process", UINT32_MAX, &process) ||
            !get_u64(j, "bytes", UINT64_MAX, &part[i].bytes)) {
            s = damaged(folder, "lacks what a part is");
            break;
        }
        part[i].process  = (uint32_t)process;
        part[i].checksum = strtoull(hex, NULL, 16);
    }
    if (!s) s = asgdi_parts_open(&f, folder, generation, p, part, (uint32_t)n);
    if (!s) {
        asgdi_parts_copy(&f, p);
        asgdi_parts_close(&f);
    }
    asgdi_free(part);
    return s;
}

asgd_status asgdi_checkpoint_load(const char *folder, asgdi_params *p, asgdi_checkpoint *out)
{
    asgdi_tensors file[ASGD_MAX_TABLES] = {0};
    json_t       *manifest              = NULL;
    uint64_t      generation = 0, workers = 0;
    asgd_status   s;
    *out = (asgdi_checkpoint){0};
    ASGD_TRY(read_manifest(folder, &manifest));
    const char *state = json_string_value(json_object_get(manifest, "state"));
    if (!state || !get_u64(manifest, "generation", UINT64_MAX, &generation) ||
        !get_u64(manifest, "workers", MAX_WORKERS, &workers)) {
        s = damaged(folder, "lacks state, generation or workers");
        goto fail;
    }
    out->workers = (uint32_t)workers;
    out->state   = asgdi_strdup(state);
    if (!out->state) {
        s = no_memory(folder);
        goto fail;
    }
    ASGD_TRY_GOTO(fail, check_fit(folder, manifest, p));
    const json_t *parts = json_object_get(manifest, "parts");
    if (parts) {
        ASGD_TRY_GOTO(fail, load_parts(folder, parts, generation, p));
        out->masters = true;
        goto done;
    }
    const json_t *list = json_object_get(manifest, "tables");
    for (int t = 0; t < p->n_tables; t++) {
        char *path = table_path(folder, t, generation);
        s = path ? open_table(path, p, t, json_array_get(list, (size_t)t), out->workers, &file[t])
                 : no_memory(folder);
        asgdi_free(path);
        if (s == ASGD_OK) s = copy_local(folder, p, t, &file[t], out);
        if (s != ASGD_OK) goto fail;
    }
    /* nothing can fail any more */
    for (int t = 0; t < p->n_tables; t++)
        memcpy(p->table[t].master, asgdi_tensors_find(&file[t], "rows")->data,
               (size_t)p->table[t].info.rows * p->table[t].stride * sizeof(float));
    goto done;
fail:
    asgdi_checkpoint_free(out);
done:
    for (int t = 0; t < p->n_tables; t++) asgdi_tensors_close(&file[t]);
    json_decref(manifest);
    return s;
}

void asgdi_checkpoint_free(asgdi_checkpoint *c)
{
    asgdi_free(c->state);
    for (int t = 0; t < ASGD_MAX_TABLES; t++) asgdi_free(c->local[t]);
    *c = (asgdi_checkpoint){0};
}

void asgdi_checkpoint_local(const asgdi_checkpoint *c, uint32_t w, float *const *local)
{
    for (int t = 0; t < ASGD_MAX_TABLES && c->workers; t++)
        if (c->local[t])
            memcpy(local[t], c->local[t] + w % c->workers * c->local_floats[t],
                   c->local_floats[t] * sizeof(float));
}
