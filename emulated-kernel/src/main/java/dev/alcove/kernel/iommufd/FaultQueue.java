// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommu_hwpt_page_response;
import dev.alcove.bindings.iommufd.iommu_hwpt_pgfault;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.TreeMap;

/**
 * Page requests of devices, for the user that has the page table to answer. A group is read as a whole and gets a cookie;
 * a response to the cookie answers all of the group.
 *
 * <p>Lock: its monitor, below that of an {@link AttachGroup}.
 */
final class FaultQueue extends EventQueue {
    private static final int RESPONSE_SIZE = (int) iommu_hwpt_page_response.sizeof();
    private static final int REQUEST_SIZE = (int) iommu_hwpt_pgfault.sizeof();

    private final Allocator allocator;
    private final Deque<PageRequestGroup> unread = new ArrayDeque<>();

    /** Read and not answered, by their cookies. */
    private final TreeMap<Integer, PageRequestGroup> unanswered = new TreeMap<>();

    FaultQueue(int id, IommufdContext context) {
        super(id, context);
        this.allocator = context.module().allocator();
    }

    /** Adds a group behind the others. */
    void deliver(PageRequestGroup group) {
        synchronized (this) {
            unread.addLast(group);
        }
        wake();
    }

    /** Answers whatever a group of devices asked for while it was attached so: it is not any more. */
    void refuse(AttachHandle handle) {
        synchronized (this) {
            refuse(unread.iterator(), handle);
            refuse(unanswered.values().iterator(), handle);
        }
        wake();
    }

    private static void refuse(Iterator<PageRequestGroup> groups, AttachHandle handle) {
        while (groups.hasNext()) {
            PageRequestGroup group = groups.next();
            if (group.handle() == handle) {
                groups.remove();
                group.respond(PageRequestGroup.INVALID);
            }
        }
    }

    @Override
    protected synchronized void destroy() {
        unread.forEach(group -> group.respond(PageRequestGroup.INVALID));
        unread.clear();
        unanswered.values().forEach(group -> group.respond(PageRequestGroup.INVALID));
        unanswered.clear();
    }

    /** As many whole groups as fit. */
    @Override
    synchronized long read(MemorySegment buffer) {
        long room = buffer.byteSize();
        if (room % REQUEST_SIZE != 0) {
            return -Errno.ESPIPE;
        }
        long done = 0;
        while (!unread.isEmpty()) {
            PageRequestGroup group = unread.getFirst();
            if ((long) group.requests().size() * REQUEST_SIZE > room - done) {
                return done == 0 ? -Errno.EINVAL : done;
            }
            if (!allocator.charge("page request cookie")) {
                return done == 0 ? -Errno.ENOMEM : done;
            }
            unread.removeFirst();
            int cookie = freeCookie();
            unanswered.put(cookie, group);
            for (PageRequest request : group.requests()) {
                write(buffer.asSlice(done, REQUEST_SIZE), request, group.handle().device.id(), cookie);
                done += REQUEST_SIZE;
            }
        }
        return done;
    }

    /** The lowest one from 1 that is free. */
    private int freeCookie() {
        int cookie = 1;
        while (unanswered.containsKey(cookie)) {
            cookie++;
        }
        return cookie;
    }

    private static void write(MemorySegment at, PageRequest request, int device, int cookie) {
        MemorySegment struct = Command.zeroes(REQUEST_SIZE);
        iommu_hwpt_pgfault.flags(struct, request.flags());
        iommu_hwpt_pgfault.dev_id(struct, device);
        iommu_hwpt_pgfault.pasid(struct, request.pasid());
        iommu_hwpt_pgfault.grpid(struct, request.group());
        iommu_hwpt_pgfault.perm(struct, request.permissions());
        iommu_hwpt_pgfault.addr(struct, request.address());
        iommu_hwpt_pgfault.cookie(struct, cookie);
        at.copyFrom(struct);
    }

    /** Responses, up to the first one that is none. */
    @Override
    synchronized long write(MemorySegment buffer) {
        long size = buffer.byteSize();
        if (size % RESPONSE_SIZE != 0) {
            return -Errno.ESPIPE;
        }
        MemorySegment response = Command.zeroes(RESPONSE_SIZE);
        for (long done = 0; done < size; done += RESPONSE_SIZE) {
            response.copyFrom(buffer.asSlice(done, RESPONSE_SIZE));
            int code = iommu_hwpt_page_response.code(response);
            boolean known = code == PageRequestGroup.SUCCESS || code == PageRequestGroup.INVALID;
            PageRequestGroup group = known ? unanswered.remove(iommu_hwpt_page_response.cookie(response)) : null;
            if (group == null) {
                return done == 0 ? -Errno.EINVAL : done;
            }
            group.respond(code);
        }
        return size;
    }

    @Override
    synchronized int poll() {
        return unread.isEmpty() ? Linux.POLLOUT : Linux.POLLOUT | Linux.POLLIN;
    }
}
