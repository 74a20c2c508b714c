// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.iommufd.IommufdAccess;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An in-kernel access that user space holds by a file, and what it has pinned.
 *
 * <p>Lock: its monitor, above the locks of the access. It is held over a pin, so that no unmap comes between the pin and
 * the list.
 */
final class AccessFile extends OpenFile {
    /** A range that is pinned. */
    private record Item(int id, long iova, long length) {}

    /** Looks at the frames that were pinned, and answers the user: a negated errno undoes the pin. */
    interface Pinned {
        long accept(int id);
    }

    private final List<Item> items = new ArrayList<>();
    private int nextId;
    private @Nullable IommufdAccess access;

    AccessFile() {
        super(Linux.O_RDWR);
    }

    /** Gives the access; without one the file can only be closed. */
    void use(IommufdAccess given) {
        access = given;
    }

    /** The access; the file can be found only with one. */
    IommufdAccess access() {
        if (access == null) {
            throw new AssertionError("an access file that was never finished");
        }
        return access;
    }

    /** Pins a range under a new id: 0 or what the access or {@code pinned} answers. */
    synchronized long pin(long iova, long length, long[] frames, boolean write, Pinned pinned) {
        int error = access().pinPages(iova, length, frames, write);
        if (error != 0) {
            return error;
        }
        long answer = pinned.accept(nextId);
        if (answer < 0) {
            access().unpinPages(iova, length);
            return answer;
        }
        items.add(new Item(nextId++, iova, length));
        return answer;
    }

    /** Unpins what has an id: 0 or {@code -ENOENT}. */
    synchronized long unpin(int id) {
        for (Item item : items) {
            if (item.id() == id) {
                items.remove(item);
                access().unpinPages(item.iova(), item.length());
                return 0;
            }
        }
        return -Errno.ENOENT;
    }

    /** Unpins what overlaps a range that goes away. */
    synchronized void unmap(long iova, long last) {
        for (Iterator<Item> all = items.iterator(); all.hasNext(); ) {
            Item item = all.next();
            if (Long.compareUnsigned(iova, item.iova() + item.length() - 1) <= 0
                    && Long.compareUnsigned(last, item.iova()) >= 0) {
                all.remove();
                access().unpinPages(item.iova(), item.length());
            }
        }
    }

    @Override
    public boolean anonymous() {
        return true;
    }

    @Override
    public Stat stat() {
        return new Stat(0, 0600, 0, 0);
    }

    @Override
    protected void release() {
        if (access != null) {
            unmap(0, -1);
            access.end();
        }
    }
}
