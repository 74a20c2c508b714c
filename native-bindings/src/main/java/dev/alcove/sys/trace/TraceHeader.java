// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Linux;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The first line of a trace: where it was recorded.
 *
 * @param kernel what kind: linux or emulated
 * @param release as uname(2) answers it
 * @param command the command line that was run
 * @param user effective user id of the process
 * @param memlock its soft RLIMIT_MEMLOCK in bytes; {@link Linux#RLIM_INFINITY} for none
 * @param devices PCI functions that are used through VFIO
 * @param supervised whether it is of a program that {@code alcove exec} ran: without what the host's kernel answered
 */
public record TraceHeader(
        String kernel,
        String release,
        List<String> command,
        int user,
        long memlock,
        List<Device> devices,
        boolean supervised) {
    /** The version of the format that this class writes, and the only one that is read. */
    public static final int VERSION = 1;

    static final String MARK = "alcove-trace";

    /** The header of a whole trace: of all calls. */
    public TraceHeader(
            String kernel, String release, List<String> command, int user, long memlock, List<Device> devices) {
        this(kernel, release, command, user, memlock, devices, false);
    }

    /**
     * A PCI function.
     *
     * @param host its address, {@code dddd:bb:dd.f}
     * @param id vendor and device, {@code 1234:11e8}
     * @param cdev path of its VFIO character device
     */
    public record Device(String host, String id, String cdev) {}

    Map<String, @Nullable Object> tree() {
        Map<String, @Nullable Object> tree = new LinkedHashMap<>();
        tree.put(MARK, VERSION);
        tree.put("kernel", kernel);
        tree.put("release", release);
        tree.put("command", command);
        tree.put("page", Linux.PAGE_SIZE);
        tree.put("user", user);
        tree.put("memlock", memlock);
        List<Map<String, String>> functions = new ArrayList<>();
        for (Device device : devices) {
            Map<String, String> function = new LinkedHashMap<>();
            function.put("host", device.host);
            function.put("id", device.id);
            function.put("cdev", device.cdev);
            functions.add(function);
        }
        tree.put("devices", functions);
        if (supervised) {
            tree.put("supervised", 1L);
        }
        return tree;
    }

    /** @throws BadInputException it is no header, or one of another version */
    static TraceHeader of(Map<String, @Nullable Object> tree) {
        if (!tree.containsKey(MARK)) {
            throw new BadInputException("not a trace: its first line is no header with \"" + MARK + "\"");
        }
        long version = Values.number(tree.get(MARK), MARK);
        if (version != VERSION) {
            throw new BadInputException(
                    "a trace of version " + version + "; this alcove knows version " + VERSION,
                    "record it again with this alcove, or replay it with the one that recorded it");
        }
        if (Values.number(tree.get("page"), "page") != Linux.PAGE_SIZE) {
            throw new BadInputException("a trace of a machine with pages of " + tree.get("page") + " bytes");
        }
        List<String> command = new ArrayList<>();
        for (Object word : Values.list(tree.get("command"), "command")) {
            command.add(Values.text(word, "command"));
        }
        List<Device> devices = new ArrayList<>();
        for (Object item : Values.list(tree.get("devices"), "devices")) {
            Map<String, @Nullable Object> device = Values.map(item, "devices");
            devices.add(new Device(
                    Values.text(device.get("host"), "host"),
                    Values.text(device.get("id"), "id"),
                    Values.text(device.get("cdev"), "cdev")));
        }
        return new TraceHeader(
                Values.text(tree.get("kernel"), "kernel"),
                Values.text(tree.get("release"), "release"),
                List.copyOf(command),
                (int) Values.number(tree.get("user"), "user"),
                Values.number(tree.get("memlock"), "memlock"),
                List.copyOf(devices),
                tree.containsKey("supervised"));
    }
}
