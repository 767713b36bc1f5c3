// SPDX-License-Identifier: Apache-2.0
//
// How long to wait: jittered polling, decorrelated back-off. Pure: random numbers are arguments.
#pragma once

#include <stdint.h>

#define FSM_PACE_RETRY_AFTER_MAX_S 86400 // what a server may ask for at most

// poll_s ± 50 %, in milliseconds. `random` is uniform over 32 bits.
int64_t fsm_pace_poll_ms(uint64_t poll_s, uint32_t random);

// The next pause after a failure, given the one before (0: the first): uniform between base and
// three times the last, at most cap. So a fleet that failed together does not come back together.
int64_t fsm_pace_backoff_ms(int64_t last_ms, int64_t base_ms, int64_t cap_ms, uint32_t random);

// What a Retry-After means here: capped, spread by up to a tenth so that it is no appointment.
int64_t fsm_pace_retry_after_ms(uint64_t retry_after_s, uint32_t random);
