// SPDX-License-Identifier: Apache-2.0
//
// One flat table of all commands, made from the nouns' own.
#include "ctl/cmd/table.h"

#include <assert.h>
#include <string.h>

#include "base/own.h"
#include "ctl/cmd/nouns.h"
#include "keys/secret.h"

#define COMMANDS_MAX 96

static const struct opt_command *const nouns[] = {
    cmd_init,    cmd_key,   cmd_root,     cmd_sign,    cmd_bundle,
    cmd_image,   cmd_serve, cmd_token,    cmd_release, cmd_device,
    cmd_rollout, cmd_fleet, cmd_simulate, cmd_events,  cmd_completion,
};

const struct opt_command *cmd_table_get(void) {
    static struct opt_command all[COMMANDS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < sizeof nouns / sizeof nouns[0]; i++) {
        for (const struct opt_command *command = nouns[i]; command->name; command++) {
            assert(count < COMMANDS_MAX);
            all[count++] = *command;
        }
    }
    all[count].name = NULL;
    return all;
}

static void own_drop_args(struct opt_args **args) {
    opt_free(*args);
}

static void print_overview(FILE *out) {
    opt_print_overview(out, "edgectl", cmd_table_get());
    (void)fputs("\nA first workspace, ready for use: edgectl init DIR. The manual: man edgectl.\n",
                out);
}

static bool is(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

// "edgectl bundle --help": the verbs of a noun. False when it has none.
static bool print_noun(FILE *out, const char *noun) {
    struct opt_command verbs[COMMANDS_MAX + 1];
    size_t count = 0, len = strlen(noun);
    for (const struct opt_command *command = cmd_table_get(); command->name; command++) {
        if (strncmp(command->name, noun, len) == 0 && command->name[len] == ' ')
            verbs[count++] = *command;
    }
    verbs[count].name = NULL;
    if (count > 0)
        opt_print_overview(out, "edgectl", verbs);
    return count > 0;
}

int cmd_table_run(int argc, char *const *argv, struct err *e) {
    const struct opt_command *command = NULL;
    int words = 0;
    if (argc > 0 && is(argv[0], "--version", "-V")) {
        (void)puts("edgectl " EDGE_VERSION);
        return 0;
    }
    if (argc > 0 && strcmp(argv[0], "--dump-options") == 0) {
        opt_print_dump(stdout, cmd_table_get());
        return 0;
    }
    if (argc == 0)
        return err_set(e, &err_usage,
                       "no command given; edgectl --help lists the commands, edgectl init DIR is "
                       "the first one to use");
    if (is(argv[0], "--help", "-h") || (argc == 1 && strcmp(argv[0], "help") == 0)) {
        print_overview(stdout);
        return 0;
    }
    if (argc == 2 && is(argv[1], "--help", "-h") && print_noun(stdout, argv[0]))
        return 0;
    if (opt_find_command(cmd_table_get(), argc, argv, &command, &words, e) < 0)
        return -1;
    if (opt_wants_help(argc - words, argv + words)) {
        opt_print_help(stdout, "edgectl", command);
        return 0;
    }
    OWN(args) struct opt_args *args = NULL;
    if (opt_parse(command, argc - words, argv + words, &args, e) < 0)
        return -1;
    if (keys_secret_init(e) < 0)
        return -1;
    struct cmd_context context = {.clock = chrono_system()};
    return command->run(&context, args, e);
}
