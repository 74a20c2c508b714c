// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Errno;
import org.junit.jupiter.api.Timeout;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** KVM_SET_MEMORY_ATTRIBUTES: its checks; what it does to accesses is tested with running vCPUs. */
@Surface("attributes")
@Timeout(60)
final class KvmAttributesContractTest {
    private static final long PAGE = KvmMachine.PAGE;

    @EveryKvm
    void aDefaultMachineHasNone(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.DEFAULT)) {
            int known = m.sys.ioctl(m.kvmFd, kvm.KVM_CHECK_EXTENSION(), 233L);
            if (known == 0) {
                fails(Errno.ENOTTY, m.attributes(0, PAGE, 0, 0));
                fails(Errno.ENOTTY, m.attributes(1, PAGE, 8, 1));
            } else {
                assertEquals(8, known);
                ok(m.attributes(0, PAGE, 0, 0));
                fails(Errno.EINVAL, m.attributes(0, PAGE, 8, 0));
            }
        }
    }

    @EveryKvm
    void checks(KernelUnderTest kernel) {
        try (KvmMachine m = new KvmMachine(kernel, KvmMachine.SW_PROTECTED)) {
            assertEquals(8, m.has(233));
            int flags = KvmMachine.before(m.sys, 6, 18) ? 0 : 1;
            assertEquals(flags, m.has(244), "no INIT_SHARED where memory can be private");
            fails(Errno.EINVAL, m.attributes(0, PAGE, 8, 1));
            fails(Errno.EINVAL, m.attributes(0, PAGE, 1, 0));
            fails(Errno.EINVAL, m.attributes(0, PAGE, 9, 0));
            fails(Errno.EINVAL, m.attributes(0, 0, 8, 0));
            fails(Errno.EINVAL, m.attributes(1, PAGE, 8, 0));
            fails(Errno.EINVAL, m.attributes(0, 1, 8, 0));
            fails(Errno.EINVAL, m.attributes(-PAGE, 2 * PAGE, 8, 0));
            fails(Errno.EFAULT, m.sys.ioctl(m.fd, (int) kvm.KVM_SET_MEMORY_ATTRIBUTES(), 8));
            ok(m.attributes(0, PAGE, 8, 0));
            ok(m.attributes(0, PAGE, 8, 0));
            // Linux keeps an entry for each page and walks them all: a range of terabytes would take it minutes.
            ok(m.attributes(1L << 40, 16 << 20, 8, 0));
            ok(m.attributes((1L << 40) - (8 << 20), 32 << 20, 0, 0));
            ok(m.attributes(0, 16 << 20, 0, 0));
            fails(Errno.EINVAL, m.gmem(PAGE, KvmMachine.FLAG_INIT_SHARED));
        }
    }
}
