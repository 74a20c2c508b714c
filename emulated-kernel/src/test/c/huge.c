// SPDX-License-Identifier: Apache-2.0
// Huge pages: of the emulated machine's pool, whatever the host has. The pool has 8 of them.
#define _GNU_SOURCE
#include "client.h"

#define HUGE (2UL << 20)
#define POOL 8
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4
#endif

static long pool(const char *name)
{
    char line[256];
    long value = -1;
    FILE *file = fopen("/proc/meminfo", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)))
            value = strtol(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    return value;
}

static void give(int iommufd, uint32_t ioas, void *memory, size_t length)
{
    struct ioas_map map = {.size = sizeof map, .flags = MAP_ALL, .ioas = ioas, .va = (uint64_t)memory, .length = length};
    CHECK(ioctl(iommufd, IOAS_MAP, &map) == 0);
    struct ioas_unmap unmap = {.size = sizeof unmap, .ioas = ioas, .iova = map.iova, .length = length};
    CHECK(ioctl(iommufd, IOAS_UNMAP, &unmap) == 0);
}

int main(void)
{
    int iommufd = open_iommufd();
    uint32_t ioas = new_ioas(iommufd);
    int kinds[] = {MAP_SHARED, MAP_PRIVATE};
    for (int i = 0; i < 2; i++) {
        int flags = kinds[i] | MAP_ANONYMOUS | MAP_HUGETLB;
        CHECK(pool("HugePages_Free:") == POOL && pool("HugePages_Rsvd:") == 0);
        char *memory = mmap(NULL, 3 * HUGE - 5, PROT_READ | PROT_WRITE, flags | MAP_POPULATE, -1, 0);
        CHECK(memory != MAP_FAILED && ((uintptr_t)memory & (HUGE - 1)) == 0);
        CHECK(pool("HugePages_Free:") == POOL - 3);
        memory[3 * HUGE - 1] = 42;
        give(iommufd, ioas, memory, 3 * HUGE);
        CHECK(mmap(NULL, 6 * HUGE, PROT_READ, flags, -1, 0) == MAP_FAILED && errno == ENOMEM);
        CHECK(mmap(memory + HUGE, HUGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0) == memory + HUGE);
        CHECK(memory[3 * HUGE - 1] == 42);
        CHECK(mmap(memory + 4096, HUGE, PROT_READ, flags | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
        CHECK(munmap(memory, 3 * HUGE) == 0);
    }
    CHECK(pool("HugePages_Free:") == POOL && pool("HugePages_Rsvd:") == 0 && pool("HugePages_Total:") == POOL);
    CHECK(mmap(NULL, HUGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | 19 << 26, -1, 0) == MAP_FAILED);
    CHECK(errno == EINVAL);
    int file = memfd_create("huge", MFD_HUGETLB);
    CHECK(file >= 0);
    FAILS(ftruncate(file, 4096), EINVAL);
    CHECK(ftruncate(file, 2 * HUGE) == 0);
    char *memory = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_HUGETLB, file, 0);
    CHECK(memory != MAP_FAILED && ((uintptr_t)memory & (HUGE - 1)) == 0);
    memory[HUGE] = 7;
    char byte = 0;
    CHECK(pread(file, &byte, 1, HUGE) == 1 && byte == 7);
    FAILS(write(file, "x", 1), EINVAL);
    give(iommufd, ioas, memory, 2 * HUGE);
    struct ioas_map_file map = {.size = sizeof map, .flags = MAP_ALL, .ioas = ioas, .fd = file, .length = 2 * HUGE};
    CHECK(ioctl(iommufd, IOAS_MAP_FILE, &map) == 0);
    CHECK(munmap(memory, 2 * HUGE) == 0);
    CHECK(mmap(NULL, HUGE, PROT_READ, MAP_SHARED, file, 4096) == MAP_FAILED && errno == EINVAL);
    pid_t child = fork();
    if (child == 0) {
        memory = mmap(NULL, HUGE, PROT_READ, MAP_SHARED, file, HUGE);
        CHECK(memory != MAP_FAILED && memory[0] == 7);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(close(file) == 0);
    CHECK(close(iommufd) == 0);
    CHECK(pool("HugePages_Free:") == POOL && pool("HugePages_Rsvd:") == 0);
    return 0;
}
