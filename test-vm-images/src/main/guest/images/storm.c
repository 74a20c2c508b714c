/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pseudo-random conversions, writes and DMA over 16 MiB of RAM, on one or more CPUs, against a shadow of what
 * every page must hold. A page's content is its word at the start of each 512 bytes; all other bytes stay zero.
 * A conversion leaves a page empty, or with keep=1 as it is.
 */
#include "boot.h"
#include "console.h"
#include "convert.h"
#include "cpu.h"
#include "edu.h"
#include "random.h"
#include "smp.h"

ALCOVE_IMAGE(WANTS_CONVERSIONS, "pseudo-random conversions with DMA between (seed=1 ops=400 dmas=40 cpus=1 keep=0)");

#define REGION 0x1000000ul
#define PAGES 4096ul
#define SLOTS 8ul
#define SLOT_BYTES (PAGE_SIZE / SLOTS)
#define SLOT_WORDS (SLOT_BYTES / sizeof(uint64_t))

/* Pages [first, end) belong to one CPU, or to all under the lock. */
struct slice {
    uint64_t first, end;
    struct spinlock *lock;
};

struct worker {
    struct random random;
    struct slice own;
    uint64_t ops, transfers_left;
    uint64_t conversions, transfers;
};

static uint64_t shadow[PAGES][SLOTS];
static bool shared[PAGES];
static struct worker workers[MAX_CPUS];
static struct spinlock common_lock;
static struct slice common = {.lock = &common_lock};

/* The device and both buffers, taken after a slice's lock. The buffers are the image's, so shared. */
static struct spinlock device_lock;
static uint64_t outgoing[PAGE_SIZE / 8] __attribute__((aligned(4096)));
static uint64_t incoming[PAGE_SIZE / 8] __attribute__((aligned(4096)));

static uint64_t blank[PAGE_SIZE / 8] __attribute__((aligned(4096)));

static bool conversions, device, keeps;
static uint64_t seed;

static volatile uint64_t *slot_at(uint64_t page, uint64_t slot)
{
    return (volatile uint64_t *)(REGION + page * PAGE_SIZE + slot * SLOT_BYTES);
}

/* Never zero, so that lost data and fresh pages are told apart. */
static uint64_t fresh_value(struct worker *w)
{
    return random_next(&w->random) | 1;
}

static void store(struct worker *w, uint64_t page, uint64_t slot)
{
    *slot_at(page, slot) = shadow[page][slot] = fresh_value(w);
}

static void check(uint64_t page, const char *when)
{
    for (uint64_t slot = 0; slot < SLOTS; slot++)
        if (*slot_at(page, slot) != shadow[page][slot])
            fail("storm: seed %lu, %s: %s page %lu holds 0x%lx at %lu, expected 0x%lx", seed, when,
                 shared[page] ? "shared" : "private", page, *slot_at(page, slot), slot * SLOT_BYTES,
                 shadow[page][slot]);
}

/* Checks [first, end), the pages beside it and a few others of the slice. */
static void check_around(struct worker *w, const struct slice *s, uint64_t first, uint64_t end, const char *when)
{
    for (uint64_t page = first > s->first ? first - 1 : first; page < end + (end < s->end); page++)
        check(page, when);
    for (int i = 0; i < 4; i++)
        check(s->first + random_below(&w->random, s->end - s->first), when);
}

static void convert_some(struct worker *w, const struct slice *s)
{
    uint64_t size = s->end - s->first;
    uint64_t count = 1 + random_below(&w->random, 1ul << random_below(&w->random, 10));
    if (count > size)
        count = size;
    uint64_t first = s->first + random_below(&w->random, size - count + 1);
    uint64_t end = first + count;
    bool to_shared = random_below(&w->random, 2);

    convert(REGION + first * PAGE_SIZE, count, to_shared);
    w->conversions++;
    for (uint64_t page = first; page < end; page++) {
        if (shared[page] != to_shared && !keeps)
            for (uint64_t slot = 0; slot < SLOTS; slot++)
                shadow[page][slot] = 0;
        shared[page] = to_shared;
    }
    check_around(w, s, first, end, "after a conversion");
    for (uint64_t page = first; page < end; page++)
        if (random_below(&w->random, 2))
            for (uint64_t slot = 0; slot < SLOTS; slot++)
                store(w, page, slot);
    check_around(w, s, first, end, "after writing to converted pages");
}

static void write_some(struct worker *w, const struct slice *s)
{
    for (int i = 0; i < 16; i++)
        store(w, s->first + random_below(&w->random, s->end - s->first), random_below(&w->random, SLOTS));
    check_around(w, s, s->first, s->first + 1, "after a write");
}

/* A DMA target: count slots from slot of page on, which may go into the next page if that is in the same state. */
struct extent {
    uint64_t page, slot, count;
    unsigned offset;
};

static struct extent pick_extent(struct worker *w, const struct slice *s)
{
    struct extent e;
    e.page = s->first + random_below(&w->random, s->end - s->first);
    e.slot = random_below(&w->random, SLOTS);
    e.count = 1 + random_below(&w->random, SLOTS - 1);
    e.offset = (unsigned)(random_below(&w->random, SLOTS - e.count) * SLOT_BYTES);
    bool next_is_like_it = e.page + 1 < s->end && shared[e.page] == shared[e.page + 1];
    if (e.slot + e.count > SLOTS && !next_is_like_it)
        e.count = SLOTS - e.slot;
    return e;
}

static uint64_t extent_gpa(struct extent e)
{
    return (uint64_t)slot_at(e.page, e.slot);
}

/* What the shadow holds for slot i of an extent. */
static uint64_t *extent_shadow(struct extent e, uint64_t i)
{
    return &shadow[e.page + (e.slot + i) / SLOTS][(e.slot + i) % SLOTS];
}

static void dma_in(struct worker *w, const struct slice *s)
{
    struct extent e = pick_extent(w, s);
    unsigned bytes = (unsigned)(e.count * SLOT_BYTES);
    spin_lock(&device_lock);
    for (uint64_t i = 0; i < e.count; i++) {
        outgoing[i * SLOT_WORDS] = fresh_value(w);
        if (shared[e.page])
            *extent_shadow(e, i) = outgoing[i * SLOT_WORDS];
    }
    edu_from_ram((uint64_t)outgoing, e.offset, bytes);
    edu_to_ram(extent_gpa(e), e.offset, bytes);
    spin_unlock(&device_lock);
    check_around(w, s, e.page, e.page + 1, "after DMA to it");
}

static void dma_out(struct worker *w, const struct slice *s)
{
    struct extent e = pick_extent(w, s);
    unsigned bytes = (unsigned)(e.count * SLOT_BYTES);
    spin_lock(&device_lock);
    /* Else the device may still have from an earlier transfer what a private page has kept. */
    if (keeps)
        edu_from_ram((uint64_t)blank, e.offset, bytes);
    edu_from_ram(extent_gpa(e), e.offset, bytes);
    edu_to_ram((uint64_t)incoming, e.offset, bytes);
    for (uint64_t i = 0; i < e.count; i++) {
        uint64_t got = incoming[i * SLOT_WORDS];
        uint64_t held = *extent_shadow(e, i);
        if (shared[e.page] && got != held)
            fail("storm: seed %lu: DMA from shared page %lu got 0x%lx, expected 0x%lx", seed, e.page, got, held);
        if (!shared[e.page] && held && got == held)
            fail("storm: seed %lu: DMA read private page %lu", seed, e.page);
    }
    spin_unlock(&device_lock);
    check_around(w, s, e.page, e.page + 1, "after DMA from it");
}

/* What is chosen depends on the seed alone, so counts are the same in every run. */
static void step(struct worker *w, const struct slice *s)
{
    uint64_t kind = random_below(&w->random, 16);
    if (kind < 10 && conversions) {
        convert_some(w, s);
    } else if (kind >= 12 && device && w->transfers_left >= 2) {
        w->transfers_left -= 2;
        w->transfers += 2;
        if (kind < 14)
            dma_in(w, s);
        else
            dma_out(w, s);
    } else {
        write_some(w, s);
    }
}

static void work(unsigned cpu)
{
    struct worker *w = &workers[cpu];
    for (uint64_t op = 0; op < w->ops; op++) {
        if (random_below(&w->random, 4)) {
            step(w, &w->own);
        } else {
            spin_lock(common.lock);
            step(w, &common);
            spin_unlock(common.lock);
        }
    }
}

/* Share i of count in total, the first ones one larger. */
static uint64_t portion(uint64_t total, uint64_t i, uint64_t count)
{
    return total / count + (i < total % count);
}

bool image_main(void)
{
    seed = option("seed", 1);
    keeps = option("keep", 0);
    uint64_t ops = option("ops", 400), dmas = option("dmas", 40), cpus = option("cpus", 1);
    if (!cpus || cpus > MAX_CPUS)
        fail("storm: cpus=%lu is not from 1 to %u", cpus, MAX_CPUS);
    if (!is_ram(REGION, PAGES * PAGE_SIZE))
        fail("storm: wants RAM from 16 to 32 MiB");
    conversions = conversions_available();
    device = edu_init();

    uint64_t per_cpu = PAGES / (cpus + 1);
    for (uint64_t i = 0; i < cpus; i++)
        workers[i] = (struct worker){
            .random = {seed * MAX_CPUS + i},
            .own = {i * per_cpu, (i + 1) * per_cpu, 0},
            .ops = portion(ops, i, cpus),
            .transfers_left = portion(dmas / 2, i, cpus) * 2,
        };
    common.first = cpus * per_cpu;
    common.end = PAGES;
    for (uint64_t page = 0; page < PAGES; page++) {
        /* Without conversions all of RAM is as shared pages are, and a firmware may have been there. */
        shared[page] = !conversions;
        for (uint64_t slot = 0; !conversions && slot < SLOTS; slot++)
            *slot_at(page, slot) = 0;
        check(page, "at the start");
    }

    smp_start((unsigned)cpus, work);
    work(0);
    smp_wait();

    uint64_t converted = 0, transfers = 0;
    for (uint64_t page = 0; page < PAGES; page++)
        check(page, "at the end");
    for (uint64_t i = 0; i < cpus; i++) {
        converted += workers[i].conversions;
        transfers += workers[i].transfers;
    }
    print("storm: seed %lu, %lu conversions, %lu transfers, ok\n", seed, converted, transfers);
    return true;
}
