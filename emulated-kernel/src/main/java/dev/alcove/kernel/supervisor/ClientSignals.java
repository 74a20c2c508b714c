// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.task.Signals;
import dev.alcove.sys.Errno;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The signals of a thread of the program, as procfs shows them. They are looked up when a call asks first, and then by
 * whoever calls {@link #look} while the call lasts. A thread that is being killed has SIGKILL pending.
 *
 * <p>One call at a time; {@link #look} may run beside it: the monitor guards which call it is for.
 */
final class ClientSignals implements Signals {
    private static final long SIGKILL = 1L << 8;

    private final Host host;
    private final int directory;
    private volatile long pending;
    private volatile long blocked;
    private volatile boolean fresh;
    private volatile boolean replaced;
    private volatile @Nullable Runnable listener;
    private volatile BooleanSupplier waiting = () -> true;

    /** @param directory the thread's in procfs */
    ClientSignals(Host host, int directory) {
        this.host = host;
        this.directory = directory;
    }

    /** A call begins; {@code stillWaiting} tells whether its thread waits for the answer. */
    synchronized void begin(BooleanSupplier stillWaiting) {
        waiting = stillWaiting;
        listener = null;
        fresh = false;
        replaced = false;
    }

    /**
     * Looks the signals up, and tells whoever listens when one is there that is not blocked. What was found for a call
     * that is over by then is nothing to the next one.
     */
    @SuppressWarnings("ReferenceEquality") // each call has one of its own
    void look() {
        BooleanSupplier asked = waiting;
        String status = host.readText(directory, "status");
        long found = status == null || !asked.getAsBoolean() ? SIGKILL : mask(status, "SigPnd:") | mask(status, "ShdPnd:");
        Runnable told;
        synchronized (this) {
            if (waiting != asked) {
                return;
            }
            if (!replaced) {
                blocked = status == null ? 0 : mask(status, "SigBlk:");
            }
            pending = found;
            fresh = true;
            told = (found & ~blocked) != 0 ? listener : null;
        }
        if (told != null) {
            told.run();
        }
    }

    private static long mask(String status, String name) {
        int at = status.indexOf("\n" + name);
        int start = at + name.length() + 2;
        return at < 0 ? 0 : Long.parseUnsignedLong(status.substring(start, start + 16), 16);
    }

    private void ensure() {
        if (!fresh) {
            look();
        }
    }

    @Override
    public long pending() {
        ensure();
        return pending;
    }

    @Override
    public long blocked() {
        ensure();
        return blocked;
    }

    /** Replaces the mask for this call; the thread's own stays. */
    @Override
    public long setBlocked(long mask) {
        ensure();
        long old = blocked;
        blocked = mask & ~SIGKILL;
        replaced = true;
        return old;
    }

    @Override
    public void onArrival(@Nullable Runnable told) {
        listener = told;
    }

    /** The host's kernel sends the program's signals. */
    @Override
    public void send(int signal) {
        throw new UnsupportedOperationException("signals of the program are the host's");
    }

    @Override
    public int await(long set, long timeoutNanos) {
        return -Errno.ENOSYS;
    }
}
