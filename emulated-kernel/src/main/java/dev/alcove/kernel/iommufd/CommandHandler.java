// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

/** Carries out a native ioctl of /dev/iommu, whose struct has been copied in. */
@FunctionalInterface
public interface CommandHandler {
    /** The ioctl's result: 0 or more, or a negated errno. */
    long execute(IommufdContext context, Command command);
}
