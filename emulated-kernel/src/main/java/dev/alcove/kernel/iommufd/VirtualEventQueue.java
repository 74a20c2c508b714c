// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.bindings.iommufd.iommufd_vevent_header;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * Events of one type that a driver has for the guest of a virtual IOMMU; a user of that. What the user does not read in
 * time is lost: the numbers of the events tell how many, and a header without an event tells it while no newer event does.
 *
 * <p>Lock: its monitor, below that of the {@link VirtualIommu}.
 */
final class VirtualEventQueue extends EventQueue {
    private static final int HEADER_SIZE = (int) iommufd_vevent_header.sizeof();
    private static final int LOST_EVENTS = 1;

    private static final class Event {
        private final int sequence;

        /** Null for the header that tells of lost events. */
        private final byte @Nullable [] data;

        Event(int sequence, byte @Nullable [] data) {
            this.sequence = sequence;
            this.data = data;
        }

        boolean lost() {
            return data == null;
        }

        int length() {
            return HEADER_SIZE + (data == null ? 0 : data.length);
        }
    }

    private final VirtualIommu viommu;
    private final ObjectTable objects;
    private final Allocator allocator;
    private final int type;
    private final int depth;

    /** A header that tells of lost events is only ever the last one. */
    private final Deque<Event> unread = new ArrayDeque<>();

    private int events;
    private int sequence;

    /** Takes the use that {@link #destroy} drops; the caller holds the virtual IOMMU's monitor. */
    VirtualEventQueue(int id, IommufdContext context, VirtualIommu viommu, int type, int depth) {
        super(id, context);
        this.viommu = viommu;
        this.objects = context.objects();
        this.allocator = context.module().allocator();
        this.type = type;
        this.depth = depth;
        objects.use(viommu, 1);
    }

    int type() {
        return type;
    }

    /** Adds an event, which is lost when there is no room; 0, or {@code -ENOMEM} when there is no memory. */
    int report(byte[] data) {
        boolean memory = allocator.charge("virtual event");
        synchronized (this) {
            boolean room = memory && Integer.compareUnsigned(events, depth) < 0;
            if (!unread.isEmpty() && unread.getLast().lost()) {
                unread.removeLast();
            }
            unread.addLast(new Event(sequence, room ? data.clone() : null));
            events += room ? 1 : 0;
            sequence = (sequence + 1) & Integer.MAX_VALUE;
        }
        wake();
        return memory ? 0 : -Errno.ENOMEM;
    }

    /** As many whole events as fit. */
    @Override
    synchronized long read(MemorySegment buffer) {
        long room = buffer.byteSize();
        if (room < HEADER_SIZE) {
            return -Errno.EINVAL;
        }
        long done = 0;
        while (!unread.isEmpty()) {
            Event event = unread.getFirst();
            if (event.lost() && !allocator.charge("virtual event header")) {
                return done == 0 ? -Errno.ENOMEM : done;
            }
            if (event.length() > room - done) {
                return done == 0 ? -Errno.EINVAL : done;
            }
            unread.removeFirst();
            write(buffer.asSlice(done, event.length()), event);
            events -= event.lost() ? 0 : 1;
            done += event.length();
        }
        return done;
    }

    private static void write(MemorySegment at, Event event) {
        MemorySegment header = Command.zeroes(HEADER_SIZE);
        byte[] data = event.data;
        iommufd_vevent_header.flags(header, data == null ? LOST_EVENTS : 0);
        iommufd_vevent_header.sequence(header, event.sequence);
        MemorySegment.copy(header, 0, at, 0, HEADER_SIZE);
        if (data != null) {
            MemorySegment.copy(MemorySegment.ofArray(data), 0, at, HEADER_SIZE, data.length);
        }
    }

    /** Its file has no write operation. */
    @Override
    long write(MemorySegment buffer) {
        return -Errno.EINVAL;
    }

    @Override
    synchronized int poll() {
        return unread.isEmpty() ? 0 : Linux.POLLIN;
    }

    @Override
    protected void destroy() {
        viommu.forget(this);
        objects.use(viommu, -1);
    }
}
