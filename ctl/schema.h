// SPDX-License-Identifier: Apache-2.0
//
// The JSON Schema of a rollout's policy, ctl/policy.schema.json, as the build put it into the
// program. It is installed as a file, too.
#pragma once

// JSON, with a newline and a NUL behind it.
extern const char ctl_schema_policy[];
