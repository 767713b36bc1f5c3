// SPDX-License-Identifier: Apache-2.0
//
// See context.h.
#include "agent/cmd/context.h"

#include <fcntl.h>
#include <string.h>

#include "agent/daemon.h"
#include "agent/facts.h"
#include "agent/log.h"
#include "agent/talk.h"
#include "base/fs.h"
#include "base/own.h"

int cmd_context_config(const struct opt_args *args, enum agent_config_mode mode,
                       struct agent_config *ret, struct err *e) {
    OWN(buf) struct buf warnings;
    const char *path = opt_get(args, "config");
    buf_init(&warnings, AGENT_CONFIG_MAX_BYTES);
    int done = agent_config_read(path ? path : CMD_CONTEXT_CONFIG, mode, &warnings, ret, e);
    char *rest = (char *)warnings.data;
    for (char *line; rest && (line = strsep(&rest, "\n"));) {
        if (line[0] != '\0')
            agent_log_line(AGENT_LOG_WARNING, "%s", line);
    }
    return done;
}

int cmd_context_facts(const struct agent_config *config, json_t **ret, struct err *e) {
    OWN(fd) int dir = -1;
    struct err absent = ERR_NONE;
    if (config->state_dir)
        (void)fs_open_dir(AT_FDCWD, config->state_dir, &dir, &absent);
    return agent_facts_collect(config, dir, ret, e);
}

int cmd_context_ask(const struct agent_config *config, const char *cmd, json_t **ret,
                    struct err *e) {
    char path[256];
    OWN(json) json_t *request = json_pack("{ss}", "cmd", cmd);
    if (!request)
        return err_set(e, &err_memory, "out of memory");
    return agent_talk_ask(agent_daemon_socket(config, path, sizeof path), request, -1, ret, e);
}
