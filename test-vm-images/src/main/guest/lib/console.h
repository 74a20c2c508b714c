/* SPDX-License-Identifier: Apache-2.0 */
/* Text on COM1, and the two ways an image ends. */
#pragma once

#include <stdbool.h>

/* Brings COM1 to a known state: 8 data bits, no interrupts. */
void console_init(void);

/* Prints with %s %c %d %u %x %%, and %ld %lu %lx for 64 bits. One call is never mixed with another CPU's. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes 0x10 (success) or 0x11 (failure) to the debug-exit port 0xf4, then halts: QEMU ends with status 33 or 35. */
_Noreturn void guest_exit(bool success);

/* Prints a line and ends with failure. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
