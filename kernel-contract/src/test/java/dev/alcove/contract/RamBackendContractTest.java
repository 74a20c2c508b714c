// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.discard.GpaRange;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.HugePagePool;
import dev.alcove.memory.MemoryBacking.Side;
import dev.alcove.memory.MemoryConfig;
import dev.alcove.memory.MemoryUsage;
import dev.alcove.memory.RamBackend;
import dev.alcove.memory.RamBackend.Kind;
import dev.alcove.memory.RamBlock;
import dev.alcove.memory.RamLayout;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import dev.alcove.sys.Syscalls;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** What a guest's RAM can be made of, and what the kernel tells of the memory that it takes. */
@Surface("memory of a guest")
@Timeout(60)
final class RamBackendContractTest {
    private static final long HUGE = RamBackend.HUGE_2M;
    private static final int PAGES = 4;
    private static final int SW_PROTECTED = 1;
    private static final RamLayout TWO_BLOCKS =
            new RamLayout(List.of(GpaRange.of(0, HUGE), GpaRange.of(2 * HUGE, HUGE)));

    private static RamBackend of(Kind kind, @Nullable String file, long page, boolean shared, boolean prealloc) {
        return new RamBackend(kind, file, page, shared, prealloc);
    }

    private static GuestMemory memory(Vm vm, RamBackend backend, boolean confidential) {
        return GuestMemory.create(
                vm,
                TWO_BLOCKS,
                new MemoryConfig(TWO_BLOCKS.bytes(), backend, MemoryConfig.Strategy.DUAL, List.of()),
                confidential);
    }

    private static void worksAs(KernelUnderTest kernel, RamBackend backend) {
        try (Kvm kvm = Kvm.open(kernel.sys());
                Vm vm = kvm.createVm(0);
                GuestMemory memory = memory(vm, backend, false)) {
            for (RamBlock block : memory.blocks()) {
                assertEquals(0, block.shared().get(ValueLayout.JAVA_LONG, HUGE - 8), backend.toString());
                block.shared().set(ValueLayout.JAVA_LONG, HUGE - 8, 42);
                block.shared().set(ValueLayout.JAVA_LONG, 8, 43);
            }
            Long resident = memory.usage().residentShared();
            if (resident != null) {
                long least = backend.prealloc() ? 2 * HUGE : backend.hugePage() == 0 ? 4 * 4096 : 2 * HUGE;
                assertTrue(resident >= least && resident <= 2 * HUGE, resident + " " + backend);
            }
            RamBlock first = memory.blocks().getFirst();
            first.backing().release(Side.SHARED, 0, 4096);
            assertEquals(0, first.shared().get(ValueLayout.JAVA_LONG, 8), backend.toString());
            assertEquals(42, first.shared().get(ValueLayout.JAVA_LONG, HUGE - 8), backend.toString());
            first.backing().release(Side.SHARED, 0, HUGE);
            assertEquals(0, first.shared().get(ValueLayout.JAVA_LONG, HUGE - 8), backend.toString());
            assertEquals(43, memory.blocks().getLast().shared().get(ValueLayout.JAVA_LONG, 8));
            assertThrows(SyscallException.class, () -> first.backing().release(Side.SHARED, HUGE, 4096));
        }
    }

    @EveryKernel
    void anonymousMemoryAndMemfds(KernelUnderTest kernel) {
        for (Kind kind : List.of(Kind.RAM, Kind.MEMFD)) {
            for (boolean shared : new boolean[] {false, true}) {
                for (boolean prealloc : new boolean[] {false, true}) {
                    worksAs(kernel, of(kind, null, 0, shared, prealloc));
                }
            }
        }
    }

    @EveryKernel
    void hugePages(KernelUnderTest kernel) {
        withPool(kernel, () -> {
            for (Kind kind : List.of(Kind.RAM, Kind.MEMFD)) {
                for (boolean shared : new boolean[] {false, true}) {
                    for (boolean prealloc : new boolean[] {false, true}) {
                        worksAs(kernel, of(kind, null, HUGE, shared, prealloc));
                    }
                }
            }
        });
    }

    @EveryKernel
    void aPoolThatIsTooSmallSaysWhatToDo(KernelUnderTest kernel) {
        withPool(kernel, () -> {
            try (Kvm kvm = Kvm.open(kernel.sys());
                    Vm vm = kvm.createVm(0)) {
                for (Kind kind : List.of(Kind.RAM, Kind.MEMFD)) {
                    RamBackend backend = of(kind, null, HUGE, true, false);
                    MemoryConfig config =
                            new MemoryConfig(8 * HUGE, backend, MemoryConfig.Strategy.DUAL, List.of());
                    RamLayout layout = new RamLayout(List.of(GpaRange.of(0, 8 * HUGE)));
                    SyscallException refused = assertThrows(
                            SyscallException.class, () -> GuestMemory.create(vm, layout, config, false));
                    assertEquals(Errno.ENOMEM, refused.errno());
                    assertTrue(
                            Objects.requireNonNull(refused.hint()).contains("nr_hugepages is 4 with 4 available, 8 needed: echo 8 > "),
                            refused.hint());
                }
                BadInputException odd = assertThrows(
                        BadInputException.class,
                        () -> GuestMemory.create(
                                vm,
                                new RamLayout(List.of(GpaRange.of(0, 4096))),
                                new MemoryConfig(
                                        4096,
                                        of(Kind.MEMFD, null, HUGE, true, false),
                                        MemoryConfig.Strategy.DUAL,
                                        List.of()),
                                false));
                assertTrue(odd.toString().contains("whole number of huge pages"), odd.toString());
            }
        });
    }

    @EveryKernel
    void aPageSizeThatTheKernelLacksIsSaid(KernelUnderTest kernel) {
        if (HugePagePool.of(kernel.sys(), RamBackend.HUGE_1G).isPresent()) {
            kernel.needs("a kernel without huge pages of 1 GiB", -Errno.EOPNOTSUPP);
        }
        try (Kvm kvm = Kvm.open(kernel.sys());
                Vm vm = kvm.createVm(0)) {
            MemoryConfig config = new MemoryConfig(
                    1L << 30,
                    of(Kind.MEMFD, null, RamBackend.HUGE_1G, true, false),
                    MemoryConfig.Strategy.DUAL,
                    List.of());
            SyscallException refused = assertThrows(
                    SyscallException.class, () -> GuestMemory.create(vm, config.layout(1L << 40), config, false));
            assertTrue(Objects.requireNonNull(refused.hint()).contains("has no huge pages of 1024 MiB"), refused.hint());
        }
    }

    @EveryKernel
    void aFileHoldsAllBlocks(KernelUnderTest kernel) {
        String path = "/tmp/alcove-ram-backend-" + ProcessHandle.current().pid();
        Syscalls sys = kernel.sys();
        int fd = sys.open(path, Linux.O_RDWR | Linux.O_CREAT | Linux.O_TRUNC | Linux.O_CLOEXEC, 0600);
        kernel.needs("files that can be made", fd);
        try {
            assertEquals(0, sys.close(fd));
            worksAs(kernel, of(Kind.FILE, path, 0, true, false));
            worksAs(kernel, of(Kind.FILE, "/tmp", 0, true, true)); // without a name
            try (Kvm kvm = Kvm.open(sys);
                    Vm vm = kvm.createVm(0)) {
                try (GuestMemory memory = memory(vm, of(Kind.FILE, path, 0, true, false), false)) {
                    memory.blocks().getLast().shared().set(ValueLayout.JAVA_LONG, 0, 7);
                }
                try (GuestMemory memory = memory(vm, of(Kind.FILE, path, 0, false, false), false)) {
                    assertEquals(7, memory.blocks().getLast().shared().get(ValueLayout.JAVA_LONG, 0));
                    memory.blocks().getLast().shared().set(ValueLayout.JAVA_LONG, 0, 8);
                }
                try (GuestMemory memory = memory(vm, of(Kind.FILE, path, 0, true, false), false)) {
                    assertEquals(7, memory.blocks().getLast().shared().get(ValueLayout.JAVA_LONG, 0));
                }
                fd = sys.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
                assertEquals(0, sys.ftruncate(fd, HUGE));
                assertEquals(0, sys.close(fd));
                BadInputException tooShort = assertThrows(
                        BadInputException.class, () -> memory(vm, of(Kind.FILE, path, 0, true, false), false));
                assertTrue(tooShort.toString().contains("needs " + 2 * HUGE), tooShort.toString());
            }
        } finally {
            new java.io.File(path).delete();
        }
    }

    @EveryKernel
    void whatTheKernelCannotTellIsNull(KernelUnderTest kernel) {
        try (Kvm kvm = Kvm.open(kernel.sys())) {
            kernel.needs("a VM type with private memory", kvm.hasVmType(SW_PROTECTED) ? 0 : -Errno.EINVAL);
            try (Vm vm = kvm.createVm(SW_PROTECTED);
                    GuestMemory memory = memory(vm, of(Kind.MEMFD, null, 0, true, true), true)) {
                MemoryUsage usage = memory.usage();
                // Preallocation is of the private side, whose blocks Linux does not count.
                assertEquals(0L, usage.residentShared());
                assertNull(usage.residentPrivate());
                assertNotNull(usage.pinned());
                memory.blocks().getFirst().shared().set(ValueLayout.JAVA_LONG, 0, 1);
                assertEquals(4096L, memory.usage().residentShared());
            }
        }
    }

    /** Runs a test with {@link #PAGES} free huge pages, and leaves the pool as it was. */
    private static void withPool(KernelUnderTest kernel, Runnable test) {
        HugePagePool before = HugePagePool.of(kernel.sys(), HUGE).orElse(null);
        kernel.needs("huge pages of 2 MiB", before == null ? -Errno.ENOENT : 0);
        String path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
        int writable = kernel.sys().open(path, Linux.O_WRONLY | Linux.O_CLOEXEC, 0);
        kernel.needs("a pool of huge pages that the user may resize", writable);
        kernel.sys().close(writable);
        TextFiles files = new TextFiles(kernel.sys());
        try {
            files.write(path, PAGES + "\n");
            HugePagePool pool = HugePagePool.of(kernel.sys(), HUGE).orElseThrow();
            kernel.needs("four free huge pages", pool.available() == PAGES ? 0 : -Errno.ENOMEM);
            test.run();
            assertEquals(PAGES, HugePagePool.of(kernel.sys(), HUGE).orElseThrow().available());
        } finally {
            files.write(path, Objects.requireNonNull(before).total() + "\n");
        }
    }
}
