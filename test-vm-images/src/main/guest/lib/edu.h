/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's educational PCI device (docs/specs/edu): a few registers and a DMA engine with a 4 KiB buffer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* QEMU 7.2 aborts at a transfer that touches the last byte of the buffer, so ours end before it. */
#define EDU_MAX_TRANSFER 4088u
/* The device can address RAM below this only. */
#define EDU_DMA_LIMIT 0x10000000ul

#define EDU_ID 0x00
#define EDU_LIVENESS 0x04
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_STATUS_COMPUTING 1u
#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACKNOWLEDGE 0x64

/* Finds the device, gives it an address where it has none, turns memory access and bus mastering on. False if there is none. */
bool edu_init(void);

uint32_t edu_read(unsigned reg);
void edu_write(unsigned reg, uint32_t value);

/* Sends MSIs to this CPU's APIC at VECTOR_DEVICE. False if the device has no MSI capability. */
bool edu_enable_msi(void);

/* One transfer of bytes between RAM and offset in the device's buffer; returns when the device has ended it. */
void edu_from_ram(uint64_t gpa, unsigned offset, unsigned bytes);
void edu_to_ram(uint64_t gpa, unsigned offset, unsigned bytes);

/* As edu_to_ram, and asks for an interrupt at the end. */
void edu_to_ram_interrupt(uint64_t gpa, unsigned offset, unsigned bytes);
