// SPDX-License-Identifier: Apache-2.0
//
// What a download takes for an answer: servers that lie, babble and stall.
#include "tests/unit/agent/net/served.h"

TestSuite(answers, .init = start, .timeout = 1200);

Test(answers, a_range_that_begins_elsewhere_is_refused) {
    static const char *const ranges[] = {
        "bytes 400-999/1000",  "bytes 299-998/1000",  "bytes 0-699/1000",
        "bytes 300-299/1000",  "bytes 300-1000/1000", "bytes 300-999/*",
        "bytes -300-999/1000", "300-999/1000",        ""};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        char head[200];
        snprintf(head, sizeof head, FROM_300 "Content-Range: %s\r\n\r\n", ranges[i]);
        const struct faultd_scene scenes[] = {broken, {head, content + 300, 700, .cut = WHOLE}};
        expect_failure(scenes, 2, sizeof content, &err_garbage);
    }
}

Test(answers, two_content_ranges_are_refused) {
    const struct faultd_scene scenes[] = {
        broken, {FROM_300 RANGE_300 RANGE_300 "\r\n", content + 300, 700, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_garbage);
}

Test(answers, a_partial_answer_without_content_range_is_refused) {
    expect_refused("HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n\r\n", &err_garbage);
}

Test(answers, several_ranges_in_one_answer_are_refused) {
    expect_refused("HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
                   "Content-Type: multipart/byteranges; boundary=x\r\n\r\n",
                   &err_garbage);
}

Test(answers, a_total_that_changes_is_refused) {
    const struct faultd_scene scenes[] = {broken,
                                          {"HTTP/1.1 206 Partial Content\r\nContent-Length: "
                                           "1700\r\nContent-Range: bytes 300-1999/2000\r\n\r\n",
                                           content, 1000, .cut = WHOLE}};
    expect_failure(scenes, 2, sizeof content, &err_too_much);
}

Test(answers, another_etag_does_not_end_a_download) {
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: W/\"one\"\r\n\r\n", content,
         sizeof content, .cut = 300},
        {FROM_300 RANGE_300 "ETag: \"two\"\r\n\r\n", content + 300, 700, .cut = WHOLE}};
    cr_assert_eq(expect_success(scenes, 2, sizeof content), 2);
}

Test(answers, too_long_a_file_is_refused_before_its_bytes) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", &err_too_much);
}

Test(answers, too_short_a_file_is_refused) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", &err_truncated);
}

Test(answers, a_captive_portal_is_refused_by_its_size) {
    static const char page[] = "<html><body>Please log in</body></html>";
    const struct faultd_scene scene = {
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 39\r\n\r\n", page,
        sizeof page - 1, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_truncated);
}

Test(answers, an_endless_body_is_cut_off) {
    static uint8_t babble[400000];
    const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\n\r\n", babble, sizeof babble,
                                       .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_too_much);
}

Test(answers, a_content_coding_is_refused) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
}

Test(answers, two_lengths_are_refused_even_when_they_agree) {
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
    expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Length: 1000\r\n\r\n",
                   &err_garbage);
}

Test(answers, a_length_and_a_transfer_coding_are_refused) {
    static const char chunk[] = "3e8\r\n";
    uint8_t body[sizeof content + sizeof chunk + 8];
    memcpy(body, chunk, sizeof chunk - 1);
    memcpy(body + sizeof chunk - 1, content, sizeof content);
    memcpy(body + sizeof chunk - 1 + sizeof content, "\r\n0\r\n\r\n", 7);
    struct faultd_scene scene = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nTransfer-Encoding: chunked\r\n\r\n", body,
        sizeof chunk - 1 + sizeof content + 7, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_garbage);
    scene.head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    cr_assert_eq(expect_success(&scene, 1, sizeof content), 1);
}

Test(answers, chunk_sizes_that_are_no_numbers_bring_nothing) {
    static const char *const sizes[] = {"-1\r\n", "fffffffffffffffff\r\n", "xyz\r\n", "\r\n"};
    net.retries = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char body[64];
        snprintf(body, sizeof body, "%saaaa\r\n0\r\n\r\n", sizes[i]);
        const struct faultd_scene scene = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                           body, strlen(body), .cut = WHOLE};
        expect_failure(&scene, 1, sizeof content, &err_unreachable);
    }
}

Test(answers, junk_behind_an_answer_is_not_part_of_the_file) {
    uint8_t body[sizeof content + 100];
    memcpy(body, content, sizeof content);
    memset(body + sizeof content, 'x', 100);
    const struct faultd_scene scenes[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: keep-alive\r\n\r\n", body,
         sizeof body, .cut = WHOLE},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n"
         "Content-Range: bytes 0-999/1000\r\n\r\n",
         content, sizeof content, .cut = WHOLE}};
    uint8_t got[sizeof content];
    struct err e = ERR_NONE;
    struct faultd *server = serve(scenes, 2, sizeof content);
    for (int i = 0; i < 2; i++) { // the junk must not become the next answer either
        memset(got, 0, sizeof got);
        cr_assert_eq(source.read(source.context, 0, got, sizeof got, &e), 0, "%s", e.text);
        cr_assert_arr_eq(got, content, sizeof content);
    }
    finish(server);
}

Test(answers, garbage_instead_of_http_is_refused) {
    static const char *const heads[] = {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "\r\n\r\n",
                                        "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                                        "<html></html>\r\n\r\n"};
    net.retries = 0;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        expect_refused(heads[i], &err_garbage);
}

Test(answers, a_nul_in_a_header_is_refused) {
    static const char head[] = "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 1000\r\n\r\n";
    const struct faultd_scene scene = {head, content, sizeof content, .cut = WHOLE,
                                       .head_len = sizeof head - 1};
    net.retries = 0;
    expect_failure(&scene, 1, sizeof content, &err_garbage);
}

Test(answers, endless_headers_end) {
    static char head[200000] = "HTTP/1.1 200 OK\r\n";
    for (size_t at = strlen(head); at + 40 < sizeof head; at += 31)
        memcpy(head + at, "X-Padding: aaaaaaaaaaaaaaaaaa\r\n", 32);
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_limit);
}

Test(answers, endless_interim_answers_end) {
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\n\r\n";
    static char head[100000];
    for (size_t at = 0; at + sizeof interim < sizeof head; at += sizeof interim - 1)
        memcpy(head + at, interim, sizeof interim);
    const struct faultd_scene scene = {head, "", 0, .cut = WHOLE};
    expect_failure(&scene, 1, sizeof content, &err_limit);
}

Test(answers, a_server_that_falls_silent_is_left) {
    static const char *const heads[] = {"", "HTTP/1.1 2", OK};
    net.retries = 0;
    net.stall_s = 1;
    net.rate_min_bytes_s = 100000;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const struct faultd_scene scene = {heads[i], content, sizeof content, .cut = WHOLE,
                                           .stall_ms = SILENCE_MS};
        expect_failure(&scene, 1, sizeof content, &err_too_slow);
    }
}

Test(answers, a_server_below_the_least_rate_is_left) {
    const struct faultd_scene scene = {OK, content, sizeof content, .cut = WHOLE, .drip_ms = 100};
    net.retries = 0;
    net.stall_s = 1;
    net.rate_min_bytes_s = 500;
    expect_failure(&scene, 1, sizeof content, &err_too_slow);
}
