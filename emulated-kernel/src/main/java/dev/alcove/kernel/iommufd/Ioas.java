// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.Allocator;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;

/** An I/O address space. */
final class Ioas extends IommufdObject {
    /** Guards {@link #hwpts}; above the lock of any group. */
    final ReentrantLock mutex = new ReentrantLock();

    final List<Hwpt> hwpts = new ArrayList<>();
    final IoPageTable table;
    private final IommufdContext context;

    Ioas(int id, IommufdContext context, Allocator allocator) {
        super(id);
        this.context = context;
        this.table = new IoPageTable(allocator);
    }

    @Override
    protected void destroy() {
        context.forgetCompat(this);
        table.unmap(0, -1, new long[1]);
    }
}
