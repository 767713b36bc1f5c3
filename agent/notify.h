// SPDX-License-Identifier: Apache-2.0
//
// systemd's readiness and watchdog protocol: a datagram to the socket that $NOTIFY_SOCKET names.
// Without that variable all of it does nothing.
#pragma once

#include <stdint.h>

// Sends one message, "READY=1" or "STATUS=…".
void agent_notify_send(const char *message) __attribute__((nonnull));
// Half of what the watchdog allows, in milliseconds; 0 when nobody watches this process.
int64_t agent_notify_interval_ms(void);
