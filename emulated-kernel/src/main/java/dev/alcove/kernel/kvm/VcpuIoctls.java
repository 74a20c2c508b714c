// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_cpuid_entry2;
import dev.alcove.bindings.kvm.kvm_debugregs;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.bindings.kvm.kvm_fpu;
import dev.alcove.bindings.kvm.kvm_interrupt;
import dev.alcove.bindings.kvm.kvm_lapic_state;
import dev.alcove.bindings.kvm.kvm_msr_entry;
import dev.alcove.bindings.kvm.kvm_msrs;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_translation;
import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.bindings.kvm.kvm_xcrs;
import dev.alcove.bindings.kvm.kvm_xsave;
import dev.alcove.kernel.task.Task;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import java.util.function.ToIntFunction;

/** The ioctls of a vCPU, KVM_RUN aside. Called with the vCPU's mutex held. */
final class VcpuIoctls {
    /** MAX_IO_MSRS. */
    private static final int MOST_MSRS = 256;

    private static final long SIGKILL_AND_STOP = 1L << 8 | 1L << 18;

    private final Vcpu vcpu;
    private final VcpuRegisters registers;

    VcpuIoctls(Vcpu vcpu) {
        this.vcpu = vcpu;
        this.registers = vcpu.registers();
    }

    long serve(Task task, int request, long argument) {
        UserMemory user = task.memory();
        return switch (request) {
            case Ioctl.GET_REGS -> get(user, argument, kvm_regs.sizeof(), registers::general);
            case Ioctl.SET_REGS -> set(user, argument, kvm_regs.sizeof(), registers::setGeneral);
            case Ioctl.GET_SREGS -> get(user, argument, kvm_sregs.sizeof(), registers::system);
            case Ioctl.SET_SREGS -> set(user, argument, kvm_sregs.sizeof(), registers::setSystem);
            case Ioctl.GET_SREGS2 -> get(user, argument, VcpuRegisters.SREGS2_SIZE, registers::system2);
            case Ioctl.SET_SREGS2 -> set(user, argument, VcpuRegisters.SREGS2_SIZE, registers::setSystem2);
            case Ioctl.GET_FPU -> get(user, argument, kvm_fpu.sizeof(), registers::fpu);
            case Ioctl.SET_FPU -> set(user, argument, kvm_fpu.sizeof(), registers::setFpu);
            case Ioctl.GET_XSAVE, Ioctl.GET_XSAVE2 -> get(user, argument, kvm_xsave.sizeof(), registers::xsave);
            case Ioctl.SET_XSAVE -> set(user, argument, kvm_xsave.sizeof(), registers::setXsave);
            case Ioctl.GET_XCRS -> get(user, argument, kvm_xcrs.sizeof(), registers::xcrs);
            case Ioctl.SET_XCRS -> set(user, argument, kvm_xcrs.sizeof(), registers::setXcrs);
            case Ioctl.TRANSLATE -> translate(user, argument);
            case Ioctl.GET_MSRS -> msrs(user, argument, false);
            case Ioctl.SET_MSRS -> msrs(user, argument, true);
            case Ioctl.GET_CPUID2 -> getCpuid(user, argument);
            case Ioctl.SET_CPUID2 -> setCpuid(user, argument);
            case Ioctl.GET_MP_STATE -> getMpState(user, argument);
            case Ioctl.SET_MP_STATE -> setMpState(user, argument);
            case Ioctl.GET_VCPU_EVENTS -> get(user, argument, kvm_vcpu_events.sizeof(), s -> VcpuEvents.get(vcpu, s));
            case Ioctl.SET_VCPU_EVENTS -> set(user, argument, kvm_vcpu_events.sizeof(), s -> VcpuEvents.set(vcpu, s));
            case Ioctl.GET_DEBUGREGS -> get(user, argument, kvm_debugregs.sizeof(), registers::debug);
            case Ioctl.SET_DEBUGREGS -> set(user, argument, kvm_debugregs.sizeof(), registers::setDebug);
            case Ioctl.GET_LAPIC, Ioctl.SET_LAPIC -> lapic(user, request, argument);
            case Ioctl.INTERRUPT -> interrupt(user, argument);
            case Ioctl.NMI -> {
                vcpu.queueNmi();
                yield 0;
            }
            case Ioctl.X86_SETUP_MCE -> set(
                    user, argument, Long.BYTES, s -> vcpu.msrs().machineCheck().setUp(s.get(ValueLayout.JAVA_LONG, 0)));
            case Ioctl.SET_SIGNAL_MASK -> setSignalMask(user, argument);
            case Ioctl.GET_TSC_KHZ -> Kvm.TSC_KHZ;
            case Ioctl.SET_TSC_KHZ -> argument == 0 || argument == Kvm.TSC_KHZ ? 0 : -Errno.EINVAL;
            case Ioctl.PRE_FAULT_MEMORY -> preFault(task, argument);
            case Ioctl.GET_STATS_FD -> vcpu.statistics().open(task);
            case Ioctl.ENABLE_CAP ->
                user.copyIn(argument, UserCopy.struct(kvm_enable_cap.sizeof())) != 0 ? -Errno.EFAULT : -Errno.EINVAL;
            default -> -Errno.EINVAL;
        };
    }

    private static long get(UserMemory user, long argument, long size, Consumer<MemorySegment> fill) {
        MemorySegment s = UserCopy.struct(size);
        fill.accept(s);
        return user.copyOut(argument, s);
    }

    private static long set(UserMemory user, long argument, long size, ToIntFunction<MemorySegment> take) {
        MemorySegment s = UserCopy.struct(size);
        return user.copyIn(argument, s) != 0 ? -Errno.EFAULT : take.applyAsInt(s);
    }

    private long translate(UserMemory user, long argument) {
        MemorySegment s = UserCopy.struct(kvm_translation.sizeof());
        if (user.copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        GuestWalk walk = new GuestWalk(vcpu.vm().stageTwo(), vcpu.cpu().state());
        long gpa = walk.translate(kvm_translation.linear_address(s));
        kvm_translation.physical_address(s, gpa);
        kvm_translation.valid(s, (byte) (gpa == GuestWalk.NONE ? 0 : 1));
        kvm_translation.writeable(s, (byte) 1);
        kvm_translation.usermode(s, (byte) 0);
        return user.copyOut(argument, s);
    }

    private long msrs(UserMemory user, long argument, boolean set) {
        MemorySegment head = UserCopy.struct(kvm_msrs.sizeof());
        if (user.copyIn(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        int count = kvm_msrs.nmsrs(head);
        if (Integer.compareUnsigned(count, MOST_MSRS) >= 0) {
            return -Errno.E2BIG;
        }
        MemorySegment entries = UserCopy.struct(count * kvm_msr_entry.sizeof());
        if (count != 0 && user.copyIn(argument + kvm_msrs.sizeof(), entries) != 0) {
            return -Errno.EFAULT;
        }
        long[] value = new long[1];
        vcpu.cpu().state();
        int done = 0;
        for (; done < count; done++) {
            MemorySegment entry = kvm_msr_entry.asSlice(entries, done);
            int index = kvm_msr_entry.index(entry);
            boolean known = set
                    ? vcpu.msrs().set(index, kvm_msr_entry.data(entry))
                    : vcpu.msrs().get(index, value);
            if (!known) {
                break;
            }
            if (!set) {
                kvm_msr_entry.data(entry, value[0]);
            }
        }
        if (set) {
            vcpu.stateChanged();
        } else if (count != 0 && user.copyOut(argument + kvm_msrs.sizeof(), entries) != 0) {
            return -Errno.EFAULT;
        }
        return done;
    }

    private long getCpuid(UserMemory user, long argument) {
        MemorySegment head = UserCopy.struct(kvm_cpuid2.sizeof());
        if (user.copyIn(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        CpuidTable table = vcpu.cpuid();
        if (Integer.compareUnsigned(kvm_cpuid2.nent(head), table.size()) < 0) {
            return -Errno.E2BIG;
        }
        return Kvm.copyCpuid(user, argument, head, table);
    }

    private long setCpuid(UserMemory user, long argument) {
        MemorySegment head = UserCopy.struct(kvm_cpuid2.sizeof());
        if (user.copyIn(argument, head) != 0) {
            return -Errno.EFAULT;
        }
        int count = kvm_cpuid2.nent(head);
        if (Integer.compareUnsigned(count, CpuidTable.MOST_ENTRIES) > 0) {
            return -Errno.E2BIG;
        }
        MemorySegment entries = UserCopy.struct(count * kvm_cpuid_entry2.sizeof());
        if (count != 0 && user.copyIn(argument + kvm_cpuid2.sizeof(), entries) != 0) {
            return -Errno.EFAULT;
        }
        CpuidTable table = CpuidTable.of(entries, count);
        if (vcpu.hasRun()) {
            return table.equals(vcpu.cpuid()) ? 0 : -Errno.EINVAL;
        }
        if (!table.legal()) {
            return -Errno.EINVAL;
        }
        vcpu.setCpuid(table);
        return 0;
    }

    private long getMpState(UserMemory user, long argument) {
        vcpu.acceptEvents();
        MemorySegment s = UserCopy.struct(4);
        s.set(ValueLayout.JAVA_INT, 0, vcpu.mpState());
        return user.copyOut(argument, s);
    }

    private long setMpState(UserMemory user, long argument) {
        MemorySegment s = UserCopy.struct(4);
        if (user.copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int state = s.get(ValueLayout.JAVA_INT, 0);
        Lapic apic = vcpu.lapic();
        if (state < Vcpu.RUNNABLE || state > Vcpu.SIPI_RECEIVED || (apic == null && state != Vcpu.RUNNABLE)) {
            return -Errno.EINVAL;
        }
        if (state == Vcpu.SIPI_RECEIVED && apic != null) {
            apic.setSipi();
            vcpu.setMpState(Vcpu.INIT_RECEIVED);
        } else {
            vcpu.setMpState(state);
        }
        return 0;
    }

    private long lapic(UserMemory user, int request, long argument) {
        Lapic apic = vcpu.lapic();
        if (apic == null) {
            return -Errno.EINVAL;
        }
        MemorySegment s = UserCopy.struct(kvm_lapic_state.sizeof());
        if (request == Ioctl.GET_LAPIC) {
            vcpu.tprToApic();
            apic.save(s);
            return user.copyOut(argument, s);
        }
        if (user.copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        apic.restore(s);
        vcpu.tprFromApic();
        return 0;
    }

    private long interrupt(UserMemory user, long argument) {
        MemorySegment s = UserCopy.struct(kvm_interrupt.sizeof());
        if (user.copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        int vector = kvm_interrupt.irq(s);
        if (Integer.compareUnsigned(vector, 256) >= 0) {
            return -Errno.EINVAL;
        }
        if (vcpu.lapic() == null) {
            vcpu.queueInterrupt(vector);
            return 0;
        }
        if (vcpu.externalInterrupt() >= 0) {
            return -Errno.EEXIST;
        }
        vcpu.setExternalInterrupt(vector);
        return 0;
    }

    private long setSignalMask(UserMemory user, long argument) {
        if (argument == 0) {
            vcpu.setSignalMask(false, 0);
            return 0;
        }
        MemorySegment length = UserCopy.struct(4);
        MemorySegment set = UserCopy.struct(8);
        if (user.copyIn(argument, length) != 0) {
            return -Errno.EFAULT;
        }
        if (length.get(ValueLayout.JAVA_INT, 0) != 8) {
            return -Errno.EINVAL;
        }
        if (user.copyIn(argument + 4, set) != 0) {
            return -Errno.EFAULT;
        }
        vcpu.setSignalMask(true, set.get(ValueLayout.JAVA_LONG, 0) & ~SIGKILL_AND_STOP);
        return 0;
    }

    private long preFault(Task task, long argument) {
        UserMemory user = task.memory();
        MemorySegment s = UserCopy.struct(kvm_pre_fault_memory.sizeof());
        if (user.copyIn(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        long gpa = kvm_pre_fault_memory.gpa(s);
        long size = kvm_pre_fault_memory.size(s);
        if (kvm_pre_fault_memory.flags(s) != 0
                || ((gpa | size) & Linux.PAGE_SIZE - 1) != 0
                || Long.compareUnsigned(gpa + size, gpa) <= 0) {
            return -Errno.EINVAL;
        }
        long start = gpa;
        int error = 0;
        while (size != 0 && error == 0) {
            if ((task.signals().pending() & ~task.signals().blocked()) != 0) {
                error = -Errno.EINTR;
            } else {
                error = vcpu.vm().stageTwo().preFault(vcpu.bus(), gpa >>> Linux.PAGE_SHIFT);
            }
            if (error == 0) {
                gpa += Linux.PAGE_SIZE;
                size -= Linux.PAGE_SIZE;
            }
        }
        kvm_pre_fault_memory.gpa(s, gpa);
        kvm_pre_fault_memory.size(s, size);
        if (user.copyOut(argument, s) != 0) {
            return -Errno.EFAULT;
        }
        return gpa != start ? 0 : error;
    }
}
