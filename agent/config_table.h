// SPDX-License-Identifier: Apache-2.0
//
// Every plain setting of the agent, once. A row is
//     X(name, type, default, least, most, unit, help)
// TEXT and PATH: least and most are lengths; a NULL default means required, "" none.
#pragma once

#define AGENT_CONFIG_GIB (1024ULL * 1024 * 1024)

// clang-format off
#define AGENT_CONFIG_TABLE(X)                                                                                          \
    X(controller,         TEXT, "",  0, 2048, "URL",   "base URL of the controller; \"\" for none (install by hand only)") \
    X(repository,         TEXT, "",  0, 2000, "URL",   "base URL of the signed repository; \"\" for /repository at the controller") \
    X(state_dir,          PATH, NULL, 1, 1024, "path", "where generations and the agent's own state live")             \
    X(root,               PATH, NULL, 1, 1024, "path", "root.json, the keys this device trusts")                       \
    X(device,             TEXT, "",  0, 64, "name",    "id to ask for at enrolment; \"\" for one made from the device's key") \
    X(enroll_token,       TEXT, "",  0, 512, "text",   "token that lets this device enrol without being accepted by a person") \
    X(enroll_token_file,  PATH, "",  0, 1024, "path",  "file with that token")                                         \
    X(poll_s,             U64, 1800, 1, 604800, "s",   "mean time between check-ins; each is spread by half of it")    \
    X(backoff_base_s,     U64, 10, 1, 3600, "s",       "first pause after a failed check-in or download")              \
    X(backoff_max_s,      U64, 3600, 1, 86400, "s",    "longest pause after failures")                                 \
    X(ca_file,            PATH, "",  0, 1000, "path",  "certificate authorities for TLS; \"\" for the system's")       \
    X(proxy,              TEXT, "environment", 0, 2048, "URL", "proxy; \"environment\" for https_proxy or http_proxy, \"\" for none") \
    X(site_cache,         TEXT, "",  0, 512, "URL",    "base URL of a caching web server near by, asked for downloads before their origin; \"\" for none") \
    X(allow_http,         BOOL, false, 0, 1, "",       "allow plain HTTP to other hosts than loopback")                \
    X(connect_timeout_s,  U64, 30, 1, 600, "s",        "until a connection stands")                                    \
    X(request_timeout_s,  U64, 120, 1, 3600, "s",      "for a whole check-in")                                         \
    X(rate_max_bytes_s,   U64, 0, 0, INT64_MAX, "B/s", "fastest download; 0 for no limit")                             \
    X(rate_min_bytes_s,   U64, 100, 0, INT64_MAX, "B/s", "slower than this for stall_s breaks the download; 0 for no limit") \
    X(stall_s,            U64, 60, 1, 86400, "s",      "see rate_min_bytes_s")                                         \
    X(fetch_timeout_s,    U64, 0, 0, 2592000, "s",     "for a whole download; 0 for no limit")                         \
    X(fetch_budget_bytes, U64, 0, 0, INT64_MAX, "B",   "most bytes that one update may take from the network, over all its tries; 0 for no limit") \
    X(fetch_budget_metered_bytes, U64, INT64_MAX, 0, INT64_MAX, "B", "the same while the link is metered; 0 for nothing at all") \
    X(metered,            TEXT, "no", 2, 1000, "",     "whether bytes cost money: \"no\", \"yes\", or the path of a file whose first word says so by then") \
    X(fetch_retries,      U64, 5, 0, 1000, "",         "connections that may break within one download")               \
    X(fetch_tries,        U64, 20, 1, 10000, "",       "downloads begun before an update is given up")                 \
    X(decode_max_bytes,   U64, 8388608, 65536, AGENT_CONFIG_GIB, "B", "largest frame this device decodes; needs twice that and 1 MiB in memory") \
    X(reserve_bytes,      U64, 16777216, 0, INT64_MAX, "B", "free space that an update must leave")                    \
    X(reserve_inodes,     U64, 1024, 0, INT64_MAX, "",  "free inodes that an update must leave")                       \
    X(quota_bytes,        U64, AGENT_CONFIG_GIB, 0, INT64_MAX, "B", "most that an unfinished download may occupy between tries") \
    X(probation_s,        U64, 0, 0, 31536000, "s",    "length of probation; 0 for the bundle's own")                  \
    X(inhibit_max_s,      U64, 86400, 0, 31536000, "s", "longest that an application may delay an activation")         \
    X(socket,             PATH, "",  0, 100, "path",   "Unix socket for status and commands; \"\" for agent.sock in state_dir") \
    X(socket_group,       TEXT, "",  0, 64, "name",    "group that may ask for the status; \"\" for none")             \
    X(worker,             PATH, "",  0, 1024, "path",  "the worker program; \"\" for the one beside this program or in libexec") \
    X(worker_user,        TEXT, "edge-worker", 0, 64, "name", "user of the worker when the agent runs as root")        \
    X(systemctl,          PATH, "/usr/bin/systemctl", 0, 1024, "path", "used by on_activate to restart and reload units") \
    X(watchdog,           BOOL, true, 0, 1, "",        "answer systemd's watchdog when it asks")
// clang-format on
