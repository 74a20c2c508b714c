// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd.selftest;

import dev.alcove.kernel.iommu.Domain;
import dev.alcove.kernel.iommufd.IommufdContext;
import dev.alcove.kernel.iommufd.IommufdObject;
import dev.alcove.sys.Errno;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** PASID_ATTACH, PASID_REPLACE, PASID_DETACH and PASID_CHECK_HWPT of a mock device. */
final class PasidOperations {
    private static final int ATTACH = 18;
    private static final int REPLACE = 19;
    private static final int DETACH = 20;
    private static final int CHECK_HWPT = 21;

    private static final int PASID = TestCommand.BODY;
    private static final int PAGE_TABLE = TestCommand.BODY + 4;

    private PasidOperations() {}

    private interface Work {
        long on(IommufdContext context, TestDevice device, int pasid);
    }

    static void addTo(Map<Integer, Operation> operations) {
        operations.put(ATTACH, command -> onDevice(command, (context, device, pasid) -> {
            long answer = context.attach(device.deviceId(), pasid, command.word(PAGE_TABLE));
            long error = answer < 0 ? answer : respond(command, answer);
            if (answer >= 0 && error != 0) {
                context.detach(device.deviceId(), pasid);
            }
            return error;
        }));
        operations.put(REPLACE, command -> onDevice(command, (context, device, pasid) -> {
            long answer = context.replace(device.deviceId(), pasid, command.word(PAGE_TABLE));
            return answer < 0 ? answer : respond(command, answer);
        }));
        operations.put(DETACH, command -> onDevice(command, (context, device, pasid) -> {
            context.detach(device.deviceId(), pasid);
            return 0;
        }));
        operations.put(CHECK_HWPT, command -> onDevice(command, (context, device, pasid) ->
                check(context, context.attached(device.deviceId(), pasid), command.word(PAGE_TABLE))));
    }

    /** An id of 0 stands for no page table. */
    private static long check(IommufdContext context, @Nullable Domain attached, int hwpt) {
        if (hwpt == 0) {
            return attached == null ? 0 : -Errno.EINVAL;
        }
        IommufdObject object = context.get(hwpt, IommufdObject.class);
        if (object == null) {
            return -Errno.ENOENT;
        }
        Domain expected = IommufdContext.domain(object);
        context.put(object);
        return attached != null && expected == attached ? 0 : -Errno.EINVAL;
    }

    private static long respond(TestCommand command, long pageTable) {
        command.setWord(PAGE_TABLE, (int) pageTable);
        return command.respond();
    }

    private static long onDevice(TestCommand command, Work work) {
        TestDevice device = command.context().get(command.id(), TestDevice.class);
        if (device == null) {
            return -Errno.ENOENT;
        }
        try {
            return work.on(command.context(), device, command.word(PASID));
        } finally {
            command.context().put(device);
        }
    }
}
