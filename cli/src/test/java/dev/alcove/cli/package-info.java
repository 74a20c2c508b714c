// SPDX-License-Identifier: Apache-2.0
/** Tests of the command, and of the whole: images on kernels. */
@org.jspecify.annotations.NullMarked
package dev.alcove.cli;
