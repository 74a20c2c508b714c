// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommufd.IommufdAccess;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/** CREATE_ACCESS, ACCESS_PAGES, DESTROY_ACCESS_PAGES, ACCESS_RW and ACCESS_REPLACE_IOAS: in-kernel accesses. */
final class Accesses {
    private static final int CREATE = 5;
    private static final int DESTROY_PAGES = 6;
    private static final int PAGES = 7;
    private static final int RW = 8;
    private static final int REPLACE_IOAS = 11;

    private static final int FD = TestCommand.BODY;
    private static final int CREATE_FLAGS = TestCommand.BODY + 4;
    private static final int PAGES_ID = TestCommand.BODY;
    private static final int FLAGS = TestCommand.BODY;
    private static final int OUT_PAGES_ID = TestCommand.BODY + 4;
    private static final int IOVA = TestCommand.BODY + 8;
    private static final int LENGTH = TestCommand.BODY + 16;
    private static final int ADDRESS = TestCommand.BODY + 24;
    private static final int RW_IOVA = TestCommand.BODY;
    private static final int RW_LENGTH = TestCommand.BODY + 8;
    private static final int RW_ADDRESS = TestCommand.BODY + 16;
    private static final int RW_FLAGS = TestCommand.BODY + 24;
    private static final int IOAS = TestCommand.BODY;

    private static final int NEEDS_PIN_PAGES = 1;
    private static final int WRITE = 1;

    /** The IOVA is the number of an area and an offset. */
    private static final int NTH_AREA = 1 << 16;

    private static final long LONGEST = 16 << 20;

    /** Work on an access that user space names by its file. */
    private interface AccessWork {
        long on(AccessFile file);
    }

    void addTo(Map<Integer, Operation> operations) {
        operations.put(CREATE, Accesses::create);
        operations.put(DESTROY_PAGES, command -> onAccess(command, file -> file.unpin(command.word(PAGES_ID))));
        operations.put(PAGES, Accesses::pages);
        operations.put(RW, Accesses::rw);
        operations.put(
                REPLACE_IOAS,
                command -> onAccess(command, file -> file.access().replace(command.word(IOAS))));
    }

    private static long onAccess(TestCommand command, AccessWork work) {
        return command.task().file(command.id()) instanceof AccessFile file ? work.on(file) : -Errno.EBADFD;
    }

    private static long create(TestCommand command) {
        int flags = command.word(CREATE_FLAGS);
        if ((flags & ~NEEDS_PIN_PAGES) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        if (!command.context().module().allocator().charge("test access")) {
            return -Errno.ENOMEM;
        }
        AccessFile file = new AccessFile();
        IommufdAccess access = command.context().newAccess((flags & NEEDS_PIN_PAGES) != 0, file::unmap);
        if (access == null) {
            return -Errno.ENOMEM;
        }
        file.use(access);
        int error = access.attach(command.id());
        if (error != 0) {
            file.put();
            return error;
        }
        int fd = command.task().install(file, true);
        if (fd < 0) {
            return -Errno.ENOMEM;
        }
        command.setWord(FD, fd);
        long answer = command.respond();
        if (answer != 0) {
            command.task().uninstall(fd);
        }
        return answer;
    }

    private static long pages(TestCommand command) {
        long length = command.longAt(LENGTH);
        int flags = command.word(FLAGS);
        if (Long.compareUnsigned(length, LONGEST) > 0) {
            return -Errno.ENOMEM;
        }
        if ((flags & ~(WRITE | NTH_AREA)) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onAccess(command, file -> {
            if (!file.access().pins()) {
                return -Errno.EOPNOTSUPP;
            }
            long iova = command.longAt(IOVA);
            if ((flags & NTH_AREA) != 0) {
                iova = file.access().iovaOfNthArea(iova);
            }
            long first = iova & -Linux.PAGE_SIZE;
            long end = (iova + length + Linux.PAGE_SIZE - 1) & -Linux.PAGE_SIZE;
            long count = (end - first) >>> Linux.PAGE_SHIFT;
            if (count > LONGEST || !command.context().module().allocator().charge("test access pages")) {
                return -Errno.ENOMEM;
            }
            long[] frames = new long[(int) count];
            long address = command.longAt(ADDRESS);
            long start = address - (iova - first);
            return file.pin(iova, length, frames, (flags & WRITE) != 0, id -> {
                long error = address == 0 ? 0 : compare(command, start, frames);
                if (error != 0) {
                    return error;
                }
                command.setWord(OUT_PAGES_ID, id);
                return command.respond();
            });
        });
    }

    /** Whether frames are those of the caller's memory: 0, {@code -EBADE}, {@code -EFAULT}. */
    private static long compare(TestCommand command, long address, long[] frames) {
        for (int i = 0; i < frames.length; i++) {
            long frame = command.task().mm().faultIn(address + ((long) i << Linux.PAGE_SHIFT), false);
            if (frame < 0) {
                return frame;
            }
            if (frame != frames[i]) {
                return -Errno.EBADE;
            }
        }
        return 0;
    }

    private static long rw(TestCommand command) {
        long length = command.longAt(RW_LENGTH);
        int flags = command.word(RW_FLAGS);
        if (Long.compareUnsigned(length, LONGEST) > 0) {
            return -Errno.ENOMEM;
        }
        if ((flags & ~(IommufdAccess.WRITE | IommufdAccess.SLOW | NTH_AREA)) != 0) {
            return -Errno.EOPNOTSUPP;
        }
        return onAccess(command, file -> {
            if (!command.context().module().allocator().charge("test access buffer")) {
                return -Errno.ENOMEM;
            }
            MemorySegment data = MemorySegment.ofArray(new byte[(int) length]);
            boolean write = (flags & IommufdAccess.WRITE) != 0;
            int error = write ? command.task().memory().copyIn(command.longAt(RW_ADDRESS), data) : 0;
            if (error != 0) {
                return error;
            }
            long iova = command.longAt(RW_IOVA);
            if ((flags & NTH_AREA) != 0) {
                iova = file.access().iovaOfNthArea(iova);
            }
            error = file.access().rw(command.task(), iova, data, flags);
            return error != 0 || write ? error : command.task().memory().copyOut(command.longAt(RW_ADDRESS), data);
        });
    }
}
