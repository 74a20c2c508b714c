// SPDX-License-Identifier: Apache-2.0
/** The guest's memory over time: what was private, shared and mapped for devices at which moment. */
@NullMarked
package dev.alcove.vmm.timeline;

import org.jspecify.annotations.NullMarked;
