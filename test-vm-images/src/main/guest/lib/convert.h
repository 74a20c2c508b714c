/* SPDX-License-Identifier: Apache-2.0 */
/* Page conversions between private and shared: KVM's hypercall MAP_GPA_RANGE. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define KVM_HC_MAP_GPA_RANGE 12
#define MAP_GPA_PAGE_2M 1ul
#define MAP_GPA_PRIVATE (1ul << 4)
#define KVM_EAGAIN 11
#define KVM_EINVAL 22
#define KVM_ENOSYS 1000

/* True if the hypervisor offers the hypercall (KVM_FEATURE_HC_MAP_GPA_RANGE). If not, the first call prints "no page conversions here". */
bool conversions_available(void);

/* The bare hypercall: 0 or a negative KVM_E number. */
int64_t hypercall(uint64_t number, uint64_t a, uint64_t b, uint64_t c);

/* Converts pages 4 KiB pages from gpa on, again while the answer is "try again". Another error ends the image with failure. */
void convert(uint64_t gpa, uint64_t pages, bool to_shared);
