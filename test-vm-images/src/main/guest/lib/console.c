/* SPDX-License-Identifier: Apache-2.0 */
#include "console.h"

#include <stdarg.h>

#include "cpu.h"

enum {
    COM1_DATA = 0x3f8,
    COM1_IER = 0x3f9,
    COM1_FCR = 0x3fa,
    COM1_LCR = 0x3fb,
    COM1_MCR = 0x3fc,
    COM1_LSR = 0x3fd,
    LSR_THR_EMPTY = 0x20,
    DEBUG_EXIT = 0xf4,
    EXIT_SUCCESS = 0x10,
    EXIT_FAILURE = 0x11,
    /* A UART that is never ready must not hang the image: the byte is then written all the same. */
    LSR_POLLS = 1000000,
};

static struct spinlock console_lock;

void console_init(void)
{
    out8(COM1_IER, 0);
    out8(COM1_LCR, 3);
    out8(COM1_FCR, 1);
    out8(COM1_MCR, 3);
}

static void put_char(char c)
{
    for (int polls = 0; polls < LSR_POLLS && !(in8(COM1_LSR) & LSR_THR_EMPTY); polls++)
        cpu_pause();
    out8(COM1_DATA, (uint8_t)c);
}

static void put_text(const char *text)
{
    while (*text)
        put_char(*text++);
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[21];
    char *p = digits + sizeof digits - 1;
    *p = 0;
    do {
        *--p = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    put_text(p);
}

static void put_signed(int64_t value)
{
    if (value < 0)
        put_char('-');
    put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
}

static void put_formatted(const char *format, va_list args)
{
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put_char(*p);
            continue;
        }
        bool wide = *++p == 'l';
        if (wide)
            p++;
        switch (*p) {
        case 's':
            put_text(va_arg(args, const char *));
            break;
        case 'c':
            put_char((char)va_arg(args, int));
            break;
        case 'd':
            put_signed(wide ? va_arg(args, int64_t) : va_arg(args, int));
            break;
        case 'u':
            put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned), 10);
            break;
        case 'x':
            put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned), 16);
            break;
        default:
            put_char(*p);
        }
    }
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    spin_lock(&console_lock);
    put_formatted(format, args);
    spin_unlock(&console_lock);
    va_end(args);
}

void guest_exit(bool success)
{
    out32(DEBUG_EXIT, success ? EXIT_SUCCESS : EXIT_FAILURE);
    for (;;)
        asm volatile("cli; hlt");
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    /* The lock is kept: nothing may follow the reason of a failure. */
    spin_lock(&console_lock);
    put_formatted(format, args);
    put_char('\n');
    guest_exit(false);
}
