// SPDX-License-Identifier: Apache-2.0
//
// Which bundle's contents a device holds, to start from: one of whose components every one is
// reported to come from it, and that shares a component with the bundle to be got. A device may
// hold several (firmware from one, a model from another); then the one that has most in common.
#pragma once

#include "ctl/serve/engine.h"

// components as a device said them (struct store_device's said). NULL when it holds none that was
// published here; `to` itself when it holds that. Borrowed until the engine's next load.
const struct serve_engine_bundle *serve_delta_base(const struct serve_engine *engine,
                                                   const struct serve_engine_bundle *to,
                                                   const json_t *components)
    __attribute__((nonnull(1, 2)));
