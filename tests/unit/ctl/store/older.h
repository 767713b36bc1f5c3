// SPDX-License-Identifier: Apache-2.0
//
// Stores of the programs before, made of one of ours: what each version of the schema added is
// taken away again, newest first.
#pragma once

// With the caller's e.
#define must(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            cr_assert_fail("%s: %s", #call, e.text);                                               \
    } while (0)

#define OLDER_5                                                                                    \
    "DROP INDEX cohort_silent;"                                                                    \
    "CREATE INDEX cohort_silent ON cohort(rollout, epoch, seen_s) WHERE at_risk>0;"                \
    "DROP INDEX device_since; DROP TABLE dry; DROP TABLE dry_device;"                              \
    "DROP TABLE member;"                                                                           \
    "ALTER TABLE device DROP COLUMN gaps; ALTER TABLE undone DROP COLUMN code;"                    \
    "ALTER TABLE undone DROP COLUMN text;"                                                         \
    "PRAGMA user_version=5;"
#define OLDER_4                                                                                    \
    OLDER_5                                                                                        \
    "DROP TABLE score; DROP TABLE cohort; DROP TABLE unit; DROP TABLE verdict; DROP TABLE undone;" \
    "DROP TABLE ran; DROP TABLE mandate; ALTER TABLE device DROP COLUMN token;"                    \
    "ALTER TABLE device DROP COLUMN task_code; ALTER TABLE part DROP COLUMN code;"                 \
    "PRAGMA user_version=4;"
#define OLDER_3                                                                                    \
    OLDER_4 "DROP TABLE delta; DROP TABLE making; DROP TABLE traffic;"                             \
            "ALTER TABLE device DROP COLUMN spent; PRAGMA user_version=3;"
#define OLDER_2                                                                                    \
    OLDER_3 "DROP INDEX device_held; ALTER TABLE device DROP COLUMN held_s; PRAGMA "               \
            "user_version=2;"
#define OLDER_1 OLDER_2 "DROP TABLE part; PRAGMA user_version=1;"
