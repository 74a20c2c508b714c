// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import java.util.Arrays;
import java.util.List;

/**
 * One of the statistics of KVM_GET_STATS_FD: its descriptor.
 *
 * @param flags type, unit and base, as in {@code struct kvm_stats_desc}
 * @param exponent of the unit
 * @param size number of 64-bit values
 * @param offset of the first value in the data, in bytes
 */
record Statistic(String name, int flags, int exponent, int size, int offset) {
    private static final int CUMULATIVE = 0;
    private static final int INSTANT = 1;
    private static final int PEAK = 2;
    private static final int LOG_HISTOGRAM = 4;
    private static final int SECONDS = 2 << 4;
    private static final int BOOLEAN = 4 << 4;
    private static final int NANO = -9;

    /** HALT_POLL_HIST_COUNT. */
    private static final int HISTOGRAM = 32;

    /** Of a machine, in the order of their descriptors; index {@code VM_*} is a value's place in the data. */
    static final List<Statistic> OF_VM = List.of(
            one("remote_tlb_flush", CUMULATIVE, 0),
            one("remote_tlb_flush_requests", CUMULATIVE, 1),
            one("mmu_shadow_zapped", CUMULATIVE, 2),
            one("mmu_pte_write", CUMULATIVE, 3),
            one("mmu_pde_zapped", CUMULATIVE, 4),
            one("mmu_flooded", CUMULATIVE, 5),
            one("mmu_recycled", CUMULATIVE, 6),
            one("mmu_cache_miss", CUMULATIVE, 7),
            one("mmu_unsync", INSTANT, 8),
            one("mmu_shadow_pages", INSTANT, 9),
            one("pages_4k", INSTANT, 10),
            one("pages_2m", INSTANT, 11),
            one("pages_1g", INSTANT, 12),
            one("nx_lpage_splits", INSTANT, 13),
            one("max_mmu_rmap_size", PEAK, 15),
            one("max_mmu_page_hash_collisions", PEAK, 14));

    private static final int VM_SHADOW_PAGES = 9;

    /** Those of a release that does not count shadow pages. */
    static final List<Statistic> OF_OLD_VM = OF_VM.stream()
            .filter(statistic -> statistic.offset != VM_SHADOW_PAGES * Long.BYTES)
            .map(statistic -> statistic.offset < VM_SHADOW_PAGES * Long.BYTES
                    ? statistic
                    : one(statistic.name, statistic.flags, statistic.offset / Long.BYTES - 1))
            .toList();

    static final int VM_REMOTE_TLB_FLUSH = 0;
    static final int VM_REMOTE_TLB_FLUSH_REQUESTS = 1;
    static final int VM_PAGES_4K = 10;
    static final int VM_VALUES = 16;

    /** First value of a vCPU that is not of every architecture: seven counters, three histograms, one flag before. */
    private static final int ARCH = 7 + 3 * HISTOGRAM + 1;

    static final int HALT_WAKEUP = 3;
    static final int HALT_WAIT_NS = 6;
    static final int HALT_WAIT_HISTOGRAM = 7 + 2 * HISTOGRAM;
    static final int BLOCKING = ARCH - 1;
    static final int PF_TAKEN = ARCH;
    static final int PF_FIXED = ARCH + 1;
    static final int PF_EMULATE = ARCH + 2;
    static final int PF_MMIO_SPTE_CREATED = ARCH + 5;
    static final int TLB_FLUSH = ARCH + 7;
    static final int EXITS = ARCH + 9;
    static final int IO_EXITS = ARCH + 10;
    static final int MMIO_EXITS = ARCH + 11;
    static final int SIGNAL_EXITS = ARCH + 12;
    static final int HALT_EXITS = ARCH + 16;
    static final int REQUEST_IRQ_EXITS = ARCH + 17;
    static final int INSN_EMULATION = ARCH + 21;
    static final int INSN_EMULATION_FAIL = ARCH + 22;
    static final int HYPERCALLS = ARCH + 23;
    static final int IRQ_INJECTIONS = ARCH + 24;
    static final int NMI_INJECTIONS = ARCH + 25;
    static final int VCPU_VALUES = ARCH + 34;

    /** Of a vCPU, in the order of their descriptors. */
    static final List<Statistic> OF_VCPU = List.of(
            one("halt_successful_poll", CUMULATIVE, 0),
            one("halt_attempted_poll", CUMULATIVE, 1),
            one("halt_poll_invalid", CUMULATIVE, 2),
            one("halt_wakeup", CUMULATIVE, HALT_WAKEUP),
            time("halt_poll_success_ns", CUMULATIVE, 1, 4),
            time("halt_poll_fail_ns", CUMULATIVE, 1, 5),
            time("halt_wait_ns", CUMULATIVE, 1, HALT_WAIT_NS),
            time("halt_poll_success_hist", LOG_HISTOGRAM, HISTOGRAM, 7),
            time("halt_poll_fail_hist", LOG_HISTOGRAM, HISTOGRAM, 7 + HISTOGRAM),
            time("halt_wait_hist", LOG_HISTOGRAM, HISTOGRAM, HALT_WAIT_HISTOGRAM),
            one("blocking", INSTANT | BOOLEAN, BLOCKING),
            one("pf_taken", CUMULATIVE, PF_TAKEN),
            one("pf_fixed", CUMULATIVE, PF_FIXED),
            one("pf_emulate", CUMULATIVE, PF_EMULATE),
            one("pf_spurious", CUMULATIVE, ARCH + 3),
            one("pf_fast", CUMULATIVE, ARCH + 4),
            one("pf_mmio_spte_created", CUMULATIVE, PF_MMIO_SPTE_CREATED),
            one("pf_guest", CUMULATIVE, ARCH + 6),
            one("tlb_flush", CUMULATIVE, TLB_FLUSH),
            one("invlpg", CUMULATIVE, ARCH + 8),
            one("exits", CUMULATIVE, EXITS),
            one("io_exits", CUMULATIVE, IO_EXITS),
            one("mmio_exits", CUMULATIVE, MMIO_EXITS),
            one("signal_exits", CUMULATIVE, SIGNAL_EXITS),
            one("irq_window_exits", CUMULATIVE, ARCH + 13),
            one("nmi_window_exits", CUMULATIVE, ARCH + 14),
            one("l1d_flush", CUMULATIVE, ARCH + 15),
            one("halt_exits", CUMULATIVE, HALT_EXITS),
            one("request_irq_exits", CUMULATIVE, REQUEST_IRQ_EXITS),
            one("irq_exits", CUMULATIVE, ARCH + 18),
            one("host_state_reload", CUMULATIVE, ARCH + 19),
            one("fpu_reload", CUMULATIVE, ARCH + 20),
            one("insn_emulation", CUMULATIVE, INSN_EMULATION),
            one("insn_emulation_fail", CUMULATIVE, INSN_EMULATION_FAIL),
            one("hypercalls", CUMULATIVE, HYPERCALLS),
            one("irq_injections", CUMULATIVE, IRQ_INJECTIONS),
            one("nmi_injections", CUMULATIVE, NMI_INJECTIONS),
            one("req_event", CUMULATIVE, ARCH + 26),
            one("nested_run", CUMULATIVE, ARCH + 27),
            one("directed_yield_attempted", CUMULATIVE, ARCH + 28),
            one("directed_yield_successful", CUMULATIVE, ARCH + 29),
            one("preemption_reported", CUMULATIVE, ARCH + 30),
            one("preemption_other", CUMULATIVE, ARCH + 31),
            one("guest_mode", INSTANT | BOOLEAN, ARCH + 32),
            one("notify_window_exits", CUMULATIVE, ARCH + 33));

    /** The values of {@link #OF_OLD_VM}. */
    static long[] withoutShadowPages(long[] values) {
        long[] fewer = Arrays.copyOf(values, values.length - 1);
        System.arraycopy(values, VM_SHADOW_PAGES + 1, fewer, VM_SHADOW_PAGES, fewer.length - VM_SHADOW_PAGES);
        return fewer;
    }

    private static Statistic one(String name, int flags, int place) {
        return new Statistic(name, flags, 0, 1, place * Long.BYTES);
    }

    private static Statistic time(String name, int type, int size, int place) {
        return new Statistic(name, type | SECONDS, NANO, size, place * Long.BYTES);
    }
}
