// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Ioctls;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.Arena;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

/** One recorded call, made ready for another kernel. Of one thread. */
final class ReplayCall {
    private static final long MOST_BYTES = 64 << 20;

    private final TraceLine line;
    private final Call call;
    private final Ioctls.@Nullable Ioctl ioctl;
    private final int request;
    private final TreeTranslation names;
    private final FieldRules rules;
    private final Arena arena;
    private final long hint;
    private final @Nullable Object[] arguments;
    /** The ioctl's argument as it is handed in, in the replay's names. */
    private Map<String, @Nullable Object> before = Map.of();

    /**
     * @param arena for what the call needs
     * @param hint where mmap is to look first; 0 for anywhere
     * @throws BadInputException the line does not say what the call needs
     */
    ReplayCall(
            TraceLine line, Call call, @Nullable Named ioctl, TreeTranslation names, Arena arena, long hint) {
        this.line = line;
        this.call = call;
        this.ioctl = ioctl == null ? null : ioctl.ioctl;
        this.request = ioctl == null ? 0 : ioctl.request;
        this.names = names;
        this.rules = names.rules();
        this.arena = arena;
        this.hint = hint;
        this.arguments = new Object[call.parameters().size()];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = argument(call.parameters().get(i), i);
        }
    }

    /**
     * An ioctl by the name or number in a trace.
     *
     * @param ioctl null for a number that has no name here
     */
    record Named(int request, Ioctls.@Nullable Ioctl ioctl) {
        String name() {
            return ioctl == null ? "0x" + Integer.toHexString(request) : ioctl.name();
        }
    }

    long issue(Syscalls kernel) {
        return call.issue(kernel, arguments);
    }

    private @Nullable Object argument(Parameter parameter, int index) {
        String name = parameter.name();
        return switch (parameter.kind()) {
            case NUMBER -> {
                if (call.isIoctl() && index == 1) {
                    yield request;
                }
                if (call == Call.MMAP && name.equals("address") && hint != 0) {
                    yield hint;
                }
                // A time to wait is over in the record: what it waited for has happened, or will not.
                yield name.startsWith("timeout")
                        ? (Object) 0L
                        : Values.number(names.value(parameter.role(), line.number(name), name), name);
            }
            case TEXT -> names.value(parameter.role(), line.text(name), name);
            case INPUT -> input(name);
            case OUTPUT -> memory(line.number("size"));
            case IN_STRUCT -> struct(line.get(name), Objects.requireNonNull(parameter.struct()));
            case OUT_STRUCT -> line.get(name + "Size") == null ? null : memory(line.number(name + "Size"));
            case POLLFDS -> pollfds(name);
            case ARGUMENT -> ioctlArgument();
        };
    }

    private MemorySegment memory(long bytes) {
        if (bytes < 0 || bytes > MOST_BYTES) {
            throw new BadInputException("a buffer of " + bytes + " bytes");
        }
        return arena.allocate(bytes, 8);
    }

    private MemorySegment input(String name) {
        byte[] bytes = Values.bytes(line.get(name), name);
        MemorySegment memory = memory(bytes.length);
        MemorySegment.copy(bytes, 0, memory, JAVA_BYTE, 0, bytes.length);
        return memory;
    }

    private @Nullable MemorySegment struct(@Nullable Object tree, GroupLayout layout) {
        if (tree == null) {
            return null;
        }
        MemorySegment memory = memory(layout.byteSize());
        StructTree.write(Values.map(tree, "struct"), memory, layout);
        return memory;
    }

    private MemorySegment pollfds(String name) {
        List<?> recorded = Values.list(line.get(name), name);
        MemorySegment memory = memory(recorded.size() * Parameter.POLLFD.byteSize());
        for (int i = 0; i < recorded.size(); i++) {
            StructTree.write(
                    Values.map(names.tree(call.text(), name, recorded.get(i), Map.of()), name),
                    memory.asSlice(i * Parameter.POLLFD.byteSize(), Parameter.POLLFD.byteSize()),
                    Parameter.POLLFD);
        }
        return memory;
    }

    private MemorySegment ioctlArgument() {
        Object recorded = line.get("arg");
        if (Values.isNumber(recorded)) {
            return MemorySegment.ofAddress(names.names().address(Values.number(recorded, "arg")));
        }
        GroupLayout layout = layout();
        if (layout == null && line.get("size") == null) {
            throw new BadInputException("'size' is missing");
        }
        MemorySegment memory = memory(line.get("size") == null && layout != null ? layout.byteSize() : line.number("size"));
        before = names.struct(name(), recordedArgument());
        if (layout == null) {
            byte[] bytes = Values.bytes(before.get("arg"), "arg");
            if (bytes.length > memory.byteSize()) {
                throw new BadInputException("'arg' has " + bytes.length + " bytes, 'size' is " + memory.byteSize());
            }
            MemorySegment.copy(bytes, 0, memory, JAVA_BYTE, 0, bytes.length);
            return memory;
        }
        StructTree.write(before, memory, layout);
        for (FieldRules.Pointer pointer : rules.pointers(name())) {
            MemorySegment pointed = pointed(pointer);
            if (pointed != null) {
                pointer.write(before.get("*" + pointer.field()), pointed.fill((byte) 0));
            }
        }
        return memory;
    }

    /** The recorded argument by fields; bytes without a struct stand as the one field arg. */
    Map<String, @Nullable Object> recordedArgument() {
        Object recorded = line.get("arg");
        if (recorded instanceof Map<?, ?> map && !map.containsKey("text")) {
            return Values.map(recorded, "arg");
        }
        Map<String, @Nullable Object> bytes = new LinkedHashMap<>();
        bytes.put("arg", recorded);
        return bytes;
    }

    private @Nullable GroupLayout layout() {
        return ioctl == null ? null : ioctl.layout();
    }

    private String name() {
        return ioctl == null ? "" : ioctl.name();
    }

    /** The memory that a field of the argument points to in the replay; null where the record has nothing of it. */
    private @Nullable MemorySegment pointed(FieldRules.Pointer pointer) {
        if (before.get("*" + pointer.field()) == null) {
            return null;
        }
        long recorded = Values.number(recordedArgument().get(pointer.field()), pointer.field());
        long bytes = pointer.bytes(before);
        AddressMap.Mapping mapping = names.names().addresses().find(recorded);
        return mapping == null || mapping.absent() || bytes == 0 || bytes > mapping.end() - recorded
                ? null
                : UserMappings.segment(names.names().address(recorded), bytes);
    }

    /** The ioctl's argument as it was handed in, in the replay's names. */
    Map<String, @Nullable Object> argumentBefore() {
        return before;
    }

    /** The ioctl's argument as the kernel left it. */
    Map<String, @Nullable Object> argumentAfter() {
        MemorySegment memory = (MemorySegment) Objects.requireNonNull(arguments[2]);
        Map<String, @Nullable Object> tree = new LinkedHashMap<>();
        GroupLayout layout = layout();
        if (layout == null) {
            tree.put("arg", Values.bytes(memory.toArray(JAVA_BYTE)));
            return tree;
        }
        tree.putAll(StructTree.of(memory, layout));
        for (FieldRules.Pointer pointer : rules.pointers(name())) {
            MemorySegment pointed = pointed(pointer);
            if (pointed != null) {
                tree.put("*" + pointer.field(), pointer.read(pointed));
            }
        }
        return tree;
    }

    /** What a call other than ioctl has given out, by parameter. */
    Map<String, @Nullable Object> outputs(long answer) {
        Map<String, @Nullable Object> out = new LinkedHashMap<>();
        for (int i = 0; i < arguments.length; i++) {
            Parameter parameter = call.parameters().get(i);
            MemorySegment memory = arguments[i] instanceof MemorySegment segment ? segment : MemorySegment.NULL;
            switch (parameter.kind()) {
                case OUTPUT -> {
                    if (answer > 0 && answer <= memory.byteSize()) {
                        out.put(parameter.name(), Values.bytes(memory.asSlice(0, answer).toArray(JAVA_BYTE)));
                    }
                }
                case OUT_STRUCT -> {
                    if (answer >= 0 && arguments[i] != null) {
                        out.put(parameter.name(), StructTree.of(memory, Objects.requireNonNull(parameter.struct())));
                    }
                }
                case POLLFDS -> {
                    if (answer > 0) {
                        out.put(parameter.name(), memory.elements(Parameter.POLLFD)
                                .map(one -> StructTree.of(one, Parameter.POLLFD))
                                .toList());
                    }
                }
                case NUMBER, TEXT, INPUT, IN_STRUCT, ARGUMENT -> {}
            }
        }
        return out;
    }
}
