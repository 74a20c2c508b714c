// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** KVM's memslots, attributes, dirty logs and private memory, and what a vCPU sees of them. */
final class KvmMemorySurface implements Surface {
    @Override
    public String name() {
        return "kvm-memory";
    }

    @Override
    public Supplier<Op> generator(SplittableRandom random) {
        KvmDraws draws = new KvmDraws(random);
        return draws.add(4, draws::createVm)
                .add(6, draws::createVcpu)
                .add(10, draws::createGmem)
                .add(2, draws::dup)
                .add(6, draws::close)
                .add(1, draws::closeTwice)
                .add(100, draws::region)
                .add(60, draws::attributes)
                .add(40, draws::preFault)
                .add(24, draws::dirtyLog)
                .add(20, draws::clearDirtyLog)
                .add(4, draws::enableCap)
                .add(4, draws::checkExtension)
                .add(6, draws::wildIoctl)
                .add(240, draws::guest)
                .add(12, draws::ioEventFd)
                .add(8, draws::eventCount)
                .add(12, draws::coalesce)
                .add(10, draws::ring)
                .add(2, draws::resetRings)
                .add(12, draws::map)
                .add(12, draws::remap)
                .add(6, draws::unmap)
                .add(10, draws::advise)
                .add(60, draws::read)
                .add(80, draws::write)
                .add(16, draws::fallocate);
    }

    @Override
    public List<String> operandNames(String op) {
        return KvmCall.of(op).operands();
    }

    @Override
    public Session open(Syscalls syscalls) {
        return new KvmSession(syscalls);
    }
}
