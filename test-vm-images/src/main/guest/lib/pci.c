/* SPDX-License-Identifier: Apache-2.0 */
#include "pci.h"

#include "cpu.h"

enum {
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    HEADER_TYPE = 0x0c,
    CAPABILITIES = 0x34,
    STATUS_CAPABILITIES = 1 << 20,
    MAX_CAPABILITIES = 48,
};

static void select(struct pci_function f, unsigned offset)
{
    out32(CONFIG_ADDRESS, 1u << 31 | (uint32_t)f.device << 11 | (uint32_t)f.function << 8 | (offset & 0xfc));
}

uint32_t pci_read(struct pci_function f, unsigned offset)
{
    select(f, offset);
    return in32(CONFIG_DATA);
}

void pci_write(struct pci_function f, unsigned offset, uint32_t value)
{
    select(f, offset);
    out32(CONFIG_DATA, value);
}

bool pci_find(uint16_t vendor, uint16_t device, struct pci_function *found)
{
    for (uint8_t d = 0; d < 32; d++) {
        unsigned functions = 1;
        for (uint8_t n = 0; n < functions; n++) {
            struct pci_function f = {d, n};
            uint32_t ids = pci_read(f, 0);
            if (ids == ~0u)
                continue;
            if (ids == ((uint32_t)device << 16 | vendor)) {
                *found = f;
                return true;
            }
            if (n == 0 && pci_read(f, HEADER_TYPE) & 0x800000)
                functions = 8;
        }
    }
    return false;
}

unsigned pci_capability(struct pci_function f, uint8_t id)
{
    if (!(pci_read(f, PCI_COMMAND) & STATUS_CAPABILITIES))
        return 0;
    unsigned at = pci_read(f, CAPABILITIES) & 0xfc;
    for (int i = 0; at && i < MAX_CAPABILITIES; i++) {
        uint32_t header = pci_read(f, at);
        if ((header & 0xff) == id)
            return at;
        at = header >> 8 & 0xfc;
    }
    return 0;
}
