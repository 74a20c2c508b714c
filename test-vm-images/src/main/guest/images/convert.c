/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every page of a region goes private -> shared -> private, in ranges of one page up to all, with data checks;
 * then requests that must be refused, and how. Each half of a page's memory is fresh after a conversion to it; with
 * keep=1 there is one memory for both, and a conversion keeps the data.
 */
#include "convert.h"

#include "boot.h"
#include "console.h"
#include "page.h"

ALCOVE_IMAGE(WANTS_CONVERSIONS, "converts every page of a region both ways, then asks for what must be refused (pages=512 keep=0)");

#define REGION 0x1000000ul

static uint64_t pages;
static bool keeps;
static uint64_t image_pages[3 * PAGE_WORDS] __attribute__((aligned(4096)));

static volatile uint64_t *page_at(uint64_t index)
{
    return (volatile uint64_t *)(REGION + index * PAGE_SIZE);
}

/* A different content for each page and each thing it was written for. */
static uint64_t key(uint64_t purpose, uint64_t index)
{
    return purpose << 32 | (index + 1);
}

enum { PRIVATE_BEFORE = 1, SHARED, PRIVATE_AFTER };

static void expect(uint64_t index, uint64_t purpose, uint64_t range, const char *when)
{
    if (index < pages && !page_holds(page_at(index), key(purpose, index), EVERY_LINE))
        fail("convert: page %lu, ranges of %lu pages: wrong data %s", index, range, when);
}

static void expect_zero(uint64_t index, uint64_t range, const char *when)
{
    if (!page_is_zero(page_at(index)))
        fail("convert: page %lu, ranges of %lu pages: not zero %s", index, range, when);
}

/* After a conversion: the data from before it where that is kept, else nothing. */
static void expect_converted(uint64_t index, uint64_t before, uint64_t range, const char *when)
{
    if (keeps)
        expect(index, before, range, when);
    else
        expect_zero(index, range, when);
}

static void fill(uint64_t first, uint64_t end, uint64_t purpose)
{
    for (uint64_t i = first; i < end; i++)
        page_fill(page_at(i), key(purpose, i), EVERY_LINE);
}

/* One range there and back. The pages before it have been through, the ones after it not. */
static void there_and_back(uint64_t first, uint64_t end, uint64_t range)
{
    convert(REGION + first * PAGE_SIZE, end - first, true);
    for (uint64_t i = first; i < end; i++)
        expect_converted(i, PRIVATE_BEFORE, range, "after conversion to shared");
    fill(first, end, SHARED);
    expect(first - 1, PRIVATE_AFTER, range, "before a range that became shared");
    expect(end, PRIVATE_BEFORE, range, "behind a range that became shared");
    for (uint64_t i = first; i < end; i++)
        expect(i, SHARED, range, "while shared");

    convert(REGION + first * PAGE_SIZE, end - first, false);
    for (uint64_t i = first; i < end; i++)
        expect_converted(i, SHARED, range, "after conversion to private");
    fill(first, end, PRIVATE_AFTER);
    expect(first - 1, PRIVATE_AFTER, range, "before a range that became private");
    expect(end, PRIVATE_BEFORE, range, "behind a range that became private");
}

static void sweep(uint64_t range)
{
    uint64_t conversions = 0;
    fill(0, pages, PRIVATE_BEFORE);
    for (uint64_t first = 0; first < pages; first += range) {
        uint64_t end = first + range < pages ? first + range : pages;
        there_and_back(first, end, range);
        conversions += 2;
    }
    for (uint64_t i = 0; i < pages; i++)
        expect(i, PRIVATE_AFTER, range, "at the end");
    print("ranges of %lu page%s: %lu conversions\n", range, range == 1 ? "" : "s", conversions);
}

/* Every second page shared; then one request over the mixture, in each direction. */
static void mixture(void)
{
    fill(0, pages, PRIVATE_BEFORE);
    for (uint64_t i = 0; i < pages; i += 2) {
        convert(REGION + i * PAGE_SIZE, 1, true);
        page_fill(page_at(i), key(SHARED, i), EVERY_LINE);
    }
    for (uint64_t i = 0; i < pages; i++)
        expect(i, i % 2 ? PRIVATE_BEFORE : SHARED, 1, "in a mixture");
    convert(REGION, pages, true);
    for (uint64_t i = 0; i < pages; i++) {
        if (i % 2)
            expect_converted(i, PRIVATE_BEFORE, pages, "when a mixture became shared");
        else
            expect(i, SHARED, pages, "in a page that was shared before");
    }
    for (uint64_t i = 0; i < pages; i += 2) {
        convert(REGION + i * PAGE_SIZE, 1, false);
        page_fill(page_at(i), key(PRIVATE_AFTER, i), EVERY_LINE);
    }
    convert(REGION, pages, false);
    for (uint64_t i = 0; i < pages; i++) {
        if (i % 2)
            expect_converted(i, PRIVATE_BEFORE, pages, "when a mixture became private");
        else
            expect(i, PRIVATE_AFTER, pages, "in a page that was private before");
    }
    print("mixtures: ok\n");
}

/* A conversion to what a page is already changes nothing. */
static void idempotence(void)
{
    fill(0, pages, PRIVATE_BEFORE);
    convert(REGION, pages, false);
    for (uint64_t i = 0; i < pages; i++)
        expect(i, PRIVATE_BEFORE, pages, "after private to private");
    convert(REGION, pages, true);
    fill(0, pages, SHARED);
    convert(REGION, pages, true);
    for (uint64_t i = 0; i < pages; i++)
        expect(i, SHARED, pages, "after shared to shared");
    convert(REGION, pages, false);
    print("idempotence: ok\n");
}

static void own_page_converted(const uint64_t *page, uint64_t before, const char *to)
{
    if (!keeps && !page_is_zero(page))
        fail("convert: a page of the image: not zero after conversion to %s", to);
    if (keeps && !page_holds(page, before, EVERY_LINE))
        fail("convert: a page of the image: wrong data after conversion to %s", to);
}

/* The image's own pages are shared from the start. */
static void own_pages(void)
{
    for (unsigned i = 0; i < 3; i++)
        page_fill(image_pages + i * PAGE_WORDS, key(SHARED, i), EVERY_LINE);
    uint64_t *middle = image_pages + PAGE_WORDS;
    convert((uint64_t)middle, 1, false);
    own_page_converted(middle, key(SHARED, 1), "private");
    page_fill(middle, key(PRIVATE_AFTER, 1), EVERY_LINE);
    if (!page_holds(middle, key(PRIVATE_AFTER, 1), EVERY_LINE))
        fail("convert: a page of the image: wrong data while private");
    convert((uint64_t)middle, 1, true);
    own_page_converted(middle, key(PRIVATE_AFTER, 1), "shared");
    if (!page_holds(image_pages, key(SHARED, 0), EVERY_LINE)
        || !page_holds(image_pages + 2 * PAGE_WORDS, key(SHARED, 2), EVERY_LINE))
        fail("convert: a page of the image: a neighbour changed");
    print("pages of the image: ok\n");
}

static void refuse(const char *what, uint64_t gpa, uint64_t count, uint64_t attributes)
{
    int64_t result = hypercall(KVM_HC_MAP_GPA_RANGE, gpa, count, attributes);
    if (result != -KVM_EINVAL)
        fail("refusals: %s: %ld instead of %d", what, result, -KVM_EINVAL);
    print("refused: %s\n", what);
}

static void refusals(void)
{
    uint64_t top = ram_end(REGION);
    volatile uint64_t *last = (volatile uint64_t *)(top - PAGE_SIZE);
    uint64_t pair = top - 2 * PAGE_SIZE;

    fill(0, pages, PRIVATE_BEFORE);
    refuse("an unaligned address", REGION + 0x800, 1, 0);
    refuse("no pages", REGION, 0, 0);
    refuse("a count that wraps the page number", REGION, ~0ul, 0);
    refuse("a size that wraps the address", REGION, 1ul << 52, 0);
    refuse("the end of the address space", -PAGE_SIZE, 2, 0);
    refuse("an unknown attribute", REGION, 1, 1 << 5);
    refuse("an unknown attribute of a private page", REGION, 1, MAP_GPA_PRIVATE | 1ul << 63);
    refuse("private where there is no RAM", top, 1, MAP_GPA_PRIVATE);
    for (uint64_t i = 0; i < pages; i++)
        expect(i, PRIVATE_BEFORE, pages, "after a refusal");

    page_fill(last, key(PRIVATE_BEFORE, pages), EVERY_LINE);
    refuse("shared over the end of RAM", pair, 4, 0);
    if (!page_holds(last, key(PRIVATE_BEFORE, pages), EVERY_LINE))
        fail("refusals: the last private page of RAM changed");
    convert(pair, 2, true);
    page_fill(last, key(SHARED, pages), EVERY_LINE);
    refuse("private over the end of RAM", pair, 4, MAP_GPA_PRIVATE);
    if (!page_holds(last, key(SHARED, pages), EVERY_LINE))
        fail("refusals: the last shared page of RAM changed");
    convert(pair, 2, false);

    int64_t unknown = hypercall(999, REGION, 1, 0);
    if (unknown != -KVM_ENOSYS)
        fail("refusals: an unknown hypercall: %ld instead of %d", unknown, -KVM_ENOSYS);
    print("refused: an unknown hypercall\n");
}

static void plain_memory(void)
{
    fill(0, pages, PRIVATE_BEFORE);
    for (uint64_t i = 0; i < pages; i++)
        expect(i, PRIVATE_BEFORE, pages, "in plain memory");
    print("memory: %lu pages, ok\n", pages);
}

bool image_main(void)
{
    static const uint64_t ranges[] = {1, 2, 3, 7, 64, 512};
    pages = option("pages", 512);
    keeps = option("keep", 0);
    if (!pages || pages > 1ul << 20 || !is_ram(REGION, (pages + 2) * PAGE_SIZE))
        fail("convert: pages=%lu does not fit in RAM from 16 MiB on", pages);
    if (!conversions_available()) {
        plain_memory();
        return true;
    }
    for (uint64_t i = 0; i < pages; i++)
        expect_zero(i, pages, "at the start");
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i] < pages)
            sweep(ranges[i]);
    sweep(pages);
    mixture();
    idempotence();
    own_pages();
    refusals();
    print("convert: ok\n");
    return true;
}
