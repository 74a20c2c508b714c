// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.BadInputException;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDevices;
import picocli.CommandLine;

/** The device that {@code --device} asks for. */
sealed interface DeviceRequest {
    /** An edu device, wherever it is. */
    record Edu() implements DeviceRequest {
        static final int VENDOR = 0x1234;
        static final int DEVICE = 0x11e8;
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

    /** Reads {@code edu} or {@code vfio-pci,host=BDF}. */
    static DeviceRequest parse(String text) {
        if (text.equals("edu")) {
            return new Edu();
        }
        String prefix = "vfio-pci,host=";
        if (text.startsWith(prefix)) {
            return new VfioPci(PciAddress.parse(text.substring(prefix.length())));
        }
        throw new BadInputException("'" + text + "' is not a device: edu or vfio-pci,host=dddd:bb:dd.f");
    }

    /**
     * Finds the device.
     *
     * @throws MissingFeatureException it is not there, or VFIO does not hold it
     */
    default PciAddress find(Syscalls syscalls) {
        return switch (this) {
            case VfioPci device -> {
                VfioDevices.cdev(syscalls, device.host());
                yield device.host();
            }
            case Edu _ -> VfioDevices.list(syscalls).stream()
                    .filter(d -> d.vendor() == Edu.VENDOR && d.device() == Edu.DEVICE && !d.cdev().isEmpty())
                    .findFirst()
                    .orElseThrow(() -> new MissingFeatureException(
                            "no edu device (PCI 1234:11e8) is bound to a VFIO driver",
                            "use --kernel emulated, which has one; or in a VM with QEMU's -device edu:"
                                    + " driverctl set-override BDF vfio-pci"))
                    .address();
        };
    }
}
