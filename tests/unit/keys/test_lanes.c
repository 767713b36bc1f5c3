// SPDX-License-Identifier: Apache-2.0
//
// Digests made side by side are those that everybody else makes.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "keys/lanes.h"
#include "keys/secret.h"

#define BYTES 70000
#define JOBS  37

static uint8_t bytes[BYTES];

static uint32_t next(uint32_t *seed) {
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void fill(void) {
    struct err e = ERR_NONE;
    uint32_t seed = 1;
    cr_assert_eq(keys_secret_init(&e), 0);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)next(&seed);
}

static void expect_right(const struct keys_lanes_job *job) {
    struct keys_digest digest;
    keys_digest_of(job->data, job->len, &digest);
    cr_expect(keys_digest_equal(&digest, &job->digest), "%zu bytes", job->len);
}

static void try_width(size_t width) {
    struct keys_lanes_job jobs[JOBS];
    uint32_t seed = 2;
    for (size_t n = 0; n <= JOBS; n++)
        for (size_t max = 1; max < BYTES / 2; max *= 3) {
            for (size_t i = 0; i < n; i++)
                jobs[i] = (struct keys_lanes_job){.data = bytes + next(&seed) % (BYTES / 2),
                                                  .len = next(&seed) % max};
            keys_lanes_digest_by(width, jobs, n);
            for (size_t i = 0; i < n; i++)
                expect_right(&jobs[i]);
        }
}

Test(lanes, every_number_of_jobs_of_every_length_gives_the_known_digests_at_any_width,
     .init = fill) {
    static const size_t widths[] = {1, 4, 8};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i] <= keys_lanes_widest())
            try_width(widths[i]);
}

Test(lanes, lengths_around_a_block_are_right, .init = fill) {
    for (size_t len = 0; len < 700; len++) {
        struct keys_lanes_job jobs[4];
        for (size_t i = 0; i < 4; i++)
            jobs[i] = (struct keys_lanes_job){.data = bytes + i, .len = len + i % 2};
        keys_lanes_digest(jobs, 4);
        for (size_t i = 0; i < 4; i++)
            expect_right(&jobs[i]);
    }
}

Test(lanes, a_running_digest_does_not_depend_on_how_it_is_fed, .init = fill) {
    uint32_t seed = 3;
    for (int round = 0; round < 300; round++) {
        struct keys_digest_state state;
        struct keys_lanes_job job = {.data = bytes, .len = next(&seed) % 2000};
        keys_digest_init(&state);
        for (size_t done = 0; done < job.len;) {
            size_t n = 1 + next(&seed) % 400;
            n = n < job.len - done ? n : job.len - done;
            keys_digest_add(&state, bytes + done, n);
            done += n;
        }
        keys_digest_final(&state, &job.digest);
        expect_right(&job);
    }
}
