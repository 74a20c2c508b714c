// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.file.Vfs;
import dev.alcove.sys.Errno;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

/**
 * The processors that programs see when the emulated machine is to have another number of them than the host:
 * sched_getaffinity(2), which nproc(1) and sysconf(3) ask, sched_setaffinity(2), and /sys/devices/system/cpu. Where
 * threads really run is the host's affair. Thread safe.
 */
final class Processors {
    private static final String FOLDER = "/sys/devices/system/cpu";

    private final int count;
    /** What threads have asked for, by their numbers. */
    private final Map<Integer, BitSet> chosen = new ConcurrentHashMap<>();

    private Processors(int count) {
        this.count = count;
    }

    /** Gives a kernel so many processors. */
    static Processors of(EmulatedKernel kernel, int count) {
        kernel.kvm().setProcessors(count);
        Vfs vfs = kernel.vfs();
        String all = count == 1 ? "0\n" : "0-" + (count - 1) + "\n";
        for (String name : new String[] {"online", "possible", "present"}) {
            vfs.addText(FOLDER + "/" + name, all);
        }
        vfs.addText(FOLDER + "/kernel_max", "8191\n");
        vfs.addText(FOLDER + "/offline", "\n");
        for (int cpu = 0; cpu < count; cpu++) {
            String topology = FOLDER + "/cpu" + cpu + "/topology/";
            vfs.addText(topology + "core_id", cpu + "\n");
            vfs.addText(topology + "physical_package_id", "0\n");
            vfs.addText(topology + "thread_siblings_list", cpu + "\n");
            if (cpu > 0) {
                vfs.addText(FOLDER + "/cpu" + cpu + "/online", "1\n");
            }
        }
        vfs.claim(FOLDER, true);
        return new Processors(count);
    }

    /** A value or a negated errno. */
    long serve(Client client, Notification call) {
        int thread = call.a() == 0 ? client.tid() : (int) call.a();
        boolean exists = thread == client.tid() || (thread > 0 && client.hasThread(thread));
        if (!exists) {
            return -Errno.ESRCH;
        }
        return call.number() == Numbers.SCHED_SETAFFINITY
                ? choose(client, thread, (int) call.b(), call.c())
                : tell(client, thread, (int) call.b(), call.c());
    }

    private long choose(Client client, int thread, int length, long address) {
        byte[] mask = new byte[Math.clamp(length, 0, bytes())];
        if (client.copyIn(address, MemorySegment.ofArray(mask)) != 0) {
            return -Errno.EFAULT;
        }
        BitSet wanted = BitSet.valueOf(mask);
        wanted.clear(count, Math.max(count, wanted.length()));
        if (wanted.isEmpty()) {
            return -Errno.EINVAL;
        }
        chosen.put(thread, wanted);
        return 0;
    }

    private long tell(Client client, int thread, int length, long address) {
        if (length < 0 || (length & (Long.BYTES - 1)) != 0 || length < bytes()) {
            return -Errno.EINVAL;
        }
        BitSet all = new BitSet();
        all.set(0, count);
        byte[] set = chosen.getOrDefault(thread, all).toByteArray();
        MemorySegment mask = MemorySegment.ofArray(new long[bytes() / Long.BYTES]);
        MemorySegment.copy(set, 0, mask, JAVA_BYTE, 0, set.length);
        return client.copyOut(address, mask) != 0 ? -Errno.EFAULT : bytes();
    }

    /** Of a mask of this machine's. */
    private int bytes() {
        return (count + Long.SIZE - 1) / Long.SIZE * Long.BYTES;
    }
}
