// SPDX-License-Identifier: Apache-2.0
//
// A rollout's deltas in words.
#include "ctl/cmd/rollout.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/own.h"

static const struct {
    const char *deltas, *shown;
} cases[] = {
    {"{}", ""}, // an older controller
    {"{\"deltas\":{\"why\":{\"code\":\"no_key\",\"text\":\"there is no key\"},\"counted\":null,"
     "\"devices\":0,\"had\":0,\"based\":0,\"reached\":0,\"list\":[]}}",
     "  deltas: none are made: there is no key (no_key)\n"},
    {"{\"deltas\":{\"why\":null,\"counted\":null,\"devices\":0,\"had\":0,\"reached\":0,\"list\":["
     "{\"base\":\"0123456789abcdef0123\",\"from\":null,\"state\":\"offered\",\"size\":2048}]}}",
     "  deltas: what devices run was not counted\n"
     "    from 0123456789abcdef: offered, 2 KiB\n"},
    {"{\"deltas\":{\"why\":null,\"counted\":\"2026-11-23T01:00:00Z\",\"devices\":100,\"had\":10,"
     "\"reached\":60,\"list\":["
     "{\"from\":{\"name\":\"app\",\"version\":\"1.0\"},\"state\":\"offered\",\"size\":1024,"
     "\"devices\":60},"
     "{\"from\":{\"name\":\"app\",\"version\":\"1.1\"},\"state\":\"making\",\"devices\":1},"
     "{\"from\":{\"name\":\"app\",\"version\":\"1.2\"},\"state\":\"failed\",\"devices\":9,"
     "\"why\":{\"code\":\"memory\",\"text\":\"no memory \\u001b[1m\"}},"
     "{\"from\":{\"name\":\"app\",\"version\":\"1.3\"},\"state\":\"no_gain\",\"devices\":9,"
     "\"why\":{\"code\":\"no_gain\",\"text\":\"x\"}}]}}",
     "  deltas: for 60 of 90 devices that need the release\n"
     "    from app 1.0: offered, 1 KiB, 60 devices\n"
     "    from app 1.1: being made, 1 device\n"
     "    from app 1.2: failed, 9 devices: no memory \\x1B[1m (memory)\n"
     "    from app 1.3: would not be smaller than the bundle, 9 devices\n"},
};

Test(rollout_deltas, each_is_a_line_and_whom_they_reach_another) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        OWN(json) json_t *rollout = json_loads(cases[i].deltas, 0, NULL);
        OWN(mem) char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        cr_assert(rollout && out, "%s", cases[i].deltas);
        cmd_rollout_show_deltas(out, rollout);
        cr_assert_eq(fclose(out), 0);
        cr_expect_str_eq(text, cases[i].shown, "%s", text);
    }
}
