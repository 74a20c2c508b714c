// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserArena;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** The files and the memory of a sequence of calls on an edu device behind vfio-pci, and on /dev/iommu. */
final class VfioSession implements Session {
    /** Bytes between the words of a user page that are looked at, and where transfers start. */
    static final long STEP = 512;

    private static final int PAGE = Linux.PAGE_SIZE;

    private final Syscalls syscalls;
    private final IommufdSession iommufd;
    private final String path;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment buffer = arena.allocate(64, 8);

    private final EduEvents events;

    /** @throws MissingFeatureException without /dev/iommu or without the device */
    VfioSession(Syscalls syscalls) {
        this.syscalls = syscalls;
        this.path = "/dev/vfio/devices/vfio0";
        this.iommufd = new IommufdSession(syscalls);
        this.events = new EduEvents(syscalls, iommufd.files());
        iommufd.know(VfioCalls.all());
        try {
            reset();
        } catch (MissingFeatureException missing) {
            close();
            throw missing;
        }
    }

    /** Brings the device into a state that does not depend on who had it before: nothing else does, it has no reset. */
    private void reset() {
        int device = syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        int iommu = syscalls.open("/dev/iommu", Linux.O_RDWR | Linux.O_CLOEXEC, 0);
        try (UserArena memory = new UserArena(syscalls, 4L * PAGE)) {
            MemorySegment page = memory.allocate(2L * PAGE, PAGE);
            if (device < 0 || ioctl(memory, device, 0x3b76, 16, 0, iommu, 0) < 0) {
                throw new MissingFeatureException("no device at " + path + " that can be bound");
            }
            EduRegisters edu = new EduRegisters(syscalls, device);
            if (edu.read(EduRegisters.CONFIG, 4) != EduRegisters.VENDOR_AND_DEVICE) {
                throw new MissingFeatureException(path + " is no edu device");
            }
            ioctl(memory, iommu, 0x3b81, 12, 0, 0);
            ioctl(memory, device, 0x3b77, 12, 0, 2);
            int low = (int) page.address();
            int high = (int) (page.address() >>> 32);
            ioctl(memory, iommu, 0x3b85, 40, 7, 2, 0, low, high, 2 * PAGE, 0, 0x10000, 0);
            edu.initialize(0x10000);
        } finally {
            syscalls.close(device);
            syscalls.close(iommu);
        }
    }

    private int ioctl(UserArena memory, int fd, int request, int... words) {
        MemorySegment struct = memory.allocate(4L * words.length, 8);
        for (int i = 0; i < words.length; i++) {
            struct.set(ValueLayout.JAVA_INT, 4L * i, words[i]);
        }
        return syscalls.ioctl(fd, request, struct);
    }

    /** Names of an op's operands. */
    static List<String> operandNames(String op) {
        return switch (op) {
            case "open_device" -> List.of("@file");
            case "region_read" -> List.of("@file", "region", "offset", "bytes");
            case "region_write" -> List.of("@file", "region", "offset", "bytes", "value");
            case "raise", "factorial" -> List.of("@file", "value");
            case "pin_event" -> List.of("@file", "@event");
            case "signal" -> List.of("@event");
            case "events" -> List.of();
            case "dma_buf" -> List.of("@file", "@buffer", "region", "open_flags", "flags", "offset", "length");
            case "transfer" -> List.of("@file", "command", "direction", "iova", "buffer", "bytes");
            case "fill" -> List.of("page", "count", "value");
            case "user_advise" -> List.of("page", "count", "advice");
            default -> IommufdSession.operandNames(op, VfioCalls.all());
        };
    }

    @Override
    public Answer perform(Op op) {
        long file = op.operand(0);
        int fd = iommufd.files().get(file);
        return switch (op.name()) {
            case "open_device" -> {
                Answer answer =
                        Answer.ofFile(iommufd.files().set(file, syscalls.open(path, Linux.O_RDWR | Linux.O_CLOEXEC, 0)));
                events.closed(file);
                yield answer;
            }
            case "close", "eventfd" -> {
                events.closed(file);
                yield iommufd.perform(op);
            }
            case "bind" -> {
                Answer answer = iommufd.perform(op);
                if (succeeded(answer)) {
                    events.bound(file);
                }
                yield answer;
            }
            case "region_read" -> regionRead(fd, op);
            case "region_write" -> regionWrite(fd, op);
            case "raise" -> raise(fd, op.operand(1));
            case "factorial" -> factorial(fd, op.operand(1));
            case "pin_event" -> pinEvent(fd, op);
            case "events" -> events.tell(Answer.with(0)).build();
            case "signal" -> signal(op);
            case "dma_buf" -> dmaBuf(fd, op);
            case "transfer" -> transfer(fd, op);
            case "fill" -> fill(op);
            case "user_advise" -> Answer.of(iommufd.user().advise(op.operand(0), op.operand(1), op.intOperand(2)));
            case "irq_event", "irq_value" -> irq(op);
            default -> iommufd.perform(op);
        };
    }

    private Answer regionRead(int fd, Op op) {
        buffer.fill((byte) 0);
        int bytes = Math.clamp(op.operand(3), 0, 16);
        long answer = syscalls.pread(fd, buffer.asSlice(0, bytes), (op.operand(1) << 40) + op.operand(2));
        return Answer.with(answer).and("low", buffer.get(ValueLayout.JAVA_LONG, 0)).and("high", buffer.get(ValueLayout.JAVA_LONG, 8)).build();
    }

    private Answer regionWrite(int fd, Op op) {
        buffer.set(ValueLayout.JAVA_LONG, 0, op.operand(4));
        buffer.set(ValueLayout.JAVA_LONG, 8, op.operand(4));
        int bytes = Math.clamp(op.operand(3), 0, 16);
        long answer = syscalls.pwrite(fd, buffer.asSlice(0, bytes), (op.operand(1) << 40) + op.operand(2));
        if (answer > 0 && op.operand(1) == VfioDraws.CONFIG) {
            events.configured(op.operand(2), answer);
        }
        return Answer.of(answer);
    }

    /** Raises interrupts of the device by hand. */
    private Answer raise(int fd, long bits) {
        EduRegisters edu = new EduRegisters(syscalls, fd);
        events.collect();
        long answer = edu.write(EduRegisters.RAISE, 4, bits);
        Answer.Builder told = Answer.with(answer)
                .and("raised", edu.read(EduRegisters.INTERRUPTS, 4))
                .and("status", edu.read(EduRegisters.CONFIG + EduRegisters.STATUS, 2));
        if (answer > 0 && value(told.build(), "raised") != 0) {
            events.raised();
        }
        return events.tell(told).build();
    }

    private Answer factorial(int fd, long value) {
        EduRegisters edu = new EduRegisters(syscalls, fd);
        return Answer.with(edu.factorial(value)).and("factorial", edu.read(EduRegisters.FACTORIAL, 4)).build();
    }

    /**
     * Takes the pin, with no interrupt pending: QEMU's interrupt controller forgets a level that was there before its
     * input was unmasked, which no hardware does.
     */
    private Answer pinEvent(int fd, Op op) {
        EduRegisters edu = new EduRegisters(syscalls, fd);
        long answer = edu.command(EduRegisters.MEMORY_AND_MASTER);
        if (answer > 0) {
            events.configured(EduRegisters.COMMAND, answer);
        }
        edu.write(EduRegisters.ACKNOWLEDGE, 4, -1);
        Answer set = irq(VfioCalls.IRQ_EVENT.op(op.operand(0), 0x24, 0, 0, 1, op.operand(1)));
        return events.tell(Answer.with(answer).and("set", value(set, Answer.ANSWER))).build();
    }

    private Answer irq(Op op) {
        Answer answer = iommufd.perform(op);
        if (succeeded(answer)) {
            boolean event = op.name().equals("irq_event");
            long last = op.operand(8);
            events.set(op.operand(4), op.operand(5), op.operand(7), event ? last : -1, !event && last != 0);
        } else if (op.operand(3) == 0) {
            events.refused(op.operand(4), op.operand(5));
        }
        return answer;
    }

    private static long value(Answer answer, String name) {
        return answer.value(name);
    }

    private static boolean succeeded(Answer answer) {
        return value(answer, Answer.ANSWER) == 0;
    }

    /** Signals an eventfd on which the kernel may act, and waits for what comes of it. */
    private Answer signal(Op op) {
        events.collect();
        Answer answer = iommufd.write(iommufd.files().get(op.operand(0)), Long.BYTES);
        if (value(answer, Answer.ANSWER) == Long.BYTES) {
            events.signalled(op.operand(0));
        }
        return events.tell(Answer.with(value(answer, Answer.ANSWER))).build();
    }

    private Answer dmaBuf(int fd, Op op) {
        try (UserArena memory = new UserArena(syscalls, PAGE)) {
            MemorySegment struct = memory.allocate(40, 8);
            struct.set(ValueLayout.JAVA_INT, 0, 40);
            struct.set(ValueLayout.JAVA_INT, 4, 11 | 1 << 16);
            struct.set(ValueLayout.JAVA_INT, 8, op.intOperand(2));
            struct.set(ValueLayout.JAVA_INT, 12, op.intOperand(3));
            struct.set(ValueLayout.JAVA_INT, 16, op.intOperand(4));
            struct.set(ValueLayout.JAVA_INT, 20, 1);
            struct.set(ValueLayout.JAVA_LONG, 24, op.operand(5));
            struct.set(ValueLayout.JAVA_LONG, 32, op.operand(6));
            int made = iommufd.files().set(op.operand(1), syscalls.ioctl(fd, 0x3b75, struct));
            return Answer.with(Math.min(made, 0)).and("size", made < 0 ? 0 : syscalls.lseek(made, 0, Linux.SEEK_END)).build();
        }
    }

    /** A transfer of the device to its end: where it has left memory, and what it has signalled. */
    private Answer transfer(int fd, Op op) {
        EduRegisters edu = new EduRegisters(syscalls, fd);
        events.collect();
        long answer = edu.command(op.intOperand(1));
        if (answer > 0) {
            events.configured(EduRegisters.COMMAND, answer);
            if ((op.intOperand(1) & EduRegisters.MEMORY) != 0) {
                edu.transfer(op.operand(2), op.operand(3), op.operand(4), op.operand(5));
                if ((op.operand(2) & EduRegisters.INTERRUPT) != 0) {
                    events.raised();
                }
            }
        }
        return events.tell(Answer.with(answer).and("memory", memory())).build();
    }

    /** A hash of the words of user memory that are looked at. */
    private long memory() {
        long hash = 0;
        for (long at = 0; at < (long) IommufdSession.USER_PAGES * PAGE; at += STEP) {
            Answer word = iommufd.user().read(at);
            hash = hash * 0x100000001b3L + value(word, succeeded(word) ? "word" : Answer.ANSWER);
        }
        return hash;
    }

    private Answer fill(Op op) {
        long from = op.operand(0) * PAGE;
        long last = 0;
        for (long at = from; at < from + op.operand(1) * PAGE; at += STEP) {
            last = value(iommufd.user().write(at, (int) (op.operand(2) + at)), Answer.ANSWER);
        }
        return Answer.of(last);
    }

    @Override
    public void close() {
        arena.close();
        events.close();
        iommufd.close();
    }
}
