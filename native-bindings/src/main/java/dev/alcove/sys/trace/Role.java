// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

/** What a value in a trace stands for: how it is translated for another kernel, and whether the two must agree. */
enum Role {
    /** Itself: both kernels must have the same. */
    PLAIN,
    /** A file descriptor. */
    DESCRIPTOR,
    /** Bytes that are file descriptors, 32 bits each. */
    DESCRIPTORS,
    /** An address in the process. */
    ADDRESS,
    /** A number of an object in an iommufd context. */
    OBJECT,
    /** A process number. */
    PROCESS,
    /** A thread number. */
    THREAD,
    /** A path; that of a VFIO device is the path of the device that stands for it. */
    PATH,
    /** A matter of the machine: not compared. */
    MACHINE,
    /** A matter of the assigned device: compared where the device is the same model. */
    DEVICE,
    /** A matter of the guest: compared until the vCPU has run, for its run is not repeated. */
    GUEST;

    /** Whether a value names something that the other kernel names otherwise. */
    boolean translated() {
        return switch (this) {
            case DESCRIPTOR, DESCRIPTORS, ADDRESS, OBJECT, PROCESS, THREAD, PATH -> true;
            case PLAIN, MACHINE, DEVICE, GUEST -> false;
        };
    }
}
