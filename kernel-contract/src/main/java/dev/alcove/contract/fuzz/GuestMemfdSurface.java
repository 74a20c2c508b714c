// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Syscalls;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/** guest_memfd: the files, their mappings and holes, how they are bound, and what a vCPU sees of them. */
final class GuestMemfdSurface implements Surface {
    @Override
    public String name() {
        return "guest-memfd";
    }

    @Override
    public Supplier<Op> generator(SplittableRandom random) {
        KvmDraws draws = new KvmDraws(random);
        return draws.add(3, draws::createVm)
                .add(4, draws::createVcpu)
                .add(30, draws::createGmem)
                .add(10, draws::dup)
                .add(20, draws::close)
                .add(4, draws::closeTwice)
                .add(60, draws::region)
                .add(40, draws::attributes)
                .add(20, draws::preFault)
                .add(2, draws::dirtyLog)
                .add(2, draws::checkExtension)
                .add(4, draws::wildIoctl)
                .add(100, draws::guest)
                .add(60, draws::map)
                .add(4, draws::remap)
                .add(12, draws::unmap)
                .add(30, draws::advise)
                .add(100, draws::read)
                .add(100, draws::write)
                .add(100, draws::fallocate)
                .add(60, draws::fileCall);
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
