// SPDX-License-Identifier: Apache-2.0
//
// The agent's configuration: one JSON file, read once at start. Every plain setting is a row of
// agent/config_table.h with its default, range and unit; man/edge-agent.json.5 says the same and a
// test compares them. The structured settings are beside it:
//
//   "facts":       {NAME:VALUE,…}                   added to what the device finds out
//   "fact_commands": {NAME:[ARGV…],…}               first line of stdout, asked at start and daily
//   "window":      {"start":"HH:MM","end":"HH:MM","days":["mon",…],"timezone":"Europe/Berlin"}
//                   (bundle/window.h), or the time zone alone
//   "runners":     {NAME:{"argv":[…],"user":NAME,"memory_bytes":N,"cpu_s":N,"processes":N,
//                   "network":false,"allow_root":false}}
//   "on_activate": {COMPONENT:{"action":"restart"|"reload"|"signal"|"exec"|"none","unit":…,
//                   "pid_file":…,"signal":"HUP","argv":[…],"timeout_s":N}}
//   "endpoints":   {NAME:"file:/…"|"http://127.0.0.1:PORT/…"}
//                   what "endpoint:NAME" means in probes
//   "metrics":     {NAME:{"file":PATH,"metric":PROMETHEUS_NAME}}
//                   values sent at each check-in
//   "slots":       {COMPONENT:[PATH,PATH],…}
//                   where images of a component lie: block devices or ordinary files (agent/slots.h)
//   "tpm":         {"tcti":"device:/dev/tpmrm0","index":25165825}
//                   a counter that tells when an old state directory was put back (agent/anchor.h)
//
// Paths that do not begin with '/' are relative to the folder of the configuration file. All
// strings are borrowed from the document until agent_config_clear.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "agent/config_table.h"
#include "base/buf.h"
#include "base/err.h"
#include "bundle/image.h"
#include "bundle/window.h"

#define AGENT_CONFIG_MAX_BYTES     (256 * 1024)
#define AGENT_CONFIG_RUNNERS_MAX   32
#define AGENT_CONFIG_HOOKS_MAX     16
#define AGENT_CONFIG_METRICS_MAX   32
#define AGENT_CONFIG_ENDPOINTS_MAX 32
#define AGENT_CONFIG_ARGV_MAX      32
#define AGENT_CONFIG_COMMANDS_MAX  32
#define AGENT_CONFIG_SLOTS_MAX     16

// What the TCG leaves to owners of devices.
#define AGENT_CONFIG_TPM_INDEX_MIN 0x01800000U
#define AGENT_CONFIG_TPM_INDEX_MAX 0x01BFFFFFU
#define AGENT_CONFIG_TPM_INDEX     0x01800001U
#define AGENT_CONFIG_TCTI_MAX      256

struct agent_config_runner {
    const char *name;
    const char *argv[AGENT_CONFIG_ARGV_MAX + 1]; // NULL-terminated
    const char *user;
    uint64_t memory_bytes; // 0 none
    uint64_t cpu_s;        // 0 none
    uint64_t processes;    // 0 none
    bool network;
    bool allow_root;
};

enum agent_config_action {
    AGENT_CONFIG_NONE,
    AGENT_CONFIG_RESTART,
    AGENT_CONFIG_RELOAD,
    AGENT_CONFIG_SIGNAL,
    AGENT_CONFIG_EXEC,
    AGENT_CONFIG_ACTIONS
};

struct agent_config_hook {
    const char *component;
    enum agent_config_action action;
    const char *unit;
    const char *pid_file;
    int signal;
    const char *argv[AGENT_CONFIG_ARGV_MAX + 1];
    uint64_t timeout_s;
};

struct agent_config_endpoint {
    const char *name;
    const char *url;
};

struct agent_config_metric {
    const char *name;
    const char *file;
    const char *metric;
};

struct agent_config_slots {
    const char *component;
    const char *paths[BUNDLE_IMAGE_SLOTS];
};

struct agent_config_command {
    const char *fact;
    const char *argv[AGENT_CONFIG_ARGV_MAX + 1];
};

struct agent_config {
    json_t *document; // owned
    char *folder;     // owned: of the configuration file
#define AGENT_CONFIG_MEMBER_TEXT(name)                const char *name;
#define AGENT_CONFIG_MEMBER_PATH(name)                const char *name;
#define AGENT_CONFIG_MEMBER_U64(name)                 uint64_t name;
#define AGENT_CONFIG_MEMBER_BOOL(name)                bool name;
#define X(name, type, fallback, min, max, unit, help) AGENT_CONFIG_MEMBER_##type(name)
    AGENT_CONFIG_TABLE(X)
#undef X
    const json_t *facts;              // NULL none
    struct bundle_window_list window; // at most one
    const char *timezone;             // "" the system's
    const char *tpm_tcti;             // NULL no anchor
    uint32_t tpm_index;
    size_t n_runners;
    struct agent_config_runner runners[AGENT_CONFIG_RUNNERS_MAX];
    size_t n_hooks;
    struct agent_config_hook hooks[AGENT_CONFIG_HOOKS_MAX];
    size_t n_endpoints;
    struct agent_config_endpoint endpoints[AGENT_CONFIG_ENDPOINTS_MAX];
    size_t n_metrics;
    struct agent_config_metric metrics[AGENT_CONFIG_METRICS_MAX];
    size_t n_commands;
    struct agent_config_command commands[AGENT_CONFIG_COMMANDS_MAX];
    size_t n_slots;
    struct agent_config_slots slots[AGENT_CONFIG_SLOTS_MAX];
};

// Unknown keys: with AGENT_CONFIG_STRICT they refuse the file (with a suggestion); with
// AGENT_CONFIG_LENIENT each adds a line to *warnings and is ignored. Kinds: config, not_found, …
enum agent_config_mode { AGENT_CONFIG_STRICT, AGENT_CONFIG_LENIENT };
int agent_config_read(const char *path, enum agent_config_mode mode, struct buf *warnings,
                      struct agent_config *ret, struct err *e) __attribute__((nonnull));
// Where an endpoint is; NULL when the configuration does not say. Borrowed.
const char *agent_config_endpoint(const struct agent_config *config, const char *name)
    __attribute__((nonnull));
void agent_config_clear(struct agent_config *config) __attribute__((nonnull));
static inline void own_drop_config(struct agent_config *config) {
    agent_config_clear(config);
}

const struct agent_config_runner *agent_config_runner(const struct agent_config *config,
                                                      const char *name) __attribute__((nonnull));
const struct agent_config_slots *agent_config_slots(const struct agent_config *config,
                                                    const char *component) __attribute__((nonnull));
const struct agent_config_hook *agent_config_hook(const struct agent_config *config,
                                                  const char *component) __attribute__((nonnull));

// The effective settings, defaults filled in, as a new object (secrets left out); for `check`.
json_t *agent_config_effective(const struct agent_config *config) __attribute__((nonnull));
