// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.Errno;
import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Linux;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SequenceLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

/**
 * Records the calls that an emulated kernel answers for a program of the host's, in the format of
 * {@link TracingSyscalls} (docs/trace.md). It is no whole trace: calls that go to the host are not in it. Thread safe.
 */
public final class SupervisedTrace implements AutoCloseable {
    private static final int MOST_BYTES = 1 << 16;
    private static final int SIZE_SHIFT = 16;
    private static final int SIZE_MASK = 0x3fff;

    /** Whoever makes a call; addresses are its own. */
    public interface Caller {
        /** Its process. */
        int tgid();

        /** Its thread. */
        int tid();

        /** Copies its memory; 0 or a negated errno. */
        int copyIn(long address, MemorySegment into);

        /** What is known by {@link #name} of the file behind a descriptor; empty when nothing. */
        String nameOf(int fd);

        /** Remembers what a descriptor stands for. */
        void name(int fd, String name);

        /** What a vCPU shares with its program; null when the descriptor is none of one. */
        @Nullable MemorySegment run(int fd);
    }

    private final TraceLog log;
    private final Ioctls ioctls = new Ioctls();
    private final FieldRules rules = new FieldRules();
    private final long epoch = System.nanoTime();

    /** @param out takes the lines as UTF-8; closed with this object */
    public SupervisedTrace(OutputStream out, TraceHeader header) {
        log = new TraceLog(out, header);
    }

    /** Says on the last line how the run ended. */
    public void ended(int status) {
        Map<String, @Nullable Object> exit = new LinkedHashMap<>();
        exit.put("status", status);
        log.exit(exit);
    }

    /** @throws UncheckedIOException the trace could not be written; it is cut where that happened */
    @Override
    public void close() {
        try {
            log.close();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    /** A call that is being served. Of one thread. */
    public final class Line {
        private final Caller caller;
        private final Map<String, @Nullable Object> line = new LinkedHashMap<>();
        private final long start = System.nanoTime();
        private Ioctls.@Nullable Ioctl ioctl;
        private Map<String, @Nullable Object> before = Map.of();
        private long argument;
        private int fd = -1;

        private Line(Caller caller, String call) {
            this.caller = caller;
            line.put("at", start - epoch);
            line.put("thread", Integer.toString(caller.tid()));
            line.put("process", (long) caller.tgid());
            line.put("call", call);
        }

        /** A parameter's value: a number, or text. */
        public Line with(String parameter, Object value) {
            line.put(parameter, value instanceof Number number ? Values.number(number.longValue()) : value);
            if (parameter.equals("fd")) {
                fd = ((Number) value).intValue();
                named();
            }
            return this;
        }

        /** A parameter that is an address. */
        public Line at(String parameter, long address) {
            line.put(parameter, Values.hex(address));
            return this;
        }

        private void named() {
            String name = caller.nameOf(fd);
            if (!name.isEmpty()) {
                line.put("file", name);
            }
        }

        /** What a write hands in. */
        public Line input(long address, long length) {
            line.put("size", length);
            byte[] bytes = copied(address, Math.clamp(length, 0, MOST_BYTES));
            if (bytes != null) {
                line.put("buffer", Values.bytes(bytes));
            }
            return this;
        }

        private byte @Nullable [] copied(long address, int length) {
            byte[] bytes = new byte[length];
            return caller.copyIn(address, MemorySegment.ofArray(bytes)) == 0 ? bytes : null;
        }

        /** The request and argument of an ioctl. */
        public Line ioctl(int request, long address) {
            ioctl = ioctls.find(request, new TracedFiles.File(caller.nameOf(fd)).target()).orElse(null);
            line.put("request", ioctl == null ? "0x" + Integer.toHexString(request) : ioctl.name());
            argument = address;
            GroupLayout layout = ioctl == null ? null : ioctl.layout();
            before = layout == null ? Map.of() : tree(layout);
            boolean pointer = layout != null || (request >>> SIZE_SHIFT & SIZE_MASK) != 0;
            line.put("arg", !before.isEmpty() ? before : pointer ? Values.hex(address) : Values.number(address));
            MemorySegment run = is("KVM_RUN") ? caller.run(fd) : null;
            Map<String, @Nullable Object> entry = run == null ? null : RunExit.entry(run);
            if (entry != null) {
                line.put("entry", entry);
            }
            return this;
        }

        private boolean is(String name) {
            return ioctl != null && ioctl.name().equals(name);
        }

        /** The struct by fields, with what they point to; empty when it cannot be read. */
        private Map<String, @Nullable Object> tree(GroupLayout layout) {
            byte[] bytes = copied(argument, size(layout));
            byte[] least = bytes == null ? copied(argument, (int) layout.byteSize()) : bytes;
            if (least == null) {
                return Map.of();
            }
            Map<String, @Nullable Object> tree = StructTree.of(MemorySegment.ofArray(least), layout);
            String name = Objects.requireNonNull(ioctl).name();
            for (FieldRules.Pointer pointer : rules.pointers(name)) {
                boolean known = tree.containsKey(pointer.field())
                        && (pointer.count().isEmpty() || tree.containsKey(pointer.count()));
                long length = known ? pointer.bytes(before.isEmpty() ? tree : before) : 0;
                byte[] there = length > 0 && length <= MOST_BYTES
                        ? copied(Values.number(tree.get(pointer.field()), pointer.field()), (int) length)
                        : null;
                if (there != null) {
                    tree.put("*" + pointer.field(), pointer.read(MemorySegment.ofArray(there)));
                }
            }
            rules.fields(name).forEach((field, rule) -> {
                if (rule.role() == Role.ADDRESS && tree.containsKey(field)) {
                    tree.put(field, Values.hex(Values.number(tree.get(field), field)));
                }
            });
            return tree;
        }

        /** Bytes of the struct, with the array behind it, whose length its first field has. */
        private int size(GroupLayout layout) {
            MemoryLayout last = layout.memberLayouts().getLast();
            while (last instanceof GroupLayout group && group.name().orElse("$").startsWith("$")) {
                last = group.memberLayouts().getLast(); // a struct without a name around the array
            }
            byte[] first = copied(argument, Integer.BYTES);
            if (first == null || !(last instanceof SequenceLayout array) || array.elementCount() != 0) {
                return (int) layout.byteSize();
            }
            long count = Integer.toUnsignedLong(MemorySegment.ofArray(first).get(JAVA_INT_UNALIGNED, 0));
            long most = (MOST_BYTES - layout.byteSize()) / array.elementLayout().byteSize();
            return (int) (layout.byteSize() + Math.min(count, most) * array.elementLayout().byteSize());
        }

        /**
         * The call has an answer, of which the program does not know yet.
         *
         * @param output where what was read lies; 0 when nothing was
         */
        public void end(long answer, long output) {
            boolean error = Linux.isError(answer);
            line.put("answer", error ? (Object) answer : Values.number(answer));
            if (error) {
                line.put("errno", Errno.name(answer));
            }
            Map<String, @Nullable Object> out = new LinkedHashMap<>();
            byte[] read = output == 0 || answer <= 0 ? null : copied(output, (int) Math.min(answer, MOST_BYTES));
            if (read != null) {
                out.put("buffer", Values.bytes(read));
            }
            GroupLayout layout = ioctl == null || before.isEmpty() ? null : ioctl.layout();
            if (layout != null) {
                tree(layout).forEach((name, value) -> {
                    if (!Objects.equals(value, before.get(name))) {
                        out.put(name, value);
                    }
                });
            }
            if (!out.isEmpty()) {
                line.put("out", out);
            }
            MemorySegment run = is("KVM_RUN") ? caller.run(fd) : null;
            if (run != null) {
                line.put("exit", RunExit.tree(run));
            }
            if (!error) {
                follow(answer, out);
            }
            line.put("nanos", System.nanoTime() - start);
            log.write(null, line);
        }

        /** Remembers what new descriptors stand for. */
        private void follow(long answer, Map<String, @Nullable Object> out) {
            String name = ioctl == null ? String.valueOf(line.get("call")) : ioctl.name();
            switch (name) {
                case "open" -> caller.name((int) answer, String.valueOf(line.get("path")));
                case "memfd_create" -> caller.name((int) answer, "memfd:" + line.get("name"));
                case "KVM_CREATE_VM" -> caller.name((int) answer, "kvm-vm");
                case "KVM_CREATE_VCPU" -> caller.name((int) answer, "kvm-vcpu:" + argument);
                case "KVM_CREATE_GUEST_MEMFD" -> caller.name((int) answer, "kvm-gmem");
                case "VFIO_GROUP_GET_DEVICE_FD" -> caller.name((int) answer, "vfio-device");
                case "UDMABUF_CREATE", "UDMABUF_CREATE_LIST" -> caller.name((int) answer, "dmabuf");
                case "KVM_CREATE_DEVICE" -> nameOf(out.get("fd"), "kvm-device");
                case "IOMMU_FAULT_QUEUE_ALLOC" -> nameOf(out.get("out_fault_fd"), "iommufd-fault");
                default -> {}
            }
        }

        private void nameOf(@Nullable Object number, String name) {
            if (number instanceof Long made) {
                caller.name(made.intValue(), name);
            }
        }
    }

    /** A call begins. */
    public Line begin(Caller caller, String call) {
        return new Line(caller, call);
    }
}
