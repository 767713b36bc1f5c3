// SPDX-License-Identifier: Apache-2.0
//
// Telling systemd how the service is (sd_notify's protocol: one datagram to the socket named by
// NOTIFY_SOCKET). Nothing happens elsewhere.
#pragma once

// "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…".
void serve_notify(const char *state) __attribute__((nonnull));
