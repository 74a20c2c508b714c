// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.task.Credentials;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.sys.trace.TraceHeader;
import dev.alcove.vfio.PciAddress;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

/**
 * An emulated machine as a trace needs it: an edu device in the place of each recorded one, and a process with the
 * recorded user and limit of locked memory.
 *
 * @param paths recorded character devices and those that stand for them
 * @param sameDevices whether the recorded devices are edu devices
 */
record ReplayHost(EmulatedKernel kernel, EmulatedProcess process, Map<String, String> paths, boolean sameDevices)
        implements AutoCloseable {
    private static final int EDU_DMA_BITS = 28;
    private static final int MOST_DEVICES = 32;

    /**
     * Starts the machine.
     *
     * @throws BadInputException what the header says of devices cannot be
     */
    static ReplayHost create(TraceHeader header, KernelProfile profile) {
        if (header.devices().size() > MOST_DEVICES) {
            throw new BadInputException("the trace has " + header.devices().size() + " devices");
        }
        String edu = String.format(Locale.ROOT, "%04x:%04x", DeviceRequest.Edu.VENDOR, DeviceRequest.Edu.DEVICE);
        Map<String, PciAddress> hosts = new HashMap<>();
        for (TraceHeader.Device device : header.devices()) {
            hosts.put(device.cdev(), PciAddress.parse(device.host()));
        }
        EmulatedKernel kernel = new EmulatedKernel(profile, new HostSyscalls());
        Map<String, String> paths = new HashMap<>();
        hosts.forEach((cdev, host) -> {
            kernel.vfioPci()
                    .addEdu(
                            new dev.alcove.kernel.pci.PciAddress(
                                    host.domain(), host.bus(), host.device(), host.function()),
                            EDU_DMA_BITS);
            paths.put(cdev, "/dev/vfio/devices/vfio" + paths.size());
        });
        EmulatedProcess process =
                kernel.process(header.user() == 0 ? Credentials.root() : Credentials.user(header.user()));
        limit(process, header.memlock());
        boolean same = header.devices().stream().allMatch(device -> device.id().equals(edu));
        return new ReplayHost(kernel, process, paths, same);
    }

    private static void limit(Syscalls process, long memlock) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment limit = arena.allocate(2 * JAVA_LONG.byteSize(), JAVA_LONG.byteSize());
            limit.fill((byte) 0);
            limit.set(JAVA_LONG, 0, memlock);
            limit.set(JAVA_LONG, JAVA_LONG.byteSize(), memlock);
            process.prlimit(Linux.RLIMIT_MEMLOCK, limit, null);
        }
    }

    /** The profile for a release: the newest that is not newer; the oldest for still older ones. */
    static KernelProfile profile(String release) {
        String[] parts = release.split("[^0-9]+", 3);
        int major = number(parts, 0);
        int minor = number(parts, 1);
        if (major > 7 || (major == 7 && minor >= 2)) {
            return KernelProfile.linux7_2();
        }
        return major == 7 || (major == 6 && minor >= 18) ? KernelProfile.linux6_18() : KernelProfile.linux6_12();
    }

    private static int number(String[] parts, int index) {
        return index < parts.length && parts[index].matches("\\d{1,6}") ? Integer.parseInt(parts[index]) : 0;
    }

    @Override
    public void close() {
        kernel.close();
    }
}
