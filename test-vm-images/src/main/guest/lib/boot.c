/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include "console.h"
#include "cpu.h"
#include "trap.h"

/* struct hvm_start_info and hvm_memmap_table_entry of Xen's PVH boot ABI (arch-x86/hvm/start_info.h), version 1. */
struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t memmap;
    uint32_t memmap_entries;
    uint32_t reserved;
};

struct memmap_entry {
    uint64_t address;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

enum { START_MAGIC = 0x336ec578, TYPE_RAM = 1, MAX_CMDLINE = 1024, MAX_ENTRIES = 64 };

static char cmdline[MAX_CMDLINE];
static struct memmap_entry memmap[MAX_ENTRIES];
static unsigned memmap_entries;

static void read_start_info(const struct start_info *info)
{
    if (info->magic != START_MAGIC)
        fail("boot: no PVH start info (magic 0x%x)", info->magic);
    if (info->cmdline) {
        const char *from = (const char *)info->cmdline;
        for (unsigned i = 0; from[i]; i++) {
            if (i == MAX_CMDLINE - 1)
                fail("boot: a command line longer than %d bytes", MAX_CMDLINE - 1);
            cmdline[i] = from[i];
        }
    }
    if (info->version < 1 || !info->memmap_entries || info->memmap_entries > MAX_ENTRIES)
        fail("boot: version %u with %u memory map entries", info->version, info->memmap_entries);
    const struct memmap_entry *from = (const struct memmap_entry *)info->memmap;
    for (memmap_entries = 0; memmap_entries < info->memmap_entries; memmap_entries++)
        memmap[memmap_entries] = from[memmap_entries];
}

uint64_t ram_end(uint64_t from)
{
    uint64_t end = from;
    for (bool moved = true; moved;) {
        moved = false;
        for (unsigned i = 0; i < memmap_entries; i++) {
            const struct memmap_entry *e = &memmap[i];
            if (e->type == TYPE_RAM && end >= e->address && end - e->address < e->size) {
                end = e->address + e->size;
                moved = true;
            }
        }
    }
    return end;
}

bool is_ram(uint64_t from, uint64_t bytes)
{
    return ram_end(from) - from >= bytes;
}

static uint64_t parse_number(const char *name, const char *text)
{
    unsigned base = 10;
    if (text[0] == '0' && text[1] == 'x') {
        base = 16;
        text += 2;
    }
    uint64_t value = 0;
    const char *p = text;
    for (; *p && *p != ' '; p++) {
        char c = *p;
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
        if (digit >= base || value > (~0ul - digit) / base)
            fail("command line: %s= wants a number", name);
        value = value * base + digit;
    }
    if (p == text)
        fail("command line: %s= wants a number", name);
    return value;
}

uint64_t option(const char *name, uint64_t otherwise)
{
    uint64_t value = otherwise;
    for (const char *p = cmdline; *p;) {
        unsigned i = 0;
        while (name[i] && p[i] == name[i])
            i++;
        if (!name[i] && p[i] == '=')
            value = parse_number(name, p + i + 1);
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    return value;
}

void boot_main(const struct start_info *info)
{
    console_init();
    trap_init();
    read_start_info(info);
    guest_exit(image_main());
}
