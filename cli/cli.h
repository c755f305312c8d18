/* cli.h -- what the files of the program share: exit codes, messages, the subcommands. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asgd/asgd.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

typedef struct cli_options cli_options;

/* Prints "asgd: MESSAGE" on standard error and returns code. */
int cli_fail(int code, const char *format, ...) ASGD_PRINTF(2, 3);
/* The same with the library's message; wrong arguments give CLI_USAGE, all else CLI_FAILED. */
int cli_status(asgd_status s);
/* A note on standard error, nothing with --quiet. */
void cli_note(const cli_options *o, const char *format, ...) ASGD_PRINTF(2, 3);

/* This process is one of several: messages of all but the first one name it, and the first of them waits a
 * little, in case that process 0 says the same and ends all. */
void cli_speak_as(uint32_t process, uint32_t size, const char *host);

/* One subcommand each; they return the exit code. */
int cmd_train(const cli_options *o);
int cmd_eval(const cli_options *o);
int cmd_predict(const cli_options *o);
int cmd_compare(const cli_options *o);
int cmd_recommend(const cli_options *o);
int cmd_synth(const cli_options *o);
int cmd_inspect(const cli_options *o);

#endif
