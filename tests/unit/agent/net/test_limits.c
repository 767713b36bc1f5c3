// SPDX-License-Identifier: Apache-2.0
//
// Ceilings of what a server may ask for: as many redirects as are followed, one fewer, one more.
#include "tests/unit/agent/net/served.h"

TestSuite(net_limits, .init = start, .timeout = 1200);

Test(net_limits, redirects) {
    static const struct faultd_scene away = AWAY("302 Found", "/x.edge");
    net.allow_http = true;
    for (size_t n = NET_HANDLE_REDIRECTS_MAX - 1; n <= NET_HANDLE_REDIRECTS_MAX + 1; n++) {
        struct faultd_scene scenes[NET_HANDLE_REDIRECTS_MAX + 2];
        for (size_t i = 0; i < n; i++)
            scenes[i] = away;
        scenes[n] = whole;
        if (n <= NET_HANDLE_REDIRECTS_MAX)
            cr_assert_eq(expect_success(scenes, n + 1, sizeof content), n + 1);
        else
            expect_failure(scenes, n + 1, sizeof content, &err_redirected);
    }
}
