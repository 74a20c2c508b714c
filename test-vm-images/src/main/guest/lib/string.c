/* SPDX-License-Identifier: Apache-2.0 */
/* What gcc calls even in freestanding code. */
#include <stddef.h>

void *memset(void *to, int value, size_t count)
{
    void *p = to;
    asm volatile("rep stosb" : "+D"(p), "+c"(count) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    void *p = to;
    asm volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(count)::"memory");
    return to;
}
