// SPDX-License-Identifier: Apache-2.0
// A guest must stop seeing memory that its program takes away, and devices must keep what they have pinned.
#define _GNU_SOURCE
#include "client.h"
#include <pthread.h>

#define PAGE 4096UL
#define PAGES 64UL

static int vm, vcpu, iommufd;
static struct kvm_run *run;

/* mov al, [0x2000]; out 0x10, al; hlt; jmp -7 */
static const uint8_t code[] = {0xa0, 0x00, 0x20, 0xe6, 0x10, 0xf4, 0xeb, 0xf8};

static void slot(int number, uint64_t gpa, void *memory, uint64_t size)
{
    struct kvm_userspace_memory_region region = {
        .slot = number, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uint64_t)memory};
    CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
}

/* What the guest reads from its page at 0x2000; -1 when KVM_RUN fails with EFAULT. */
static int seen(void)
{
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0) {
            CHECK(errno == EFAULT);
            return -1;
        }
        if (run->exit_reason == KVM_EXIT_IO)
            return *((uint8_t *)run + run->io.data_offset);
        CHECK(run->exit_reason == KVM_EXIT_HLT);
    }
}

static void machine(void *text)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0 && (vm = ioctl(kvm, KVM_CREATE_VM, 0)) >= 0 && (vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) >= 0);
    run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);
    memcpy(text, code, sizeof code);
    slot(0, 0x1000, text, PAGE);
    struct kvm_sregs sregs;
    CHECK(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.cs.base = sregs.cs.selector = 0;
    CHECK(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0);
    struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
    CHECK(ioctl(vcpu, KVM_SET_REGS, &regs) == 0);
}

static uint8_t *memory(int flags)
{
    uint8_t *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memory[0] = 1;
    return memory;
}

static void maps(uint32_t ioas, void *memory, int error)
{
    struct ioas_map map = {.size = sizeof map, .flags = MAP_ALL, .ioas = ioas, .va = (uint64_t)memory, .length = PAGE};
    int answer = ioctl(iommufd, IOAS_MAP, &map);
    CHECK(error ? answer < 0 && errno == error : answer == 0);
}

static void guests(int flags)
{
    uint8_t *page = memory(flags);
    slot(1, 0x2000, page, PAGE);
    CHECK(seen() == 1);
    page[0] = 2;
    CHECK(seen() == 2);
    CHECK(munmap(page, PAGES * PAGE) == 0);
    CHECK(seen() == -1);
    /* The next mapping there is what the guest sees. */
    CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
    page[0] = 3;
    CHECK(seen() == 3);
    /* And over it another, without munmap. */
    CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
    CHECK(seen() == 0);
    page[0] = 4;
    CHECK(seen() == 4);
    CHECK(mprotect(page, PAGE, PROT_NONE) == 0);
    CHECK(seen() == -1);
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(seen() == 4);
    CHECK(madvise(page, PAGE, MADV_DONTNEED) == 0);
    CHECK(page[0] == (flags == MAP_PRIVATE ? 0 : 4));
    CHECK(seen() == page[0]);
    if (flags == MAP_SHARED) {
        CHECK(madvise(page, PAGE, MADV_REMOVE) == 0);
        CHECK(seen() == 0 && page[0] == 0);
    }
    page[0] = 5;
    uint8_t *moved = mremap(page, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (uint8_t *)run + (1 << 20));
    CHECK(moved != MAP_FAILED && moved[0] == 5);
    CHECK(seen() == -1);
    if (flags == MAP_PRIVATE) {
        moved[PAGE] = 6;
        CHECK(moved[PAGE] == 6);
    }
    slot(1, 0x2000, page, 0);
    CHECK(munmap(moved, 2 * PAGE) == 0);
}

static volatile int over;

static void *runs(void *argument)
{
    while (!over)
        seen();
    return argument;
}

/* A virtual processor that runs all the time sees the end of the memory, too. */
static void beside(void)
{
    pthread_t thread;
    uint8_t *page = memory(MAP_SHARED);
    slot(1, 0x2000, page, PAGE);
    CHECK(pthread_create(&thread, NULL, runs, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK(munmap(page, PAGES * PAGE) == 0);
        CHECK(mmap(page, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
        page[0] = i;
    }
    over = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(seen() == 49);
}

int main(void)
{
    machine(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    guests(MAP_SHARED);
    guests(MAP_PRIVATE);
    beside();
    iommufd = open_iommufd();
    uint32_t ioas = new_ioas(iommufd);
    uint8_t *page = memory(MAP_SHARED);
    maps(ioas, page, 0);
    return 0;
}
