// SPDX-License-Identifier: Apache-2.0
// A client that does what it likes: random ioctls with random arguments on whatever descriptor, from several threads,
// while descriptors come and go. It only has to end. Arguments: seed, calls of each thread.
#include "client.h"
#include <pthread.h>

#define THREADS 3

static uint64_t seed, calls;
static uint8_t *memory;

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A pointer: good, at the edge, wild, or no pointer at all. */
static uint64_t pointer(uint64_t *state)
{
    switch (next(state) % 6) {
    case 0: return next(state);
    case 1: return (uintptr_t)memory + 0x10000 - next(state) % 64;
    case 2: return next(state) % 64;
    default: return (uintptr_t)memory + next(state) % 0xf000;
    }
}

static uint64_t number(uint64_t *state)
{
    switch (next(state) % 5) {
    case 0: return next(state);
    case 1: return 0x1000 * (next(state) % 16);
    case 2: return (uintptr_t)memory + 0x1000 * (next(state) % 16);
    default: return next(state) % 8;
    }
}

static void *play(void *argument)
{
    static const int devices[] = {0xae, 0x3b};
    static const uint32_t known[] = {
        0x4020ae46, 0x40a0ae49, 0xc040aed4, 0x4020aed2, 0xc040aed5, 0x4010ae42, 0x4068aea3, 0x4020ae76, 0x4020aea5,
        0x4008ae6a, 0xc00caee0, 0xae44, 0xaea2, 0xaea3, 0xae47, 0x4008ae48, 0x8090ae81, 0x4090ae82, 0x8138ae83,
        0x4138ae84, 0xc008ae88, 0x4008ae89, 0x4004ae8b, 0x4008ae90, 0xc008ae91, 0x8004ae98, 0x4004ae99, 0x8040ae9f,
        0x4040aea0, 0x8400ae8e, 0x4400ae8f, 0x81a0ae8c, 0x41a0ae8d, 0xc008ae05, 0xc008ae09, 0xae03, 0xae04, 0xaece,
    };
    uint64_t state = seed * 1000003 + (uintptr_t)argument + 1;
    for (uint64_t i = 0; i < calls; i++) {
        int fd = (int)(next(&state) % 4 ? 512 + next(&state) % 24 : next(&state) % 32 + 3);
        uint64_t *words = (uint64_t *)(memory + 0x1000 * (uintptr_t)argument);
        switch (next(&state) % 32) {
        case 0:
            open(next(&state) % 2 ? "/dev/kvm" : "/dev/iommu", O_RDWR | O_CLOEXEC);
            break;
        case 1:
            if (fd > 3)
                close(fd);
            break;
        case 2:
            ioctl(fd, KVM_CREATE_VM, next(&state) % 3);
            break;
        case 3:
            ioctl(fd, KVM_CREATE_VCPU, next(&state) % 3);
            break;
        case 4: {
            void *map = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, next(&state) % 3 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
            if (map != MAP_FAILED)
                munmap(map, 0x3000);
            break;
        }
        case 5:
            fallocate(fd, next(&state) % 4, number(&state), number(&state));
            break;
        case 6:
            pread(fd, memory, number(&state) % 0x10000, number(&state));
            break;
        default: {
            int type = devices[next(&state) % 2];
            int command = type == 0xae ? next(&state) % 256 : 0x64 + next(&state) % 64;
            if (type == 0xae && command == 0x80)
                break; // a guest may run for ever
            uint64_t size = next(&state) % 8 ? (next(&state) % 24) * 8 : next(&state) % 0x4000;
            uint64_t direction = next(&state) % 4;
            for (int word = 0; word < 16; word++)
                words[word] = number(&state);
            if (type == 0x3b)
                *(uint32_t *)words = next(&state) % 8 ? 8 * (next(&state) % 10) : (uint32_t)next(&state);
            uint64_t target = next(&state) % 4 ? (uintptr_t)words : pointer(&state);
            if (type == 0xae && next(&state) % 4) {
                ioctl(fd, known[next(&state) % (sizeof known / sizeof *known)], target);
                break;
            }
            ioctl(fd, (type == 0x3b ? 0 : direction << 30 | size << 16) | type << 8 | command, target);
        }
        }
    }
    return NULL;
}

int main(int count, char **arguments)
{
    CHECK(count == 3);
    seed = strtoull(arguments[1], NULL, 0);
    calls = strtoull(arguments[2], NULL, 0);
    memory = mmap(NULL, 0x20000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && munmap(memory + 0x10000, 0x10000) == 0);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, play, (void *)i) == 0);
    if (seed % 3 == 0) {
        usleep(20000);
        raise(SIGKILL);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
