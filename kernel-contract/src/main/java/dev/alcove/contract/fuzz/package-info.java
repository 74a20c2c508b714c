// SPDX-License-Identifier: Apache-2.0
/** Random sequences of system calls, what kernels answer to them, and the shortest sequence that tells two kernels apart. */
@NullMarked
package dev.alcove.contract.fuzz;

import org.jspecify.annotations.NullMarked;
