// SPDX-License-Identifier: Apache-2.0
//
// The agent's log: one line on stderr each, made safe for terminals; systemd's journal takes it
// from there and reads the level from the "<N>" prefix, which is left out on a terminal.
#pragma once

enum agent_log_level { AGENT_LOG_ERROR = 3, AGENT_LOG_WARNING = 4, AGENT_LOG_INFO = 6 };

void agent_log_line(enum agent_log_level level, const char *format, ...)
    __attribute__((nonnull, format(printf, 2, 3)));
// Everything below this level is left out (a foreground install says only what is wrong).
void agent_log_limit(enum agent_log_level level);
