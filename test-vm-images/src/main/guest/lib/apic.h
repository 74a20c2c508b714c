/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC of the CPU that calls, as xAPIC, or as x2APIC where the VM starts it so. */
#pragma once

#include <stdint.h>

/* Enables it with all local sources masked. Ends with failure where the CPU has none. */
void apic_init(void);

uint32_t apic_id(void);

void apic_eoi(void);

/* Sends INIT, then the start-up IPI for code at page (below 1 MiB) to another CPU. */
void apic_start_cpu(uint32_t id, uintptr_t page);
