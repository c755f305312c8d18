/* help.c -- --help, asgd help, and the list that shell completion reads, all from the tables. */
#include "opts.h"

#include <string.h>

enum { LEFT = 28, WIDTH = 96 };

/* Prints text from column `at` on, wrapped at WIDTH with a hanging indent of LEFT. */
static void wrapped(FILE *f, size_t at, const char *text)
{
    size_t column = at;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > LEFT && column + 1 + n > WIDTH) {
            fprintf(f, "\n%*s", LEFT, "");
            column = LEFT;
        } else if (column > LEFT) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", (int)n, text);
        column += n;
        text += n + strspn(text + n, " ");
    }
    fputc('\n', f);
}

static void help_option(FILE *f, const opt_spec *s)
{
    char left[96], text[512];
    char letter[8] = "";
    if (s->letter) snprintf(letter, sizeof letter, "-%c, ", s->letter);
    int         n = snprintf(left, sizeof left, "  %s--%s%s%s", letter, s->name, s->arg ? " " : "",
                     s->arg ? s->arg : "");
    const char *choices = s->choices && !strstr(s->help, ":") ? s->choices : NULL;
    snprintf(text, sizeof text, "%s%s%s%s%s%s", s->help, choices ? ": " : "",
             choices ? choices : "", s->fallback ? " [" : "", s->fallback ? s->fallback : "",
             s->fallback ? "]" : "");
    fputs(left, f);
    if (n >= LEFT) {
        fprintf(f, "\n");
        n = 0;
    }
    fprintf(f, "%*s", LEFT - n, "");
    wrapped(f, LEFT, text);
}

void help_command(FILE *f, const cli_command *c)
{
    fprintf(f, "asgd %s: %s\n\n%s\nUsage: asgd %s %s\n", c->name, c->summary, c->examples, c->name,
            c->usage);
    const char *group = NULL;
    for (const opt_spec *s = opt_table; s->name; s++) {
        if (!(s->commands & c->bit)) continue;
        if (!group || strcmp(group, s->group) != 0) {
            group = s->group;
            fprintf(f, "\n%s:\n", group);
        }
        help_option(f, s);
    }
    if (c->notes) fprintf(f, "\n%s", c->notes);
    if (c->bit & (CMD_TRAIN | CMD_COMPARE)) {
        fprintf(f, "\nModels:\n");
        for (int i = 0; asgd_model_help(i); i++) {
            const char *help = asgd_model_help(i);
            fprintf(f, "  %.*s\n", (int)strcspn(help, "\n"), help);
        }
    }
}

void help_program(FILE *f)
{
    fprintf(f,
            "asgd %s: asynchronous stochastic gradient descent\n\n%s\n"
            "Commands (asgd COMMAND --help tells more):\n",
            asgd_version(),
            "  asgd synth digits -o digits\n"
            "  asgd train mlp --train digits --valid digits -o digits.safetensors\n");
    for (const cli_command *c = cli_commands; c->name; c++) {
        fprintf(f, "  %-10s %s\n", c->name, c->summary);
    }
    fprintf(f, "  %-10s %s\n  %-10s %s\n\nModels (asgd help MODEL tells more):\n", "help",
            "this; asgd help COMMAND, asgd help MODEL", "version", "the version");
    for (int i = 0; asgd_model_help(i); i++) {
        const char *help = asgd_model_help(i);
        fprintf(f, "  %.*s\n", (int)strcspn(help, "\n"), help);
    }
}

/* name TAB argument TAB choices TAB help, one option a line. */
void help_completion(FILE *f, const cli_command *c)
{
    for (const opt_spec *s = opt_table; s->name; s++) {
        if (!(s->commands & c->bit)) continue;
        fprintf(f, "--%s\t%s\t%s\t%s\n", s->name, s->arg ? s->arg : "",
                s->choices ? s->choices : "", s->help);
    }
}

/* A model's name is the first word of its help. */
static size_t name_length(const char *help)
{
    return strcspn(help, " \t\n:,;");
}

size_t model_names(char (*names)[32], size_t capacity)
{
    size_t n = 0;
    for (const char *help; n < capacity && (help = asgd_model_help((int)n)) != NULL; n++) {
        snprintf(names[n], sizeof names[n], "%.*s", (int)name_length(help), help);
    }
    return n;
}

bool help_model(FILE *f, const char *name)
{
    for (int i = 0; asgd_model_help(i); i++) {
        const char *help = asgd_model_help(i);
        if (name_length(help) != strlen(name) || strncmp(help, name, strlen(name)) != 0) continue;
        for (const char *line = help; *line;) {
            size_t n = strcspn(line, "\n");
            if (*line == '\t') {
                const size_t key = strcspn(line + 1, "=");
                fputs("    --", f);
                for (size_t k = 0; k < key; k++) fputc(line[1 + k] == '_' ? '-' : line[1 + k], f);
                fprintf(f, "%.*s\n", (int)(n - 1 - key), line + 1 + key);
            } else {
                fprintf(f, "%.*s\n", (int)n, line);
            }
            line += n + (line[n] == '\n');
        }
        return true;
    }
    return false;
}

int model_check(const char *name)
{
    char        names[32][32];
    const char *list[32];
    char        all[512] = "";
    size_t      used = 0, n = model_names(names, 32);
    for (size_t i = 0; i < n; i++) {
        list[i] = names[i];
        if (strcmp(names[i], name) == 0) return CLI_OK;
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
        if (used >= sizeof all) break;
    }
    const char *near = nearest_name(name, list, n);
    if (near) return cli_fail(CLI_USAGE, "model %s: did you mean %s?", name, near);
    return cli_fail(CLI_USAGE, "model %s: there is none of that name; there are: %s", name, all);
}
