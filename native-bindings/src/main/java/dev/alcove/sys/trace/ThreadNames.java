// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Names of threads that are different for different threads: {@code vcpu-0}, {@code vcpu-0#2}. Thread safe. */
final class ThreadNames {
    private final ThreadLocal<String> own = ThreadLocal.withInitial(this::choose);
    private final Map<String, Integer> used = new ConcurrentHashMap<>();

    /** The name of the calling thread, which it keeps. */
    String current() {
        return own.get();
    }

    private String choose() {
        String name = Thread.currentThread().getName();
        int count = used.merge(name, 1, Integer::sum);
        return count == 1 ? name : name + "#" + count;
    }
}
