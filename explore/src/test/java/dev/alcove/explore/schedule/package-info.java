// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.alcove.explore.schedule;

import org.jspecify.annotations.NullMarked;
