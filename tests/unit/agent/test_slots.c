// SPDX-License-Identifier: Apache-2.0
//
// Slots: told apart, large enough, in use; and how their descriptors travel.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/job.h"
#include "agent/kind.h"
#include "agent/slots.h"
#include "base/fs.h"
#include "base/own.h"
#include "bundle/kind.h"
#include "tests/support/skip.h"
#include "tests/support/tmp.h"

struct scene {
    struct tmp_dir tmp;
    struct agent_config config;
    struct bundle_generation before, after;
};

static void own_drop_scene(struct scene *s) {
    agent_config_clear(&s->config);
    tmp_dir_remove(&s->tmp);
}

static void put(const struct scene *s, const char *name, off_t bytes) {
    OWN(fd) int fd = openat(s->tmp.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && ftruncate(fd, bytes) == 0);
}

static int configure(struct scene *s, const char *slots, struct err *e) {
    char text[1024], path[TMP_PATH_BYTES + 16];
    OWN(buf) struct buf warnings;
    buf_init(&warnings, 4096);
    int len =
        snprintf(text, sizeof text, "{\"state_dir\":\"s\",\"root\":\"r\",\"slots\":%s}", slots);
    cr_assert_eq(fs_replace(s->tmp.fd, "agent.json", text, (size_t)len, 0644, e), 0);
    (void)snprintf(path, sizeof path, "%s/agent.json", s->tmp.path);
    agent_config_clear(&s->config);
    return agent_config_read(path, AGENT_CONFIG_STRICT, &warnings, &s->config, e);
}

// Two files as slots of "rootfs", and an update of its image from slot 0 to 1.
static void set_up(struct scene *s) {
    struct err e = ERR_NONE;
    *s = (struct scene){.tmp = tmp_dir_make()};
    put(s, "a", 8192);
    put(s, "b", 8192);
    cr_assert_eq(configure(s, "{\"rootfs\":[\"a\",\"b\"]}", &e), 0, "%s", e.text);
    s->before.n_components = s->after.n_components = 1;
    s->before.components[0] = s->after.components[0] = (struct bundle_generation_component){
        .name = "rootfs", .type = BUNDLE_COMPONENT_IMAGE, .size = 8192};
    s->after.components[0].slot = 1;
}

static int claim(struct scene *s, struct err *e) {
    OWN(images) struct bundle_image_places places = {.n = 0};
    if (agent_slots_claim(&s->config, &s->before, &s->after, &places, e) < 0)
        return -1;
    cr_assert_eq(places.n, 1);
    cr_expect(fcntl(places.all[0].fd, F_GETFL) & O_RDWR);
    cr_expect_str_eq(places.all[0].path, s->config.slots[0].paths[1]);
    return 0;
}

Test(slots, one_that_will_do_is_opened_for_writing) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    set_up(&s);
    cr_expect_eq(agent_slots_check(&s.config, &e), 0, "%s", e.text);
    cr_expect_eq(claim(&s, &e), 0, "%s", e.text);
    cr_expect(s.config.slots[0].paths[0][0] == '/', "a relative path belongs to the folder");
    struct stat status;
    cr_assert_eq(fstatat(s.tmp.fd, "b", &status, 0), 0);
    cr_expect_geq(status.st_blocks, 16, "its holes were filled");
    cr_expect_eq(status.st_size, 8192);
    // Where it stays nothing is claimed.
    OWN(images) struct bundle_image_places places = {.n = 0};
    cr_expect_eq(agent_slots_claim(&s.config, &s.after, &s.after, &places, &e), 0);
    cr_expect_eq(places.n, 0);
}

Test(slots, one_that_will_not_do_is_refused_and_named) {
    static const struct {
        const char *slots;
        const struct err_kind *kind;
        const char *says;
    } rows[] = {
        {"{}", &err_unsupported_component, "\"slots\""},
        {"{\"rootfs\":[\"a\",\"tiny\"]}", &err_no_space, "8 KiB"},
        {"{\"rootfs\":[\"a\",\"hard\"]}", &err_config, "are the same"},
        {"{\"rootfs\":[\"a\",\"soft\"]}", &err_config, "are the same"},
        {"{\"rootfs\":[\"a\",\"b\"],\"other\":[\"b\",\"tiny\"]}", &err_config, "are the same"},
        {"{\"rootfs\":[\"a\",\"absent\"]}", &err_not_found, "slot 1 of rootfs"},
        {"{\"rootfs\":[\"absent\",\"b\"]}", &err_not_found, "slot 0 of rootfs"},
        {"{\"rootfs\":[\"a\",\"dir\"]}", &err_config, "neither"},
        {"{\"rootfs\":[\"a\",\"/dev/null\"]}", &err_config, "neither"},
    };
    OWN(scene) struct scene s;
    set_up(&s);
    put(&s, "tiny", 8191);
    cr_assert(linkat(s.tmp.fd, "a", s.tmp.fd, "hard", 0) == 0 &&
              symlinkat("a", s.tmp.fd, "soft") == 0 && mkdirat(s.tmp.fd, "dir", 0755) == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = ERR_NONE;
        cr_assert_eq(configure(&s, rows[i].slots, &e), 0, "%s", e.text);
        cr_expect_lt(claim(&s, &e), 0, "%s", rows[i].slots);
        cr_expect(err_is(&e, rows[i].kind), "%s: %s: %s", rows[i].slots, e.kind->name, e.text);
        cr_expect(strstr(e.text, rows[i].says), "%s: %s", rows[i].slots, e.text);
    }
}

Test(slots, two_kinds_do_not_go_together) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    set_up(&s);
    // Only looked at, never opened.
    if (mknodat(s.tmp.fd, "device", S_IFBLK | 0600, makedev(7, 250)) < 0)
        skip_test("no block device can be made here");
    cr_assert_eq(configure(&s, "{\"rootfs\":[\"device\",\"b\"]}", &e), 0, "%s", e.text);
    cr_expect_lt(claim(&s, &e), 0);
    cr_expect(err_is(&e, &err_config) && strstr(e.text, "of one kind"), "%s", e.text);
}

Test(slots, a_generation_is_opened_where_its_record_says) {
    OWN(scene) struct scene s;
    struct err e = ERR_NONE;
    set_up(&s);
    OWN(images) struct bundle_image_places places = {.n = 0};
    cr_assert_eq(agent_slots_open(&s.config, &s.after, &places, &e), 0, "%s", e.text);
    cr_expect_eq(places.n, 1);
    cr_expect_str_eq(places.all[0].path, s.config.slots[0].paths[1]);
    cr_expect_eq(fcntl(places.all[0].fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    cr_expect_lt(agent_slots_open(NULL, &s.after, &places, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
    err_clear(&e);
    cr_assert_eq(unlinkat(s.tmp.fd, "b", 0), 0);
    cr_expect_lt(agent_slots_open(&s.config, &s.after, &places, &e), 0);
    cr_expect(err_is(&e, &err_bad_generation), "%s", e.text);
}

Test(slots, only_what_lies_where_is_written_is_spoilt) {
    OWN(scene) struct scene s;
    struct bundle_generation other;
    set_up(&s);
    other = s.after;
    cr_expect(agent_slots_spoil(&s.before, &s.after, &other), "slot 1 is written");
    other.components[0].slot = 0;
    cr_expect_not(agent_slots_spoil(&s.before, &s.after, &other));
    other.components[0] = (struct bundle_generation_component){.name = "rootfs", .slot = 1};
    cr_expect_not(agent_slots_spoil(&s.before, &s.after, &other), "files lie elsewhere");
    other = s.after;
    cr_expect_not(agent_slots_spoil(&s.after, &s.after, &other), "nothing is written");
}

// A loop device 5 over the file of device 99, inode 5.
static bool backing(unsigned loop, struct stat *ret) {
    *ret = (struct stat){.st_mode = S_IFREG, .st_dev = 99, .st_ino = 5};
    return loop == 5;
}

Test(slots, what_is_mounted_is_found_in_the_kernels_list) {
    const char *list = "22 1 8:2 / / rw,relatime - ext4 /dev/none-a rw\n"
                       "23 22 0:21 / /proc rw - proc proc rw\n"
                       "24 22 7:5 / /mnt ro - squashfs /dev/loop5 ro\n"
                       "25 22 0:40 /sub /data rw - btrfs /dev/none-b rw";
    const struct stat other = {.st_mode = S_IFBLK, .st_rdev = makedev(8, 3)},
                      root = {.st_mode = S_IFBLK, .st_rdev = makedev(8, 2)},
                      loop = {.st_mode = S_IFBLK, .st_rdev = makedev(7, 5)},
                      file = {.st_mode = S_IFREG, .st_dev = 99, .st_ino = 5},
                      beside = {.st_mode = S_IFREG, .st_dev = 99, .st_ino = 6},
                      number = {.st_mode = S_IFREG, .st_dev = makedev(8, 2), .st_ino = 5};
    cr_expect(agent_slots_is_mounted(list, &root, backing));
    cr_expect(agent_slots_is_mounted(list, &loop, backing));
    cr_expect(agent_slots_is_mounted(list, &file, backing), "by a loop device");
    cr_expect_not(agent_slots_is_mounted(list, &other, backing));
    cr_expect_not(agent_slots_is_mounted(list, &beside, backing));
    cr_expect_not(agent_slots_is_mounted(list, &number, backing), "on it, not of it");
    cr_expect_not(agent_slots_is_mounted("", &root, backing));
    cr_expect_not(agent_slots_is_mounted("nonsense\n1 2 8:2", &other, backing));
}

// ── On the way to the worker ────────────────────────────────────────────────────────────────────

static struct agent_job_message *proceed(uint64_t n) {
    struct agent_job_message *m = calloc(1, sizeof *m);
    cr_assert_not_null(m);
    m->type = AGENT_JOB_PROCEED;
    m->u.proceed.n_images = n;
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(m->u.proceed.images[i].component, BUNDLE_NAME_MAX, "c%zu", i);
        m->u.proceed.images[i].old = i % 2;
    }
    return m;
}

static size_t open_descriptors(void) {
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(slots, descriptors_arrive_with_what_is_said_of_them) {
    int ends[2], fds[AGENT_JOB_IMAGES_MAX], got[AGENT_JOB_IMAGES_MAX];
    struct err e = ERR_NONE;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    struct agent_job_message *m = proceed(AGENT_JOB_IMAGES_MAX), *heard = proceed(0);
    for (size_t i = 0; i < AGENT_JOB_IMAGES_MAX; i++) {
        fds[i] = open("/dev/null", O_RDONLY | (i % 2 ? O_APPEND : 0));
        cr_assert_geq(fds[i], 0);
    }
    cr_assert_eq(agent_job_send_proceed(ends[0], m, fds, &e), 0, "%s", e.text);
    cr_assert_eq(agent_job_receive_proceed(ends[1], heard, got, &e), 0, "%s", e.text);
    cr_assert_eq(heard->u.proceed.n_images, AGENT_JOB_IMAGES_MAX);
    for (size_t i = 0; i < AGENT_JOB_IMAGES_MAX; i++) {
        cr_expect_str_eq(heard->u.proceed.images[i].component, m->u.proceed.images[i].component);
        cr_expect_eq(!!(fcntl(got[i], F_GETFL) & O_APPEND), i % 2, "in their order");
        cr_expect(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
    }
    // None at all, and another message.
    free(m);
    m = proceed(0);
    cr_assert_eq(agent_job_send_proceed(ends[0], m, fds, &e), 0, "%s", e.text);
    cr_assert_eq(agent_job_receive_proceed(ends[1], heard, got, &e), 0, "%s", e.text);
    m->type = AGENT_JOB_PROGRESS;
    cr_assert_eq(agent_job_send(ends[0], m, &e), 0, "%s", e.text);
    cr_assert_eq(agent_job_receive_proceed(ends[1], heard, got, &e), 0, "%s", e.text);
    cr_expect_eq(heard->type, AGENT_JOB_PROGRESS);
    free(m);
    free(heard);
}

Test(slots, descriptors_that_nobody_announced_are_refused_and_closed) {
    int ends[2], got[AGENT_JOB_IMAGES_MAX], fds[2] = {0, 1};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    struct agent_job_message *m = proceed(2), *heard = proceed(0);
    size_t before = open_descriptors();
    for (int way = 0; way < 2; way++) {
        struct err e = ERR_NONE;
        // Two announced and none sent; two sent to somebody who expects none.
        cr_assert_eq(way ? agent_job_send_proceed(ends[0], m, fds, &e)
                         : agent_job_send(ends[0], m, &e),
                     0, "%s", e.text);
        int r = way ? agent_job_receive(ends[1], heard, &e)
                    : agent_job_receive_proceed(ends[1], heard, got, &e);
        cr_expect_lt(r, 0);
        cr_expect(err_is(&e, &err_worker_failed), "%s", e.text);
    }
    m->u.proceed.n_images = AGENT_JOB_IMAGES_MAX + 1;
    struct err e = ERR_NONE;
    cr_assert_eq(agent_job_send(ends[0], m, &e), 0, "%s", e.text);
    cr_expect_lt(agent_job_receive_proceed(ends[1], heard, got, &e), 0);
    cr_expect_eq(open_descriptors(), before, "nothing stays open");
    free(m);
    free(heard);
}
