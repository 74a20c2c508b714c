// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The ids of a context: one space for all types, from 1, the lowest free one next.
 *
 * <p>An object has users, which make DESTROY answer EBUSY. Some of them are brief: calls that run at the moment. A driver
 * that takes its device away waits for those ({@link #remove}).
 *
 * <p>Lock: its monitor, a leaf, for ids and for lasting users. Who becomes a brief user takes no lock, so that calls on
 * different objects do not meet here.
 */
final class ObjectTable {
    private final Allocator allocator;
    private final BitSet taken = new BitSet();
    /** By id; slots change under the lock, and the array is written again after each change, for who reads without. */
    private volatile @Nullable IommufdObject[] objects = new IommufdObject[16];

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
        @Nullable IommufdObject[] all = objects;
        if (object.id() >= all.length) {
            all = Arrays.copyOf(all, Math.max(object.id() + 1, 2 * all.length));
        }
        all[object.id()] = object;
        objects = all;
        object.appear();
    }

    private @Nullable IommufdObject find(int id) {
        @Nullable IommufdObject[] all = objects;
        return id >= 0 && id < all.length ? all[id] : null;
    }

    /** Takes an object's id away if nobody uses it briefly; the lock is held. */
    private boolean vanish(IommufdObject object) {
        if (!object.vanish()) {
            return false;
        }
        @Nullable IommufdObject[] all = objects;
        all[object.id()] = null;
        objects = all;
        return true;
    }

    /** As {@link #find}, of an id that user space has given: fail_iommufd can make that one nobody knows. */
    <T extends IommufdObject> @Nullable T get(int id, Class<T> type) {
        return allocator.chargeIommufd("object of an iommufd id") ? find(id, type) : null;
    }

    /** Finds an object and becomes a brief user of it; null when the id is free or of another type. */
    <T extends IommufdObject> @Nullable T find(int id, Class<T> type) {
        IommufdObject object = find(id);
        return object != null && type.isInstance(object) && object.enter() ? type.cast(object) : null;
    }

    /** Becomes a brief user of an object if it still has its id. */
    boolean get(IommufdObject object) {
        return object.enter();
    }

    /** Ends being a brief user. */
    void put(IommufdObject object) {
        if (object.exit()) {
            synchronized (this) {
                notifyAll();
            }
        }
    }

    /** Adds users to an object that the caller knows to be there. */
    synchronized void use(IommufdObject object, int count) {
        object.users += count;
    }

    /** Becomes a user of an object if it still has its id. */
    synchronized boolean tryUse(IommufdObject object) {
        if (find(object.id()) != object) {
            return false;
        }
        object.users++;
        return true;
    }

    /** Ends being a user, and destroys the object when that was the last one. */
    void putAndTryDestroy(IommufdObject object, int count) {
        synchronized (this) {
            object.users -= count;
            if (object.users > 0 || find(object.id()) != object || !vanish(object)) {
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
            object.refuse(true);
        }
        object.unplug();
        synchronized (this) {
            awaitBriefUsers(object);
            object.users--;
            if (object.users > 0 || find(object.id()) != object) {
                // A user that does not leave: it goes with the context.
                object.refuse(false);
                return;
            }
            vanish(object);
            if (!tombstone) {
                taken.clear(object.id());
            }
        }
        object.destroy();
    }

    /** Not interruptible: the calls that are waited for end by themselves. */
    private synchronized void awaitBriefUsers(IommufdObject object) {
        boolean interrupted = false;
        while (object.briefUsers() > 0) {
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
            object = find(id);
            if (object == null) {
                return -Errno.ENOENT;
            }
            if (object.users > 0 || !vanish(object)) {
                return -Errno.EBUSY;
            }
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
        for (IommufdObject object : objects) {
            if (object != null && type.isInstance(object)) {
                found.add(type.cast(object));
            }
        }
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
