// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.pci.nvme;

import java.util.Map;

/** Get Features and Set Features (NVM Express 1.4, 5.14 and 5.21). None can be saved. Used by the engine only. */
final class NvmeFeatures {
    /** Kelvin. */
    static final int TEMPERATURE_NOW = 0x143;

    static final int WARNING_TEMPERATURE = 0x157;
    static final int CRITICAL_TEMPERATURE = 0x175;

    private static final int ARBITRATION = 0x01;
    private static final int POWER_MANAGEMENT = 0x02;
    private static final int TEMPERATURE = 0x04;
    private static final int ERROR_RECOVERY = 0x05;
    private static final int WRITE_CACHE = 0x06;
    private static final int QUEUES = 0x07;
    private static final int COALESCING = 0x08;
    private static final int VECTOR = 0x09;
    private static final int ATOMICITY = 0x0a;
    private static final int EVENTS = 0x0b;

    private static final int CHANGEABLE = 4;
    private static final int PER_NAMESPACE = 2;

    /** Those that there are, and what can be done with them, as Get Features says it. */
    private static final Map<Integer, Integer> SUPPORTED = Map.of(
            ARBITRATION, 0,
            POWER_MANAGEMENT, 0,
            TEMPERATURE, CHANGEABLE,
            ERROR_RECOVERY, CHANGEABLE | PER_NAMESPACE,
            WRITE_CACHE, CHANGEABLE,
            QUEUES, CHANGEABLE,
            COALESCING, 0,
            VECTOR, 0,
            ATOMICITY, 0,
            EVENTS, CHANGEABLE);

    private static final int SELECT_CURRENT = 0;
    private static final int SELECT_SUPPORTED = 3;
    private static final int NO_BURST_LIMIT = 7;
    private static final int NOT_COALESCED = 1 << 16;
    private static final int HEALTH_TEMPERATURE = 2;
    private static final int ALL_QUEUES = (NvmeRegisters.IO_QUEUES - 1) | (NvmeRegisters.IO_QUEUES - 1) << 16;

    private final boolean hasNamespace;
    private int over = WARNING_TEMPERATURE;
    private int under;
    private int events;
    private boolean cache = true;
    private int result;

    /** @param hasNamespace whether there is a namespace with number 1 */
    NvmeFeatures(boolean hasNamespace) {
        this.hasNamespace = hasNamespace;
    }

    /** The first word of the completion of what was executed last. */
    int result() {
        return result;
    }

    /** Whether the temperature is beyond a threshold. */
    boolean temperatureBeyond() {
        return TEMPERATURE_NOW >= over || TEMPERATURE_NOW <= under;
    }

    /** Whether the host wants to be told of temperatures. */
    boolean tellsTemperature() {
        return (events & HEALTH_TEMPERATURE) != 0;
    }

    /** Get Features: a status. */
    int get(NvmeCommand command) {
        result = 0;
        int feature = command.dword(10) & 0xff;
        int select = (command.dword(10) >>> 8) & 7;
        Integer support = SUPPORTED.get(feature);
        if (support == null) {
            return NvmeStatus.INVALID_FIELD;
        }
        if ((support & PER_NAMESPACE) != 0) {
            int number = command.namespace();
            if (number <= 0 || number > NvmeIo.NAMESPACES) {
                return NvmeStatus.INVALID_NAMESPACE;
            }
            if (!hasNamespace || number != 1) {
                return NvmeStatus.INVALID_FIELD;
            }
        }
        if (select == SELECT_SUPPORTED) {
            result = support;
            return NvmeStatus.SUCCESS;
        }
        return value(feature, command.dword(11), select == SELECT_CURRENT);
    }

    private int value(int feature, int argument, boolean current) {
        switch (feature) {
            case TEMPERATURE -> {
                return temperature(argument, current);
            }
            case VECTOR -> {
                int vector = argument & 0xffff;
                if (vector > NvmeRegisters.IO_QUEUES) {
                    return NvmeStatus.INVALID_FIELD;
                }
                result = vector == 0 ? NOT_COALESCED : vector;
            }
            case ARBITRATION -> result = NO_BURST_LIMIT;
            case QUEUES -> result = ALL_QUEUES;
            case WRITE_CACHE -> result = current && cache && hasNamespace ? 1 : 0;
            case EVENTS -> result = current ? events : 0;
            default -> {}
        }
        return NvmeStatus.SUCCESS;
    }

    /** There is one sensor; of others the thresholds are zero. */
    private int temperature(int argument, boolean current) {
        int sensor = (argument >>> 16) & 0xf;
        int which = (argument >>> 20) & 3;
        if (sensor == 0 && current && which > 1) {
            return NvmeStatus.INVALID_FIELD;
        }
        if (sensor == 0) {
            result = which == 0 ? (current ? over : WARNING_TEMPERATURE) : (current ? under : 0);
        }
        return NvmeStatus.SUCCESS;
    }

    /**
     * Set Features: a status.
     *
     * @param queuesCreated whether there has been an I/O queue since the controller was enabled
     */
    int set(NvmeCommand command, boolean queuesCreated) {
        result = 0;
        int feature = command.dword(10) & 0xff;
        int number = command.namespace();
        int support = SUPPORTED.getOrDefault(feature, 0);
        if (command.dword(10) < 0) {
            return NvmeStatus.FEATURE_NOT_SAVEABLE;
        }
        if (!SUPPORTED.containsKey(feature)) {
            return NvmeStatus.INVALID_FIELD;
        }
        if (number != NvmeIo.ALL_NAMESPACES && (number != 0 || (support & PER_NAMESPACE) != 0)) {
            if (number <= 0 || number > NvmeIo.NAMESPACES) {
                return NvmeStatus.INVALID_NAMESPACE;
            }
            if ((support & PER_NAMESPACE) == 0) {
                return NvmeStatus.FEATURE_NOT_PER_NAMESPACE;
            }
            if (!hasNamespace || number != 1) {
                return NvmeStatus.INVALID_FIELD;
            }
        }
        if ((support & CHANGEABLE) == 0) {
            return NvmeStatus.FEATURE_NOT_CHANGEABLE;
        }
        return change(feature, command.dword(11), queuesCreated);
    }

    private int change(int feature, int value, boolean queuesCreated) {
        switch (feature) {
            case TEMPERATURE -> {
                int which = (value >>> 20) & 3;
                boolean known = ((value >>> 16) & 0xf) == 0;
                if (known && which > 1) {
                    return NvmeStatus.INVALID_FIELD;
                }
                over = known && which == 0 ? value & 0xffff : over;
                under = known && which == 1 ? value & 0xffff : under;
            }
            case WRITE_CACHE -> cache = (value & 1) != 0;
            case EVENTS -> events = value;
            case QUEUES -> {
                if (queuesCreated) {
                    return NvmeStatus.SEQUENCE_ERROR;
                }
                if ((value & 0xffff) == 0xffff || value >>> 16 == 0xffff) {
                    return NvmeStatus.INVALID_FIELD;
                }
                result = ALL_QUEUES;
            }
            default -> {}
        }
        return NvmeStatus.SUCCESS;
    }
}
