/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pages of known content. */
#pragma once

#include "cpu.h"

#define PAGE_WORDS (PAGE_SIZE / sizeof(uint64_t))

/* Which words of a page to write or check: all, or one in each 64 bytes, where pages are many. */
enum page_step { EVERY_WORD = 1, EVERY_LINE = 8 };

/* Word i of a page filled with key. */
static inline uint64_t page_word(uint64_t key, uint64_t i)
{
    return key * 0xbf58476d1ce4e5b9 + i * 0x9e3779b97f4a7c15;
}

static inline void page_fill(volatile uint64_t *page, uint64_t key, enum page_step step)
{
    for (uint64_t i = 0; i < PAGE_WORDS; i += step)
        page[i] = page_word(key, i);
}

/* True if the first words words have the content page_fill(key) gave. */
static inline bool page_begins(const volatile uint64_t *page, uint64_t key, uint64_t words, enum page_step step)
{
    for (uint64_t i = 0; i < words; i += step)
        if (page[i] != page_word(key, i))
            return false;
    return true;
}

/* The same for all of the page. */
static inline bool page_holds(const volatile uint64_t *page, uint64_t key, enum page_step step)
{
    return page_begins(page, key, PAGE_WORDS, step);
}

/* Looks at every word: what was there before a conversion must be nowhere. */
static inline bool page_is_zero(const volatile uint64_t *page)
{
    uint64_t bits = 0;
    for (uint64_t i = 0; i < PAGE_WORDS; i += 8)
        bits |= page[i] | page[i + 1] | page[i + 2] | page[i + 3] | page[i + 4] | page[i + 5] | page[i + 6] | page[i + 7];
    return !bits;
}
