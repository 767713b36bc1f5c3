// SPDX-License-Identifier: Apache-2.0
//
// Talking with the controller: a device token, enrolment, a check-in. What the controller says is
// parsed here, in the worker, and goes on to the agent in fixed-size form.
#pragma once

#include "agent/worker/voice.h"

// The job `checkin`: posts the body, with a token that it gets first if need be, and passes the
// answer on.
int worker_talk_checkin(struct worker_voice *v, struct err *e) __attribute__((nonnull));
// The job `enroll`.
int worker_talk_enroll(struct worker_voice *v, struct err *e) __attribute__((nonnull));
