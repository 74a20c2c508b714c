// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.kernel.iommu.mock.MockDriver;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.Map;

/** DIRTY: what DMA would do to pages of a mock page table. */
final class DirtyOperation {
    private static final int NUMBER = 13;
    private static final int IOVA = TestCommand.BODY + 8;
    private static final int LENGTH = TestCommand.BODY + 16;
    private static final int PAGE_SIZE = TestCommand.BODY + 24;
    private static final int BITMAP = TestCommand.BODY + 32;
    private static final int OUT_COUNT = TestCommand.BODY + 40;

    private static final long MOST_PAGES = 16L << 20 << 3;

    private DirtyOperation() {}

    static void addTo(Map<Integer, Operation> operations) {
        operations.put(NUMBER, DirtyOperation::execute);
    }

    private static long execute(TestCommand command) {
        long iova = command.longAt(IOVA);
        long length = command.longAt(LENGTH);
        long pageSize = command.longAt(PAGE_SIZE);
        if (pageSize == 0
                || length == 0
                || Long.remainderUnsigned(iova, pageSize) != 0
                || Long.remainderUnsigned(length, pageSize) != 0
                || command.longAt(BITMAP) == 0) {
            return -Errno.EINVAL;
        }
        long pages = Long.divideUnsigned(length, pageSize);
        if (Long.compareUnsigned(pages, MOST_PAGES) > 0) {
            return -Errno.EOVERFLOW;
        }
        IommuDomain domain = command.context().pagingDomain(command.id());
        if (domain == null) {
            return -Errno.ENOENT;
        }
        if (!(domain.driver() instanceof MockDriver) || !domain.tracking()) {
            return -Errno.EINVAL;
        }
        if (!command.context().module().allocator().charge("mock dirty bitmap")) {
            return -Errno.ENOMEM;
        }
        byte[] bytes = new byte[(int) ((pages + 7) >>> 3)];
        if (command.task().memory().copyIn(command.longAt(BITMAP), MemorySegment.ofArray(bytes)) != 0) {
            return -Errno.EFAULT;
        }
        BitSet bits = BitSet.valueOf(bytes);
        bits.clear((int) pages, Math.max((int) pages, bits.size()));
        bits.stream().forEach(bit -> domain.markDirty(iova + bit * pageSize));
        command.setLong(OUT_COUNT, bits.cardinality());
        return command.respond();
    }
}
