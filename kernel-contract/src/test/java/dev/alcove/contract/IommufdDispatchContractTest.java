// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract;

import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

import static dev.alcove.contract.Checks.fails;
import static dev.alcove.contract.Checks.ok;
import static org.junit.jupiter.api.Assertions.assertEquals;

/** What every native ioctl of /dev/iommu does with its number and its struct, before it looks at what it is asked. */
@Surface("iommufd dispatch")
final class IommufdDispatchContractTest {
    /**
     * An ioctl.
     *
     * @param least bytes of the struct
     * @param reserved offset of a word that must be 0 before any id is looked at; 0 for none
     */
    private record Row(int number, int least, int size, int reserved) {}

    private static final List<Row> ROWS = List.of(
            new Row(0x80, 8, 8, 0),
            new Row(0x81, 12, 12, 4),
            new Row(0x82, 24, 24, 12),
            new Row(0x83, 40, 40, 0),
            new Row(0x84, 32, 32, 12),
            new Row(0x85, 40, 40, 12),
            new Row(0x86, 24, 24, 0),
            new Row(0x87, 24, 24, 0),
            new Row(0x88, 12, 12, 0),
            new Row(0x89, 24, 48, 20),
            new Row(0x8a, 32, 40, 0),
            new Row(0x8b, 16, 16, 0),
            new Row(0x8c, 48, 48, 12),
            new Row(0x8d, 32, 32, 28),
            new Row(0x8e, 16, 16, 4),
            new Row(0x8f, 40, 40, 0),
            new Row(0x90, 24, 40, 4),
            new Row(0x91, 24, 24, 0),
            new Row(0x92, 8, 8, 4),
            new Row(0x93, 28, 32, 4),
            new Row(0x94, 40, 40, 4));

    private static List<Row> rows(IommufdClient it) {
        return ROWS.stream().filter(row -> it.has(row.number)).toList();
    }

    private static MemorySegment claim(MemorySegment struct, long size) {
        iommu_destroy.size(struct, (int) size);
        return struct;
    }

    @EveryKernel
    void unknownNumbersAreNoIoctls(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(64);
            fails(Errno.ENOTTY, it.call(0x9f, struct));
            fails(Errno.ENOTTY, it.call(0xff, struct));
            fails(Errno.ENOTTY, it.call(0x00, struct));
        }
    }

    @EveryKernel
    void aNumberWithSizeOrDirectionIsNoIoctl(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(64);
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x3c81, struct));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x400c_3b81, struct));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0xc00c_3b81, struct));
        }
    }

    @EveryKernel
    void theLengthIsReadBeforeTheNumberIsCompared(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, 0x3b81, 0L));
            fails(Errno.EFAULT, kernel.sys().ioctl(it.fd, 0xc00c_3b81, 0L));
            fails(Errno.ENOTTY, kernel.sys().ioctl(it.fd, 0x3bff, 0L));
        }
    }

    @EveryKernel
    void theLeastLengthIsAsked(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                fails(Errno.EINVAL, it.call(row.number, claim(it.struct(64), row.least - 1)));
                fails(Errno.EINVAL, it.call(row.number, claim(it.struct(64), 0)));
            }
        }
    }

    @EveryKernel
    void tooShortIsSaidBeforeAnythingElse(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                MemorySegment struct = it.struct(64).fill((byte) 0x7f);
                fails(Errno.EINVAL, it.call(row.number, claim(struct, row.least - 1)));
            }
        }
    }

    @EveryKernel
    void aTailThatIsNotZeroIsTooBig(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                MemorySegment struct = it.struct(256);
                struct.set(ValueLayout.JAVA_BYTE, row.size, (byte) 1);
                fails(Errno.E2BIG, it.call(row.number, struct));
                struct.set(ValueLayout.JAVA_BYTE, row.size, (byte) 0);
                struct.set(ValueLayout.JAVA_BYTE, 255, (byte) 0x80);
                fails(Errno.E2BIG, it.call(row.number, struct));
            }
        }
    }

    @EveryKernel
    void theTailIsLookedAtBeforeTheFields(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                fails(Errno.E2BIG, it.call(row.number, claim(it.struct(256).fill((byte) 0x7f), 256)));
            }
        }
    }

    @EveryKernel
    void aLongerStructOfZeroesIsFine(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            ok(it.call(IommufdClient.IOAS_ALLOC, it.struct(256)));
            ok(it.call(IommufdClient.IOAS_ALLOC, it.struct(Linux.PAGE_SIZE)));
            fails(Errno.ENOENT, it.call(IommufdClient.DESTROY, it.struct(256)));
        }
    }

    @EveryKernel
    void evenLongerThanAPage(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(3 * Linux.PAGE_SIZE);
            ok(it.call(IommufdClient.IOAS_ALLOC, struct));
            struct.set(ValueLayout.JAVA_BYTE, 3 * Linux.PAGE_SIZE - 1, (byte) 1);
            fails(Errno.E2BIG, it.call(IommufdClient.IOAS_ALLOC, struct));
        }
    }

    @EveryKernel
    void aTailThatCannotBeReadIsAFault(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                fails(Errno.EFAULT, it.callAtTheEndOfMemory(row.number, claim(it.struct(row.size), row.size + 8)));
            }
        }
    }

    @EveryKernel
    void aStructThatIsCutOffIsAFault(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                fails(Errno.EFAULT, it.callAtTheEndOfMemory(row.number, claim(it.struct(4), row.size)));
            }
        }
    }

    @EveryKernel
    void aStructMayEndWhereMemoryEnds(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            ok(it.callAtTheEndOfMemory(IommufdClient.IOAS_ALLOC, it.struct(12)));
            assertEquals(2, it.ioas());
        }
    }

    @EveryKernel
    void reservedWordsMustBeZero(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                if (row.reserved != 0) {
                    MemorySegment struct = it.struct(row.size);
                    struct.set(ValueLayout.JAVA_INT, row.reserved, 0x40);
                    fails(Errno.EOPNOTSUPP, it.call(row.number, struct));
                }
            }
        }
    }

    @EveryKernel
    void aWrongIdIsFoundAfterAllReservedWords(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            for (Row row : rows(it)) {
                if (row.reserved != 0) {
                    MemorySegment struct = it.struct(row.size).fill((byte) 0x7f);
                    fails(Errno.EOPNOTSUPP, it.call(row.number, claim(struct, row.size)));
                }
            }
        }
    }

    @EveryKernel
    void theAnswerIsNoLongerThanTheStruct(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            MemorySegment struct = it.struct(64).fill((byte) 0);
            struct.asSlice(12).fill((byte) 0x55);
            ok(it.call(IommufdClient.IOAS_ALLOC, claim(struct, 12)));
            assertEquals(0x55, struct.get(ValueLayout.JAVA_BYTE, 12));
        }
    }

    @EveryKernel
    void aReadOnlyDescriptorIsEnough(KernelUnderTest kernel) {
        try (IommufdClient it = new IommufdClient(kernel)) {
            int file = Checks.fd(kernel.sys().open("/dev/iommu", Linux.O_RDONLY | Linux.O_CLOEXEC, 0));
            ok(kernel.sys().ioctl(file, 0x3b81, it.struct(12)));
            ok(kernel.sys().close(file));
        }
    }
}
