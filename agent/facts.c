// SPDX-License-Identifier: Apache-2.0
//
// Puts the facts together; the parts are in agent/facts/.
#include "agent/facts.h"

#include <string.h>

#include "agent/facts/hardware.h"
#include "agent/facts/runtime.h"
#include "agent/facts/system.h"
#include "agent/log.h"
#include "base/fs.h"
#include "base/own.h"
#include "base/proc.h"
#include "base/text.h"
#include "bundle/limits.h"

#define COMMAND_TIMEOUT_MS 2000

static void run_command(const struct agent_config_command *command, json_t *facts) {
    OWN(buf) struct buf output;
    struct err e = ERR_NONE;
    int status;
    buf_init(&output, 4096);
    struct proc_spec spec = {.argv = command->argv,
                             .directory = -1,
                             .stdin_fd = -1,
                             .stdout_fd = -1,
                             .stderr_fd = -1,
                             .fds = {-1}};
    struct proc_run how = {
        .output = &output, .timeout_ms = COMMAND_TIMEOUT_MS, .clock = chrono_system()};
    if (proc_run(&spec, &how, &status, &e) < 0 || status != 0) {
        agent_log_line(AGENT_LOG_WARNING, "fact %s: %s", command->fact,
                       e.kind ? e.text : "the command failed");
        return;
    }
    size_t len = strcspn(buf_text(&output), "\r\n");
    if (len > BUNDLE_FACT_VALUE_MAX)
        len = BUNDLE_FACT_VALUE_MAX;
    if (len > 0 && text_is_utf8(buf_text(&output), len))
        (void)json_object_set_new(facts, command->fact, json_stringn(buf_text(&output), len));
}

static void add_free(int state_dir, json_t *facts) {
    uint64_t bytes, inodes;
    struct err e = ERR_NONE;
    if (state_dir >= 0 && fs_free(state_dir, &bytes, &inodes, &e) == 0)
        (void)json_object_set_new(facts, "free_mb", json_integer((json_int_t)(bytes >> 20)));
}

// Which components may be images here, so that a bundle can require it.
static void add_slots(const struct agent_config *config, json_t *facts) {
    OWN(json) json_t *names = json_array();
    for (size_t i = 0; i < config->n_slots; i++)
        (void)json_array_append_new(names, json_string(config->slots[i].component));
    if (config->n_slots > 0)
        (void)json_object_set(facts, "slots", names);
}

int agent_facts_collect(const struct agent_config *config, int state_dir, json_t **ret,
                        struct err *e) {
    OWN(json) json_t *facts = json_object();
    if (!facts)
        return err_set(e, &err_memory, "collecting facts: out of memory");
    facts_system_add(facts);
    facts_hardware_add(facts);
    facts_runtime_add(facts);
    add_free(state_dir, facts);
    add_slots(config, facts);
    (void)json_object_set_new(facts, "agent.version", json_string(EDGE_VERSION));
    (void)json_object_set_new(facts, "agent.sham", json_true());
    for (size_t i = 0; i < config->n_commands; i++)
        run_command(&config->commands[i], facts);
    // What a person wrote down wins over what was found.
    if (config->facts && json_object_update(facts, (json_t *)(uintptr_t)config->facts) < 0)
        return err_set(e, &err_memory, "collecting facts: out of memory");
    *ret = own_take(&facts);
    return 0;
}
