// SPDX-License-Identifier: Apache-2.0
// What no program should do: wild pointers and sizes, descriptors that go and come in the middle of calls, sudden death,
// hundreds of children, memory that goes while it is pinned. The first argument says which.
#include "client.h"
#include <pthread.h>
#include <sys/prctl.h>

#define PAGE 4096UL
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Ioctls with a pointer, by the kind of file; what follows the readable page is unmapped. */
static const uint32_t of_kvm[] = {0xc008ae05, 0xc008ae09, 0xc008ae02, 0xc004ae0a, 0xc008ae88};
static const uint32_t of_vm[] = {
    0x4020ae46, 0x40a0ae49, 0x4020aed2, 0xc040aed4, 0x4010ae42, 0xc018aec0, 0x4020ae76, 0x4040ae79, 0x4008ae6a,
    0x4068aea3, 0xc00caee0, 0x4020aea5, 0x4008ae48,
};
static const uint32_t of_vcpu[] = {
    0x8090ae81, 0x4090ae82, 0x8138ae83, 0x4138ae84, 0xc008ae88, 0x4008ae89, 0x4004ae8b, 0x4008ae90, 0xc008ae91,
    0x8004ae98, 0x4004ae99, 0x8040ae9f, 0x4040aea0, 0x8400ae8e, 0x4400ae8f, 0x81a0ae8c, 0x41a0ae8d, 0xc040aed5,
};
static const uint32_t sizes[] = {
    0, 1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 24, 31, 40, 64, 100, 255, 4095, 4096, 4097, 0x10000, 0x100000, 0x7fffffff,
    0x80000000, 0xfffffff8, 0xffffffff,
};
static uint8_t *page, *constant;
static int kvm, vm, vcpu, iommufd, vfio, container, udmabuf;

static void open_all(void)
{
    page = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && munmap(page + PAGE, PAGE) == 0);
    constant = page + 2 * PAGE;
    memset(constant, 0xff, PAGE);
    CHECK(mprotect(constant, PAGE, PROT_READ) == 0);
    iommufd = open_iommufd();
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(kvm >= 0 && (vm = ioctl(kvm, KVM_CREATE_VM, 0)) >= 0 && (vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) >= 0);
    vfio = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
    container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
    CHECK(vfio >= 0 && container >= 0 && udmabuf >= 0);
    uint32_t bind[4] = {16, 0, iommufd, 0};
    CHECK(ioctl(vfio, 0x3b76, bind) == 0);
}

/* Every one of them answers, and none with success where it has to read a struct. */
static void unreadable(int fd, uint32_t request)
{
    const uint64_t wild[] = {0, 1, (uintptr_t)page + PAGE, (uintptr_t)page + PAGE - 1, 0x7fffffffffffUL,
                             0x8000000000000000UL, 0xffff888000000000UL, 0xffffffffffffffffUL};
    for (size_t i = 0; i < COUNT(wild); i++)
        FAILS(ioctl(fd, request, wild[i]), EFAULT);
}

static void pointers(void)
{
    for (size_t i = 0; i < COUNT(of_kvm); i++)
        ioctl(kvm, of_kvm[i], 0xffff888000000000UL);
    for (size_t i = 0; i < COUNT(of_vm); i++)
        for (int edge = 1; edge < 64; edge += 7)
            ioctl(vm, of_vm[i], page + PAGE - edge);
    for (size_t i = 0; i < COUNT(of_vcpu); i++)
        for (int edge = 1; edge < 64; edge += 7)
            ioctl(vcpu, of_vcpu[i], page + PAGE - edge);
    unreadable(vm, KVM_SET_USER_MEMORY_REGION);
    unreadable(vm, KVM_CREATE_DEVICE);
    unreadable(vm, KVM_IRQFD);
    unreadable(vm, KVM_IOEVENTFD);
    unreadable(vcpu, KVM_GET_REGS);
    unreadable(vcpu, KVM_SET_SREGS);
    unreadable(vcpu, KVM_SET_CPUID2);
    for (uint32_t request = 0x3b80; request <= 0x3b94; request++)
        if (request != 0x3b83)
            unreadable(iommufd, request);
    for (uint32_t request = 0x3b6b; request <= 0x3b6e; request++)
        unreadable(vfio, request);
    unreadable(udmabuf, 0x40187542);
    // Results that cannot be written.
    FAILS(ioctl(vcpu, KVM_GET_REGS, constant), EFAULT);
    FAILS(ioctl(vcpu, KVM_GET_SREGS, constant), EFAULT);
    // Memory that a struct points to.
    uint32_t ioas = new_ioas(iommufd);
    const uint64_t memory[] = {0, 1, PAGE, (uintptr_t)page + PAGE, 0x8000000000000000UL, 0xffffffffffffe000UL};
    for (size_t i = 0; i < COUNT(memory); i++)
        for (int length = 0; length < 3; length++) {
            const uint64_t lengths[] = {PAGE, 0x7fffffffffff000UL, -PAGE};
            struct ioas_map map = {sizeof map, MAP_ALL, ioas, 0, memory[i], lengths[length], 0};
            ioctl(iommufd, IOAS_MAP, &map); // nothing is pinned yet
            struct kvm_userspace_memory_region slot = {1, 0, 0, lengths[length], memory[i]};
            if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0) {
                slot.memory_size = 0;
                CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) == 0);
            }
        }
    // read and write, by descriptors of every kind.
    int files[] = {kvm, vm, vcpu, iommufd, vfio, container, udmabuf};
    for (size_t i = 0; i < COUNT(files); i++) {
        CHECK(pread(files[i], page + PAGE, 64, 0) <= 0 && pwrite(files[i], page + PAGE, 64, 0) <= 0);
        CHECK(pread(files[i], page, -1UL >> 1, 0) <= 1 << 20 && pread(files[i], page, 8, INT64_MIN) < 0);
        CHECK(syscall(20, files[i], page + PAGE, 3) < 0 && syscall(20, files[i], page, 1 << 20) < 0);
        CHECK(syscall(5, files[i], page + PAGE) < 0);
    }
    FAILS(open((char *)page + PAGE, O_RDWR), EFAULT);
}

/* A struct may say that it is of any size. */
static void lengths(void)
{
    size_t room = 0x100001000UL;
    uint8_t *zeros = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(zeros != MAP_FAILED);
    uint8_t *places[] = {page, page + PAGE - 4, page + PAGE - 8, zeros};
    for (size_t place = 0; place < COUNT(places); place++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            // All of 4 GiB are looked at by two of them only, which is what takes the time.
            int huge = sizes[i] > 0x100000 && places[place] == zeros;
            for (uint32_t request = 0x3b80; request <= 0x3b94; request++) {
                if (huge && request != 0x3b81)
                    continue;
                memset(places[place], 0, 4);
                *(uint32_t *)places[place] = sizes[i];
                CHECK(ioctl(iommufd, request, places[place]) != 0 || sizes[i] >= 8);
            }
            for (uint32_t request = 0x3b64; request <= 0x3b79; request++) {
                if (huge && request != 0x3b75)
                    continue;
                *(uint32_t *)places[place] = sizes[i];
                ioctl(vfio, request, places[place]);
                *(uint32_t *)places[place] = sizes[i];
                ioctl(container, request, places[place]);
            }
            // The count of an array that is behind the struct, and the size in the number of the ioctl.
            *(uint32_t *)places[place] = sizes[i];
            ioctl(vcpu, KVM_SET_CPUID2, places[place]);
            ioctl(vcpu, KVM_SET_MSRS, places[place]);
            ioctl(vcpu, KVM_GET_MSRS, places[place]);
            ioctl(kvm, KVM_GET_SUPPORTED_CPUID, places[place]);
            ioctl(kvm, KVM_GET_MSR_INDEX_LIST, places[place]);
            ioctl(vm, KVM_SET_GSI_ROUTING, places[place]);
            ioctl(vcpu, KVM_SET_SIGNAL_MASK, places[place]);
            ioctl(udmabuf, 0x40087543, places[place]);
        }
    for (uint32_t size = 0; size < 0x4000; size += 8)
        for (uint32_t direction = 0; direction < 4; direction++)
            ioctl(vm, direction << 30 | size << 16 | 0xae46, page);
    uint32_t alloc[3] = {12, 0, 0};
    CHECK(ioctl(iommufd, IOAS_ALLOC, alloc) == 0);
}

static volatile int over;

static void *closes(void *unused)
{
    (void)unused;
    int other = open("/dev/null", O_RDWR), kept = open_iommufd();
    while (!over) {
        dup2(kept, iommufd);
        dup2(other, iommufd);
        close(iommufd);
        dup2(kept, vm);
        dup2(kvm, vm);
        close(vcpu);
        dup2(other, vcpu);
    }
    return NULL;
}

/* Descriptors change under calls of other threads. */
static void reuse(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, closes, NULL) == 0);
    uint8_t *memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 400; round++) {
        struct ioas_alloc alloc = {.size = sizeof alloc};
        ioctl(iommufd, IOAS_ALLOC, &alloc);
        struct ioas_map map = {sizeof map, MAP_ALL, alloc.id, 0, (uintptr_t)memory, 16 * PAGE, 0};
        ioctl(iommufd, IOAS_MAP, &map);
        int own = ioctl(vm, KVM_CREATE_VM, 0);
        int processor = ioctl(own, KVM_CREATE_VCPU, 0);
        struct kvm_regs regs;
        ioctl(vcpu, KVM_GET_REGS, &regs);
        ioctl(vm, KVM_CREATE_VCPU, round);
        void *run = mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, vcpu, 0);
        if (run != MAP_FAILED)
            munmap(run, 3 * PAGE);
        pread(iommufd, &regs, 8, 0);
        close(processor);
        close(own);
    }
    over = 1;
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *kill_soon(void *delay)
{
    usleep((uintptr_t)delay);
    kill(getpid(), SIGKILL);
    return NULL;
}

/* Children die inside a call: in KVM_RUN, while memory is mapped or made shared, while files are opened. */
static void death(void)
{
    for (int round = 0; round < 48; round++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
            int own = ioctl(kvm, KVM_CREATE_VM, 0), processor = ioctl(own, KVM_CREATE_VCPU, 0);
            uint8_t *memory = mmap(NULL, 0x1000000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            memcpy(memory, (uint8_t[]){0xeb, 0xfe}, 2); // jmp to itself
            struct kvm_userspace_memory_region slot = {0, 0, 0, 0x1000000, (uintptr_t)memory};
            CHECK(own >= 0 && processor >= 0 && ioctl(own, KVM_SET_USER_MEMORY_REGION, &slot) == 0);
            struct kvm_sregs sregs;
            CHECK(ioctl(processor, KVM_GET_SREGS, &sregs) == 0);
            sregs.cs.base = sregs.cs.selector = 0;
            struct kvm_regs regs = {.rflags = 2};
            CHECK(ioctl(processor, KVM_SET_SREGS, &sregs) == 0 && ioctl(processor, KVM_SET_REGS, &regs) == 0);
            CHECK(pthread_create(&thread, NULL, kill_soon, (void *)(uintptr_t)(round * 300)) == 0);
            if (round % 3 == 0)
                ioctl(processor, KVM_RUN, 0);
            for (;;) {
                int fd = open("/dev/iommu", O_RDWR);
                struct ioas_alloc alloc = {.size = sizeof alloc};
                ioctl(fd, IOAS_ALLOC, &alloc);
                struct ioas_map map = {sizeof map, MAP_ALL, alloc.id, 0, (uintptr_t)memory, 0x1000000, 0};
                ioctl(fd, IOAS_MAP, &map);
                close(fd);
            }
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    new_ioas(iommufd);
}

#define CHILDREN 300

/* All of them at the same time, with the same files. */
static void children(void)
{
    int ready[2], go[2];
    CHECK(pipe(ready) == 0 && pipe(go) == 0);
    pid_t pids[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            char byte = 0;
            struct destroy destroy = {.size = sizeof destroy, .id = new_ioas(iommufd)};
            struct kvm_regs regs;
            FAILS(ioctl(vcpu, KVM_GET_REGS, &regs), EIO); // another process's machine
            CHECK(write(ready[1], &byte, 1) == 1 && close(go[1]) == 0 && read(go[0], &byte, 1) == 0);
            if (i % 3 == 0)
                raise(SIGKILL);
            if (i % 3 == 1)
                close(iommufd);
            else
                CHECK(ioctl(iommufd, DESTROY, &destroy) == 0);
            _exit(0);
        }
    }
    char bytes[CHILDREN];
    for (int got = 0; got < CHILDREN;) {
        ssize_t more = read(ready[0], bytes, sizeof bytes);
        CHECK(more > 0);
        got += more;
    }
    close(go[1]);
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && (i % 3 == 0 ? WIFSIGNALED(status) : status == 0));
    }
    struct kvm_regs regs;
    CHECK(ioctl(vcpu, KVM_GET_REGS, &regs) == 0);
}

/* Memory goes while it is pinned. */
static void pinned(void)
{
    uint32_t ioas = new_ioas(iommufd);
    uint32_t attach[4] = {16, 0, ioas, 0};
    CHECK(ioctl(vfio, 0x3b77, attach) == 0);
    for (int kind = 0; kind < 6; kind++)
        for (int shared = 0; shared < 2; shared++) {
            size_t length = 64 * PAGE;
            uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                                   (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
            CHECK(memory != MAP_FAILED);
            memset(memory, 7, length);
            struct ioas_map map = {sizeof map, MAP_ALL, ioas, 0, (uintptr_t)memory, length, 0};
            CHECK(ioctl(iommufd, IOAS_MAP, &map) == 0);
            switch (kind) {
            case 0: CHECK(munmap(memory, length) == 0); break;
            case 1: CHECK(madvise(memory, length, MADV_DONTNEED) == 0); break;
            case 2: memory = mremap(memory, length, 2 * length, MREMAP_MAYMOVE); CHECK(memory != MAP_FAILED); break;
            case 3: CHECK(mprotect(memory, length, PROT_NONE) == 0); break;
            case 4: CHECK(mmap(memory, length, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory); break;
            default: CHECK(munmap(memory + PAGE, PAGE) == 0 && munmap(memory + 9 * PAGE, 3 * PAGE) == 0);
            }
            struct ioas_unmap unmap = {sizeof unmap, ioas, map.iova, length};
            CHECK(kind == 3 || (ioctl(iommufd, IOAS_UNMAP, &unmap) == 0 && unmap.length == length));
        }
    // The last ones go with the process.
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    open_all();
    switch (arguments[1][0]) {
    case 'p': pointers(); break;
    case 'l': lengths(); break;
    case 'r': reuse(); break;
    case 'd': death(); break;
    case 'c': children(); break;
    default: pinned(); break;
    }
    return 0;
}
