// SPDX-License-Identifier: Apache-2.0
//
// What is handed over, with a thread of the test in the place of the scribe: every byte gets where it
// belongs, none is overwritten before it was taken, and one who takes nothing is noticed.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/kind.h"
#include "agent/worker/hand.h"
#include "agent/worker/slots.h"
#include "base/own.h"

#define IMAGE_BYTES (5UL * 1024 * 1024 + 12345)

struct scene {
    struct worker_hand hand;
    int commands, answers; // the scribe's ends
    uint8_t *ring;
    uint8_t *image, *slot;
    uint64_t settled;
    uint64_t zeros; // bytes that came as such
    pthread_t scribe;
};

// Late, so that whatever is overwritten too early is seen; the pipe's end is the end.
static void *take(void *context) {
    struct scene *s = context;
    struct agent_job_record r;
    const uint8_t yes = 1;
    ssize_t heard = 0; // nobody may wait for the last answers
    while (read(s->commands, &r, sizeof r) == (ssize_t)sizeof r) {
        if (r.what == AGENT_JOB_AWAIT)
            heard += write(s->answers, &yes, 1);
        else if (r.what == AGENT_JOB_SETTLE)
            s->settled = r.offset;
        else if (r.what == AGENT_JOB_ZERO && r.offset + r.bytes <= IMAGE_BYTES) {
            memset(s->slot + r.offset, 0, r.bytes);
            s->zeros += r.bytes;
        } else if (r.at + r.bytes <= AGENT_RING_BYTES && r.offset + r.bytes <= IMAGE_BYTES)
            memcpy(s->slot + r.offset, s->ring + r.at, r.bytes);
        if (r.offset % 7 == 0)
            (void)sched_yield();
    }
    (void)heard;
    return NULL;
}

static void set_up(struct scene *s) {
    struct err e = ERR_NONE;
    int to[2], from[2], fds[AGENT_JOB_SCRIBE_FDS];
    *s = (struct scene){.image = malloc(IMAGE_BYTES), .slot = calloc(1, IMAGE_BYTES)};
    cr_assert(s->image && s->slot);
    for (size_t i = 0; i < IMAGE_BYTES; i++)
        s->image[i] = (uint8_t)(i * 31 + i / 259);
    cr_assert(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    cr_assert_eq(agent_ring_make(&fds[2], &e), 0, "%s", e.text);
    cr_assert_eq(agent_ring_map(fds[2], false, &s->ring, &e), 0, "%s", e.text);
    fds[0] = to[1];
    fds[1] = from[0];
    s->commands = to[0];
    s->answers = from[1];
    worker_hand_init(&s->hand);
    cr_assert_eq(worker_hand_open(&s->hand, fds, &e), 0, "%s", e.text);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void tear_down(struct scene *s) {
    worker_hand_close(&s->hand);
    own_drop_fd(&s->commands);
    own_drop_fd(&s->answers);
    agent_ring_unmap(s->ring);
    free(s->image);
    free(s->slot);
}

static void hand_over(struct scene *s, size_t from, size_t to, size_t piece) {
    struct err e = ERR_NONE;
    for (size_t at = from; at < to; at += piece) {
        size_t n = to - at < piece ? to - at : piece;
        cr_assert_eq(worker_hand_write(&s->hand, 0, s->image + at, n, at, &e), 0, "%s", e.text);
    }
}

Test(hand, every_byte_gets_where_it_belongs_in_pieces_of_any_size) {
    static const size_t pieces[] = {
        IMAGE_BYTES, WORKER_HAND_PART_BYTES, WORKER_HAND_PART_BYTES - 1, 65537, 4096, 1500};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct scene s;
        struct err e = ERR_NONE;
        set_up(&s);
        cr_assert_eq(pthread_create(&s.scribe, NULL, take, &s), 0);
        hand_over(&s, 0, IMAGE_BYTES / 2, pieces[i]);
        cr_assert_eq(worker_hand_await(&s.hand, 0, 0, IMAGE_BYTES, &e), 0, "%s", e.text);
        cr_expect_eq(memcmp(s.slot, s.image, IMAGE_BYTES / 2), 0, "what was awaited is there");
        hand_over(&s, IMAGE_BYTES / 2, IMAGE_BYTES, pieces[i]);
        cr_assert_eq(worker_hand_settle(&s.hand, 0, IMAGE_BYTES, &e), 0, "%s", e.text);
        hand_over(&s, 0, 10, 10);
        cr_assert_eq(worker_hand_flush(&s.hand, &e), 0, "%s", e.text);
        worker_hand_close(&s.hand);
        cr_assert_eq(pthread_join(s.scribe, NULL), 0);
        cr_expect_eq(memcmp(s.slot, s.image, IMAGE_BYTES), 0, "pieces of %zu", pieces[i]);
        cr_expect_eq(s.settled, IMAGE_BYTES);
        tear_down(&s);
    }
}

// Of pieces that are zeros, and long enough; among others.
Test(hand, zeros_are_handed_over_as_such_in_their_turn) {
    struct scene s;
    struct err e = ERR_NONE;
    const size_t piece = WORKER_HAND_ZERO_BYTES, part = WORKER_HAND_PART_BYTES;
    set_up(&s);
    memset(s.slot, 1, IMAGE_BYTES);
    memset(s.image + piece, 0, 3 * piece);                 // three of them
    memset(s.image + part, 0, piece - 1);                  // too short by one
    memset(s.image + 2 * part + 1, 0, piece - 1);          // does not begin so
    memset(s.image + 3 * part, 0, IMAGE_BYTES - 3 * part); // to the end
    s.image[2 * part] = s.image[part + piece - 1] = 1;
    cr_assert_eq(pthread_create(&s.scribe, NULL, take, &s), 0);
    hand_over(&s, 0, IMAGE_BYTES, piece);
    cr_assert_eq(worker_hand_await(&s.hand, 0, piece, 1, &e), 0, "%s", e.text);
    cr_assert_eq(worker_hand_await(&s.hand, 0, 3 * part, IMAGE_BYTES, &e), 0, "%s", e.text);
    cr_expect_eq(memcmp(s.slot, s.image, IMAGE_BYTES), 0, "what was awaited is there");
    // What comes later is over it.
    cr_assert_eq(worker_hand_write(&s.hand, 0, "x", 1, piece, &e), 0, "%s", e.text);
    cr_assert_eq(worker_hand_flush(&s.hand, &e), 0, "%s", e.text);
    worker_hand_close(&s.hand);
    cr_assert_eq(pthread_join(s.scribe, NULL), 0);
    cr_expect_eq(s.slot[piece], 'x');
    cr_expect_eq(s.zeros, 3 * piece + (IMAGE_BYTES - 3 * part) / piece * piece);
    tear_down(&s);
}

// Closing instead of answering: it comes back with an error, and not with bytes overwritten.
static void *take_no_more(void *context) {
    struct scene *s = context;
    struct agent_job_record r;
    uint64_t bytes = 0;
    while (bytes < AGENT_RING_BYTES && read(s->commands, &r, sizeof r) == (ssize_t)sizeof r)
        bytes += r.what == AGENT_JOB_WRITE ? r.bytes : 0;
    memcpy(s->slot, s->ring, AGENT_RING_BYTES);
    own_drop_fd(&s->commands);
    own_drop_fd(&s->answers);
    return NULL;
}

Test(hand, no_more_than_the_memory_is_handed_over_without_an_answer) {
    struct scene s;
    struct err e = ERR_NONE;
    set_up(&s);
    cr_assert_eq(pthread_create(&s.scribe, NULL, take_no_more, &s), 0);
    cr_expect_lt(worker_hand_write(&s.hand, 0, s.image, IMAGE_BYTES, 0, &e), 0);
    cr_expect(err_is(&e, &err_io), "%s", e.text);
    cr_assert_eq(pthread_join(s.scribe, NULL), 0);
    cr_expect_eq(memcmp(s.slot, s.image, AGENT_RING_BYTES), 0);
    tear_down(&s);
}

static void answer(struct scene *s) {
    const uint8_t yes = 1;
    cr_assert_eq(write(s->answers, &yes, 1), 1);
}

// Nobody takes anything here: whoever waits for what need not be waited for would wait for ever.
Test(hand, only_what_may_be_on_its_way_is_awaited, .timeout = 120) {
    struct scene s;
    struct err e = ERR_NONE;
    const size_t part = WORKER_HAND_PART_BYTES;
    set_up(&s);
    hand_over(&s, 0, part, part);
    answer(&s);
    hand_over(&s, part, 2 * part, part);
    hand_over(&s, 2 * part, 2 * part + 100, 100);
    cr_expect_eq(s.hand.asked, 2, "at the end of each part");
    cr_expect_eq(worker_hand_await(&s.hand, 0, 0, part, &e), 0, "%s", e.text);
    cr_expect_eq(worker_hand_await(&s.hand, 0, 3 * part, part, &e), 0, "it was never handed over");
    cr_expect_eq(worker_hand_await(&s.hand, 1, part, part, &e), 0, "that is another image's");
    cr_expect_eq(s.hand.asked, 2);
    answer(&s);
    cr_expect_eq(worker_hand_await(&s.hand, 0, 2 * part - 1, 1, &e), 0, "%s", e.text);
    cr_expect_eq(s.hand.asked, 2, "its answer was on the way");
    answer(&s);
    cr_expect_eq(worker_hand_await(&s.hand, 0, 2 * part + 99, 1, &e), 0, "%s", e.text);
    cr_expect_eq(s.hand.asked, 3, "of the part that is being filled somebody has to ask");
    // Of two images in one part nothing is known.
    cr_assert_eq(worker_hand_write(&s.hand, 1, s.image, 10, 0, &e), 0, "%s", e.text);
    answer(&s);
    cr_expect_eq(worker_hand_await(&s.hand, 0, 4 * part, 1, &e), 0, "%s", e.text);
    cr_expect_eq(s.hand.asked, 4);
    tear_down(&s);
}

static int file_like_it(void) {
    int fd = memfd_create("edge-ring", MFD_CLOEXEC);
    cr_assert(fd >= 0 && ftruncate(fd, AGENT_RING_BYTES) == 0);
    return fd;
}

Test(hand, a_file_that_could_shrink_is_no_memory) {
    struct scene s;
    struct err e = ERR_NONE;
    uint8_t *ring = NULL;
    set_up(&s);
    OWN(fd) int fd = file_like_it();
    cr_expect_lt(agent_ring_map(fd, false, &ring, &e), 0);
    cr_expect(err_is(&e, &err_worker_failed), "%s", e.text);
    tear_down(&s);
}

// The slot is handed over, and what should lead to the scribe is not what it says.
Test(hand, slots_whose_scribe_cannot_be_reached_are_refused) {
    const struct agent_job_proceed proceed = {
        .n_images = 1, .has_scribe = true, .images = {{.component = "rootfs"}}};
    struct worker_slots slots;
    struct err e = ERR_NONE;
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    const int fds[] = {file_like_it(), ends[1], ends[0], file_like_it()};
    worker_slots_init(&slots);
    cr_expect_lt(worker_slots_take(&slots, &proceed, fds, &e), 0);
    cr_expect(err_is(&e, &err_worker_failed), "%s", e.text);
    worker_slots_clear(&slots);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        cr_expect_lt(fcntl(fds[i], F_GETFD), 0, "descriptor %zu is closed", i);
}
