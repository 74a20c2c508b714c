// SPDX-License-Identifier: Apache-2.0
/** System calls as lines of JSON: recorded on one kernel, issued again on another, and compared. */
@org.jspecify.annotations.NullMarked
package dev.alcove.sys.trace;
