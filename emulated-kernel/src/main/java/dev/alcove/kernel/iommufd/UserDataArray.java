// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.UserData;
import dev.alcove.kernel.task.UserMemory;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;

/** Structs in the caller's memory that only a driver knows, one behind the other. Of one thread. */
public final class UserDataArray {
    private final UserMemory memory;
    private final int type;
    private final long address;
    private final int entryLength;
    private final int count;
    private int done;

    /**
     * @param type which struct
     * @param entryLength bytes from one to the next, up to a page
     */
    UserDataArray(UserMemory memory, int type, long address, int entryLength, int count) {
        this.memory = memory;
        this.type = type;
        this.address = address;
        this.entryLength = entryLength;
        this.count = count;
    }

    /** Which struct. */
    public int type() {
        return type;
    }

    /** How many there are. */
    public int count() {
        return count;
    }

    /** How many are done: what the caller is told. */
    public int done() {
        return done;
    }

    /** Tells that one more is done. */
    public void advance() {
        done++;
    }

    /** One struct, by {@link UserData#copyIn}'s rules. */
    public int copyIn(int index, int wanted, MemorySegment struct, long least) {
        return new UserData(memory, type, addressOf(index), entryLength).copyIn(wanted, struct, least);
    }

    /**
     * All structs at once ({@code iommu_copy_struct_from_full_user_array}); what the caller does not give of them stays as
     * it is.
     *
     * @param size of a struct as the kernel knows it
     * @return 0; {@code -EINVAL} another type, or none; {@code -E2BIG} more than the kernel knows, and not zero;
     *     {@code -EFAULT}
     */
    public int copyAll(int wanted, MemorySegment structs, long size) {
        if (type != wanted || count == 0) {
            return -Errno.EINVAL;
        }
        if (entryLength == size) {
            return memory.copyIn(address, structs.asSlice(0, size * count));
        }
        for (int i = 0; i < count; i++) {
            long known = Math.min(size, entryLength);
            int error = memory.checkZeroed(addressOf(i) + known, entryLength - known);
            if (error == 0) {
                error = memory.copyIn(addressOf(i), structs.asSlice(size * i, known));
            }
            if (error != 0) {
                return error;
            }
        }
        return 0;
    }

    private long addressOf(int index) {
        return address + (long) entryLength * index;
    }
}
