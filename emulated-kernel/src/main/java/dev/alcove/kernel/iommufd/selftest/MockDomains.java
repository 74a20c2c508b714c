// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.mock.MockDevice;
import dev.alcove.kernel.iommu.mock.MockDriver;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.mm.Allocator;
import dev.alcove.sys.Errno;
import java.util.Map;

/** MOCK_DOMAIN, MOCK_DOMAIN_FLAGS and MOCK_DOMAIN_REPLACE: mock devices on page tables. */
final class MockDomains {
    private static final int MOCK_DOMAIN = 2;
    private static final int MOCK_DOMAIN_REPLACE = 10;
    private static final int MOCK_DOMAIN_FLAGS = 12;

    private static final int STDEV_ID = TestCommand.BODY;
    private static final int HWPT_ID = TestCommand.BODY + 4;
    private static final int IDEV_ID = TestCommand.BODY + 8;
    private static final int DEVICE_FLAGS = TestCommand.BODY + 12;
    private static final int PAGE_TABLE = TestCommand.BODY;

    private static final int NO_PASID = 0;
    private static final int KNOWN_FLAGS = MockDevice.NO_DIRTY | MockDevice.PASID;

    private final MockDriver driver;

    MockDomains(MockDriver driver) {
        this.driver = driver;
    }

    void addTo(Map<Integer, Operation> operations) {
        operations.put(MOCK_DOMAIN, command -> mockDomain(command, 0));
        operations.put(MOCK_DOMAIN_FLAGS, command -> mockDomain(command, command.word(DEVICE_FLAGS)));
        operations.put(MOCK_DOMAIN_REPLACE, MockDomains::replace);
    }

    private long mockDomain(TestCommand command, int flags) {
        IommufdContext context = command.context();
        int id = context.reserveId();
        if (id < 0) {
            return id;
        }
        if ((flags & ~KNOWN_FLAGS) != 0) {
            context.cancelId(id);
            return -Errno.EINVAL;
        }
        Allocator allocator = context.module().allocator();
        if (!allocator.charge("mock device")
                || !allocator.charge("name of a mock device")
                || !allocator.charge("properties of a mock device")) {
            context.cancelId(id);
            return -Errno.ENOMEM;
        }
        MockDevice device = driver.plug(flags);
        long deviceId = context.bindOwnDevice(device);
        if (deviceId < 0) {
            driver.unplug(device);
            context.cancelId(id);
            return deviceId;
        }
        TestDevice object = new TestDevice(id, context, driver, device, deviceId);
        long answer = context.attach(deviceId, NO_PASID, command.id());
        if (answer >= 0) {
            command.setWord(STDEV_ID, id);
            command.setWord(HWPT_ID, (int) answer);
            command.setWord(IDEV_ID, (int) deviceId);
            answer = command.respond();
        }
        if (answer < 0) {
            object.destroy();
            context.cancelId(id);
            return answer;
        }
        context.add(object);
        return 0;
    }

    private static long replace(TestCommand command) {
        TestDevice device = command.context().get(command.id(), TestDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        try {
            long answer = command.context().replace(device.deviceId(), NO_PASID, command.word(PAGE_TABLE));
            if (answer < 0) {
                return answer;
            }
            command.setWord(PAGE_TABLE, (int) answer);
            return command.respond();
        } finally {
            command.context().put(device);
        }
    }
}
