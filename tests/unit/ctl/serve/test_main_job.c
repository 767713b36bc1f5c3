// SPDX-License-Identifier: Apache-2.0
//
// The main job against a real controller: enrol, publish, roll out, revert.
#include "tests/unit/ctl/serve/device.h"

static json_int_t count_of(const json_t *rollout, size_t stage, const char *what) {
    return json_integer_value(
        json_object_get(json_array_get(json_object_get(rollout, "stages"), stage), what));
}

Test(serve_main_job, a_release_reaches_a_device_and_becomes_the_baseline, .timeout = 1200) {
    struct controller c;
    struct device d, late;
    struct keys_digest id;
    controller_make(&c);
    controller_start(&c);
    device_join(&c, &d, 1);
    cr_assert_eq(device_check_in(&c, &d), 200);
    cr_assert_not(d.instructed);
    cr_assert_str_eq(d.heard.why_code, "no_release");
    bundle_publish(&c, "1.0", &id);
    json_decref(admin(&c, 201, "POST", "/api/v1/rollouts",
                      "{\"name\":\"r\",\"release\":\"app 1.0\",\"stages\":[{\"name\":\"all\","
                      "\"percent\":100}]}"));
    cr_assert_eq(device_check_in(&c, &d), 200);
    device_install(&c, &d);
    OWN(json) json_t *done = rollout_wait(&c, "r", "finished");
    cr_assert_eq(count_of(done, 0, "committed"), 1);
    cr_assert_eq(count_of(done, 0, "offered"), 1);

    device_join(&c, &late, 2);
    cr_assert_eq(device_check_in(&c, &late), 200);
    cr_assert(late.instructed, "%s", late.heard.why_text);
    cr_assert_str_eq(late.told.rollout, "");
    cr_assert(keys_digest_equal(&late.told.bundle, &id));
    device_install(&c, &late);
    cr_assert_str_eq(late.heard.why_code, "up_to_date");
    device_free(&d);
    device_free(&late);
    controller_free(&c);
}
