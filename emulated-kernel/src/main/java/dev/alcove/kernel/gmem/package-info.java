// SPDX-License-Identifier: Apache-2.0
/** guest_memfd: files of guest memory that belong to one virtual machine (virt/kvm/guest_memfd.c). */
@NullMarked
package dev.alcove.kernel.gmem;

import org.jspecify.annotations.NullMarked;
