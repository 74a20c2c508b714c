// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.kvm.kvm_create_device;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

/** Puts system calls into trees. Thread safe. */
final class Recorder {
    private final TracedFiles files = new TracedFiles();
    private final Ioctls ioctls = new Ioctls();
    private final FieldRules rules = new FieldRules();

    /** Starts to record a call: writes what it is asked into its line. */
    Recording begin(Call call, @Nullable Object[] arguments, Map<String, @Nullable Object> line) {
        return new Recording(call, arguments, line);
    }

    /** One call. Of one thread. */
    final class Recording {
        private final Call call;
        private final @Nullable Object[] arguments;
        private final Map<String, @Nullable Object> line;
        private final Ioctls.@Nullable Ioctl ioctl;
        private final TracedFiles.@Nullable RunPages runPages;
        private Map<String, @Nullable Object> before = Map.of();

        private Recording(Call call, @Nullable Object[] arguments, Map<String, @Nullable Object> line) {
            this.call = call;
            this.arguments = arguments;
            this.line = line;
            this.ioctl = call.isIoctl() ? ioctls.find(number(1), target()).orElse(null) : null;
            this.runPages = is("KVM_RUN") ? files.runPages(number(0)) : null;
            try {
                inputs();
            } catch (InternalError gone) {
                line.put("unreadable", String.valueOf(gone.getMessage())); // memory without a page behind it
            }
            if (call == Call.CLOSE) {
                files.closed(number(0)); // before the kernel can hand the number out again
            } else if (call == Call.MUNMAP) {
                files.unmapped(longNumber(0), longNumber(1));
            }
        }

        private Ioctls.Target target() {
            TracedFiles.File file = files.file(number(0));
            return file == null ? Ioctls.Target.VFIO_DEVICE : file.target();
        }

        private boolean is(String name) {
            return ioctl != null && ioctl.name().equals(name);
        }

        private int number(int index) {
            return (int) longNumber(index);
        }

        private long longNumber(int index) {
            return ((Number) Objects.requireNonNull(arguments[index])).longValue();
        }

        private MemorySegment memory(int index) {
            return (MemorySegment) Objects.requireNonNull(arguments[index]);
        }

        boolean countsFromItsBegin() {
            return call.countsFromItsBegin() || is("IOMMU_DESTROY");
        }

        private void inputs() {
            for (int i = 0; i < arguments.length; i++) {
                Parameter parameter = call.parameters().get(i);
                Object argument = arguments[i];
                switch (parameter.kind()) {
                    case NUMBER -> putNumber(parameter, argument, i);
                    case TEXT -> line.put(parameter.name(), argument);
                    case INPUT, OUTPUT -> line.put("size", memory(i).byteSize());
                    case IN_STRUCT -> line.put(parameter.name(), struct(argument, Objects.requireNonNull(parameter.struct())));
                    case OUT_STRUCT -> line.put(parameter.name() + "Size", argument == null ? null : memory(i).byteSize());
                    case POLLFDS -> line.put(parameter.name(), pollfds(memory(i)));
                    case ARGUMENT -> putArgument(memory(i));
                }
            }
            if (runPages != null) {
                Map<String, @Nullable Object> entry = RunExit.entry(run(runPages));
                if (entry != null) {
                    line.put("entry", entry);
                }
            }
        }

        private void putNumber(Parameter parameter, @Nullable Object argument, int index) {
            if (call.isIoctl() && index == 1) {
                line.put("request", ioctl == null ? "0x" + Integer.toHexString(number(1)) : ioctl.name());
                return;
            }
            line.put(parameter.name(), switch (parameter.role()) {
                case ADDRESS -> Values.hex(longNumber(index));
                default -> Objects.requireNonNull((Number) argument).longValue();
            });
            if (parameter.name().equals("fd")) {
                TracedFiles.File file = files.file(number(index));
                if (file != null) {
                    line.put("file", file.name());
                }
            }
        }

        private static @Nullable Object struct(@Nullable Object argument, GroupLayout layout) {
            return argument == null ? null : StructTree.of((MemorySegment) argument, layout);
        }

        private static Object pollfds(MemorySegment memory) {
            return memory.elements(Parameter.POLLFD)
                    .map(one -> StructTree.of(one, Parameter.POLLFD))
                    .toList();
        }

        private void putArgument(MemorySegment memory) {
            // A pointer that nobody can follow is what a test hands in: the kernel answers EFAULT, the trace shows it.
            if (memory.byteSize() == 0 || memory.address() == 0) {
                line.put("arg", Values.hex(memory.address()));
                return;
            }
            before = argument(memory);
            GroupLayout layout = layout();
            if (layout == null || memory.byteSize() != layout.byteSize()) {
                line.put("size", memory.byteSize());
            }
            line.put("arg", layout == null ? before.get("arg") : before);
        }

        private @Nullable GroupLayout layout() {
            return ioctl == null ? null : ioctl.layout();
        }

        /** The argument by fields, with what they point to; bytes without a struct stand as the one field arg. */
        private Map<String, @Nullable Object> argument(MemorySegment memory) {
            Map<String, @Nullable Object> tree = new LinkedHashMap<>();
            GroupLayout layout = layout();
            if (layout == null || ioctl == null) {
                tree.put("arg", Values.bytes(memory.toArray(JAVA_BYTE)));
                return tree;
            }
            tree.putAll(StructTree.of(memory, layout));
            for (FieldRules.Pointer pointer : rules.pointers(ioctl.name())) {
                if (!tree.containsKey(pointer.field())
                        || !(pointer.count().isEmpty() || tree.containsKey(pointer.count()))) {
                    continue; // an older struct
                }
                long address = Values.number(tree.get(pointer.field()), pointer.field());
                Map<String, @Nullable Object> first = before.isEmpty() ? tree : before; // the capacity, not the result
                long bytes = pointer.bytes(first);
                if (bytes > 0 && files.isReadable(address, bytes)) {
                    tree.put("*" + pointer.field(), pointer.read(UserMappings.segment(address, bytes)));
                }
            }
            rules.fields(ioctl.name()).forEach((name, rule) -> {
                if (rule.role() == Role.ADDRESS && tree.containsKey(name)) {
                    tree.put(name, Values.hex(Values.number(tree.get(name), name)));
                }
            });
            return tree;
        }

        /**
         * The call is back.
         *
         * @param answer Long.MIN_VALUE when an exception came out of it
         */
        void end(long answer) {
            if (answer == Long.MIN_VALUE) {
                line.put("answer", null);
                return;
            }
            boolean error = Linux.isError(answer);
            line.put("answer", call == Call.MMAP && !error ? Values.hex(answer) : (Object) answer);
            if (error) {
                line.put("errno", Errno.name(answer));
            }
            try {
                outputs(answer);
            } catch (InternalError gone) {
                line.put("unreadable", String.valueOf(gone.getMessage()));
            }
            follow(answer);
        }

        private void outputs(long answer) {
            Map<String, @Nullable Object> out = new LinkedHashMap<>();
            for (int i = 0; i < arguments.length; i++) {
                Parameter parameter = call.parameters().get(i);
                switch (parameter.kind()) {
                    case INPUT -> {
                        // What the kernel could read, we can; where it could not, it answered so.
                        if (answer != -Errno.EFAULT) {
                            line.put(parameter.name(), Values.bytes(memory(i).toArray(JAVA_BYTE)));
                        }
                    }
                    case OUTPUT -> {
                        if (answer > 0 && answer <= memory(i).byteSize()) {
                            out.put(parameter.name(), Values.bytes(memory(i).asSlice(0, answer).toArray(JAVA_BYTE)));
                        }
                    }
                    case OUT_STRUCT -> {
                        if (answer >= 0 && arguments[i] != null) {
                            out.put(parameter.name(), struct(arguments[i], Objects.requireNonNull(parameter.struct())));
                        }
                    }
                    case POLLFDS -> {
                        if (answer > 0) {
                            out.put(parameter.name(), pollfds(memory(i)));
                        }
                    }
                    case ARGUMENT -> {
                        if (!before.isEmpty()) {
                            argument(memory(i)).forEach((name, value) -> {
                                if (!Objects.equals(value, before.get(name))) {
                                    out.put(name, value);
                                }
                            });
                        }
                    }
                    case NUMBER, TEXT, IN_STRUCT -> {}
                }
            }
            if (!out.isEmpty()) {
                line.put("out", out);
            }
            if (runPages != null) {
                line.put("exit", RunExit.tree(run(runPages)));
            }
        }

        private static MemorySegment run(TracedFiles.RunPages pages) {
            return UserMappings.segment(pages.address(), pages.length());
        }

        /** Keeps the books on descriptors and mappings. */
        private void follow(long answer) {
            switch (call) {
                case OPEN -> files.opened(answer, (String) Objects.requireNonNull(arguments[0]));
                case MEMFD_CREATE -> files.opened(answer, "memfd:" + arguments[0]);
                case EVENTFD -> files.opened(answer, "eventfd");
                case DUP -> files.copied(number(0), answer);
                case FCNTL -> {
                    if (number(1) == Linux.F_DUPFD || number(1) == Linux.F_DUPFD_CLOEXEC) {
                        files.copied(number(0), answer);
                    }
                }
                case MMAP -> {
                    if (!Linux.isError(answer)) {
                        files.mapped(answer, longNumber(1), number(2), number(3), number(4));
                    }
                }
                case IOCTL, IOCTL_VALUE -> {
                    if (answer >= 0) {
                        followIoctl(answer);
                    }
                }
                default -> {}
            }
        }

        private void followIoctl(long answer) {
            if (is("KVM_CREATE_VM")) {
                files.opened(answer, "kvm-vm");
            } else if (is("KVM_CREATE_VCPU")) {
                files.opened(answer, "kvm-vcpu:" + (arguments[2] instanceof Number id ? id.toString() : "?"));
            } else if (is("KVM_CREATE_GUEST_MEMFD")) {
                files.opened(answer, "kvm-gmem");
            } else if (is("VFIO_GROUP_GET_DEVICE_FD")) {
                files.opened(answer, "vfio-device");
            } else if (is("UDMABUF_CREATE") || is("UDMABUF_CREATE_LIST")) {
                files.opened(answer, "dmabuf");
            } else if (is("KVM_CREATE_DEVICE") && !before.isEmpty()) {
                files.opened(kvm_create_device.fd(memory(2)), "kvm-device");
            } else if (is("IOMMU_FAULT_QUEUE_ALLOC") && !before.isEmpty()) {
                files.opened(iommu_fault_alloc.out_fault_fd(memory(2)), "iommufd-fault");
            }
        }
    }
}
