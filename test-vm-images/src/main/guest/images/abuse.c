/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no sane guest does, from all CPUs at once and without a pause: conversions of the same pages at the same time,
 * out of range, wrapping, unaligned, unknown, and touches of pages that others are converting. Then every other page
 * becomes shared, until the VMM has had enough. Nothing may hang, and each answer must be one that the request can have.
 */
#include "boot.h"
#include "console.h"
#include "convert.h"
#include "cpu.h"
#include "random.h"
#include "smp.h"

ALCOVE_IMAGE(WANTS_CONVERSIONS, "wild conversions from all CPUs, then every other page shared (seed=1 ops=500 mcycles=0 pages=8192 cpus=1 keep=0)");

#define REGION 0x1000000ul
#define KVM_EPERM 1
#define KVM_E2BIG 7

static uint64_t pages, end, ops, mcycles, seed;
static bool keeps;
static struct worker {
    struct random random;
    uint64_t requests;
} workers[MAX_CPUS];

static uint64_t tsc(void)
{
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static void wrong(const char *what, uint64_t gpa, uint64_t count, uint64_t attributes, int64_t result)
{
    fail("abuse: seed %lu: %s: gpa 0x%lx, %lu pages, attributes 0x%lx: got %ld", seed, what, gpa, count, attributes,
         result);
}

/* RAM that all CPUs fight for: done, "try again", or the policy. */
static void overlap(struct worker *w)
{
    uint64_t first = random_below(&w->random, pages);
    uint64_t count = 1 + random_below(&w->random, 1ul << random_below(&w->random, 13));
    if (count > pages - first)
        count = pages - first;
    uint64_t attributes = random_below(&w->random, 2) ? MAP_GPA_PRIVATE : 0;
    int64_t result = hypercall(KVM_HC_MAP_GPA_RANGE, REGION + first * PAGE_SIZE, count, attributes);
    if (result && result != -KVM_EAGAIN && result != -KVM_EPERM && result != -KVM_E2BIG)
        wrong("RAM", REGION + first * PAGE_SIZE, count, attributes, result);
}

/* Requests that cannot be granted. */
static void nonsense(struct worker *w)
{
    uint64_t gpa = REGION + random_below(&w->random, pages) * PAGE_SIZE;
    uint64_t count = 1 + random_below(&w->random, 16);
    uint64_t attributes = random_below(&w->random, 2) ? MAP_GPA_PRIVATE : 0;
    uint64_t number = KVM_HC_MAP_GPA_RANGE;
    int64_t expected = -KVM_EINVAL;
    switch (random_below(&w->random, 8)) {
    case 0:
        gpa += 1 + random_below(&w->random, PAGE_SIZE - 1);
        break;
    case 1:
        count = 0;
        break;
    case 2:
        count = random_next(&w->random) | 1ul << 63;
        break;
    case 3:
        attributes |= 1ul << (5 + random_below(&w->random, 59));
        break;
    case 4: /* the end of RAM in the middle of it */
        gpa = end - PAGE_SIZE;
        count = 2;
        break;
    case 5: /* no RAM at all: only private is an error */
        gpa = (1ul << 40) + random_below(&w->random, 1ul << 20) * PAGE_SIZE;
        expected = attributes ? -KVM_EINVAL : 0;
        break;
    case 6:
        gpa = -(1 + random_below(&w->random, 16)) * PAGE_SIZE;
        count += 16;
        break;
    default:
        number = 100 + random_below(&w->random, 1000);
        expected = -KVM_ENOSYS;
    }
    int64_t result = hypercall(number, gpa, count, attributes);
    if (result != expected)
        wrong("nonsense", gpa, count, attributes, result);
}

/* Nobody knows what a page holds that others convert; it must be there, whatever it is. */
static void touch(struct worker *w)
{
    volatile uint64_t *word = (volatile uint64_t *)(REGION + random_below(&w->random, pages) * PAGE_SIZE);
    if (random_below(&w->random, 2))
        *word = random_next(&w->random);
    else
        (void)*word;
}

static void work(unsigned cpu)
{
    struct worker *w = &workers[cpu];
    uint64_t start = tsc();
    for (uint64_t op = 0; mcycles ? tsc() - start < mcycles * 1000000 : op < ops; op++) {
        uint64_t kind = random_below(&w->random, 8);
        if (kind < 4)
            overlap(w);
        else if (kind < 6)
            nonsense(w);
        else
            touch(w);
        w->requests++;
    }
}

/* The most pieces that shared memory can be in. A refusal must not stand in the way of what makes it fewer. */
static void fragment(void)
{
    convert(REGION, pages, false);
    bool refused = false;
    uint64_t page = 0;
    for (; page < pages && !refused; page += 2) {
        int64_t result = -KVM_EAGAIN;
        while (result == -KVM_EAGAIN)
            result = hypercall(KVM_HC_MAP_GPA_RANGE, REGION + page * PAGE_SIZE, 1, 0);
        refused = result == -KVM_E2BIG;
        if (result && !refused)
            wrong("every other page", REGION + page * PAGE_SIZE, 1, 0, result);
    }
    if (refused && page > 2) {
        /* Who gives something back can have as much again. */
        convert(REGION, 1, false);
        convert(REGION, 1, true);
    }
    convert(REGION, pages, false);
    for (page = 0; page < pages && !keeps; page += 64)
        if (*(volatile uint64_t *)(REGION + page * PAGE_SIZE))
            fail("abuse: page %lu is private again, and not zero", page);
    print("abuse: every other page shared: %s\n", refused ? "refused at some point" : "done");
}

bool image_main(void)
{
    seed = option("seed", 1);
    ops = option("ops", 500);
    mcycles = option("mcycles", 0);
    keeps = option("keep", 0);
    uint64_t cpus = option("cpus", 1);
    if (!cpus || cpus > MAX_CPUS)
        fail("abuse: cpus=%lu is not from 1 to %u", cpus, MAX_CPUS);
    if (!is_ram(REGION, 1ul << 20))
        fail("abuse: wants RAM at 16 MiB");
    if (!conversions_available())
        return true;
    end = ram_end(REGION);
    pages = option("pages", 8192);
    if (!pages || pages > (end - REGION) / PAGE_SIZE)
        fail("abuse: pages=%lu, and there are %lu", pages, (end - REGION) / PAGE_SIZE);
    for (uint64_t i = 0; i < cpus; i++)
        workers[i].random.state = seed * MAX_CPUS + i;
    smp_start((unsigned)cpus, work);
    work(0);
    smp_wait();
    uint64_t requests = 0;
    for (uint64_t i = 0; i < cpus; i++)
        requests += workers[i].requests;
    if (mcycles)
        print("abuse: seed %lu, for a while\n", seed);
    else
        print("abuse: seed %lu, %lu requests\n", seed, requests);
    fragment();
    return true;
}
