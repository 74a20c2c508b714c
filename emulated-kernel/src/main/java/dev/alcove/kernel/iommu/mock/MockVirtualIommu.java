// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommu.mock;

import dev.alcove.kernel.iommu.UserData;
import dev.alcove.kernel.iommufd.DriverOutcome;
import dev.alcove.kernel.iommufd.HwQueue;
import dev.alcove.kernel.iommufd.HwQueueDriver;
import dev.alcove.kernel.iommufd.NestedDomain;
import dev.alcove.kernel.iommufd.UserDataArray;
import dev.alcove.kernel.iommufd.VirtualIommu;
import dev.alcove.kernel.iommufd.VirtualIommuDriver;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * The mock driver's part of a virtual IOMMU: what its user gives it comes back, and in pages that the user can map.
 */
final class MockVirtualIommu implements VirtualIommuDriver {
    static final int TYPE = 0xdeadbeef;

    private static final int INVALIDATE_TYPE = 0xdeadbeef;
    private static final int INVALIDATE_SIZE = 12;
    private static final int INVALIDATE_ALL = 1;
    private static final int EVENT_TYPE = 0xbeefbeef;

    /** Of {@code struct iommu_viommu_selftest}: a word in, the same word out, where and how many bytes to map. */
    private static final int DATA_SIZE = 24;

    private static final int DATA_LEAST = 8;
    private static final int OUT_DATA = 4;
    private static final int OUT_OFFSET = 8;
    private static final int OUT_LENGTH = 16;

    private static final int PAGES = 2;

    private static final int QUEUE_TYPE = 0xdeadbeef;
    private static final int QUEUES = 2;

    private final MockDriver driver;
    private final VirtualIommu core;

    /** Each but the first needs the one before it. Guarded by itself. */
    private final @Nullable HwQueue[] queues = new HwQueue[QUEUES];

    private @Nullable PageStore pages;
    private long offset;

    private MockVirtualIommu(MockDriver driver, VirtualIommu core) {
        this.driver = driver;
        this.core = core;
    }

    static DriverOutcome<VirtualIommuDriver> create(MockDriver driver, VirtualIommu core, @Nullable UserData data) {
        MockVirtualIommu viommu = new MockVirtualIommu(driver, core);
        int error = data == null ? 0 : viommu.loopBack(data);
        if (error != 0) {
            viommu.destroy();
            return new DriverOutcome.Refused<>(-error);
        }
        return new DriverOutcome.Made<>(viommu);
    }

    private int loopBack(UserData data) {
        MemorySegment struct = MemorySegment.ofArray(new long[DATA_SIZE / Long.BYTES]);
        int error = data.copyIn(TYPE, struct, DATA_LEAST);
        if (error != 0) {
            return error;
        }
        PhysicalMemory memory = driver.iommu().memory();
        if (!driver.iommu().allocator().charge("mock viommu pages")) {
            return -Errno.ENOMEM;
        }
        pages = new PageStore(memory, PAGES, true);
        long frame = pages.frame(0);
        if (frame < 0 || pages.frame(1) < 0) {
            return -Errno.ENOMEM;
        }
        long shown = core.showPages(pages);
        if (shown < 0) {
            return (int) shown;
        }
        offset = shown;
        int word = struct.get(ValueLayout.JAVA_INT, 0);
        memory.view().set(ValueLayout.JAVA_INT, frame << Linux.PAGE_SHIFT, word);
        struct.set(ValueLayout.JAVA_INT, OUT_DATA, word);
        struct.set(ValueLayout.JAVA_LONG, OUT_OFFSET, offset);
        struct.set(ValueLayout.JAVA_LONG, OUT_LENGTH, PAGES * (long) Linux.PAGE_SIZE);
        return data.copyOut(TYPE, struct, DATA_LEAST);
    }

    @Override
    public void destroy() {
        if (offset != 0) {
            core.hidePages(offset);
            offset = 0;
        }
        if (pages != null) {
            pages.close();
            pages = null;
        }
    }

    VirtualIommu core() {
        return core;
    }

    /** Tells the guest about a device of its. */
    int report(long virtualId) {
        MemorySegment event = MemorySegment.ofArray(new int[1]);
        event.set(ValueLayout.JAVA_INT, 0, (int) virtualId);
        return core.reportEvent(EVENT_TYPE, event.toArray(ValueLayout.JAVA_BYTE));
    }

    @Override
    public DriverOutcome<NestedDomain> allocateNested(int flags, UserData data) {
        return driver.allocateNested(core.parentDomain(), this, flags, data);
    }

    @Override
    public int invalidate(UserDataArray requests) {
        if (requests.count() == 0 && requests.type() == INVALIDATE_TYPE) {
            return 0;
        }
        if (!driver.iommu().allocator().charge("mock invalidation requests")) {
            return -Errno.ENOMEM;
        }
        int room = requests.type() == INVALIDATE_TYPE ? requests.count() : 0;
        MemorySegment all = MemorySegment.ofArray(new int[room * (INVALIDATE_SIZE / Integer.BYTES)]);
        int error = requests.copyAll(INVALIDATE_TYPE, all, INVALIDATE_SIZE);
        for (int i = 0; error == 0 && i < requests.count(); i++) {
            MemorySegment request = all.asSlice((long) i * INVALIDATE_SIZE, INVALIDATE_SIZE);
            error = invalidate(
                    request.get(ValueLayout.JAVA_INT, 0),
                    request.get(ValueLayout.JAVA_INT, 4),
                    request.get(ValueLayout.JAVA_INT, 8));
            if (error == 0) {
                requests.advance();
            }
        }
        return error;
    }

    private int invalidate(int flags, int virtualId, int entry) {
        if ((flags & ~INVALIDATE_ALL) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (Integer.compareUnsigned(entry, MockDevice.CACHE_ENTRIES) >= 0) {
            return -Errno.EINVAL;
        }
        if (!(core.device(Integer.toUnsignedLong(virtualId)) instanceof MockDevice device)) {
            return -Errno.EINVAL;
        }
        device.invalidate(entry, flags != 0);
        return 0;
    }

    @Override
    public boolean queues(int type) {
        return type == QUEUE_TYPE;
    }

    @Override
    public DriverOutcome<HwQueueDriver> newQueue(HwQueue queue, int index, long address) {
        if (Integer.compareUnsigned(index, QUEUES) >= 0) {
            return new DriverOutcome.Refused<>(Errno.EINVAL);
        }
        synchronized (queues) {
            if (queues[index] != null) {
                return new DriverOutcome.Refused<>(Errno.EEXIST);
            }
            HwQueue before = index == 0 ? null : queues[index - 1];
            if (index > 0 && before == null) {
                return new DriverOutcome.Refused<>(Errno.EIO);
            }
            if (address != core.parentDomain().address(queue.iova())) {
                return new DriverOutcome.Refused<>(Errno.EFAULT);
            }
            if (before != null) {
                before.hold();
            }
            queues[index] = queue;
            return new DriverOutcome.Made<>(() -> removeQueue(index, before));
        }
    }

    private void removeQueue(int index, @Nullable HwQueue before) {
        synchronized (queues) {
            queues[index] = null;
            if (before != null) {
                before.release();
            }
        }
    }
}
