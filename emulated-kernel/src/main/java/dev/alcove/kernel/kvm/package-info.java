// SPDX-License-Identifier: Apache-2.0
/** /dev/kvm: virtual machines, memslots, attributes, stage-2 translation, vCPUs and their local APICs. */
@NullMarked
package dev.alcove.kernel.kvm;

import org.jspecify.annotations.NullMarked;
