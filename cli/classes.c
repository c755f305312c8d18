/* classes.c -- what classes are called: by the name that an encoding remembers ("Y" of a CSV file),
 * else by the number they stand for. */
#include "classes.h"

#include "decimal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/encoding.h" /* the recipe */

static char *copy(const char *text, size_t n)
{
    char *c = malloc(n + 1);
    if (!c) return NULL;
    memcpy(c, text, n);
    c[n] = 0;
    return c;
}

static char *number(uint32_t c, const float *labels)
{
    char   text[DECIMAL_BYTES + 1];
    size_t n = labels ? decimal_float(text, labels[c], 9)
                      : (size_t)snprintf(text, sizeof text, "%lu", (unsigned long)c);
    return copy(text, n);
}

char **classes_text(uint32_t n, const float *labels, const asgd_encoding *e)
{
    char        **text   = calloc((size_t)n + 1, sizeof *text);
    json_t       *recipe = e ? json_loads(e->recipe, 0, NULL) : NULL;
    const json_t *names  = json_object_get(json_object_get(recipe, "label"), "classes");
    bool          good   = text != NULL;
    if (json_array_size(names) != n) names = NULL;
    for (uint32_t c = 0; good && c < n; c++) {
        const char *name = json_string_value(json_array_get(names, c));
        text[c]          = name ? copy(name, strlen(name)) : number(c, labels);
        good             = text[c] != NULL;
    }
    json_decref(recipe);
    if (good) return text;
    classes_free(text, n);
    return NULL;
}

void classes_free(char **text, uint32_t n)
{
    for (uint32_t c = 0; text && c < n; c++) free(text[c]);
    free(text);
}
