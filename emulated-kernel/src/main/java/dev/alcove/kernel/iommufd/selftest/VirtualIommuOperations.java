// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.mock.MockDevice;
import dev.alcove.kernel.iommu.mock.MockNestedDomain;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.iommufd.IommufdObject;
import dev.alcove.kernel.iommufd.PageRequest;
import dev.alcove.sys.Errno;
import java.util.Map;

/** What the hardware of the mock IOMMU does: its caches, page requests, and events for guests. */
final class VirtualIommuOperations {
    private static final int MD_CHECK_IOTLB = 14;
    private static final int TRIGGER_IOPF = 15;
    private static final int DEV_CHECK_CACHE = 16;
    private static final int TRIGGER_VEVENT = 17;

    private static final int ENTRY = TestCommand.BODY;
    private static final int VALUE = TestCommand.BODY + 4;

    private static final int DEVICE = TestCommand.BODY;
    private static final int PASID = TestCommand.BODY + 4;
    private static final int GROUP = TestCommand.BODY + 8;
    private static final int PERMISSIONS = TestCommand.BODY + 12;
    private static final int ADDRESS = TestCommand.BODY + 16;

    private VirtualIommuOperations() {}

    static void addTo(Map<Integer, Operation> operations) {
        operations.put(MD_CHECK_IOTLB, VirtualIommuOperations::checkIotlb);
        operations.put(TRIGGER_IOPF, VirtualIommuOperations::requestPage);
        operations.put(DEV_CHECK_CACHE, VirtualIommuOperations::checkCache);
        operations.put(TRIGGER_VEVENT, VirtualIommuOperations::report);
    }

    private static long checkIotlb(TestCommand command) {
        IommufdObject object = command.context().get(command.id(), IommufdObject.class);
        if (object == null) {
            return -Errno.ENOENT;
        }
        Domain domain = IommufdContext.domain(object);
        command.context().put(object);
        if (!(domain instanceof MockNestedDomain nested)) {
            return -Errno.ENOENT;
        }
        return nested.caches(command.word(ENTRY), command.word(VALUE)) ? 0 : -Errno.EINVAL;
    }

    private static long checkCache(TestCommand command) {
        IommuDevice device = command.context().device(command.id());
        if (device == null) {
            return -Errno.ENOENT;
        }
        boolean cached = device instanceof MockDevice mock && mock.caches(command.word(ENTRY), command.word(VALUE));
        return cached ? 0 : -Errno.EINVAL;
    }

    private static long requestPage(TestCommand command) {
        IommuDevice device = command.context().device(command.word(DEVICE));
        if (device == null) {
            return -Errno.ENOENT;
        }
        if (!(device instanceof MockDevice)) {
            return -Errno.EINVAL;
        }
        int pasid = command.word(PASID);
        int flags = PageRequest.LAST_PAGE | (pasid != 0 ? PageRequest.PASID_VALID : 0);
        return command.context()
                .requestPage(
                        command.word(DEVICE),
                        new PageRequest(
                                flags,
                                pasid,
                                command.word(GROUP),
                                command.word(PERMISSIONS),
                                command.longAt(ADDRESS)));
    }

    private static long report(TestCommand command) {
        IommuDevice device = command.context().device(command.word(DEVICE));
        return device instanceof MockDevice mock ? mock.report() : -Errno.ENOENT;
    }
}
