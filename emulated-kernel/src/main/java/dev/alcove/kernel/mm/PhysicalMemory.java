// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.mm;

import dev.alcove.sys.Syscalls;

/**
 * The machine's physical memory: one sparse memfd, frame n is its page n, and the kernel's own view of it (physmap)
 * is one mapping of all of it. A frame costs host memory only once it is touched.
 *
 * <p>Frames are handed out in extents, so that what is contiguous in a file is contiguous here and costs one host
 * mapping. Every frame has a reference count (owner, mappings) and a pin count (long-term DMA pins); a frame whose
 * last reference and pin are gone is punched out and may be given to another owner.
 *
 * <p>Thread safe; counts are atomic, the extent allocator has a lock of its own (a leaf).
 */
public final class PhysicalMemory implements AutoCloseable {
    /**
     * @param host where the memory comes from
     * @param frames size in frames of 4 KiB
     */
    public PhysicalMemory(Syscalls host, long frames) {}

    /** The address of a frame in the physmap: absolute, 4 KiB aligned. */
    public long address(long pfn) {
        throw new AssertionError();
    }

    /** Allocates {@code count} contiguous frames, each with one reference; -1 when there are none ({@code ENOMEM}). */
    public long allocate(long count) {
        throw new AssertionError();
    }

    /** Takes a reference. */
    public void get(long pfn) {}

    /** Drops a reference; the last one (of references and pins) frees the frame. */
    public void put(long pfn) {}

    /** Pins a frame for DMA (FOLL_PIN); counts on top of references. */
    public void pin(long pfn) {}

    /** Undoes one {@link #pin}. */
    public void unpin(long pfn) {}

    /** Pins of a frame. */
    public int pins(long pfn) {
        throw new AssertionError();
    }

    /** References of a frame, pins not counted. */
    public int references(long pfn) {
        throw new AssertionError();
    }

    /** All pins of all frames: zero when nothing leaks. */
    public long totalPins() {
        throw new AssertionError();
    }

    /** Frames in use. */
    public long framesInUse() {
        throw new AssertionError();
    }

    @Override
    public void close() {}
}
