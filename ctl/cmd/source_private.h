// SPDX-License-Identifier: Apache-2.0
//
// What the files of ctl/cmd/source share. Nobody else includes this.
#pragma once

#include "ctl/cmd/passphrase.h"
#include "ctl/cmd/source.h"
#include "ctl/net/client.h"

struct cmd_source {
    const struct cmd_context *context;
    const struct opt_args *args;
    const char *workspace;     // borrowed
    int seen, home;            // DIR/seen and DIR
    int folder;                // of a repository in a folder, or -1
    struct net_client *client; // of a controller, or NULL
    struct cmd_passphrase passphrase;
    char name[512];
};

// A file of the repository's metadata, appended to *ret, whose ceiling bounds it. FS_ABSENT when
// there is none.
int cmd_source_fetch(struct cmd_source *source, const char *name, struct buf *ret, struct err *e)
    __attribute__((nonnull));
