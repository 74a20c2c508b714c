// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.file.Vfs;
import dev.alcove.kernel.iommu.Iommu;
import dev.alcove.kernel.iommu.mock.MockDriver;
import dev.alcove.kernel.iommufd.Command;
import dev.alcove.kernel.iommufd.Iommufd;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.mm.PhysicalMemory;
import dev.alcove.sys.Errno;
import java.util.HashMap;
import java.util.Map;

/**
 * What a kernel that is built with IOMMUFD_TEST has in addition: the mock IOMMU, and IOMMU_TEST_CMD. Each family of
 * operations has a class of its own, which adds them here.
 */
public final class IommufdTest {
    private static final int NUMBER = 0xa0;

    private final Map<Integer, Operation> operations = new HashMap<>();

    /** Adds IOMMU_TEST_CMD to a kernel, before anybody has opened /dev/iommu. */
    public IommufdTest(Iommufd iommufd, Iommu iommu, PhysicalMemory memory, Vfs vfs) {
        MockDriver driver = new MockDriver(iommu);
        new MockDomains(driver).addTo(operations);
        new Checks(driver, memory).addTo(operations);
        new Accesses().addTo(operations);
        if (iommufd.profile().vfioDmaBuf()) {
            new DmaBufs(memory, vfs).addTo(operations);
        }
        PasidOperations.addTo(operations);
        VirtualIommuOperations.addTo(operations);
        DirtyOperation.addTo(operations);
        iommufd.addCommand(NUMBER, TestCommand.LEAST, TestCommand.SIZE, this::execute);
    }

    private long execute(IommufdContext context, Command command) {
        TestCommand test = new TestCommand(context, command);
        Operation operation = operations.get(test.operation());
        return operation == null ? -Errno.EOPNOTSUPP : operation.execute(test);
    }
}
