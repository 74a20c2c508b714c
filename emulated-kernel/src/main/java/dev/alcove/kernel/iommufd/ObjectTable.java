// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The ids of a context: one space for all types, from 1, the lowest free one next. Lock: its monitor, a leaf.
 *
 * <p>An object has users, which make DESTROY answer EBUSY. Some of them are brief: calls that run at the moment. A driver
 * that takes its device away waits for those ({@link #remove}).
 */
final class ObjectTable {
    private final Allocator allocator;
    private final BitSet taken = new BitSet();
    private final Map<Integer, IommufdObject> objects = new HashMap<>();

    ObjectTable(Allocator allocator) {
        this.allocator = allocator;
        taken.set(0);
    }

    /** Takes an id; nobody finds it before {@link #add}. {@code -ENOMEM}. */
    synchronized int reserve() {
        if (!allocator.charge("iommufd object") || !allocator.charge("iommufd id")) {
            return -Errno.ENOMEM;
        }
        int id = taken.nextClearBit(0);
        taken.set(id);
        return id;
    }

    /** Gives an id back that {@link #reserve} answered. */
    synchronized void cancel(int id) {
        taken.clear(id);
    }

    /** Makes an object visible under the id it was made with. */
    synchronized void add(IommufdObject object) {
        objects.put(object.id(), object);
    }

    /** Finds an object and becomes a brief user of it; null when the id is free or of another type. */
    synchronized <T extends IommufdObject> @Nullable T get(int id, Class<T> type) {
        IommufdObject object = objects.get(id);
        return type.isInstance(object) && get(object) ? type.cast(object) : null;
    }

    /** Becomes a brief user of an object if it still has its id. */
    synchronized boolean get(IommufdObject object) {
        if (objects.get(object.id()) != object || object.leaving) {
            return false;
        }
        object.users++;
        object.briefUsers++;
        return true;
    }

    /** Ends being a brief user. */
    synchronized void put(IommufdObject object) {
        object.users--;
        if (--object.briefUsers == 0) {
            notifyAll();
        }
    }

    /** Adds users to an object that the caller knows to be there. */
    synchronized void use(IommufdObject object, int count) {
        object.users += count;
    }

    /** Becomes a user of an object if it still has its id. */
    synchronized boolean tryUse(IommufdObject object) {
        if (objects.get(object.id()) != object) {
            return false;
        }
        object.users++;
        return true;
    }

    /** Ends being a user, and destroys the object when that was the last one. */
    void putAndTryDestroy(IommufdObject object, int count) {
        synchronized (this) {
            object.users -= count;
            if (object.users > 0 || !objects.remove(object.id(), object)) {
                return;
            }
            taken.clear(object.id());
        }
        object.destroy();
    }

    /**
     * Destroys an object that only the caller uses, besides brief users: it waits for those.
     *
     * @param tombstone whether the id stays taken: whoever knows it shall not find something else there
     */
    void remove(IommufdObject object, boolean tombstone) {
        synchronized (this) {
            object.leaving = true;
        }
        object.unplug();
        synchronized (this) {
            awaitBriefUsers(object);
            object.users--;
            if (object.users > 0 || !objects.remove(object.id(), object)) {
                // A user that does not leave: it goes with the context.
                object.leaving = false;
                return;
            }
            if (!tombstone) {
                taken.clear(object.id());
            }
        }
        object.destroy();
    }

    /** Not interruptible: the calls that are waited for end by themselves. */
    private synchronized void awaitBriefUsers(IommufdObject object) {
        boolean interrupted = false;
        while (object.briefUsers > 0) {
            try {
                wait();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Destroys an object: 0, {@code -ENOENT}, or {@code -EBUSY} when it has users. */
    int destroy(int id) {
        IommufdObject object;
        synchronized (this) {
            object = objects.get(id);
            if (object == null) {
                return -Errno.ENOENT;
            }
            if (object.users > 0) {
                return -Errno.EBUSY;
            }
            objects.remove(id);
            taken.clear(id);
        }
        object.destroy();
        return 0;
    }

    /** Whether no id is taken, not even by a tombstone. */
    synchronized boolean isEmpty() {
        return taken.cardinality() == 1;
    }

    /** All objects of a type, by id. */
    synchronized <T extends IommufdObject> List<T> all(Class<T> type) {
        List<T> found = new ArrayList<>();
        objects.keySet().stream().sorted().forEach(id -> {
            IommufdObject object = objects.get(id);
            if (type.isInstance(object)) {
                found.add(type.cast(object));
            }
        });
        return found;
    }

    /** Destroys everything, users before what they use. */
    void destroyAll() {
        while (true) {
            List<IommufdObject> idle = all(IommufdObject.class);
            if (idle.isEmpty()) {
                return;
            }
            boolean progress = false;
            for (IommufdObject object : idle) {
                progress |= destroy(object.id()) == 0;
            }
            if (!progress) {
                throw new AssertionError(idle.size() + " iommufd objects use each other in a circle");
            }
        }
    }
}
