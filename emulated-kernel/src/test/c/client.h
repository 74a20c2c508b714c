// SPDX-License-Identifier: Apache-2.0
// What the clients of the emulated kernel have in common: every step is checked, the first wrong one ends the program.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);     \
            _exit(1);                                                                             \
        }                                                                                         \
    } while (0)
#define FAILS(call, error) CHECK((errno = 0, (long)(call) == -1) && errno == (error))

struct ioas_alloc { uint32_t size, flags, id; };
struct ioas_map { uint32_t size, flags, ioas, reserved; uint64_t va, length, iova; };
struct ioas_map_file { uint32_t size, flags, ioas; int32_t fd; uint64_t start, length, iova; };
struct ioas_unmap { uint32_t size, ioas; uint64_t iova, length; };
struct destroy { uint32_t size, id; };
#define IOAS_ALLOC 0x3b81
#define DESTROY 0x3b80
#define IOAS_MAP 0x3b85
#define IOAS_UNMAP 0x3b86
#define IOAS_MAP_FILE 0x3b8f
#define MAP_ALL 6 /* readable, writable */

static inline int open_iommufd(void)
{
    int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static inline uint32_t new_ioas(int fd)
{
    struct ioas_alloc alloc = {.size = sizeof alloc};
    CHECK(ioctl(fd, IOAS_ALLOC, &alloc) == 0 && alloc.id != 0);
    return alloc.id;
}
