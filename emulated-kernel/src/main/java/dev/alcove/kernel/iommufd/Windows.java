// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.mm.PageStore;
import dev.alcove.kernel.mm.Referenced;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.Map;
import java.util.TreeMap;

/**
 * Where in the context's file drivers show pages to user space: one range of offsets each, of which user space maps all or
 * nothing. Lock: its monitor, above that of the {@link ObjectTable}.
 */
final class Windows {
    private record Window(IommufdObject owner, PageStore pages) {
        long length() {
            return pages.pages() << Linux.PAGE_SHIFT;
        }
    }

    /** What a mapping keeps: the file, and the owner busy. */
    private record Use(IommufdContext context, IommufdObject owner) implements Referenced {
        @Override
        public void get() {
            context.get();
            context.objects().use(owner, 1);
        }

        @Override
        public void put() {
            context.objects().use(owner, -1);
            context.put();
        }
    }

    private final IommufdContext context;

    /** By offset. */
    private final TreeMap<Long, Window> windows = new TreeMap<>();

    Windows(IommufdContext context) {
        this.context = context;
    }

    /** Takes the lowest offset above the first page with enough room behind it; {@code -ENOMEM}. */
    synchronized long add(IommufdObject owner, PageStore pages) {
        if (!context.module().allocator().charge("iommufd mmap")) {
            return -Errno.ENOMEM;
        }
        Window window = new Window(owner, pages);
        long offset = Linux.PAGE_SIZE;
        for (Map.Entry<Long, Window> taken : windows.entrySet()) {
            if (taken.getKey() - offset >= window.length()) {
                break;
            }
            offset = taken.getKey() + taken.getValue().length();
        }
        windows.put(offset, window);
        return offset;
    }

    synchronized void remove(long offset) {
        windows.remove(offset);
    }

    /** What mmap(2) of the file at an offset maps. */
    synchronized Mapping map(long offset, long length) {
        Window window = windows.get(offset);
        if (window == null || window.length() != length) {
            return new Mapping.Refused(Errno.ENXIO);
        }
        return new Mapping.Pages(window.pages(), 0, new Use(context, window.owner()));
    }
}
