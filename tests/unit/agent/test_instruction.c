// SPDX-License-Identifier: Apache-2.0
//
// Instructions on a device whose wall clock says 1970: what holds is judged by trusted time alone.
#include "agent/checkin/instruction.h"
#include "bundle/instruction.h"
#include "bundle/kind.h"
#include "keys/kind.h"
#include "tests/unit/agent/device.h"

#define DAY_S 86400

static int obey(struct device *d, uint64_t sequence, int64_t issued_s, int64_t expires_s,
                struct err *e) {
    struct bundle_instruction i = {.header = {sequence, issued_s, expires_s},
                                   .action = BUNDLE_ACTION_CANCEL,
                                   .attempt = 1,
                                   .bundle_name = "thing",
                                   .release = "9.9"};
    struct buf part, raw;
    struct err written = ERR_NONE;
    (void)snprintf(i.device, sizeof i.device, "%s", d->state.identity.device);
    buf_init(&part, 65536);
    buf_init(&raw, 65536);
    cr_assert_eq(bundle_instruction_format(&i, &part, &written), 0, "%s", written.text);
    forge_envelope((struct slice){part.data, part.len}, &raw);
    err_clear(e);
    int done = checkin_instruction_obey(&d->state, d->update, (struct slice){raw.data, raw.len}, e);
    buf_clear(&part);
    buf_clear(&raw);
    return done;
}

Test(instruction, a_device_without_a_clock_takes_its_first_one_and_judges_later_ones_by_it) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + DAY_S;
    device_start(&d, NULL);
    cr_assert_lt(chrono_wall_ms(&d.clock.chrono), 1000LL * DAY_S, "it is 1970 here");
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "not stranded: %s", e.text);
    cr_expect_eq(agent_state_trusted_s(&d.state), first);
    // Powered-on time passes; the wall clock is as wrong as before.
    fake_clock_advance(&d.clock, 2000LL * DAY_S);
    cr_expect_lt(obey(&d, 2, first, first + DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_expired), "not frozen: %s", e.text);
    cr_expect_eq(obey(&d, 2, first + 2 * DAY_S, first + 3 * DAY_S, &e), 0, "%s", e.text);
    device_drop(&d);
}

Test(instruction, trusted_time_survives_a_restart_into_1970) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + 10 * DAY_S;
    device_start(&d, NULL);
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "%s", e.text);
    device_close(&d);
    fake_clock_init(&d.clock, 0, 1000);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_eq(agent_state_trusted_s(&d.state), first);
    cr_expect_lt(obey(&d, 2, first - 5 * DAY_S, first - DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_expired), "%s", e.text);
    device_drop(&d);
}

Test(instruction, a_wall_clock_in_the_far_future_makes_nothing_expire) {
    struct device d;
    struct err e = ERR_NONE;
    const int64_t first = FORGE_ISSUED_S + DAY_S;
    device_make(&d, NULL);
    fake_clock_init(&d.clock, 4000000000000LL, 1000);
    cr_assert_eq(device_open(&d, &e), 0, "%s", e.text);
    cr_expect_eq(obey(&d, 1, first, first + DAY_S, &e), 0, "%s", e.text);
    cr_expect_lt(obey(&d, 1, first, first + DAY_S, &e), 0);
    cr_expect(err_is(&e, &err_replayed), "%s", e.text);
    device_drop(&d);
}
