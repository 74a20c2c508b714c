// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cpu;

/**
 * What lies outside the processor: guest physical memory, device registers, ports, model specific registers.
 *
 * <p>An instruction that reads or writes a page which is none of memory, or writes one that it may only read, is
 * <em>emulated</em>, as a hypervisor does: it starts again, and each of its accesses to data, to memory as well, is one
 * call of {@link #memoryRead} or {@link #memoryWrite}, and where that refuses of {@link #mmioRead} or {@link #mmioWrite}.
 *
 * <p>All methods are called on the thread that runs the {@link Cpu}.
 */
public interface GuestBus {
    /** Answer of {@link #page}: no memory there, the access is one to a device. */
    long MMIO = 0;

    /** Answer of {@link #page}: the access is not allowed; the processor leaves with {@link CpuExit.MemoryFault}. */
    long BLOCKED = -1;

    /** Answer of {@link #page}: memory that may be read but not written; a write is treated as one to a device. */
    long READ_ONLY = -2;

    /**
     * Finds the page that backs a guest physical page. The processor may keep the answer in its TLB until
     * {@link Cpu#flushTranslations()} is called.
     *
     * @param gpa guest physical address, any alignment
     * @param write whether the page is about to be written
     * @return absolute host address of the 4 KiB page (4 KiB aligned, positive), or {@link #MMIO}, {@link #BLOCKED},
     *     or, only for a write, {@link #READ_ONLY}
     */
    long page(long gpa, boolean write);

    /**
     * Reads memory for an instruction that is emulated.
     *
     * @param size 1 to 8 bytes within a page
     * @param answer element 0 receives the value
     * @return false where there is no memory that can be read
     */
    default boolean memoryRead(long gpa, int size, long[] answer) {
        long page = page(gpa, false);
        if (page <= 0) {
            return false;
        }
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | HostMemory.load(page + (gpa & 4095) + i, 1);
        }
        answer[0] = value;
        return true;
    }

    /** Writes memory for an instruction that is emulated; false where there is none that can be written. */
    default boolean memoryWrite(long gpa, int size, long value) {
        long page = page(gpa, true);
        if (page <= 0) {
            return false;
        }
        for (int i = 0; i < size; i++) {
            HostMemory.store(page + (gpa & 4095) + i, 1, value >>> (8 * i));
        }
        return true;
    }

    /**
     * Reads a device register.
     *
     * @param size 1, 2, 4 or 8 bytes; 1 to 7 for the part that an access across two pages has in one of them
     * @param answer element 0 receives the value
     * @return false when nobody here answers: the processor leaves with {@link CpuExit.Mmio}
     */
    boolean mmioRead(long gpa, int size, long[] answer);

    /** Writes a device register; false makes the processor leave with {@link CpuExit.Mmio}. */
    boolean mmioWrite(long gpa, int size, long value);

    /** Reads a port of 1, 2 or 4 bytes; false makes the processor leave with {@link CpuExit.Io}. */
    boolean portRead(int port, int size, long[] answer);

    /** Writes a port; false makes the processor leave with {@link CpuExit.Io}. */
    boolean portWrite(int port, int size, long value);

    /**
     * Reads a model specific register that the processor itself does not hold (the processor holds EFER, STAR,
     * LSTAR, CSTAR, FMASK, FS/GS/KERNEL_GS base, SYSENTER, PAT, TSC and TSC_AUX).
     *
     * @return false raises #GP in the guest
     */
    boolean msrRead(int index, long[] answer);

    /** Writes a model specific register; false raises #GP in the guest. */
    boolean msrWrite(int index, long value);

    /**
     * Answers {@code cpuid}.
     *
     * @param result receives eax, ebx, ecx, edx
     */
    void cpuid(int leaf, int subleaf, int[] result);

    /** The time stamp counter. */
    long tsc();

    /**
     * Called between two instructions after {@link Cpu#attention()}, and before the first one of each
     * {@link Cpu#run}: the place to flush translations and to inject interrupts.
     *
     * @return false to leave with {@link CpuExit.Interrupted}
     */
    boolean attend(Cpu cpu);
}
