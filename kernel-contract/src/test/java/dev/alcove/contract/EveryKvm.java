// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A test that takes a {@link KernelUnderTest} and runs once on each kernel, and on each release with an own KVM. */
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
@ParameterizedTest(name = "{0}")
@MethodSource("dev.alcove.contract.KernelUnderTest#all")
@interface EveryKvm {}
