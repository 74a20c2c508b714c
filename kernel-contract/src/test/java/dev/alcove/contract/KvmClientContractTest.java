// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.KvmStats;
import dev.alcove.kvm.Vcpu;
import dev.alcove.kvm.Vm;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.SyscallException;
import java.util.Map;
import org.junit.jupiter.api.Timeout;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The typed client's calls for devices in the kernel, dirty rings and statistics. */
@Surface("kvm devices in the kernel")
@Timeout(60)
final class KvmClientContractTest {
    private static final int RING = 192;

    @EveryKernel
    void devicesRingsAndStatistics(KernelUnderTest kernel) {
        try (Kvm kvm = Kvm.open(kernel.sys());
                Vm vm = kvm.createVm(0)) {
            vm.enableCap(RING, 4096);
            int event = kernel.sys().eventfd(0, Linux.EFD_NONBLOCK);
            vm.ioeventfd(event, 0x1000, 4, 0, 0);
            SyscallException twice = assertThrows(SyscallException.class, () -> vm.ioeventfd(event, 0x1000, 4, 0, 0));
            assertEquals(Errno.EEXIST, twice.errno());
            vm.ioeventfd(event, 0x1000, 4, 4, 0);
            vm.registerCoalesced(0x2000, 8, false);
            vm.unregisterCoalesced(0x2000, 8, false);
            assertEquals(0, vm.resetDirtyRings());
            try (KvmStats stats = vm.stats()) {
                assertTrue(stats.id().startsWith("kvm-"), stats.id());
                assertArrayEquals(new long[] {0}, stats.values().get("pages_4k"));
            }
            try (Vcpu vcpu = vm.createVcpu(0);
                    KvmStats stats = vcpu.stats()) {
                assertTrue(stats.id().endsWith("/vcpu-0"), stats.id());
                Map<String, long[]> values = stats.values();
                assertEquals(45, values.size());
                assertArrayEquals(new long[32], values.get("halt_wait_hist"));
            }
            kernel.sys().close(event);
        }
    }
}
