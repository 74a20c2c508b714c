// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.OpenFile;
import dev.alcove.kernel.file.Stat;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.Referenced;
import dev.alcove.sys.Linux;

/** Pages that a file of the emulated kernel shows at some offset, as a file of their own: as long as they are mapped. */
final class MappedPages extends OpenFile {
    private final PageStore store;
    private final Referenced owner;

    /** @param owner what keeps the pages alive; its reference is taken over */
    MappedPages(PageStore store, Referenced owner) {
        super(Linux.O_RDWR);
        this.store = store;
        this.owner = owner;
    }

    PageStore store() {
        return store;
    }

    @Override
    public Stat stat() {
        return new Stat(0, Stat.S_IFREG | 0600, store.pages() << Linux.PAGE_SHIFT, 0);
    }

    @Override
    protected void release() {
        owner.put();
    }
}
