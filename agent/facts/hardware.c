// SPDX-License-Identifier: Apache-2.0
//
// See hardware.h.
#include "agent/facts/hardware.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/facts/read.h"

// A device on a bus: ids as sysfs prints them; a NULL product is any product of the vendor.
struct accelerator {
    const char *fact;
    const char *vendor;
    const char *product;
};

// An Edge TPU on USB changes its id when its firmware was loaded.
static const struct accelerator on_usb[] = {
    {"accel.edgetpu", "1a6e", "089a"},
    {"accel.edgetpu", "18d1", "9302"},
    {"accel.myriad", "03e7", NULL},
};
static const struct accelerator on_pci[] = {
    {"accel.edgetpu", "0x1ac1", "0x089a"},
    {"accel.hailo", "0x1e60", NULL},
};

// Nodes whose presence says it.
static const struct {
    const char *fact;
    const char *pattern;
} nodes[] = {
    {"accel.edgetpu", "/sys/class/apex/apex_*"},
    {"accel.hailo", "/sys/class/hailo_chardev/hailo*"},
    {"accel.nvidia", "/proc/driver/nvidia/version"},
    {"accel.tegra", "/etc/nv_tegra_release"},
    {"accel.npu", "/sys/class/accel/accel*"},
    {"accel.gpu", "/sys/class/drm/renderD*"},
};

static void look_on_bus(json_t *facts, const char *pattern, const char *vendor_file,
                        const char *product_file, const struct accelerator *known, size_t n) {
    glob_t found;
    char path[512], vendor[16], product[16];
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", found.gl_pathv[i], vendor_file);
        if (!facts_read_line(path, vendor, sizeof vendor))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", found.gl_pathv[i], product_file);
        if (!facts_read_line(path, product, sizeof product))
            continue;
        for (size_t k = 0; k < n; k++) {
            if (strcmp(vendor, known[k].vendor) == 0 &&
                (!known[k].product || strcmp(product, known[k].product) == 0))
                (void)json_object_set_new(facts, known[k].fact, json_true());
        }
    }
    globfree(&found);
}

static void add_board(json_t *facts) {
    char value[256];
    if (facts_read_line("/proc/device-tree/model", value, sizeof value) ||
        facts_read_line("/sys/class/dmi/id/product_name", value, sizeof value))
        facts_read_set(facts, "hw.model", value);
    if (facts_read_line("/sys/class/dmi/id/sys_vendor", value, sizeof value))
        facts_read_set(facts, "hw.vendor", value);
}

// "# R35 (release), REVISION: 4.1, GCID: …"
static void add_tegra(json_t *facts) {
    char line[256], release[64];
    unsigned major;
    char revision[32];
    if (facts_read_line("/etc/nv_tegra_release", line, sizeof line) &&
        sscanf(line, "# R%u (release), REVISION: %31[0-9.]", &major, revision) == 2) {
        (void)snprintf(release, sizeof release, "R%u.%s", major, revision);
        facts_read_set(facts, "tegra.release", release);
    }
}

void facts_hardware_add(json_t *facts) {
    char path[512];
    look_on_bus(facts, "/sys/bus/usb/devices/*", "idVendor", "idProduct", on_usb,
                sizeof on_usb / sizeof on_usb[0]);
    look_on_bus(facts, "/sys/bus/pci/devices/*", "vendor", "device", on_pci,
                sizeof on_pci / sizeof on_pci[0]);
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        if (facts_read_match(nodes[i].pattern, path, sizeof path))
            (void)json_object_set_new(facts, nodes[i].fact, json_true());
    }
    add_board(facts);
    add_tegra(facts);
}
