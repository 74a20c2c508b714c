// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.bindings.kvm.kvm;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
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
        return () -> random.nextInt(4) == 0
                ? Op.of("close_vm", random.nextInt(2))
                : Op.of("create_vm", random.nextInt(2), random.nextInt(-1, 5));
    }

    @Override
    public List<String> operandNames(String op) {
        return switch (op) {
            case "create_vm" -> List.of("@vm", "type");
            case "close_vm" -> List.of("@vm");
            default -> List.of();
        };
    }

    @Override
    public Session open(Syscalls syscalls) {
        int kvmFd = syscalls.open("/dev/kvm", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        if (kvmFd < 0) {
            throw new MissingFeatureException("no /dev/kvm");
        }
        return new KvmSession(syscalls, kvmFd);
    }

    private static final class KvmSession implements Session {
        private final Syscalls syscalls;
        private final int kvmFd;
        private final Descriptors machines;

        KvmSession(Syscalls syscalls, int kvmFd) {
            this.syscalls = syscalls;
            this.kvmFd = kvmFd;
            this.machines = new Descriptors(syscalls);
        }

        @Override
        public Answer perform(Op op) {
            return switch (op.name()) {
                case "create_vm" -> Answer.ofFile(machines.set(
                        op.operand(0), syscalls.ioctl(kvmFd, kvm.KVM_CREATE_VM(), op.operand(1))));
                case "close_vm" -> Answer.of(machines.close(op.operand(0)));
                default -> throw new IllegalArgumentException(op.name());
            };
        }

        @Override
        public void close() {
            machines.close();
            syscalls.close(kvmFd);
        }
    }
}
