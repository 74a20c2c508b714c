// SPDX-License-Identifier: Apache-2.0
/** What became of each test on each kernel: written while they run, merged into one table. */
@org.jspecify.annotations.NullMarked
package dev.alcove.contract.report;
