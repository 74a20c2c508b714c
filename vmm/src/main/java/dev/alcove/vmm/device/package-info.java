// SPDX-License-Identifier: Apache-2.0
/** Device models, one file each. */
@org.jspecify.annotations.NullMarked
package dev.alcove.vmm.device;
