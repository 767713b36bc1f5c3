// SPDX-License-Identifier: Apache-2.0
//
// See log.h.
#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"

static enum agent_log_level limit = AGENT_LOG_INFO;

void agent_log_limit(enum agent_log_level level) {
    limit = level;
}

void agent_log_line(enum agent_log_level level, const char *format, ...) {
    char text[1024], safe[1200], line[1280];
    va_list args;
    if (level > limit)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_safe(text, safe, sizeof safe);
    // The variable is set by systemd when stderr goes to its journal.
    if (getenv("JOURNAL_STREAM"))
        (void)snprintf(line, sizeof line, "<%d>%s\n", (int)level, safe);
    else
        (void)snprintf(line, sizeof line, "edge-agent: %s\n", safe);
    (void)fputs(line, stderr);
}
