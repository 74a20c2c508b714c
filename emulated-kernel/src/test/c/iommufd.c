// SPDX-License-Identifier: Apache-2.0
// iommufd through its own ioctls: allocation, maps of memory and of files, errors, wild pointers.
#include "client.h"

int main(void)
{
    int fd = open_iommufd();
    uint32_t ioas = new_ioas(fd);
    size_t length = 1 << 20;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);

    struct ioas_map map = {.size = sizeof map, .flags = MAP_ALL, .ioas = ioas, .va = (uintptr_t)memory, .length = length};
    CHECK(ioctl(fd, IOAS_MAP, &map) == 0);
    struct ioas_unmap unmap = {.size = sizeof unmap, .ioas = ioas, .iova = map.iova, .length = length};
    CHECK(ioctl(fd, IOAS_UNMAP, &unmap) == 0 && unmap.length == length);
    FAILS(ioctl(fd, IOAS_UNMAP, &unmap), ENOENT);

    int file = memfd_create("memory", MFD_CLOEXEC);
    CHECK(file >= 0 && ftruncate(file, length) == 0);
    struct ioas_map_file map_file = {.size = sizeof map_file, .flags = MAP_ALL, .ioas = ioas, .fd = file, .length = length};
    CHECK(ioctl(fd, IOAS_MAP_FILE, &map_file) == 0);
    map_file.fd = 4000;
    FAILS(ioctl(fd, IOAS_MAP_FILE, &map_file), EBADF);

    map.ioas = 4711;
    FAILS(ioctl(fd, IOAS_MAP, &map), ENOENT);
    FAILS(ioctl(fd, IOAS_MAP, NULL), EFAULT);
    FAILS(ioctl(fd, IOAS_MAP, (void *)0xffff800000000000), EFAULT);
    FAILS(ioctl(fd, 0x3bff, &map), ENOTTY);
    for (uint64_t size = 0; size < 1ull << 32; size = size * 2 + 1) {
        map.size = (uint32_t)size;
        long answer = ioctl(fd, IOAS_MAP, &map);
        CHECK(answer == -1 && (errno == EINVAL || errno == E2BIG || errno == ENOENT || errno == EFAULT));
    }
    struct destroy destroy = {.size = sizeof destroy, .id = ioas};
    CHECK(ioctl(fd, DESTROY, &destroy) == 0);
    FAILS(ioctl(fd, DESTROY, &destroy), ENOENT);
    CHECK(close(fd) == 0);
    FAILS(ioctl(fd, IOAS_ALLOC, &destroy), EBADF);
    return 0;
}
