// SPDX-License-Identifier: Apache-2.0
// A queue of page requests is waited for by poll, select and epoll, read and answered, also by copies of its descriptor.
#include "client.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>

#define TEST 0x3ba0
#define HWPT_ALLOC 0x3b89
#define FAULT_QUEUE_ALLOC 0x3b8e
#define SELFTEST 0xdead

struct test { uint32_t size, op, id, reserved; uint32_t words[16]; };
struct hwpt_alloc { uint32_t size, flags, dev, pt, id, reserved, type, length; uint64_t data; uint32_t fault, reserved2; };
struct fault_alloc { uint32_t size, flags, id; int32_t fd; };
struct fault { uint32_t flags, dev, pasid, group, perm, reserved; uint64_t address; uint32_t length, cookie; };
struct response { uint32_t cookie, code; };

static int iommufd;
static uint32_t device;

static void trigger(uint64_t address)
{
    struct test test = {.size = sizeof test, .op = 15, .words = {device, 1, 2, 3, (uint32_t)address, address >> 32}};
    CHECK(ioctl(iommufd, TEST, &test) == 0);
}

static uint32_t hwpt(uint32_t parent, uint32_t flags, uint32_t fault)
{
    uint32_t iotlb[2] = {0};
    struct hwpt_alloc alloc = {.size = sizeof alloc, .flags = flags, .dev = device, .pt = parent, .fault = fault};
    if (fault) {
        alloc.type = SELFTEST;
        alloc.length = 4;
        alloc.data = (uintptr_t)iotlb;
    }
    CHECK(ioctl(iommufd, HWPT_ALLOC, &alloc) == 0);
    return alloc.id;
}

/* A queue whose device asks for pages with trigger. */
static int queue(void)
{
    iommufd = open_iommufd();
    struct test mock = {.size = sizeof mock, .op = 2, .id = new_ioas(iommufd)};
    uint32_t ioas = mock.id;
    CHECK(ioctl(iommufd, TEST, &mock) == 0);
    uint32_t stdev = mock.words[0];
    device = mock.words[2];
    uint32_t parent = hwpt(ioas, 1, 0);
    struct fault_alloc alloc = {.size = sizeof alloc};
    CHECK(ioctl(iommufd, FAULT_QUEUE_ALLOC, &alloc) == 0 && alloc.fd >= 0);
    struct test replace = {.size = sizeof replace, .op = 10, .id = stdev, .words = {hwpt(parent, 4, alloc.id)}};
    CHECK(ioctl(iommufd, TEST, &replace) == 0);
    return alloc.fd;
}

static int ready(int fd, int timeout)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK(poll(&entry, 1, timeout) == 1 && (entry.revents & ~(POLLIN | POLLOUT)) == 0 && (entry.revents & POLLOUT));
    return entry.revents & POLLIN;
}

static void take(int from, int to, uint64_t address)
{
    struct fault fault = {0};
    CHECK(read(from, &fault, sizeof fault) == sizeof fault && fault.address == address);
    struct response response = {.cookie = fault.cookie};
    CHECK(write(to, &response, sizeof response) == sizeof response);
}

static void *later(void *address)
{
    usleep(30000);
    trigger((uintptr_t)address);
    return NULL;
}

int main(void)
{
    int fd = queue();
    struct fault fault;
    struct epoll_event event = {.events = EPOLLIN}, got;
    CHECK(!ready(fd, 0) && read(fd, &fault, sizeof fault) == 0);

    // poll and select see the request, and see it go.
    trigger(0x1000);
    CHECK(ready(fd, 0));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    CHECK(select(fd + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(fd, &set));
    trigger(0x2000);
    take(fd, fd, 0x1000);
    CHECK(ready(fd, 0));
    take(fd, fd, 0x2000);
    CHECK(!ready(fd, 0));
    FAILS(write(fd, &(struct response){.cookie = 77}, sizeof(struct response)), EINVAL);
    FAILS(read(fd, &fault, sizeof fault - 1), ESPIPE);

    // epoll waits, of either kind; a program that waits makes no call of ours.
    int levels = epoll_create1(EPOLL_CLOEXEC), edges = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll_ctl(levels, EPOLL_CTL_ADD, fd, &event) == 0);
    event.events = EPOLLIN | EPOLLET;
    CHECK(epoll_ctl(edges, EPOLL_CTL_ADD, fd, &event) == 0);
    CHECK(epoll_wait(levels, &got, 1, 20) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, later, (void *)0x3000) == 0);
    CHECK(epoll_wait(levels, &got, 1, 10000) == 1 && got.events == EPOLLIN);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(epoll_wait(levels, &got, 1, 0) == 1 && epoll_wait(edges, &got, 1, 0) == 1);
    CHECK(epoll_wait(edges, &got, 1, 0) == 0);
    trigger(0x4000);
    CHECK(epoll_wait(edges, &got, 1, 0) == 1);
    take(fd, fd, 0x3000);
    take(fd, fd, 0x4000);
    CHECK(epoll_wait(levels, &got, 1, 0) == 0 && !ready(fd, 0));

    // Copies, whatever their numbers, are the same file.
    int high = dup(fd), low = 7;
    CHECK(high >= 0 && dup2(fd, low) == low);
    trigger(0x5000);
    CHECK(ready(high, 0) && ready(low, 0));
    take(low, high, 0x5000);
    trigger(0x6000);
    take(high, low, 0x6000);
    CHECK(!ready(low, 0) && close(fd) == 0);
    trigger(0x7000);
    pid_t child = fork();
    if (child == 0) {
        struct iovec pieces[] = {{&fault, 16}, {(char *)&fault + 16, sizeof fault - 16}};
        FAILS(readv(low, pieces, 2), ESPIPE);
        take(low, low, 0x7000);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(close(low) == 0 && !ready(high, 0) && close(high) == 0);

    // Nothing else of the emulated kernel can be waited for, as in Linux.
    int kvm = open("/dev/kvm", O_RDWR);
    FAILS(epoll_ctl(levels, EPOLL_CTL_ADD, kvm, &event), EPERM);
    return 0;
}
