/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pages of known content. */
#pragma once

#include "cpu.h"

#define PAGE_WORDS (PAGE_SIZE / sizeof(uint64_t))

/* Word i of a page filled with key. */
static inline uint64_t page_word(uint64_t key, uint64_t i)
{
    return key * 0xbf58476d1ce4e5b9 + i * 0x9e3779b97f4a7c15;
}

static inline void page_fill(volatile uint64_t *page, uint64_t key)
{
    for (uint64_t i = 0; i < PAGE_WORDS; i++)
        page[i] = page_word(key, i);
}

/* True if the first words words have the content page_fill(key) gave. */
static inline bool page_begins(const volatile uint64_t *page, uint64_t key, uint64_t words)
{
    for (uint64_t i = 0; i < words; i++)
        if (page[i] != page_word(key, i))
            return false;
    return true;
}

/* The same for all of the page. */
static inline bool page_holds(const volatile uint64_t *page, uint64_t key)
{
    return page_begins(page, key, PAGE_WORDS);
}

static inline bool page_is_zero(const volatile uint64_t *page)
{
    uint64_t bits = 0;
    for (uint64_t i = 0; i < PAGE_WORDS; i++)
        bits |= page[i];
    return !bits;
}
