// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import org.jspecify.annotations.Nullable;

/** The commands of the admin queue (NVM Express 1.4, 5). Used by the controller's engine only. */
final class NvmeAdmin {
    static final int DELETE_SUBMISSION_QUEUE = 0x00;
    static final int CREATE_SUBMISSION_QUEUE = 0x01;
    static final int GET_LOG_PAGE = 0x02;
    static final int DELETE_COMPLETION_QUEUE = 0x04;
    static final int CREATE_COMPLETION_QUEUE = 0x05;
    static final int IDENTIFY = 0x06;
    static final int ABORT = 0x08;
    static final int SET_FEATURES = 0x09;
    static final int GET_FEATURES = 0x0a;
    static final int AWAIT_EVENT = 0x0c;

    private static final int CONTIGUOUS = 1;
    private static final int INTERRUPTS = 2;

    private final NvmeController controller;
    private final PrpTransfer memory;
    private final NvmeIdentify identify;
    private final NvmeFeatures features;
    private final NvmeLogs logs;
    private int result;

    NvmeAdmin(NvmeController controller, PrpTransfer memory, @Nullable NvmeNamespace namespace, String serial) {
        this.controller = controller;
        this.memory = memory;
        this.identify = new NvmeIdentify(memory, namespace, serial);
        this.features = new NvmeFeatures(namespace != null);
        this.logs = new NvmeLogs(memory, namespace, features);
    }

    /** The first word of the completion of what was executed last. */
    int result() {
        return result;
    }

    /** Executes a command: a status, or {@link NvmeStatus#PENDING}. */
    int execute(NvmeCommand command) {
        result = 0;
        return switch (command.opcode()) {
            case DELETE_SUBMISSION_QUEUE,
                    CREATE_SUBMISSION_QUEUE,
                    GET_LOG_PAGE,
                    DELETE_COMPLETION_QUEUE,
                    CREATE_COMPLETION_QUEUE,
                    IDENTIFY,
                    ABORT,
                    SET_FEATURES,
                    GET_FEATURES,
                    AWAIT_EVENT ->
                command.fused() || !command.usesPrp() ? NvmeStatus.INVALID_FIELD : executeKnown(command);
            default -> NvmeStatus.INVALID_OPCODE;
        };
    }

    private int executeKnown(NvmeCommand command) {
        return switch (command.opcode()) {
            case DELETE_SUBMISSION_QUEUE -> deleteSubmissionQueue(command.dword(10) & 0xffff);
            case CREATE_SUBMISSION_QUEUE -> createSubmissionQueue(command);
            case DELETE_COMPLETION_QUEUE -> deleteCompletionQueue(command.dword(10) & 0xffff);
            case CREATE_COMPLETION_QUEUE -> createCompletionQueue(command);
            case GET_LOG_PAGE -> getLogPage(command);
            case IDENTIFY -> identify.execute(command);
            case ABORT -> abort(command.dword(10) & 0xffff, command.dword(10) >>> 16);
            case SET_FEATURES -> setFeatures(command);
            case GET_FEATURES -> getFeatures(command);
            default -> controller.awaitEvent(command.identifier()) ? NvmeStatus.PENDING : NvmeStatus.EVENT_LIMIT_EXCEEDED;
        };
    }

    private int getFeatures(NvmeCommand command) {
        int status = features.get(command);
        result = features.result();
        return status;
    }

    private int setFeatures(NvmeCommand command) {
        int status = features.set(command, controller.queues().created());
        result = features.result();
        if (status == NvmeStatus.SUCCESS && features.temperatureBeyond() && features.tellsTemperature()) {
            controller.tell(NvmeEvents.HEALTH, NvmeEvents.TEMPERATURE, NvmeLogs.HEALTH);
        }
        return status;
    }

    private int getLogPage(NvmeCommand command) {
        int status = logs.execute(command);
        int event = NvmeLogs.acknowledges(command);
        if (status == NvmeStatus.SUCCESS && event >= 0) {
            controller.acknowledge(event);
        }
        return status;
    }

    /** Commands end as soon as they are fetched, but for those that wait for events. */
    private int abort(int queue, int command) {
        result = 1;
        if (controller.queues().submission(queue) == null) {
            return NvmeStatus.INVALID_FIELD;
        }
        if (queue == 0 && controller.abortEvent(command)) {
            result = 0;
        }
        return NvmeStatus.SUCCESS;
    }

    private int createCompletionQueue(NvmeCommand command) {
        int id = command.dword(10) & 0xffff;
        int last = command.dword(10) >>> 16;
        int flags = command.dword(11) & 0xffff;
        int vector = command.dword(11) >>> 16;
        if (!NvmeRegisters.entrySizes(controller.configuration())) {
            return NvmeStatus.INVALID_QUEUE_SIZE;
        }
        if (id == 0 || id > NvmeRegisters.IO_QUEUES || controller.queues().completion(id) != null) {
            return NvmeStatus.INVALID_QUEUE;
        }
        if (last == 0 || last >= NvmeRegisters.MOST_ENTRIES) {
            return NvmeStatus.INVALID_QUEUE_SIZE;
        }
        if ((command.prp1() & (memory.pageSize() - 1)) != 0) {
            return NvmeStatus.INVALID_PRP_OFFSET;
        }
        if (vector != 0 && (!controller.messagesEnabled() || vector >= NvmeController.VECTORS)) {
            return NvmeStatus.INVALID_VECTOR;
        }
        if ((flags & CONTIGUOUS) == 0) {
            return NvmeStatus.INVALID_FIELD;
        }
        controller.add(new CompletionQueue(id, command.prp1(), last + 1, vector, (flags & INTERRUPTS) != 0));
        return NvmeStatus.SUCCESS;
    }

    private int createSubmissionQueue(NvmeCommand command) {
        int id = command.dword(10) & 0xffff;
        int last = command.dword(10) >>> 16;
        int flags = command.dword(11) & 0xffff;
        int completionId = command.dword(11) >>> 16;
        CompletionQueue completions = controller.queues().completion(completionId);
        if (completionId == 0 || completions == null) {
            return NvmeStatus.INVALID_COMPLETION_QUEUE;
        }
        if (id == 0 || id > NvmeRegisters.IO_QUEUES || controller.queues().submission(id) != null) {
            return NvmeStatus.INVALID_QUEUE;
        }
        if (last == 0 || last >= NvmeRegisters.MOST_ENTRIES) {
            return NvmeStatus.INVALID_QUEUE_SIZE;
        }
        if ((command.prp1() & (memory.pageSize() - 1)) != 0) {
            return NvmeStatus.INVALID_PRP_OFFSET;
        }
        if ((flags & CONTIGUOUS) == 0) {
            return NvmeStatus.INVALID_FIELD;
        }
        controller.add(new SubmissionQueue(id, command.prp1(), last + 1, completions));
        return NvmeStatus.SUCCESS;
    }

    private int deleteSubmissionQueue(int id) {
        SubmissionQueue queue = controller.queues().submission(id);
        if (id == 0 || queue == null) {
            return NvmeStatus.INVALID_QUEUE;
        }
        controller.remove(queue);
        return NvmeStatus.SUCCESS;
    }

    private int deleteCompletionQueue(int id) {
        CompletionQueue queue = controller.queues().completion(id);
        if (id == 0 || queue == null) {
            // QEMU's answer; the specification has Invalid Queue Identifier.
            return NvmeStatus.INVALID_COMPLETION_QUEUE;
        }
        if (queue.users > 0) {
            return NvmeStatus.INVALID_QUEUE_DELETION;
        }
        controller.remove(queue);
        return NvmeStatus.SUCCESS;
    }
}
