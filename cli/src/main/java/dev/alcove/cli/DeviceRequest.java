// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDevices;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** The device that {@code --device} asks for. */
sealed interface DeviceRequest {
    /** An edu device, wherever it is. */
    record Edu() implements DeviceRequest {
        static final int VENDOR = 0x1234;
        static final int DEVICE = 0x11e8;
    }

    /**
     * An NVMe controller, wherever it is.
     *
     * @param size of its namespace, where the machine is emulated and there is no file
     * @param file which the namespace is, where the machine is emulated; null for memory
     */
    record Nvme(MemorySize size, @Nullable String file) implements DeviceRequest {
        static final int VENDOR = 0x1b36;
        static final int DEVICE = 0x0010;
        private static final String NAME = "nvme";
        private static final String DEFAULT_SIZE = "64M";

        private static boolean isNamed(String text) {
            return text.equals(NAME) || text.startsWith(NAME + ",");
        }

        private static Nvme parse(String text) {
            MemorySize size = MemorySize.parse(DEFAULT_SIZE);
            String file = null;
            for (String option : text.substring(NAME.length()).split(",", -1)) {
                if (option.startsWith("size=") && file == null) {
                    size = MemorySize.parse(option.substring("size=".length()));
                } else if (option.startsWith("file=") && option.length() > "file=".length()) {
                    file = option.substring("file=".length());
                } else if (!option.isEmpty()) {
                    throw new BadInputException("'" + option + "' is no option of nvme: size=SIZE or file=PATH");
                }
            }
            return new Nvme(size, file);
        }
    }

    /** A function of the host. */
    record VfioPci(PciAddress host) implements DeviceRequest {}

    /** For picocli. */
    final class Converter implements CommandLine.ITypeConverter<DeviceRequest> {
        @Override
        public DeviceRequest convert(String text) {
            try {
                return parse(text);
            } catch (BadInputException e) {
                throw new CommandLine.TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads {@code edu}, {@code nvme} with its options, or {@code vfio-pci,host=BDF}. */
    static DeviceRequest parse(String text) {
        if (text.equals("edu")) {
            return new Edu();
        }
        if (Nvme.isNamed(text)) {
            return Nvme.parse(text);
        }
        String prefix = "vfio-pci,host=";
        if (text.startsWith(prefix)) {
            return new VfioPci(PciAddress.parse(text.substring(prefix.length())));
        }
        throw new BadInputException("'" + text + "' is not a device: edu, nvme[,size=SIZE|,file=PATH] or vfio-pci,host=dddd:bb:dd.f");
    }

    /**
     * Finds the device.
     *
     * @throws MissingFeatureException it is not there, or VFIO does not hold it
     */
    default PciAddress find(Syscalls syscalls) {
        return switch (this) {
            case VfioPci device -> {
                VfioDevices.findAssignable(syscalls, device.host());
                yield device.host();
            }
            case Edu _ -> find(syscalls, "edu", Edu.VENDOR, Edu.DEVICE);
            case Nvme _ -> find(syscalls, "nvme", Nvme.VENDOR, Nvme.DEVICE);
        };
    }

    private static PciAddress find(Syscalls syscalls, String name, int vendor, int device) {
        return VfioDevices.list(syscalls).stream()
                .filter(d -> d.vendor() == vendor && d.device() == device && !d.cdev().isEmpty())
                .findFirst()
                .orElseThrow(() -> new MissingFeatureException(
                        String.format(
                                Locale.ROOT, "no %s device (PCI %04x:%04x) is bound to a VFIO driver", name, vendor, device),
                        "use --kernel emulated, which has one; or in a VM with QEMU's -device " + name
                                + ": driverctl set-override BDF vfio-pci"))
                .address();
    }
}
