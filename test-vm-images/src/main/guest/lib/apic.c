/* SPDX-License-Identifier: Apache-2.0 */
#include "apic.h"

#include "console.h"
#include "cpu.h"
#include "trap.h"

enum {
    MSR_APIC_BASE = 0x1b,
    APIC_BASE_X2 = 1 << 10,
    APIC_BASE_ENABLE = 1 << 11,
    MSR_X2_FIRST = 0x800,
    REG_ID = 0x20,
    REG_TPR = 0x80,
    REG_EOI = 0xb0,
    REG_SPURIOUS = 0xf0,
    REG_ICR = 0x300,
    REG_ICR_HIGH = 0x310,
    REG_LVT_TIMER = 0x320,
    REG_LVT_LINT0 = 0x350,
    REG_LVT_LINT1 = 0x360,
    SPURIOUS_ENABLE = 1 << 8,
    LVT_MASKED = 1 << 16,
    ICR_INIT = 0x4500,
    ICR_STARTUP = 0x4600,
    ICR_PENDING = 1 << 12,
    ICR_POLLS = 100000,
    INIT_PAUSES = 20000,
};

static uint64_t read_base(void)
{
    return read_msr(MSR_APIC_BASE);
}

static uint32_t read_register(unsigned reg)
{
    uint64_t base = read_base();
    return base & APIC_BASE_X2 ? (uint32_t)read_msr(MSR_X2_FIRST + reg / 16) : mmio_read32((base & 0xfffff000) + reg);
}

static void write_register(unsigned reg, uint32_t value)
{
    uint64_t base = read_base();
    if (base & APIC_BASE_X2)
        write_msr(MSR_X2_FIRST + reg / 16, value);
    else
        mmio_write32((base & 0xfffff000) + reg, value);
}

void apic_init(void)
{
    if (!(cpuid(1).edx & 1 << 9))
        fail("apic: this CPU has no local APIC");
    uint64_t base = read_base();
    if (!(base & APIC_BASE_ENABLE))
        write_msr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
    write_register(REG_TPR, 0);
    write_register(REG_LVT_TIMER, LVT_MASKED);
    write_register(REG_LVT_LINT0, LVT_MASKED);
    write_register(REG_LVT_LINT1, LVT_MASKED);
    write_register(REG_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
}

uint32_t apic_id(void)
{
    uint32_t id = read_register(REG_ID);
    return read_base() & APIC_BASE_X2 ? id : id >> 24;
}

void apic_eoi(void)
{
    write_register(REG_EOI, 0);
}

static void send(uint32_t id, uint32_t command)
{
    if (read_base() & APIC_BASE_X2) {
        write_msr(MSR_X2_FIRST + REG_ICR / 16, (uint64_t)id << 32 | command);
        return;
    }
    write_register(REG_ICR_HIGH, id << 24);
    write_register(REG_ICR, command);
    for (int polls = 0; polls < ICR_POLLS && read_register(REG_ICR) & ICR_PENDING; polls++)
        cpu_pause();
}

void apic_start_cpu(uint32_t id, uintptr_t page)
{
    send(id, ICR_INIT);
    for (int i = 0; i < INIT_PAUSES; i++)
        cpu_pause();
    send(id, ICR_STARTUP | (uint32_t)(page / PAGE_SIZE));
}
