/* SPDX-License-Identifier: Apache-2.0 */
/* The edu device may reach exactly the shared pages. */
#include "apic.h"
#include "boot.h"
#include "console.h"
#include "convert.h"
#include "edu.h"
#include "page.h"
#include "trap.h"

ALCOVE_IMAGE(WANTS_CONVERSIONS | WANTS_EDU, "drives the edu device: DMA reaches shared pages and no private one");

/* Two pages of RAM outside the image: private at the start. */
#define FIRST 0x1000000ul
#define SECOND (FIRST + PAGE_SIZE)

#define MOVED_WORDS (EDU_MAX_TRANSFER / sizeof(uint64_t))

enum { INTERRUPT_POLLS = 20000000, QUIET_PAUSES = 200000, RAISED = 2, RAISED_BY_DMA = 0x100 };

/* The image's own pages are shared. */
static uint64_t source[PAGE_WORDS] __attribute__((aligned(4096)));
static uint64_t target[PAGE_WORDS] __attribute__((aligned(4096)));
static uint64_t next_key;

static volatile uint64_t *at(uint64_t gpa)
{
    return (volatile uint64_t *)gpa;
}

/* Content that was never used before, in the device's buffer. */
static uint64_t load_device(void)
{
    page_fill(source, ++next_key, EVERY_WORD);
    edu_from_ram((uint64_t)source, 0, EDU_MAX_TRANSFER);
    return next_key;
}

static void registers(void)
{
    uint32_t id = edu_read(EDU_ID);
    if (id != 0x010000ed)
        fail("edu: identification 0x%x", id);
    edu_write(EDU_LIVENESS, 0x12345678);
    if (edu_read(EDU_LIVENESS) != ~0x12345678u)
        fail("edu: liveness register holds 0x%x", edu_read(EDU_LIVENESS));
    edu_write(EDU_FACTORIAL, 10);
    for (int i = 0; edu_read(EDU_STATUS) & EDU_STATUS_COMPUTING; i++) {
        if (i == INTERRUPT_POLLS)
            fail("edu: the factorial does not end");
        cpu_pause();
    }
    if (edu_read(EDU_FACTORIAL) != 3628800)
        fail("edu: 10! = %u", edu_read(EDU_FACTORIAL));
    print("registers: ok\n");
}

static void shared_memory(void)
{
    uint64_t key = load_device();
    edu_to_ram((uint64_t)target, 0, EDU_MAX_TRANSFER);
    if (!page_begins(target, key, MOVED_WORDS, EVERY_WORD))
        fail("dma: a round trip through shared memory lost data");
    /* A part: 512 bytes into the middle, nothing else changes. */
    uint64_t other = ++next_key;
    page_fill(source, other, EVERY_WORD);
    edu_from_ram((uint64_t)(source + 64), 1024, 512);
    edu_to_ram((uint64_t)(target + 128), 1024, 512);
    for (unsigned i = 0; i < MOVED_WORDS; i++) {
        uint64_t expected = i >= 128 && i < 192 ? page_word(other, i - 64) : page_word(key, i);
        if (target[i] != expected)
            fail("dma: word %u after a transfer of a part", i);
    }
    print("shared memory: ok\n");
}

/* Exactly one interrupt has come since there were before, and the device says why. */
static void expect_interrupt(uint32_t before, uint32_t reason, const char *what)
{
    interrupts_on();
    for (int i = 0; device_interrupts() == before; i++) {
        if (i == INTERRUPT_POLLS)
            fail("msi: no interrupt for %s", what);
        cpu_pause();
    }
    uint32_t status = edu_read(EDU_IRQ_STATUS);
    if (status != reason)
        fail("msi: interrupt status 0x%x for %s", status, what);
    edu_write(EDU_IRQ_ACKNOWLEDGE, status);
    if (edu_read(EDU_IRQ_STATUS))
        fail("msi: interrupt status 0x%x after acknowledging %s", edu_read(EDU_IRQ_STATUS), what);
    for (int i = 0; i < QUIET_PAUSES; i++)
        cpu_pause();
    interrupts_off();
    if (device_interrupts() != before + 1)
        fail("msi: %u interrupts for %s", device_interrupts() - before, what);
}

static void interrupts(void)
{
    apic_init();
    if (!edu_enable_msi()) {
        print("no MSI capability\n");
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        uint32_t before = device_interrupts();
        edu_write(EDU_IRQ_RAISE, RAISED);
        expect_interrupt(before, RAISED, "the raise register");
    }
    uint32_t before = device_interrupts();
    edu_to_ram_interrupt((uint64_t)target, 0, EDU_MAX_TRANSFER);
    expect_interrupt(before, RAISED_BY_DMA, "a transfer");
    print("interrupts: ok\n");
}

static void expect_no_write(uint64_t gpa, const char *when)
{
    uint64_t key = ++next_key;
    page_fill(at(gpa), key, EVERY_WORD);
    load_device();
    edu_to_ram(gpa, 0, EDU_MAX_TRANSFER);
    if (!page_holds(at(gpa), key, EVERY_WORD))
        fail("dma: the device wrote to a private page %s", when);
}

static void expect_no_read(uint64_t gpa, const char *when)
{
    load_device();
    uint64_t secret = ++next_key;
    page_fill(at(gpa), secret, EVERY_WORD);
    edu_from_ram(gpa, 0, EDU_MAX_TRANSFER);
    page_fill(target, 0, EVERY_WORD);
    edu_to_ram((uint64_t)target, 0, EDU_MAX_TRANSFER);
    for (unsigned i = 0; i < PAGE_WORDS; i++)
        if (target[i] == page_word(secret, i))
            fail("dma: the device read word %u of a private page %s", i, when);
    if (!page_holds(at(gpa), secret, EVERY_WORD))
        fail("dma: a private page changed %s", when);
}

static void expect_access(uint64_t gpa)
{
    uint64_t key = load_device();
    edu_to_ram(gpa, 0, EDU_MAX_TRANSFER);
    if (!page_begins(at(gpa), key, MOVED_WORDS, EVERY_WORD))
        fail("dma: the device cannot write to a page that became shared");
    page_fill(at(gpa), ++next_key, EVERY_WORD);
    edu_from_ram(gpa, 0, EDU_MAX_TRANSFER);
    edu_to_ram((uint64_t)target, 0, EDU_MAX_TRANSFER);
    if (!page_begins(target, next_key, MOVED_WORDS, EVERY_WORD))
        fail("dma: the device cannot read a page that became shared");
}

/* A transfer over the border of a shared and a private page: what is private stays as it is. */
static void border(void)
{
    convert(FIRST, 1, true);
    page_fill(at(SECOND), ++next_key, EVERY_WORD);
    uint64_t key = next_key;
    load_device();
    edu_to_ram(FIRST + PAGE_SIZE / 2, 0, EDU_MAX_TRANSFER);
    if (!page_holds(at(SECOND), key, EVERY_WORD))
        fail("dma: the device wrote over the border of a private page");
    convert(FIRST, 1, false);
}

static void private_memory(void)
{
    expect_no_write(FIRST, "at the start");
    expect_no_read(FIRST, "at the start");
    print("private memory: out of reach\n");
    convert(FIRST, 1, true);
    expect_access(FIRST);
    print("converted to shared: within reach\n");
    convert(FIRST, 1, false);
    expect_no_write(FIRST, "after conversion to private");
    expect_no_read(FIRST, "after conversion to private");
    border();
    print("converted to private: out of reach\n");
}

bool image_main(void)
{
    if (!is_ram(FIRST, 2 * PAGE_SIZE))
        fail("dma: no RAM at 16 MiB");
    if (!edu_init())
        fail("no edu device");
    bool conversions = conversions_available();
    registers();
    shared_memory();
    interrupts();
    if (conversions)
        private_memory();
    print("dma: ok\n");
    return true;
}
