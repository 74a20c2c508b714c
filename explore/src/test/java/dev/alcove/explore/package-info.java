// SPDX-License-Identifier: Apache-2.0
@NullMarked
package dev.alcove.explore;

import org.jspecify.annotations.NullMarked;
