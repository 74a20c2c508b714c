/* SPDX-License-Identifier: Apache-2.0 */
/* The further CPUs of a VM, with APIC ids 1, 2, ... */
#pragma once

#define MAX_CPUS 16u

/* Starts CPUs 1 to count - 1 one after another; each calls work(its number) at once, then halts. A CPU that does not come is a failure. */
void smp_start(unsigned count, void (*work)(unsigned cpu));

/* Waits until work has returned on all of them. */
void smp_wait(void);
