// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.task;

/**
 * Who a process is.
 *
 * @param uid effective user
 * @param capabilities bit n is capability n
 */
public record Credentials(int uid, long capabilities) {
    /** Root, with every capability. */
    public static Credentials root() {
        return new Credentials(0, -1);
    }

    /** An ordinary user, without any. */
    public static Credentials user(int uid) {
        return new Credentials(uid, 0);
    }

    /** Whether a capability is there. */
    public boolean capable(int capability) {
        return (capabilities >>> capability & 1) != 0;
    }
}
