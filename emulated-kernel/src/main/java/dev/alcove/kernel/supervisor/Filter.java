// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

/**
 * The seccomp filter: which calls ask. An ioctl asks by its type, whatever descriptor it is for; calls on hot numbers
 * ask only for descriptors in a window, which is where those of the emulated kernel are put; everything else goes on at
 * full speed.
 *
 * @param windowStart first descriptor of the window
 * @param windowEnd first one behind it
 * @param names whether calls that only look a path up ask too
 * @param processors whether calls about processors ask
 * @param ownStart where this process's C library begins: calls from there that change mappings do not ask, as the thread
 *     that starts the program makes some while it holds locks of the JVM or of malloc(3) that whoever serves it may want
 * @param ownEnd first address behind it; at most 4 GiB away
 */
record Filter(int windowStart, int windowEnd, boolean names, boolean processors, long ownStart, long ownEnd) {
    private static final int X86_64 = 0xC000003E;
    private static final int RET_ALLOW = 0x7fff0000;
    private static final int RET_NOTIFY = 0x7fc00000;
    private static final int RET_ERRNO = 0x00050000;
    private static final int NUMBER = 0;
    private static final int ARCHITECTURE = 4;
    private static final int INSTRUCTION = 8;
    private static final int O_RDONLY_CLOEXEC = 0x80000;
    private static final int MAP_SHARED = 1;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MAP_FIXED = 0x10;
    private static final int MADV_DONTNEED = 4;
    private static final int MADV_FREE = 8;
    private static final int MADV_REMOVE = 9;
    private static final int MADV_COLLAPSE = 25;

    private static final int LOAD = 0x20;
    private static final int AND = 0x54;
    private static final int JUMP_EQUAL = 0x15;
    private static final int JUMP_GREATER_EQUAL = 0x35;
    private static final int JUMP_SET = 0x45;
    private static final int RETURN = 0x06;

    /** The types of the ioctls that ask: KVM; iommufd and VFIO; dma-buf; sync_file; udmabuf. */
    private static final int[] TYPES = {0xae, 0x3b, 'b', '>', 'u'};

    private record Instruction(int code, int value, String then, String otherwise) {}

    /** A program in the making: jumps go to labels, or on. */
    private static final class Program {
        private final List<Instruction> instructions = new ArrayList<>();
        private final Map<String, Integer> labels = new HashMap<>();

        void label(String name) {
            labels.put(name, instructions.size());
        }

        void add(int code, int value) {
            instructions.add(new Instruction(code, value, "", ""));
        }

        void jump(int code, int value, String then, String otherwise) {
            instructions.add(new Instruction(code, value, then, otherwise));
        }

        private byte distance(int from, String label) {
            int target = label.isEmpty() ? from + 1 : labels.getOrDefault(label, -1);
            int distance = target - from - 1;
            if (distance < 0 || distance > 255) {
                throw new IllegalStateException("a jump to " + label + " over " + distance);
            }
            return (byte) distance;
        }

        /** A {@code struct sock_fprog}. */
        MemorySegment write(Arena arena) {
            MemorySegment code = arena.allocate(8L * instructions.size(), 8);
            for (int i = 0; i < instructions.size(); i++) {
                Instruction instruction = instructions.get(i);
                code.set(JAVA_SHORT, 8L * i, (short) instruction.code);
                code.set(JAVA_BYTE, 8L * i + 2, distance(i, instruction.then));
                code.set(JAVA_BYTE, 8L * i + 3, distance(i, instruction.otherwise));
                code.set(JAVA_INT, 8L * i + 4, instruction.value);
            }
            MemorySegment program = arena.allocate(16, 8);
            program.set(JAVA_SHORT, 0, (short) instructions.size());
            program.set(JAVA_LONG, 8, code.address());
            return program;
        }
    }

    /**
     * The filter for programs that this process starts.
     *
     * @param end first descriptor behind the window, which is the upper half below it
     */
    static Filter of(Host host, int end, boolean names, boolean processors) {
        long function = host.raw.addressOf("mmap");
        int maps = host.openAt(Host.AT_FDCWD, "/proc/self/maps", Linux.O_RDONLY);
        Area library = Area.at(host, maps, function);
        host.close(maps);
        return new Filter(
                end / 2, end, names, processors, library == null ? 0 : library.start(), library == null ? 0 : library.end());
    }

    /** Offset of the low half of an argument in {@code struct seccomp_data}. */
    private static int argument(int index) {
        return 16 + 8 * index;
    }

    /** The filter as a {@code struct sock_fprog}. */
    MemorySegment program(Arena arena) {
        Program program = new Program();
        program.add(LOAD, ARCHITECTURE);
        program.jump(JUMP_EQUAL, X86_64, "", "allow");
        program.add(LOAD, NUMBER);
        program.jump(JUMP_EQUAL, Numbers.IOCTL, "ioctl", "");
        if (names) {
            for (int number : Numbers.ON_PATH) {
                program.jump(JUMP_EQUAL, number, "notify", "");
            }
            for (int number : Numbers.ON_DIRECTORY) {
                program.jump(JUMP_EQUAL, number, "path", "");
            }
        }
        for (int number : Numbers.ON_WINDOW) {
            program.jump(JUMP_EQUAL, number, "window", "");
        }
        program.jump(JUMP_EQUAL, Numbers.OPENAT, "openat", "");
        program.jump(JUMP_EQUAL, Numbers.OPEN, "open", "");
        program.jump(JUMP_EQUAL, Numbers.MMAP, "mmap", "");
        program.jump(JUMP_EQUAL, Numbers.MADVISE, "madvise", "");
        program.jump(JUMP_EQUAL, Numbers.MEMFD_CREATE, "memfd", "");
        for (int number : Numbers.ON_MEMORY) {
            program.jump(JUMP_EQUAL, number, "memory", "");
        }
        if (processors) {
            for (int number : Numbers.ON_PROCESSORS) {
                program.jump(JUMP_EQUAL, number, "notify", "");
            }
        }
        for (int number : Numbers.ALWAYS) {
            program.jump(JUMP_EQUAL, number, "notify", "");
        }
        program.label("allow");
        program.add(RETURN, RET_ALLOW);
        program.label("ioctl");
        program.add(LOAD, argument(1));
        program.add(AND, 0xff00);
        for (int type : TYPES) {
            program.jump(JUMP_EQUAL, type << 8, "notify", "");
        }
        program.add(RETURN, RET_ALLOW);
        // Devices are opened for reading and writing, text files of /proc by fopen(3), which is not close-on-exec. What
        // the loader and libc open by themselves is neither.
        String byLibraries = names ? "notify" : "allow2";
        program.label("openat");
        program.add(LOAD, argument(2));
        program.jump(JUMP_EQUAL, O_RDONLY_CLOEXEC, "", "notify");
        program.add(LOAD, argument(0));
        program.jump(JUMP_EQUAL, Host.AT_FDCWD, byLibraries, "");
        program.jump(JUMP_GREATER_EQUAL, windowStart, "inside", "allow2");
        program.label("open");
        program.add(LOAD, argument(1));
        program.jump(JUMP_EQUAL, O_RDONLY_CLOEXEC, byLibraries, "notify");
        program.label("path");
        program.add(LOAD, argument(0));
        program.jump(JUMP_EQUAL, Host.AT_FDCWD, "notify", "");
        program.jump(JUMP_GREATER_EQUAL, windowStart, "inside", "allow2");
        program.label("mmap");
        program.add(LOAD, argument(3));
        program.jump(JUMP_SET, Linux.MAP_HUGETLB, "notify", "");
        program.jump(JUMP_SET, MAP_ANONYMOUS, "anonymous", "");
        program.jump(JUMP_SET, MAP_SHARED, "notify", "");
        program.add(LOAD, argument(4));
        program.jump(JUMP_GREATER_EQUAL, windowStart, "inside", "allow2");
        program.label("anonymous");
        program.jump(JUMP_SET, MAP_FIXED, "memory", "allow2");
        program.label("window");
        program.add(LOAD, argument(0));
        program.jump(JUMP_GREATER_EQUAL, windowStart, "", "allow2");
        program.label("inside");
        program.jump(JUMP_GREATER_EQUAL, windowEnd, "allow2", "notify");
        program.label("madvise");
        // No file of the emulated kernel can be collapsed, and for others it is a hint.
        program.add(LOAD, argument(2));
        program.jump(JUMP_EQUAL, MADV_DONTNEED, "memory", "");
        program.jump(JUMP_EQUAL, MADV_FREE, "memory", "");
        program.jump(JUMP_EQUAL, MADV_REMOVE, "memory", "");
        program.jump(JUMP_EQUAL, MADV_COLLAPSE, "refuse", "allow2");
        program.label("memfd");
        program.add(LOAD, argument(1));
        program.jump(JUMP_SET, Linux.MFD_HUGETLB, "notify", "allow2");
        program.label("refuse");
        program.add(RETURN, RET_ERRNO | Errno.EINVAL);
        program.label("memory");
        program.add(LOAD, INSTRUCTION + 4);
        program.jump(JUMP_EQUAL, (int) (ownStart >>> 32), "", "notify");
        program.add(LOAD, INSTRUCTION);
        program.jump(JUMP_GREATER_EQUAL, (int) ownStart, "", "notify");
        boolean wraps = ownEnd >>> 32 != ownStart >>> 32;
        program.jump(JUMP_GREATER_EQUAL, wraps ? -1 : (int) ownEnd, "notify", "allow2");
        program.label("allow2");
        program.add(RETURN, RET_ALLOW);
        program.label("notify");
        program.add(RETURN, RET_NOTIFY);
        return program.write(arena);
    }
}
