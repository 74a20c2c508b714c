/* SPDX-License-Identifier: Apache-2.0 */
/* What the loader told us (PVH start info), kept in the image's own memory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

/* Bits of the note that tells what an image wants from a VM. */
#define WANTS_CONVERSIONS 1
#define WANTS_EDU 2

/* ELF notes "Alcove": type 1 holds the WANTS_ bits (4 bytes), type 2 one line that describes the image. */
#define ALCOVE_IMAGE(wants, text)                                                                                      \
    asm(".pushsection .note.alcove, \"a\", @note\n"                                                                    \
        ".balign 4\n.long 7, 4, 1\n.asciz \"Alcove\"\n.balign 4\n.long " STRINGIFY(wants) "\n"                         \
        ".long 7, 2f - 1f, 2\n.asciz \"Alcove\"\n.balign 4\n1: .asciz \"" text "\"\n2: .balign 4\n"                    \
        ".popsection")

/* The program itself: true is success. Runs on the first CPU in long mode, low 4 GiB identity mapped, interrupts off. */
bool image_main(void);

/* A word `name=NUMBER` of the command line (decimal or 0x...), else otherwise. A malformed number ends the image with failure. */
uint64_t option(const char *name, uint64_t otherwise);

/* True if the memory map says that all of [from, from + bytes) is RAM. */
bool is_ram(uint64_t from, uint64_t bytes);

/* The first address at or after from, which is in RAM, that is no RAM. */
uint64_t ram_end(uint64_t from);
