/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration of bus 0 through ports 0xcf8 and 0xcfc. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u
#define PCI_BAR0 0x10
#define PCI_CAP_MSI 0x05
/* What a read of a device finds that was taken out. */
#define PCI_GONE 0xffffffffu

struct pci_function {
    uint8_t device, function;
};

/* Finds the first function with these ids. */
bool pci_find(uint16_t vendor, uint16_t device, struct pci_function *found);

uint32_t pci_read(struct pci_function f, unsigned offset);
void pci_write(struct pci_function f, unsigned offset, uint32_t value);

/* Offset of a capability, or 0. */
unsigned pci_capability(struct pci_function f, uint8_t id);
