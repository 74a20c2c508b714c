// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A test of a process that lacks CAP_IPC_LOCK; a real kernel's may have it, so the test looks and skips itself. */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@ParameterizedTest(name = "{0}")
@MethodSource("dev.alcove.contract.KernelUnderTest#withoutIpcLock")
@interface EveryKernelWithoutIpcLock {}
