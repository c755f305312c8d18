/* main.c -- asgd COMMAND: finds the subcommand, reads its options, runs it. */
#define _POSIX_C_SOURCE 200809L
#include "exchange/mpi/launcher.h"
#include "opts.h"
#include "processes.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

/* Who speaks, where several processes do; empty: process 0, or the only one. */
static char speaker[96];
static bool waited;
static bool coming_up; /* what fails fails in all alike, and the launcher says it once */

void cli_speak_as(uint32_t process, uint32_t size, const char *host)
{
    coming_up  = false;
    speaker[0] = 0;
    if (size < 2 || process == 0) return;
    snprintf(speaker, sizeof speaker, "process %u%s%.64s%s: ", process, *host ? " (" : "", host,
             *host ? ")" : "");
}

static void message(const char *format, va_list args)
{
    const struct timespec little = {.tv_sec = 1};
    char                  text[4096]; /* in one piece, beside those of other processes */
    if (*speaker && !waited) nanosleep(&little, NULL);
    waited = true;
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "asgd: %s%s\n", speaker, text);
}

static void tell_launcher(const char *format, va_list args)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, args);
    asgdi_tell_launcher_why(text);
}

int cli_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (coming_up)
        tell_launcher(format, args);
    else
        message(format, args);
    va_end(args);
    return code;
}

int cli_status(asgd_status s)
{
    const char *text = asgd_errmsg();
    return cli_fail(s == ASGD_EINVAL ? CLI_USAGE : CLI_FAILED, "%s",
                    text && *text ? text : asgd_strerror(s));
}

void cli_note(const cli_options *o, const char *format, ...)
{
    if (o->quiet) return;
    va_list args;
    va_start(args, format);
    message(format, args);
    va_end(args);
}

static int help(int argc, char **argv)
{
    if (argc < 3) {
        help_program(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[2], "--complete") == 0) {
        const cli_command *c = argc > 3 ? command_find(argv[3]) : NULL;
        if (c) help_completion(stdout, c);
        return CLI_OK;
    }
    const cli_command *c = command_find(argv[2]);
    if (c) {
        help_command(stdout, c);
        return CLI_OK;
    }
    if (help_model(stdout, argv[2])) return CLI_OK;
    return cli_fail(CLI_USAGE, "help %s: there is no such command or model; see asgd help",
                    argv[2]);
}

static int unknown_command(const char *name)
{
    const char *names[32];
    size_t      n = 0;
    for (const cli_command *c = cli_commands; c->name; c++) names[n++] = c->name;
    names[n++]       = "help";
    names[n++]       = "version";
    const char *near = nearest_name(name, names, n);
    if (near) return cli_fail(CLI_USAGE, "%s: did you mean asgd %s?", name, near);
    return cli_fail(CLI_USAGE, "%s: there is no such command; asgd help lists them", name);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        help_program(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return help(argc, argv);
    }
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("asgd %s (%s)\n", asgd_version(), asgd_isa());
        return CLI_OK;
    }
    const cli_command *c = command_find(name);
    if (!c) return unknown_command(name);

    cli_options o    = {.command = c};
    int         code = opts_parse(&o, argc, argv);
    if (code == -1) {
        help_command(stdout, c);
        code = CLI_OK;
    } else if (code == CLI_OK) {
        code = c->run(&o);
    }
    opts_free(&o);
    return code;
}

int main(int argc, char **argv)
{
    /* a full disk or a file limit is an error to report, not a reason to die */
    signal(SIGXFSZ, SIG_IGN);
    uint32_t process, size;
    if (processes_told(&process, &size)) {
        cli_speak_as(process, size, "");
        coming_up = asgdi_has_launcher();
    }
    int code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_OK) {
        code = cli_fail(CLI_FAILED, "standard output: %s", strerror(errno));
    }
    asgdi_tell_launcher(code);
    return code;
}
