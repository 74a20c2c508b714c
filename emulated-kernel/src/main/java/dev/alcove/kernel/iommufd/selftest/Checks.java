// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.mock.MockDriver;
import dev.alcove.kernel.mm.Mm;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Map;

/**
 * ADD_RESERVED, MD_CHECK_MAP, MD_CHECK_REFS and SET_TEMP_MEMORY_LIMIT: what mappings are, and what makes them harder.
 */
final class Checks {
    private static final int ADD_RESERVED = 1;
    private static final int CHECK_MAP = 3;
    private static final int CHECK_REFS = 4;
    private static final int SET_MEMORY_LIMIT = 9;

    private static final int START = TestCommand.BODY;
    private static final int LENGTH = TestCommand.BODY + 8;
    private static final int IOVA = TestCommand.BODY;
    private static final int ADDRESS = TestCommand.BODY + 16;
    private static final int REFS_LENGTH = TestCommand.BODY;
    private static final int REFS_ADDRESS = TestCommand.BODY + 8;
    private static final int REFS = TestCommand.BODY + 16;
    private static final int LIMIT = TestCommand.BODY;

    private final MockDriver driver;
    private final PhysicalMemory memory;

    Checks(MockDriver driver, PhysicalMemory memory) {
        this.driver = driver;
        this.memory = memory;
    }

    void addTo(Map<Integer, Operation> operations) {
        operations.put(ADD_RESERVED, Checks::addReserved);
        operations.put(CHECK_MAP, this::checkMap);
        operations.put(CHECK_REFS, this::checkRefs);
        operations.put(
                SET_MEMORY_LIMIT,
                command -> command.context().module().setBatchLimit(command.word(LIMIT)));
    }

    private static long addReserved(TestCommand command) {
        long start = command.longAt(START);
        long last = start + command.longAt(LENGTH) - 1;
        if (command.longAt(LENGTH) == 0) {
            return -Errno.EINVAL;
        }
        return Long.compareUnsigned(last, start) < 0
                ? -Errno.EOVERFLOW
                : command.context().reserveRange(command.id(), start, last);
    }

    /** Whether each page of a domain is the memory behind a range of the caller's. */
    private long checkMap(TestCommand command) {
        IommuDomain domain = command.context().pagingDomain(command.id());
        if (domain == null) {
            return -Errno.ENOENT;
        }
        long page = domain.format().smallestPage();
        long iova = command.longAt(IOVA);
        long length = command.longAt(LENGTH);
        long address = command.longAt(ADDRESS);
        if (domain.driver() != driver
                || ((iova | length | address) & (page - 1)) != 0
                || Long.compareUnsigned(address + length, address) < 0) {
            return -Errno.EINVAL;
        }
        Mm mm = command.task().mm();
        for (long done = 0; done < length; done += page) {
            long frame = mm.faultIn(address + done, false);
            if (frame < 0) {
                return frame;
            }
            long expected = (frame << Linux.PAGE_SHIFT) + (address + done & (Linux.PAGE_SIZE - 1));
            if (domain.address(iova + done) != expected) {
                return -Errno.EINVAL;
            }
        }
        return 0;
    }

    /** Whether each page of a range of the caller's is pinned as often as expected. */
    private long checkRefs(TestCommand command) {
        long length = command.longAt(REFS_LENGTH);
        long address = command.longAt(REFS_ADDRESS);
        if (((length | address) & (Linux.PAGE_SIZE - 1)) != 0
                || Long.compareUnsigned(address + length, address) < 0) {
            return -Errno.EINVAL;
        }
        Mm mm = command.task().mm();
        for (long done = 0; done < length; done += Linux.PAGE_SIZE) {
            long frame = mm.faultIn(address + done, false);
            if (frame < 0) {
                return frame;
            }
            if (memory.pins(frame) != command.word(REFS)) {
                return -Errno.EIO;
            }
        }
        return 0;
    }
}
