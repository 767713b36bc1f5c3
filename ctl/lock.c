// SPDX-License-Identifier: Apache-2.0
//
// See lock.h.
#include "ctl/lock.h"

#include "base/fs.h"
#include "base/own.h"
#include "ctl/term.h"

int ctl_lock_folder(int dir, const char *path, int *ret, struct err *e) {
    OWN(fd) int folder = -1;
    if (fs_open_dir(dir, path, &folder, e) < 0)
        return -1;
    int locked = fs_lock(folder, e);
    for (int i = 0; locked == FS_LOCKED && i < CTL_LOCK_TRIES; i++) {
        ctl_term_pause(CTL_LOCK_WAIT_MS);
        locked = fs_lock(folder, e);
    }
    if (locked == FS_LOCKED)
        return err_set(e, &err_busy, "another edgectl is at work there; try again");
    if (locked < 0)
        return -1;
    *ret = own_take_fd(&folder);
    return 0;
}
