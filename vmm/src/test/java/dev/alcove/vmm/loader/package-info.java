// SPDX-License-Identifier: Apache-2.0
/** Tests of the loader package. */
@NullMarked
package dev.alcove.vmm.loader;

import org.jspecify.annotations.NullMarked;
