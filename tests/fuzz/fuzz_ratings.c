/* fuzz_ratings.c -- the parser of ratings on any bytes; the first byte chooses the options. */
#include "base/mem.h"
#include "check_source.h"
#include "data/build.h"
#include "data/input.h"

/* NULL where it is refused, with a message that names the file. */
static asgd_source *open_text(const uint8_t *data, size_t bytes, const asgd_source_options *o)
{
    asgdi_input  in;
    asgd_source *s = asgdi_calloc(1, sizeof *s);
    must(s && asgdi_own(s) == ASGD_OK);
    must(asgdi_input_memory(&in, "fuzz", data, bytes) == ASGD_OK);
    if (in.bytes > 0) asgdi_format_ratings.guess(in.path, in.data, in.bytes);
    asgd_status status = asgdi_format_ratings.open(s, &in, o);
    asgdi_input_close(&in);
    if (status == ASGD_OK) return s;
    must(strncmp(asgd_errmsg(), "fuzz:", 5) == 0);
    asgd_source_close(s);
    return NULL;
}

static void check(const asgd_source *s)
{
    const asgd_schema *d = &s->schema;
    must(d->examples > 0 && d->users > 0 && d->items > 0 && d->features == d->users + d->items);
    for (uint64_t i = 0; i < d->examples; i++) {
        const asgd_rating *r = &s->rating[i];
        must(r->user <= d->users && r->item <= d->items && isfinite(r->y));
        must(r->y >= d->y_min && r->y <= d->y_max);
        if (s->time) must(isfinite(s->time[i]));
    }
    for (uint32_t u = 0; u < d->users; u++) {
        uint32_t again;
        must(asgd_encoding_find_user(s->encoding, asgd_encoding_user(s->encoding, u), &again) &&
             again == u);
    }
    for (uint32_t v = 0; v < d->items; v++) {
        uint32_t again;
        must(asgd_encoding_find_item(s->encoding, asgd_encoding_item(s->encoding, v), &again) &&
             again == v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    asgd_source_options o = {.threads = data[0] % 4u + 1, .times = (data[0] & 4) != 0};
    asgd_source        *s = open_text(data + 1, bytes - 1, &o);
    if (s) {
        check(s);
        o.encoding         = s->encoding;
        asgd_source *again = open_text(data + 1, bytes - 1, &o);
        must(again && again->schema.examples == s->schema.examples);
        check(again);
        must(memcmp(s->rating, again->rating, s->schema.examples * sizeof *s->rating) == 0);
        asgd_source *train, *valid;
        if (asgd_source_split(s, 0.3, (asgd_holdout)(data[0] / 8 % 3), 1, &train, &valid) ==
            ASGD_OK) {
            must(train->schema.examples + valid->schema.examples == s->schema.examples);
            asgd_source_close(train);
            asgd_source_close(valid);
        }
        asgd_source_close(again);
    }
    asgd_source_close(s);
    return 0;
}
