// SPDX-License-Identifier: Apache-2.0
//
// A file in memory, sealed to its size.
#include "agent/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/kind.h"
#include "base/fs.h"
#include "base/own.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int agent_ring_make(int *ret_fd, struct err *e) {
    OWN(fd) int fd = memfd_create("edge-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_errno(e, errno, "making memory for what goes into a slot");
    if (fs_truncate(fd, AGENT_RING_BYTES, e) < 0)
        return -1;
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return err_errno(e, errno, "sealing memory for what goes into a slot");
    *ret_fd = own_take_fd(&fd);
    return 0;
}

int agent_ring_map(int fd, bool writes, uint8_t **ret, struct err *e) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) < 0 ||
        (uint64_t)status.st_size != AGENT_RING_BYTES)
        return err_set(e, &err_worker_failed, "the agent handed over no memory for slots");
    void *ring =
        mmap(NULL, AGENT_RING_BYTES, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (ring == MAP_FAILED)
        return err_errno(e, errno, "taking the memory for what goes into a slot");
    *ret = ring;
    return 0;
}

void agent_ring_unmap(uint8_t *ring) {
    if (ring)
        (void)munmap(ring, AGENT_RING_BYTES);
}
