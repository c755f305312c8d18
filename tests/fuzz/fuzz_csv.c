/* fuzz_csv.c -- the csv parser on any bytes; the first two choose the options. */
#include "two_texts.h"

/* The first half is the recipe that the second is read by. */
static void recipe_and_text(const uint8_t *data, size_t bytes, asgd_source_options *o)
{
    static const uint32_t keys[] = {1, 2, 3};
    size_t                n      = bytes / 2;
    char                 *json   = asgdi_calloc(n + 1, 1);
    asgd_encoding        *e;
    if (!json) abort();
    if (n) memcpy(json, data, n);
    must(asgdi_encoding_new(&e, keys, 3, 3, json) == ASGD_OK);
    o->encoding = e;
    asgd_source_close(open_text(&asgdi_format_csv, data + n, bytes - n, o));
    asgdi_encoding_free(e);
    asgdi_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2) return 0;
    static const float       values[] = {0, 1};
    static const char *const names[]  = {NULL, "y", "2", "a, 1"};
    uint8_t                  first = data[0], second = data[1];
    asgd_source_options      o = {.threads = first % 4u + 1};
    if (first & 4) o.features = 2;
    o.label = names[first & 8 ? first >> 4 & 3 : 0];
    if (first & 64) {
        o.label_values   = values;
        o.n_label_values = 2;
    }
    o.weight      = names[second & 1 ? 1 : 0];
    o.ignore      = names[second >> 1 & 3];
    o.categorical = names[second >> 3 & 3];
    o.bins        = second >> 5 & 3;
    o.hash_bits   = second & 128 ? 10 : 0;
    if (first & 128)
        recipe_and_text(data + 2, bytes - 2, &o);
    else
        two_texts(&asgdi_format_csv, data + 2, bytes - 2, &o);
    return 0;
}
