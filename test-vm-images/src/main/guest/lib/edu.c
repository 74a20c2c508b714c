/* SPDX-License-Identifier: Apache-2.0 */
#include "edu.h"

#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "pci.h"
#include "trap.h"

enum {
    VENDOR = 0x1234,
    DEVICE = 0x11e8,
    BUFFER = 0x40000,
    DMA_SOURCE = 0x80,
    DMA_DESTINATION = 0x88,
    DMA_COUNT = 0x90,
    DMA_COMMAND = 0x98,
    DMA_START = 1,
    DMA_TO_RAM = 2,
    DMA_INTERRUPT = 4,
    MSI_CONTROL_64BIT = 1 << 23,
    MSI_CONTROL_ENABLE = 1 << 16,
    MSI_CONTROL_MULTIPLE = 7 << 20,
    POLLS = 50000000,
};

/* Where the device goes if no firmware gave it a place. */
#define BAR0_ADDRESS 0xe0000000u
#define MSI_ADDRESS 0xfee00000u

static struct pci_function edu;
static uintptr_t registers;

bool edu_init(void)
{
    if (!pci_find(VENDOR, DEVICE, &edu))
        return false;
    if (!(pci_read(edu, PCI_BAR0) & ~0xfu))
        pci_write(edu, PCI_BAR0, BAR0_ADDRESS);
    registers = pci_read(edu, PCI_BAR0) & ~0xfu;
    /* The upper half is the status register, whose bits are cleared by ones. */
    uint32_t command = pci_read(edu, PCI_COMMAND) & 0xffff;
    pci_write(edu, PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return true;
}

uint32_t edu_read(unsigned reg)
{
    return mmio_read32(registers + reg);
}

void edu_write(unsigned reg, uint32_t value)
{
    mmio_write32(registers + reg, value);
}

bool edu_enable_msi(void)
{
    unsigned at = pci_capability(edu, PCI_CAP_MSI);
    if (!at)
        return false;
    uint32_t control = pci_read(edu, at);
    bool wide = control & MSI_CONTROL_64BIT;
    pci_write(edu, at + 4, MSI_ADDRESS | apic_id() << 12);
    if (wide)
        pci_write(edu, at + 8, 0);
    pci_write(edu, at + (wide ? 12 : 8), VECTOR_DEVICE);
    pci_write(edu, at, (control & ~(uint32_t)MSI_CONTROL_MULTIPLE) | MSI_CONTROL_ENABLE);
    return true;
}

static void transfer(uint64_t from, uint64_t to, unsigned offset, unsigned bytes, uint64_t gpa, uint32_t command)
{
    if (offset > EDU_MAX_TRANSFER || bytes > EDU_MAX_TRANSFER - offset || gpa + bytes > EDU_DMA_LIMIT)
        fail("edu: a transfer of %u bytes at 0x%lx and buffer offset %u is not possible", bytes, gpa, offset);
    barrier();
    edu_write(DMA_SOURCE, (uint32_t)from);
    edu_write(DMA_DESTINATION, (uint32_t)to);
    edu_write(DMA_COUNT, bytes);
    edu_write(DMA_COMMAND, command | DMA_START);
    uint32_t state;
    for (int i = 0; (state = edu_read(DMA_COMMAND)) & DMA_START; i++) {
        if (state == PCI_GONE)
            fail("edu: the device is gone in the middle of a transfer");
        if (i == POLLS)
            fail("edu: a transfer does not end");
        cpu_pause();
    }
    barrier();
}

void edu_from_ram(uint64_t gpa, unsigned offset, unsigned bytes)
{
    transfer(gpa, BUFFER + offset, offset, bytes, gpa, 0);
}

void edu_to_ram(uint64_t gpa, unsigned offset, unsigned bytes)
{
    transfer(BUFFER + offset, gpa, offset, bytes, gpa, DMA_TO_RAM);
}

void edu_to_ram_interrupt(uint64_t gpa, unsigned offset, unsigned bytes)
{
    transfer(BUFFER + offset, gpa, offset, bytes, gpa, DMA_TO_RAM | DMA_INTERRUPT);
}
