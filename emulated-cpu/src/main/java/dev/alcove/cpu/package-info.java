// SPDX-License-Identifier: Apache-2.0
/**
 * An x86-64 system emulator. Pure Java, no dependency; it knows nothing of KVM.
 *
 * <p>{@link dev.alcove.cpu.Cpu} runs guest code until a {@link dev.alcove.cpu.CpuExit}; memory and devices are behind a
 * {@link dev.alcove.cpu.GuestBus}. Inside, a {@code Decoder} turns instructions into {@code Block}s of micro-operations
 * once, the {@code Interpreter} executes them, and the {@code Mmu} reaches host memory through a software TLB. The
 * registers of x87 and SSE are in {@link dev.alcove.cpu.FpuState}, which saves and loads the image of {@code fxsave64}.
 *
 * <p>An instruction that cannot go on throws {@code Fault} (an exception of the guest) or {@code Leave} (an exit, to be
 * executed again) before it has changed anything. What touches devices is executed in a block of its own, so that the
 * state in front of and behind it is always exact.
 *
 * <p>x87 and SSE up to SSE4.2, AES and PCLMULQDQ are there. {@code SoftFloat} has arithmetic with all rounding modes,
 * exceptions and the 80-bit format; {@code VectorMap} decodes, {@code VectorOps}, {@code VectorMoves}, {@code Sse4} and
 * {@code X87} execute. The transcendental functions of the x87 FPU have 53 bits only.
 *
 * <p>Not implemented: MMX but {@code emms}, AVX, VEX-coded instructions, the compacted format of XSAVE, the interrupt
 * for x87 exceptions that CR0.NE does not turn into #MF, virtual 8086 mode, hardware task switches, call gates, 5-level
 * paging, hardware breakpoints; PAT, MTRR and PCID are held but have no effect.
 */
@NullMarked
package dev.alcove.cpu;

import org.jspecify.annotations.NullMarked;
