// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_stats_desc;
import dev.alcove.bindings.kvm.kvm_stats_header;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** KVM_GET_STATS_FD of a machine and of a vCPU. */
@Surface("kvm statistics")
@Timeout(60)
final class KvmStatsContractTest {
    private static final int NAME = 48;
    private static final int DESCRIPTOR = 16 + NAME;

    /** What a statistics descriptor shows. */
    private static final class Stats {
        final KvmMachine m;
        final int fd;
        final MemorySegment header;

        Stats(KvmMachine m, int of) {
            this.m = m;
            m.needs(203, "KVM_CAP_BINARY_STATS_FD");
            fd = m.own(m.sys.ioctl(of, kvm.KVM_GET_STATS_FD(), 0L));
            header = read(0, (int) kvm_stats_header.sizeof());
        }

        MemorySegment read(long offset, int length) {
            MemorySegment bytes = m.struct(length);
            assertEquals(length, m.sys.pread(fd, bytes, offset));
            return bytes;
        }

        int count() {
            return kvm_stats_header.num_desc(header);
        }

        /** Descriptors by name; the values are flags, exponent, size, offset, bucket size. */
        Map<String, String> descriptors() {
            Map<String, String> all = new LinkedHashMap<>();
            for (int i = 0; i < count(); i++) {
                MemorySegment d = descriptor(i);
                all.put(
                        name(d, 16),
                        Integer.toHexString(kvm_stats_desc.flags(d))
                                + " " + kvm_stats_desc.exponent(d)
                                + " " + kvm_stats_desc.size(d)
                                + " " + kvm_stats_desc.offset(d)
                                + " " + kvm_stats_desc.bucket_size(d));
            }
            return all;
        }

        MemorySegment descriptor(int i) {
            return read(kvm_stats_header.desc_offset(header) + (long) i * DESCRIPTOR, DESCRIPTOR);
        }

        static String name(MemorySegment s, int at) {
            return s.getString(at, StandardCharsets.US_ASCII);
        }

        long value(String name) {
            for (int i = 0; i < count(); i++) {
                MemorySegment d = descriptor(i);
                if (name(d, 16).equals(name)) {
                    return read(kvm_stats_header.data_offset(header) + kvm_stats_desc.offset(d), 8)
                            .get(ValueLayout.JAVA_LONG, 0);
                }
            }
            throw new AssertionError("no " + name);
        }

        void headerIs(int descriptors) {
            assertEquals(0, kvm_stats_header.flags(header), "flags");
            assertEquals(NAME, kvm_stats_header.name_size(header), "name_size");
            assertEquals(descriptors, count(), "num_desc");
            assertEquals(24, kvm_stats_header.id_offset(header), "id_offset");
            assertEquals(24 + NAME, kvm_stats_header.desc_offset(header), "desc_offset");
            assertEquals(24 + NAME + descriptors * DESCRIPTOR, kvm_stats_header.data_offset(header), "data_offset");
        }
    }

    @EveryKernel
    void ofAMachine(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            Stats s = new Stats(m, m.fd);
            if (KvmMachine.before(m.sys, 6, 18)) {
                s.headerIs(15);
                assertEquals("1 0 1 72 0", s.descriptors().get("pages_4k"));
                return;
            }
            s.headerIs(16);
            assertTrue(Stats.name(s.read(24, NAME), 0).matches("kvm-\\d+"));
            assertEquals(
                    "{remote_tlb_flush=0 0 1 0 0, remote_tlb_flush_requests=0 0 1 8 0, mmu_shadow_zapped=0 0 1 16 0,"
                            + " mmu_pte_write=0 0 1 24 0, mmu_pde_zapped=0 0 1 32 0, mmu_flooded=0 0 1 40 0,"
                            + " mmu_recycled=0 0 1 48 0, mmu_cache_miss=0 0 1 56 0, mmu_unsync=1 0 1 64 0,"
                            + " mmu_shadow_pages=1 0 1 72 0, pages_4k=1 0 1 80 0, pages_2m=1 0 1 88 0,"
                            + " pages_1g=1 0 1 96 0, nx_lpage_splits=1 0 1 104 0, max_mmu_rmap_size=2 0 1 120 0,"
                            + " max_mmu_page_hash_collisions=2 0 1 112 0}",
                    s.descriptors().toString());
        }
    }

    @EveryKernel
    void ofAVcpu(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            Stats s = new Stats(g.m, g.v.fd);
            s.headerIs(45);
            assertTrue(Stats.name(s.read(24, NAME), 0).matches("kvm-\\d+/vcpu-0"));
            Map<String, String> d = s.descriptors();
            assertEquals("0 0 1 24 0", d.get("halt_wakeup"));
            assertEquals("20 -9 1 48 0", d.get("halt_wait_ns"));
            assertEquals("24 -9 32 56 0", d.get("halt_poll_success_hist"));
            assertEquals("24 -9 32 568 0", d.get("halt_wait_hist"));
            assertEquals("41 0 1 824 0", d.get("blocking"));
            int offset = 832;
            boolean arch = false;
            for (Map.Entry<String, String> entry : d.entrySet()) {
                if (arch) {
                    String flags = entry.getKey().equals("guest_mode") ? "41" : "0";
                    assertEquals(flags + " 0 1 " + offset + " 0", entry.getValue(), entry.getKey());
                    offset += 8;
                }
                arch |= entry.getKey().equals("blocking");
            }
            assertEquals(832 + 34 * 8, offset);
        }
    }

    @EveryKernel
    void countsExits(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            g.m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            Stats s = new Stats(g.m, g.v.fd);
            for (String name : new String[] {"io_exits", "mmio_exits", "halt_exits", "exits", "signal_exits"}) {
                assertEquals(0, s.value(name), name);
            }
            g.halts("f4", 0, 0);
            g.leaves(KvmVcpu.IO, "e650 e650 f4", 0, 0); // out 0x50,al twice; hlt
            g.run();
            g.run();
            g.leaves(KvmVcpu.MMIO, "26 8807 f4", KvmRealGuest.DEVICE, 0); // mov es:[bx],al; hlt
            g.run();
            assertEquals(2, s.value("io_exits"));
            assertEquals(1, s.value("mmio_exits"));
            assertEquals(3, s.value("halt_exits"));
            assertTrue(s.value("exits") >= 6);
            assertTrue(s.value("pf_fixed") >= 1);
            assertEquals(0, s.value("blocking"));
            assertEquals(0, s.value("guest_mode"));
        }
    }

    @EveryKernel
    void countsInterrupts(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            Stats s = new Stats(g.m, g.v.fd);
            g.low.set(ValueLayout.JAVA_INT, 0x40 * 4, 0x2000);
            g.low.set(ValueLayout.JAVA_BYTE, 0x2000, (byte) 0xf4);
            g.start("fb 90 f4", 0, 0); // sti; nop; hlt
            MemorySegment vector = g.m.struct(4);
            vector.set(ValueLayout.JAVA_INT, 0, 0x40);
            ok(g.m.sys.ioctl(g.v.fd, (int) kvm.KVM_INTERRUPT(), vector));
            assertEquals(KvmVcpu.HLT, g.run());
            assertEquals(0, s.value("nmi_injections"));
            assertTrue(s.value("irq_injections") >= 1);
        }
    }

    @EveryKernel
    void countsPages(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            g.m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            Stats s = new Stats(g.m, g.m.fd);
            assertEquals(0, s.value("pages_4k"));
            g.halts("26 8807 f4", 0x8000, 0); // mov es:[bx],al; hlt
            assertEquals(2, s.value("pages_4k"));
        }
    }

    @EveryKernel
    void isReadFromAnyOffset(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            m.needs(KvmMachine.PRE_FAULT_MEMORY, "two-dimensional paging (KVM_CAP_PRE_FAULT_MEMORY)");
            Stats s = new Stats(m, m.fd);
            int size = kvm_stats_header.data_offset(s.header) + s.count() * 8;
            MemorySegment all = s.read(0, size);
            MemorySegment big = m.struct(size + 100);
            assertEquals(size, m.sys.pread(s.fd, big, 0));
            assertEquals(size - 7, m.sys.pread(s.fd, big, 7));
            assertEquals(-1, big.asSlice(0, size - 7).mismatch(all.asSlice(7)));
            assertEquals(1, m.sys.pread(s.fd, big, size - 1));
            assertEquals(0, m.sys.pread(s.fd, big, size));
            assertEquals(0, m.sys.pread(s.fd, big, 1L << 40));
            assertEquals(24, m.sys.read(s.fd, big.asSlice(0, 24)));
            assertEquals(24, m.sys.read(s.fd, big.asSlice(0, 24)));
            assertTrue(Stats.name(big, 0).startsWith("kvm-"));
        }
    }

    @EveryKernel
    void isReadOnlyAndClosesOnExec(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            Stats s = new Stats(m, m.fd);
            assertEquals(1, m.sys.fcntl(s.fd, Linux.F_GETFD, 0));
            assertEquals(Linux.O_RDONLY, m.sys.fcntl(s.fd, Linux.F_GETFL, 0) & Linux.O_ACCMODE);
            fails(Errno.EBADF, m.sys.write(s.fd, m.struct(8)));
            fails(Errno.ENOTTY, m.sys.ioctl(s.fd, kvm.KVM_GET_STATS_FD(), 0L));
            fails(Errno.EMFILE, m.withoutDescriptors(() -> m.sys.ioctl(m.fd, kvm.KVM_GET_STATS_FD(), 0L)));
        }
    }

    @EveryKernel
    void outlivesTheMachinesDescriptor(KernelUnderTest kernel) {
        try (KvmRealGuest g = new KvmRealGuest(kernel)) {
            int machine = g.m.otherMachine();
            int vcpu = g.m.own(g.m.sys.ioctl(machine, kvm.KVM_CREATE_VCPU(), 5L));
            Stats ofMachine = new Stats(g.m, machine);
            Stats ofVcpu = new Stats(g.m, vcpu);
            g.m.close(machine);
            g.m.close(vcpu);
            assertEquals(0, ofMachine.value("pages_4k"));
            assertTrue(Stats.name(ofVcpu.read(24, NAME), 0).endsWith("/vcpu-5"));
        }
    }
}
