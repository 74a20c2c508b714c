/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

#include "console.h"
#include "cpu.h"

enum { KVM_FEATURE_HC_MAP_GPA_RANGE = 16, RETRIES = 100000 };

static bool kvm_offers_conversions(void)
{
    /* KVM's leaves move up where another interface (Hyper-V's) is offered before them. */
    for (uint32_t base = 0x40000000; base < 0x40010000; base += 0x100) {
        struct cpuid id = cpuid(base);
        if (id.ebx == 0x4b4d564b && id.ecx == 0x564b4d56 && id.edx == 0x4d) /* "KVMKVMKVM\0\0\0" */
            return id.eax >= base + 1 && cpuid(base + 1).eax >> KVM_FEATURE_HC_MAP_GPA_RANGE & 1;
    }
    return false;
}

bool conversions_available(void)
{
    static bool asked, available;
    if (!asked) {
        asked = true;
        available = kvm_offers_conversions();
        if (!available)
            print("no page conversions here\n");
    }
    return available;
}

/* AMD's and Hygon's CPUs have vmmcall, all others vmcall. */
static bool has_vmmcall(void)
{
    uint32_t vendor = cpuid(0).ebx;
    return vendor == 0x68747541 /* "Auth" */ || vendor == 0x6f677948 /* "Hygo" */;
}

int64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t result;
    if (has_vmmcall())
        asm volatile("vmmcall" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    else
        asm volatile("vmcall" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

void convert(uint64_t gpa, uint64_t pages, bool to_shared)
{
    int64_t result = -KVM_EAGAIN;
    for (int i = 0; i < RETRIES && result == -KVM_EAGAIN; i++)
        result = hypercall(KVM_HC_MAP_GPA_RANGE, gpa, pages, to_shared ? 0 : MAP_GPA_PRIVATE);
    if (result)
        fail("convert: 0x%lx, %lu pages, to %s: error %ld", gpa, pages, to_shared ? "shared" : "private", result);
}
