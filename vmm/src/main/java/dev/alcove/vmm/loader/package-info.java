// SPDX-License-Identifier: Apache-2.0
/** Guest images: a strict ELF64 parser and the PVH boot protocol. */
@org.jspecify.annotations.NullMarked
package dev.alcove.vmm.loader;
