// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.file.HugetlbFile;
import dev.alcove.kernel.file.Mapping;
import dev.alcove.kernel.file.MemoryFile;
import dev.alcove.kernel.mm.HugePages;
import dev.alcove.kernel.mm.HugePools;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;

/**
 * Calls for huge pages, which come from the emulated machine's pool whatever the host's has: what the program maps is a
 * memfd of ordinary pages, at an address and with a length as of huge ones.
 */
final class HugeCalls {
    private static final int MFD_FLAGS = 0x1f;
    private static final int FIXED = Linux.MAP_FIXED | Linux.MAP_FIXED_NOREPLACE;

    private final PhysicalMemory memory;
    private final Placeholders placeholders;
    private final Host host;

    HugeCalls(PhysicalMemory memory, Placeholders placeholders, Host host) {
        this.memory = memory;
        this.placeholders = placeholders;
        this.host = host;
    }

    /** memfd_create(MFD_HUGETLB). */
    long create(Client client, Notification call) {
        int flags = (int) call.b();
        if (host.copyString(client.tid(), call.a()) == null) {
            return -Errno.EFAULT;
        }
        if ((flags & ~(MFD_FLAGS | HugePools.SIZE_FLAGS)) != 0) {
            return -Errno.EINVAL;
        }
        HugePages pool = memory.hugePools().asked(flags);
        if (pool == null) {
            return -Errno.ENODEV;
        }
        int seals = (flags & Linux.MFD_ALLOW_SEALING) != 0 ? 0 : MemoryFile.F_SEAL_SEAL;
        return client.install(new HugetlbFile(memory, pool, seals, 0), (flags & Linux.MFD_CLOEXEC) != 0);
    }

    /** mmap(MAP_ANONYMOUS | MAP_HUGETLB). */
    long mapAnonymous(Client client, Notification call) {
        int flags = (int) call.d();
        int type = flags & Linux.MAP_TYPE;
        HugePages pool = memory.hugePools().asked(flags);
        if (call.b() == 0 || pool == null || (type != Linux.MAP_SHARED && type != Linux.MAP_PRIVATE)) {
            return -Errno.EINVAL;
        }
        long length = pool.roundUp(call.b());
        if (call.b() < 0 || length < 0) {
            return -Errno.ENOMEM;
        }
        HugetlbFile file = new HugetlbFile(memory, pool, MemoryFile.F_SEAL_SEAL, 0);
        file.truncate(client, length);
        long answer = prepare(client, file, call, 0);
        Placeholders.Made made = answer < 0 ? null : placeholders.make(client, file);
        if (made == null) {
            file.put();
            return answer < 0 ? answer : -Errno.ENOMEM;
        }
        insert(client, call, pool, made.end(), -1, 0);
        return 0;
    }

    /** mmap of a file that memfd_create(MFD_HUGETLB) has made. */
    long mapFile(Client client, HugetlbFile file, Notification call) {
        if (call.b() == 0 || (call.f() & (Linux.PAGE_SIZE - 1)) != 0) {
            return -Errno.EINVAL;
        }
        long answer = prepare(client, file, call, call.f());
        if (answer == 0) {
            client.fit((int) call.e(), file);
            insert(client, call, file.pool(), -1, (int) call.e(), call.f());
        }
        return answer;
    }

    /** Takes the pages from the pool; 0 or a negated errno. The program's memory is shared, so private mappings are too. */
    private static long prepare(Client client, HugetlbFile file, Notification call, long offset) {
        if ((call.d() & FIXED) != 0 && !file.pool().aligned(call.a())) {
            return -Errno.EINVAL;
        }
        long length = file.pool().roundUp(call.b());
        int flags = ((int) call.d() & ~Linux.MAP_TYPE) | Linux.MAP_SHARED;
        return file.map(client, offset, length, (int) call.c(), flags) instanceof Mapping.Refused refused
                ? -refused.errno()
                : 0;
    }

    private static void insert(
            Client client, Notification call, HugePages pool, int file, int number, long offset) {
        client.insert(new Insertion(
                file,
                number,
                pool.roundUp(call.a()),
                pool.bytes(),
                pool.roundUp(call.b()),
                (int) call.c(),
                (int) call.d() & FIXED,
                offset));
    }
}
