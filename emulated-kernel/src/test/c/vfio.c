// SPDX-License-Identifier: Apache-2.0
// A device behind the IOMMU: edu moves pages of this process, private and shared ones, and signals an eventfd.
#include "client.h"
#include <poll.h>

struct bind { uint32_t argsz, flags; int32_t iommufd; uint32_t out; };
struct attach { uint32_t argsz, flags, pt; };
struct irqs { uint32_t argsz, flags, index, start, count; int32_t fd; };
#define BIND 0x3b76
#define ATTACH 0x3b77
#define SET_IRQS 0x3b6e
#define REGION(number) ((uint64_t)(number) << 40)
#define CONFIG REGION(7)
#define BUFFER 0x40000
#define IOVA 0x100000
#define RUN 1
#define TO_RAM 2
#define INTERRUPT 4

static int device;

static void set(uint64_t offset, uint64_t value)
{
    CHECK(pwrite(device, &value, 8, offset) == 8);
}

static void dma(uint64_t source, uint64_t destination, uint64_t count, uint64_t command)
{
    uint64_t left = RUN;
    set(0x80, source);
    set(0x88, destination);
    set(0x90, count);
    set(0x98, command | RUN);
    while (left & RUN)
        CHECK(pread(device, &left, 8, 0x98) == 8);
}

int main(int count, char **arguments)
{
    int flags = count > 1 && !strcmp(arguments[1], "private") ? MAP_PRIVATE : MAP_SHARED;
    int iommufd = open_iommufd();
    uint32_t ioas = new_ioas(iommufd);
    device = open("/dev/vfio/devices/vfio0", O_RDWR);
    CHECK(device >= 0);
    struct bind bind = {.argsz = sizeof bind, .iommufd = 9999};
    FAILS(ioctl(device, BIND, &bind), EBADF);
    bind.iommufd = iommufd;
    CHECK(ioctl(device, BIND, &bind) == 0);
    struct attach attach = {.argsz = sizeof attach, .pt = ioas};

    // One range is mapped when the device comes, the other while it is there.
    char *pages = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    strcpy(pages, "before");
    strcpy(pages + 0x1000, "second");
    struct ioas_map map = {
        .size = sizeof map, .flags = MAP_ALL | 1, .ioas = ioas, .va = (uintptr_t)pages, .length = 0x1000, .iova = IOVA};
    CHECK(ioctl(iommufd, IOAS_MAP, &map) == 0);
    CHECK(ioctl(device, ATTACH, &attach) == 0);
    map.va += 0x1000;
    map.iova += 0x1000;
    CHECK(ioctl(iommufd, IOAS_MAP, &map) == 0);
    CHECK(!strcmp(pages, "before") && !strcmp(pages + 0x1000, "second"));

    uint16_t command;
    CHECK(pread(device, &command, 2, CONFIG + 4) == 2);
    command |= 6; // memory, bus master
    CHECK(pwrite(device, &command, 2, CONFIG + 4) == 2);
    uint32_t identity;
    CHECK(pread(device, &identity, 4, CONFIG) == 4 && identity == 0x11e81234);

    int event = eventfd(0, EFD_CLOEXEC);
    struct irqs irqs = {.argsz = sizeof irqs, .flags = 4 | 32, .index = 1, .count = 1, .fd = event};
    CHECK(event >= 0 && ioctl(device, SET_IRQS, &irqs) == 0);

    dma(IOVA, BUFFER, 64, 0);
    strcpy(pages, "after");
    dma(BUFFER, IOVA + 0x1000 + 0x100, 64, TO_RAM | INTERRUPT);
    CHECK(!strcmp(pages + 0x1100, "before") && !strcmp(pages + 0x1000, "second"));
    struct pollfd wait = {.fd = event, .events = POLLIN};
    uint64_t signals = 0;
    CHECK(poll(&wait, 1, 10000) == 1 && read(event, &signals, 8) == 8 && signals == 1);

    // What is pinned shows in /proc.
    char line[256];
    unsigned long pinned = 0;
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status))
        sscanf(line, "VmPin: %lu kB", &pinned);
    CHECK(fclose(status) == 0 && pinned == 8);

    // Memory stays the device's when the process has unmapped it.
    CHECK(munmap(pages, 0x4000) == 0);
    dma(IOVA + 0x1100, BUFFER + 64, 64, 0);
    struct ioas_unmap unmap = {.size = sizeof unmap, .ioas = ioas, .iova = IOVA, .length = 0x2000};
    CHECK(ioctl(iommufd, IOAS_UNMAP, &unmap) == 0);
    map.va = (uintptr_t)pages;
    FAILS(ioctl(iommufd, IOAS_MAP, &map), EFAULT);
    return 0;
}
