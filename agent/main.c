// SPDX-License-Identifier: Apache-2.0
//
// edge-agent: the program's commands as tables, and nothing else. An error is one line on stderr
// and the exit status of its kind.
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/cmd/ask.h"
#include "agent/cmd/context.h"
#include "agent/cmd/install.h"
#include "agent/cmd/serve.h"
#include "agent/cmd/verify.h"
#include "agent/scribe.h"
#include "base/text.h"

#define PROGRAM "edge-agent"
#define CONFIG                                                                                     \
    {                                                                                              \
        .name = "config", .letter = 'c', .value = "FILE",                                          \
        .help = "the configuration; default " CMD_CONTEXT_CONFIG                                   \
    }
#define QUIET                                                                                      \
    { .name = "quiet", .letter = 'q', .help = "print nothing but errors" }
#define END                                                                                        \
    { .name = NULL }

static const struct opt config_only[] = {CONFIG, END};
static const struct opt check[] = {
    CONFIG, {.name = "print", .help = "print the settings with their defaults as JSON"}, END};
static const struct opt install[] = {
    CONFIG,
    {.name = "again", .help = "install a bundle that failed here before"},
    {.name = "no-wait",
     .help = "return when a running agent took the bundle, not when it is decided"},
    QUIET,
    END};
static const struct opt status[] = {CONFIG, {.name = "json", .help = "print JSON"}, END};
static const struct opt decide[] = {CONFIG, QUIET, END};
static const struct opt inhibit[] = {
    CONFIG,
    {.name = "reason", .value = "TEXT", .help = "why, for the status and the controller"},
    END};
static const struct opt verify[] = {
    {.name = "root", .value = "ROOT", .help = "root.json: the keys to trust"},
    {.name = "base", .value = "DIR", .help = "generation that a delta starts from"},
    END};

static const struct opt_command commands[] = {
    {.name = "run",
     .operands = "",
     .help = "run as the resident agent of this device",
     .options = config_only,
     .run = cmd_serve_run},
    {.name = "check",
     .operands = "",
     .help = "check the configuration and what it names",
     .options = check,
     .run = cmd_serve_check},
    {.name = "install",
     .operands = "BUNDLE|DIR",
     .operands_min = 1,
     .operands_max = 1,
     .help = "install a bundle from a file, through probation to commit or revert",
     .options = install,
     .run = cmd_install_bundle},
    {.name = "status",
     .operands = "",
     .help = "say what runs, what is under way, and why",
     .options = status,
     .run = cmd_ask_status},
    {.name = "commit",
     .operands = "",
     .help = "end the probation: keep what runs",
     .options = decide,
     .run = cmd_install_commit},
    {.name = "rollback",
     .operands = "",
     .help = "go back to the generation before",
     .options = decide,
     .run = cmd_install_rollback},
    {.name = "inhibit",
     .operands = "DURATION",
     .operands_min = 1,
     .operands_max = 1,
     .help = "delay the next activation (90, 15m, 2h); 0 ends the delay",
     .options = inhibit,
     .run = cmd_ask_inhibit},
    {.name = "enroll",
     .operands = "",
     .help = "enrol at the controller (again)",
     .options = config_only,
     .run = cmd_ask_enroll},
    {.name = "verify",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .help = "check a whole bundle or delta against a root of trust; nothing is installed",
     .options = verify,
     .run = cmd_verify_file},
    {.name = "inventory",
     .operands = "",
     .help = "print what this device finds out about itself",
     .options = config_only,
     .run = cmd_serve_inventory},
    {.name = NULL},
};

static int fail(const char *command, const struct err *e) {
    char safe[2 * ERR_TEXT_BYTES];
    (void)fprintf(stderr, PROGRAM "%s%s: %s\n", command[0] ? " " : "", command,
                  text_safe(e->text, safe, sizeof safe));
    return e->kind->exit_status;
}

static int run(const struct opt_command *command, int argc, char *const *argv) {
    struct err e = ERR_NONE;
    struct cmd_context context = {.exit_status = 0};
    struct opt_args *args = NULL;
    if (opt_parse(command, argc, argv, &args, &e) < 0)
        return fail(command->name, &e);
    int done = command->run(&context, args, &e);
    opt_free(args);
    return done < 0 ? fail(command->name, &e) : context.exit_status;
}

int main(int argc, char **argv) {
    const struct opt_command *command = NULL;
    struct err e = ERR_NONE;
    int words = 0;
    // A limit on the size of files (LimitFSIZE=) is an error of the write, not the end of the
    // agent.
    (void)signal(SIGXFSZ, SIG_IGN);
    if (argc == 2 && strcmp(argv[1], AGENT_SCRIBE_OPTION) == 0) {
        (void)signal(SIGPIPE, SIG_IGN);
        return agent_scribe_run();
    }
#ifdef M_MMAP_THRESHOLD
    // glibc would move its threshold up with the first megabytes of metadata that pass through, and
    // keep what comes after on a heap that never shrinks again.
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
#endif
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        (void)printf(PROGRAM " %s\n", EDGE_VERSION);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--dump-options") == 0) {
        opt_print_dump(stdout, commands);
        return 0;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        opt_print_overview(argc < 2 ? stderr : stdout, PROGRAM, commands);
        return argc < 2 ? err_usage.exit_status : 0;
    }
    if (opt_find_command(commands, argc - 1, argv + 1, &command, &words, &e) < 0)
        return fail("", &e);
    if (opt_wants_help(argc - 1 - words, argv + 1 + words)) {
        opt_print_help(stdout, PROGRAM, command);
        return 0;
    }
    return run(command, argc - 1 - words, argv + 1 + words);
}
