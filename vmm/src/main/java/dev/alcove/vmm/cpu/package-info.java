// SPDX-License-Identifier: Apache-2.0
/** Virtual CPUs: their first state, their threads, and what happens when they exit. */
@org.jspecify.annotations.NullMarked
package dev.alcove.vmm.cpu;
