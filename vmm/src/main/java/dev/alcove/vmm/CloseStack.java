// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm;

import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/** Resources, closed in the reverse order of their creation, all of them even when one fails. Not thread safe. */
final class CloseStack implements AutoCloseable {
    private final Deque<AutoCloseable> resources = new ArrayDeque<>();

    /** Takes a resource over. */
    <T extends AutoCloseable> T add(T resource) {
        resources.push(resource);
        return resource;
    }

    /** Closes everything; the first failure is thrown, the others are attached to it. A second call does nothing. */
    @Override
    public void close() {
        RuntimeException first = null;
        while (!resources.isEmpty()) {
            first = join(first, close(resources.pop()));
        }
        if (first != null) {
            throw first;
        }
    }

    private static @Nullable RuntimeException close(AutoCloseable resource) {
        try {
            resource.close();
            return null;
        } catch (RuntimeException e) {
            return e;
        } catch (Exception e) {
            return new IllegalStateException("closing " + resource, e);
        }
    }

    private static @Nullable RuntimeException join(@Nullable RuntimeException first, @Nullable RuntimeException next) {
        if (first == null || next == null) {
            return first == null ? next : first;
        }
        first.addSuppressed(next);
        return first;
    }
}
