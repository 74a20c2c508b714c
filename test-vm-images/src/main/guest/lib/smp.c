/* SPDX-License-Identifier: Apache-2.0 */
#include "smp.h"

#include "apic.h"
#include "boot.h"
#include "console.h"
#include "convert.h"
#include "cpu.h"
#include "trap.h"

enum { TRAMPOLINE = 0x8000, AP_STACK = 8192, ARRIVAL_PAUSES = 50000000 };

extern const uint8_t ap_trampoline[], ap_trampoline_end[];

static uint8_t stacks[MAX_CPUS][AP_STACK] __attribute__((aligned(16)));
static void (*ap_work)(unsigned cpu);
static unsigned online, finished, started;

/* The assembler side reads it as a 32-bit address. One CPU starts at a time. */
uint8_t *ap_stack_top;

void ap_main(void)
{
    unsigned cpu = started;
    trap_init_ap();
    __atomic_store_n(&online, cpu, __ATOMIC_RELEASE);
    ap_work(cpu);
    __atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
}

void smp_start(unsigned count, void (*work)(unsigned cpu))
{
    if (count <= 1)
        return;
    if (count > MAX_CPUS)
        fail("smp: at most %u CPUs", MAX_CPUS);
    if (!is_ram(TRAMPOLINE, PAGE_SIZE))
        fail("smp: no RAM at 0x%x for the start-up code", TRAMPOLINE);
    /* Instructions that KVM emulates, as the trampoline's write to CR0 may be, are fetched from shared memory only. */
    if (conversions_available())
        convert(TRAMPOLINE, 1, true);
    uint8_t *trampoline = (uint8_t *)(uintptr_t)TRAMPOLINE;
    for (const uint8_t *from = ap_trampoline; from < ap_trampoline_end; from++)
        *trampoline++ = *from;
    ap_work = work;
    apic_init();
    for (unsigned cpu = 1; cpu < count; cpu++) {
        started = cpu;
        ap_stack_top = stacks[cpu] + AP_STACK;
        barrier();
        apic_start_cpu(cpu, TRAMPOLINE);
        for (int i = 0; __atomic_load_n(&online, __ATOMIC_ACQUIRE) != cpu; i++) {
            if (i == ARRIVAL_PAUSES)
                fail("smp: CPU %u did not start", cpu);
            cpu_pause();
        }
    }
}

void smp_wait(void)
{
    while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) != started)
        cpu_pause();
}
