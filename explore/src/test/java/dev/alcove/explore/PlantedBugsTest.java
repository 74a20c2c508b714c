// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.discard.Waiting;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.GuestMemory;
import dev.alcove.memory.RamBlock;
import dev.alcove.sys.Syscalls;
import dev.alcove.vmm.conversion.BrokenEngines;
import dev.alcove.vmm.conversion.ConversionEngine;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

/** Five bugs that VMMs and kernels have had, each put into a machine that is well otherwise: all are found. */
class PlantedBugsTest {
    private static final int MOST_SEEDS = 300;
    private static final int LONGEST = 60;

    private static final Set<Integer> UNMAPS = Set.of(iommufd.IOMMU_IOAS_UNMAP(), vfio.VFIO_IOMMU_UNMAP_DMA());

    /** An engine with a bug. */
    @FunctionalInterface
    private interface Maker {
        ConversionEngine make(Vm vm, GuestMemory memory, Waiting waiting);
    }

    private static Parts engine(Maker maker) {
        return new Parts() {
            @Override
            public ConversionEngine engine(Vm vm, GuestMemory memory, Waiting waiting) {
                return maker.make(vm, memory, waiting);
            }
        };
    }

    private static void assertFound(String bug, Parts parts, boolean failing) {
        Explorer explorer = new Explorer(KernelProfile.linux7_2(), 0, failing, parts);
        for (long seed = 1; seed <= MOST_SEEDS; seed++) {
            Optional<Finding> found = explorer.explore(seed);
            if (found.isPresent()) {
                Finding finding = found.get();
                String text = String.join(System.lineSeparator(), finding.text());
                System.out.println(bug + ": found with seed " + seed + System.lineSeparator() + text);
                assertTrue(finding.operations() <= 3, text);
                assertTrue(finding.interleaving().size() <= LONGEST, text);
                return;
            }
        }
        fail(bug + " is not found with " + MOST_SEEDS + " seeds");
    }

    /** The state changes before the IOMMU is asked, and stays as it is then when that refuses. */
    private static final class StateFirst implements Parts {
        private @Nullable GuestMemory memory;

        @Override
        public ConversionEngine engine(Vm vm, GuestMemory guest, Waiting waiting) {
            memory = guest;
            return new ConversionEngine(vm, guest, waiting);
        }

        @Override
        public Syscalls syscalls(Syscalls stepped) {
            return decorated(stepped, (request, argument, call) -> {
                boolean ofAVcpu = Thread.currentThread().getName().startsWith("vcpu");
                if (ofAVcpu && UNMAPS.contains(request) && argument instanceof MemorySegment struct) {
                    boolean compat = request == vfio.VFIO_IOMMU_UNMAP_DMA();
                    discard(
                            compat ? vfio_iommu_type1_dma_unmap.iova(struct) : iommu_ioas_unmap.iova(struct),
                            compat ? vfio_iommu_type1_dma_unmap.size(struct) : iommu_ioas_unmap.length(struct));
                }
                return call.call();
            });
        }

        private void discard(long gpa, long size) {
            RamBlock block = Objects.requireNonNull(memory).blockAt(gpa).orElseThrow();
            block.state().orElseThrow().discard(gpa - block.range().start().value(), size);
        }
    }

    @Test
    void stateChangesBeforeTheListenerHasRefused() {
        assertFound("state first", new StateFirst(), true);
    }

    @Test
    void mapBeforeConvert() {
        assertFound("map before convert", engine(BrokenEngines::mapFirst), false);
    }

    @Test
    void errorOfAnUnmapIgnored() {
        Parts ignoring = new Parts() {
            @Override
            public Syscalls syscalls(Syscalls stepped) {
                return decorated(stepped, (request, _, call) -> {
                    Object answer = call.call();
                    return UNMAPS.contains(request) ? (Object) 0 : answer;
                });
            }
        };
        assertFound("unmap error ignored", ignoring, true);
    }

    /** What is done instead of an ioctl. */
    @FunctionalInterface
    private interface Instead {
        Object ioctl(int request, Object argument, Callable<Object> call) throws Exception;
    }

    private static Syscalls decorated(Syscalls target, Instead instead) {
        return (Syscalls) Proxy.newProxyInstance(
                Syscalls.class.getClassLoader(), new Class<?>[] {Syscalls.class}, (proxy, method, arguments) -> {
                    try {
                        return method.getName().equals("ioctl")
                                ? instead.ioctl(
                                        (Integer) arguments[1], arguments[2], () -> method.invoke(target, arguments))
                                : method.invoke(target, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    @Test
    void twoVcpusWithoutALock() {
        assertFound(
                "no lock", engine((vm, memory, waiting) -> new ConversionEngine(vm, memory, condition -> {})), false);
    }

    @Test
    void staleEntriesOfTheIotlb() {
        Parts unflushed = new Parts() {
            @Override
            public void prepare(EmulatedKernel kernel) {
                kernel.iommu().setInvalidating(false);
            }
        };
        assertFound("unmap without a flush", unflushed, false);
    }
}
