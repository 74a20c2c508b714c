// SPDX-License-Identifier: Apache-2.0
// A virtual machine in real mode: memory, port output, interrupted and killed runs, guest_memfd, an eventfd.
#include "client.h"
#include <pthread.h>
#include <time.h>

#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd { uint64_t size, flags, reserved[6]; };
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif

static int kvm, vm, vcpu;
static struct kvm_run *run;
static uint8_t *ram;

static void start_at(uint64_t rip)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = rip, .rflags = 2, .rax = '0'};
    CHECK(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    CHECK(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0);
    CHECK(ioctl(vcpu, KVM_SET_REGS, &regs) == 0);
}

static void on_alarm(int number)
{
    (void)number;
}

/* The guest counts at 0x1800 until 0x1802 is set. */
static void spin(void)
{
    // again: inc word [0x1800]; cmp byte [0x1802], 0; je again; hlt
    static const uint8_t code[] = {0xff, 0x06, 0x00, 0x18, 0x80, 0x3e, 0x02, 0x18, 0x00, 0x74, 0xf5, 0xf4};
    memcpy(ram, code, sizeof code);
    memset(ram + 0x800, 0, 3);
    start_at(0x1000);
}

static void *set_flag(void *unused)
{
    (void)unused;
    while (*(volatile uint16_t *)(ram + 0x800) < 1000)
        sched_yield();
    ((volatile struct kvm_run *)run)->immediate_exit = 1;
    *(volatile uint8_t *)(ram + 0x802) = 1;
    return NULL;
}

int main(int count, char **arguments)
{
    int flags = count > 1 && !strcmp(arguments[1], "private") ? MAP_PRIVATE : MAP_SHARED;
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0 && ioctl(kvm, KVM_GET_API_VERSION, 0) == 12);
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    ram = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    CHECK(ram != MAP_FAILED);
    static const uint8_t hello[] = {0xba, 0xf8, 0x03, 0x04, 4, 0xee, 0xa2, 0x00, 0x18, 0xf4};
    memcpy(ram, hello, sizeof hello); // mov dx, 0x3f8; add al, 4; out dx, al; mov [0x1800], al; hlt
    struct kvm_userspace_memory_region region = {0, 0, 0x1000, 0x2000, (uintptr_t)ram};
    CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    CHECK(vcpu >= 0);
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    CHECK(size >= 4096);
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    CHECK(run != MAP_FAILED);

    start_at(0x1000);
    CHECK(ioctl(vcpu, KVM_RUN, 0) == 0);
    CHECK(run->exit_reason == KVM_EXIT_IO && run->io.port == 0x3f8);
    CHECK(((char *)run)[run->io.data_offset] == '4');
    CHECK(ioctl(vcpu, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_HLT);
    CHECK(ram[0x800] == '4');

    // A signal ends a run; the handler has run by then.
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    timer_t timer;
    struct itimerspec often = {{0, 20000000}, {0, 20000000}}; // one may come before the run
    CHECK(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0 && timer_settime(timer, 0, &often, NULL) == 0);
    spin();
    FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
    CHECK(run->exit_reason == KVM_EXIT_INTR);
    CHECK(timer_delete(timer) == 0);

    // Another thread sees the guest's stores and changes its code while it runs.
    pthread_t thread;
    spin();
    CHECK(pthread_create(&thread, NULL, set_flag, NULL) == 0);
    CHECK(ioctl(vcpu, KVM_RUN, 0) == 0 && run->exit_reason == KVM_EXIT_HLT);
    CHECK(pthread_join(thread, NULL) == 0);
    FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
    run->immediate_exit = 0;

    // The machine belongs to this process.
    pid_t child = fork();
    if (child == 0) {
        FAILS(ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
        FAILS(ioctl(vcpu, KVM_RUN, 0), EIO);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);

    // A process that is killed while its guest runs.
    memset(ram + 0x800, 0, 3);
    child = fork();
    if (child == 0) {
        int own = ioctl(kvm, KVM_CREATE_VM, 0);
        region.slot = 0;
        CHECK(own >= 0 && ioctl(own, KVM_SET_USER_MEMORY_REGION, &region) == 0);
        vcpu = ioctl(own, KVM_CREATE_VCPU, 0);
        CHECK(vcpu >= 0);
        spin();
        ioctl(vcpu, KVM_RUN, 0);
        _exit(1);
    }
    if (flags == MAP_SHARED) {
        while (*(volatile uint16_t *)(ram + 0x800) < 1000)
            sched_yield();
    }
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));

    // guest_memfd: what it refuses, and memory that is zero again after a punch.
    struct kvm_create_guest_memfd create = {.size = 0x4000, .flags = 3};
    int gmem = ioctl(vm, KVM_CREATE_GUEST_MEMFD, &create);
    CHECK(gmem >= 0);
    struct stat stat;
    char byte = 'x';
    CHECK(fstat(gmem, &stat) == 0 && stat.st_size == 0x4000);
    FAILS(read(gmem, &byte, 1), EINVAL);
    FAILS(ftruncate(gmem, 0), EINVAL);
    FAILS(mmap(NULL, 0x4000, PROT_READ, MAP_PRIVATE, gmem, 0), EINVAL);
    FAILS(fallocate(gmem, 0, 0, 0x1000), EOPNOTSUPP);
    char *pages = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, gmem, 0);
    CHECK(pages != MAP_FAILED);
    memset(pages, 0xaa, 0x4000);
    CHECK(fallocate(gmem, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0x1000, 0x1000) == 0);
    CHECK(pages[0] == (char)0xaa && pages[0x1000] == 0 && pages[0x2000] == (char)0xaa);
    CHECK(close(gmem) == 0 && pages[0] == (char)0xaa);
    return 0;
}
