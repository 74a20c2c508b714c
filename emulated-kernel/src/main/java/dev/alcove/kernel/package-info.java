// SPDX-License-Identifier: Apache-2.0
/** A Linux kernel emulated in the JVM: system calls, KVM, iommufd and VFIO, as their callers see them. */
@NullMarked
package dev.alcove.kernel;

import org.jspecify.annotations.NullMarked;
