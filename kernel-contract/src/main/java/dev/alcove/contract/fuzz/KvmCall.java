// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.BadInputException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/** The ops of the two KVM surfaces, and what their operands are. {@code user} is a symbol of {@link UserPages}. */
enum KvmCall {
    CREATE_VM("@vm type"),
    CREATE_VCPU("@vcpu @vm id"),
    CREATE_GMEM("@file @vm size flags"),
    DUP("@file @from"),
    CLOSE("@file"),
    CLOSE_TWICE("@file"),
    REGION1("@vm slot flags gpa size user"),
    REGION2("@vm slot flags gpa size user @file offset"),
    ATTRIBUTES("@vm gpa size attributes flags"),
    PRE_FAULT("@vcpu gpa size flags"),
    DIRTY_LOG("@vm slot user"),
    CLEAR_DIRTY_LOG("@vm slot first pages bits user"),
    ENABLE_CAP("@vm capability value flags"),
    CHECK_EXTENSION("@file capability"),
    WILD_IOCTL("@file request user"),
    GUEST("@vcpu code gpa value from"),
    IOEVENTFD("@vm address length flags data @file"),
    EVENT_COUNT(""),
    COALESCE("@vm add address size pio"),
    RING("@vcpu"),
    RESET_RINGS("@vm"),
    MAP("page length protection flags @file offset"),
    UNMAP("page count"),
    ADVISE("page count advice"),
    READ("user"),
    WRITE("user value"),
    FALLOCATE("@file mode offset length"),
    TRUNCATE("@file length"),
    SEEK("@file offset whence"),
    FILE_READ("@file length offset"),
    FILE_WRITE("@file length offset"),
    STAT("@file"),
    FCNTL("@file command argument"),
    POLL("@file");

    private static final Map<String, KvmCall> BY_NAME =
            Arrays.stream(values()).collect(Collectors.toMap(KvmCall::opName, Function.identity()));

    /** With blanks between them. */
    private final String operands;

    KvmCall(String operands) {
        this.operands = operands;
    }

    private String opName() {
        return name().toLowerCase(Locale.ROOT);
    }

    Op op(long... operands) {
        return Op.of(opName(), operands);
    }

    List<String> operands() {
        return operands.isEmpty() ? List.of() : List.of(operands.split(" ", -1));
    }

    /** @throws BadInputException when there is no such op */
    static KvmCall of(String name) {
        KvmCall call = BY_NAME.get(name);
        if (call == null) {
            throw new BadInputException("no op '" + name + "' in this surface");
        }
        return call;
    }
}
