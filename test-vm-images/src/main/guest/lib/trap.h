/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions end an image with failure; one vector is for a device, one for spurious interrupts. */
#pragma once

#include <stdint.h>

#define VECTOR_DEVICE 64
#define VECTOR_SPURIOUS 255

struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Builds the IDT, loads it on this CPU and masks the legacy interrupt controllers. */
void trap_init(void);

/* Loads the IDT on a further CPU. */
void trap_init_ap(void);

/* How many interrupts came in on VECTOR_DEVICE. */
uint32_t device_interrupts(void);
