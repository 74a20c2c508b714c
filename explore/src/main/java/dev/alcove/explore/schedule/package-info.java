// SPDX-License-Identifier: Apache-2.0
/** A deterministic scheduler: of several threads exactly one runs, and who goes on at each step is a choice of ours. */
@NullMarked
package dev.alcove.explore.schedule;

import org.jspecify.annotations.NullMarked;
