// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.alcove.vmm.timeline;

import org.jspecify.annotations.NullMarked;
