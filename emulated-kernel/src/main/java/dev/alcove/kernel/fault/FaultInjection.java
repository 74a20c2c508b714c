// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.fault;

import dev.alcove.kernel.mm.Allocator;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Fault injection as the kernel has it: a thread's n-th attempt to allocate fails (/proc/PID/fail-nth), or some of
 * everybody's do (debugfs, fail*). All allocations are charged here before they go on to the allocator below.
 *
 * <p>With nothing armed a charge costs one look at a flag. With something armed, front ends tell when a thread's call
 * begins and ends, so that a charge knows on whose behalf it is.
 *
 * <p>Thread safe; no lock is held while somebody else's code runs.
 */
public final class FaultInjection implements Allocator {
    private final Allocator below;
    private final FaultAttribute slab = new FaultAttribute("failslab");
    private final FaultAttribute page = new FaultAttribute("fail_page_alloc");
    private final FaultAttribute iommufd = new FaultAttribute("fail_iommufd");
    private final ConcurrentHashMap<Integer, TaskFaults> tasks = new ConcurrentHashMap<>();
    @SuppressWarnings("ThreadLocalUsage") // one for each machine, of which there are few
    private final ThreadLocal<@Nullable TaskFaults> current = new ThreadLocal<>();
    private volatile boolean armed;

    // GFP_KERNEL may reclaim: failslab and fail_page_alloc leave that alone unless they are told not to.
    private volatile boolean slabSparesReclaim = true;
    private volatile boolean pageSparesReclaim = true;
    private volatile boolean pageSparesHighmem = true;
    private volatile int pageMinOrder = 1;

    /** @param below asked when no failure is injected */
    public FaultInjection(Allocator below) {
        this.below = below;
    }

    @Override
    public boolean charge(String what) {
        return (!armed || slabSparesReclaim || !fails(slab, what)) && below.charge(what);
    }

    @Override
    public boolean chargePage(String what) {
        boolean spared = pageSparesReclaim || pageMinOrder != 0;
        return (!armed || spared || !fails(page, what)) && below.chargePage(what);
    }

    @Override
    public boolean chargeUserPages(String what) {
        boolean spared = pageSparesReclaim || pageSparesHighmem || pageMinOrder != 0;
        return (!armed || spared || !fails(page, what)) && below.chargeUserPages(what);
    }

    @Override
    public boolean chargeIommufd(String what) {
        return (!armed || !fails(iommufd, what)) && below.chargeIommufd(what);
    }

    @Override
    public boolean mayRefuse() {
        return armed;
    }

    private boolean fails(FaultAttribute attribute, String what) {
        TaskFaults task = current.get();
        if (task == null || task.nth() == 0) {
            return attribute.fails(task != null && task.marked(), 1);
        }
        if (!task.countDown(what)) {
            return false;
        }
        attribute.failed();
        look();
        return true;
    }

    /** A call of a thread begins on this thread of the JVM. */
    public void enter(int tid) {
        if (armed) {
            current.set(tasks.get(tid));
        }
    }

    /** The call is over. */
    public void leave() {
        if (armed) {
            current.remove();
        }
    }

    /** Whether anything may fail at all. */
    private void look() {
        boolean waits = false;
        for (TaskFaults task : tasks.values()) {
            waits |= task.nth() != 0;
        }
        armed = waits || slab.probability() != 0 || page.probability() != 0 || iommufd.probability() != 0;
    }

    /** What a thread's fail-nth reads as: unsigned. */
    public int nth(int tid) {
        TaskFaults task = tasks.get(tid);
        return task == null ? 0 : task.nth();
    }

    /** Makes the n-th attempt of a thread fail, from its next call on; unsigned, 0 for none. */
    public void setNth(int tid, int nth) {
        if (nth != 0 || tasks.containsKey(tid)) {
            tasks.computeIfAbsent(tid, key -> new TaskFaults()).setNth(nth);
            forget(tid);
        }
        look();
    }

    /** A thread's make-it-fail. */
    public boolean marked(int tid) {
        TaskFaults task = tasks.get(tid);
        return task != null && task.marked();
    }

    /** Sets a thread's make-it-fail: with task-filter on, only such threads see failures by chance. */
    public void setMarked(int tid, boolean marked) {
        if (marked || tasks.containsKey(tid)) {
            tasks.computeIfAbsent(tid, key -> new TaskFaults()).setMarked(marked);
            forget(tid);
        }
    }

    private void forget(int tid) {
        tasks.computeIfPresent(tid, (key, task) -> task.idle() ? null : task);
    }

    /** What failed for a thread since its fail-nth was set; null when nothing has. */
    public @Nullable String failed(int tid) {
        TaskFaults task = tasks.get(tid);
        return task == null ? null : task.failed();
    }

    /** Forgets a thread that has ended: its number may be used again. */
    public void ended(int tid) {
        if (tasks.remove(tid) != null) {
            look();
        }
    }

    List<FaultAttribute> attributes() {
        return List.of(slab, page, iommufd);
    }

    void setProbability(FaultAttribute attribute, long percent) {
        attribute.setProbability(percent);
        look();
    }

    boolean slabSparesReclaim() {
        return slabSparesReclaim;
    }

    void setSlabSparesReclaim(boolean spares) {
        slabSparesReclaim = spares;
    }

    boolean pageSparesReclaim() {
        return pageSparesReclaim;
    }

    void setPageSparesReclaim(boolean spares) {
        pageSparesReclaim = spares;
    }

    boolean pageSparesHighmem() {
        return pageSparesHighmem;
    }

    void setPageSparesHighmem(boolean spares) {
        pageSparesHighmem = spares;
    }

    int pageMinOrder() {
        return pageMinOrder;
    }

    void setPageMinOrder(int order) {
        pageMinOrder = order;
    }
}
