/* SPDX-License-Identifier: Apache-2.0 */
#include "trap.h"

#include "apic.h"
#include "console.h"
#include "cpu.h"

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct stub {
    uint64_t vector;
    uint64_t address;
};

enum { INTERRUPT_GATE = 0x8e, CODE_SELECTOR = 0x08, PIC1_DATA = 0x21, PIC2_DATA = 0xa1 };

extern const struct stub trap_stubs[];

static struct gate idt[256];
static uint32_t device_count;

void trap_init_ap(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof idt - 1, (uint64_t)idt};
    asm volatile("lidt %0" ::"m"(pointer));
}

void trap_init(void)
{
    for (const struct stub *s = trap_stubs; s->address; s++)
        idt[s->vector] = (struct gate){
            .offset_low = (uint16_t)s->address,
            .selector = CODE_SELECTOR,
            .type = INTERRUPT_GATE,
            .offset_middle = (uint16_t)(s->address >> 16),
            .offset_high = (uint32_t)(s->address >> 32),
        };
    trap_init_ap();
    /* A firmware may have left its timer running on the 8259. */
    out8(PIC1_DATA, 0xff);
    out8(PIC2_DATA, 0xff);
}

uint32_t device_interrupts(void)
{
    return __atomic_load_n(&device_count, __ATOMIC_ACQUIRE);
}

void trap_handle(const struct trap_frame *frame)
{
    if (frame->vector == VECTOR_DEVICE) {
        __atomic_fetch_add(&device_count, 1, __ATOMIC_RELEASE);
        apic_eoi();
    } else if (frame->vector != VECTOR_SPURIOUS) {
        fail("exception %lu, error 0x%lx, rip 0x%lx, cr2 0x%lx", frame->vector, frame->error, frame->rip, read_cr2());
    }
}
