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
        if (!allocator.charge("iommufd object")) {
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

    /** Finds an object and becomes a user of it; null when the id is free or of another type. */
    synchronized <T extends IommufdObject> @Nullable T get(int id, Class<T> type) {
        IommufdObject object = objects.get(id);
        if (!type.isInstance(object)) {
            return null;
        }
        object.users++;
        return type.cast(object);
    }

    /** Becomes a user of an object if it still has its id. */
    synchronized boolean get(IommufdObject object) {
        if (objects.get(object.id()) != object) {
            return false;
        }
        object.users++;
        return true;
    }

    /** Adds users to an object that the caller knows to be there. */
    synchronized void use(IommufdObject object, int count) {
        object.users += count;
    }

    /** Ends being a user. */
    synchronized void put(IommufdObject object) {
        object.users--;
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
