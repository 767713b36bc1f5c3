// SPDX-License-Identifier: Apache-2.0
//
// What this device finds out about itself, as the flat object of bundle/facts.h. Nothing here
// fails: what cannot be found out is left out, and a predicate on it is false with a reason.
//
//   arch, kernel, hostname              as uname says ("x86_64", "6.1.0-18-amd64", …)
//   os.id, os.version, os.codename, os.variant    /etc/os-release
//   ram_mb, cpus, cpu.features (list), cpu.model
//   hw.model, hw.vendor                 device tree, else DMI
//   accel.edgetpu, accel.myriad, accel.hailo, accel.nvidia, accel.tegra, accel.npu   true when
//   there is one tegra.release                       "R35.4.1" runtime.tflite, runtime.onnxruntime,
//   runtime.armnn, runtime.tensorrt, runtime.openvino
//                                       the library's version as far as its file name tells, else
//                                       "present"
//   free_mb                             of the state directory's file system
//   slots (list)                        components whose images have a place here, by the configuration
//   agent.version
//   agent.sham                          true: knows the action sham (bundle/instruction.h)
//
// and what the configuration adds: `facts` as they are, `fact_commands` by the first line of their
// output.
#pragma once

#include <jansson.h>

#include "agent/config.h"
#include "base/err.h"

// state_dir: descriptor, or -1. A new object for the caller. Fact commands are run with a deadline
// of two seconds each. Kind memory only.
int agent_facts_collect(const struct agent_config *config, int state_dir, json_t **ret,
                        struct err *e) __attribute__((nonnull));
