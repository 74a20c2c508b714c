// SPDX-License-Identifier: Apache-2.0
package dev.alcove.discard;

import dev.alcove.discard.RamDiscardManager.Change;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The memory of a virtio-mem device (virtio 1.2, 5.15): a RAM block that the guest plugs and unplugs in blocks, as far
 * as the host asks for. Populated is plugged.
 *
 * <p>Offsets and counts come from the guest and may be anything. Blocks are populated at the listeners before they count
 * as plugged; they are discarded at the listeners, then count as unplugged, and then their memory is released.
 *
 * <p>Thread safe: each request is alone with the block's manager, so that no conversion of the same pages runs at the
 * same time. Questions take no lock.
 */
public final class VirtioMem implements RamDiscardSource {
    /** How far the guest may plug above what is requested, so that it can leave out what it cannot use. */
    private static final long USABLE_EXTENT = 256L << 20;

    /** The answer to a request, by the name of the specification's VIRTIO_MEM_RESP. */
    public enum Response {
        /** Done. */
        ACK,
        /** More than the host asks for. */
        NACK,
        /** Not now: somebody who uses the memory refuses. */
        BUSY,
        /** No such blocks, or some of them have the wanted state already. */
        ERROR
    }

    /** What some blocks are. */
    public enum State {
        PLUGGED,
        UNPLUGGED,
        /** Some are plugged, and some are not. */
        MIXED
    }

    private final RamDiscardManager manager;
    private final long blockSize;
    private final RangeVisitor release;
    private final RangeSet plugged = new RangeSet();
    /** Changed by who is alone. */
    private volatile long requested;
    /** Changed by who is alone. */
    private volatile long usable;

    private volatile Outcome.@Nullable Unsafe unsafe;

    /**
     * A device with nothing plugged, which its manager does not know yet: {@link RamDiscardManager#addSource} it.
     *
     * @param manager of the device's memory; its size is a multiple of the block size
     * @param blockSize bytes, a power of two, at least 4096
     * @param release gives the memory of unplugged blocks back to the host
     */
    public VirtioMem(RamDiscardManager manager, long blockSize, RangeVisitor release) {
        if (blockSize < 4096 || Long.bitCount(blockSize) != 1 || manager.size() % blockSize != 0) {
            throw new IllegalArgumentException(
                    "virtio-mem blocks of " + blockSize + " bytes in " + manager.size() + " bytes");
        }
        this.manager = manager;
        this.blockSize = blockSize;
        this.release = release;
        this.usable = usable(0);
    }

    @Override
    public long granularity() {
        return blockSize;
    }

    @Override
    public RangeSet snapshot() {
        return plugged.copy();
    }

    /** How many bytes the host wants to be plugged. */
    public long requestedSize() {
        return requested;
    }

    /** How many bytes are plugged. */
    public long pluggedSize() {
        return plugged.bytes();
    }

    /** How many bytes from the start of the block the guest may use. */
    public long usableSize() {
        return usable;
    }

    /** Set once telling the listeners has failed half way: the VM must stop. All requests fail from then on. */
    public Optional<Outcome.Unsafe> unsafe() {
        return Optional.ofNullable(unsafe);
    }

    /**
     * What the host wants to be plugged from now on; the guest follows when it likes to.
     *
     * @param bytes a multiple of the block size, at most the size of the block of RAM
     */
    public void request(long bytes) {
        if (bytes < 0 || bytes > manager.size() || bytes % blockSize != 0) {
            throw new IllegalArgumentException("virtio-mem cannot have " + bytes + " of " + manager.size()
                    + " bytes plugged in blocks of " + blockSize);
        }
        try (Change _ = manager.changeAlone()) {
            requested = bytes;
            usable = Math.max(usable, usable(bytes));
        }
    }

    private long usable(long wanted) {
        long extent = Math.max(USABLE_EXTENT, blockSize);
        return manager.size() - wanted < extent ? manager.size() : wanted + extent;
    }

    /** VIRTIO_MEM_REQ_PLUG: blocks that are all unplugged become plugged. */
    public Response plug(long offset, int blocks) {
        try (Change _ = manager.changeAlone()) {
            if (unsafe != null || !isUsable(offset, blocks)) {
                return Response.ERROR;
            }
            long size = blocks * blockSize;
            if (plugged.bytes() + size > requested) {
                return Response.NACK;
            }
            if (plugged.containsAny(offset, size)) {
                return Response.ERROR;
            }
            Response response = response(manager.notifyPopulate(this, offset, size));
            if (response == Response.ACK) {
                plugged.add(offset, size);
            }
            return response;
        }
    }

    /** VIRTIO_MEM_REQ_UNPLUG: blocks that are all plugged become unplugged. */
    public Response unplug(long offset, int blocks) {
        try (Change _ = manager.changeAlone()) {
            if (unsafe != null || !isUsable(offset, blocks) || !plugged.containsAll(offset, blocks * blockSize)) {
                return Response.ERROR;
            }
            return unplug(List.of(new RamSection(offset, blocks * blockSize)));
        }
    }

    /** VIRTIO_MEM_REQ_UNPLUG_ALL: no block is plugged, and no more is usable than is requested. */
    public Response unplugAll() {
        try (Change _ = manager.changeAlone()) {
            if (unsafe != null) {
                return Response.ERROR;
            }
            List<RamSection> runs = new ArrayList<>();
            plugged.forEach(0, manager.size(), (offset, size) -> runs.add(new RamSection(offset, size)));
            Response response = unplug(runs);
            if (response == Response.ACK) {
                usable = usable(requested);
            }
            return response;
        }
    }

    /** VIRTIO_MEM_REQ_STATE; empty is an error. */
    public Optional<State> state(long offset, int blocks) {
        if (!isUsable(offset, blocks)) {
            return Optional.empty();
        }
        RangeSet now = plugged.copy();
        if (now.containsAll(offset, blocks * blockSize)) {
            return Optional.of(State.PLUGGED);
        }
        return Optional.of(now.containsAny(offset, blocks * blockSize) ? State.MIXED : State.UNPLUGGED);
    }

    /** All of these runs, or none. */
    private Response unplug(List<RamSection> runs) {
        for (int told = 0; told < runs.size(); told++) {
            Outcome outcome = manager.notifyDiscard(this, runs.get(told).offset(), runs.get(told).size());
            if (!outcome.isDone()) {
                return takeBack(runs.subList(0, told), outcome);
            }
        }
        runs.forEach(run -> plugged.remove(run.offset(), run.size()));
        runs.forEach(run -> release.range(run.offset(), run.size()));
        return Response.ACK;
    }

    private Response takeBack(List<RamSection> told, Outcome cause) {
        Response response = response(cause);
        for (RamSection run : told.reversed()) {
            if (response == Response.BUSY) {
                Outcome undone = manager.notifyPopulate(this, run.offset(), run.size());
                if (!undone.isDone()) {
                    response = response(new Outcome.Unsafe("unplugging was refused (" + cause
                            + "), and so was plugging in again: " + undone));
                }
            }
        }
        return response;
    }

    private Response response(Outcome outcome) {
        return switch (outcome) {
            case Outcome.Done _ -> Response.ACK;
            case Outcome.Refused _ -> Response.BUSY;
            case Outcome.Unsafe broken -> {
                unsafe = broken;
                yield Response.ERROR;
            }
        };
    }

    private boolean isUsable(long offset, int blocks) {
        return offset >= 0
                && blocks > 0
                && offset % blockSize == 0
                && offset < usable
                && blocks <= (usable - offset) / blockSize;
    }
}
