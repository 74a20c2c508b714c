// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import java.util.List;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;

import static dev.alcove.kernel.iommufd.IommufdFixture.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Each step fails at each of its allocations in turn: nothing has changed then, and the next try works. */
final class AllocationFailureTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    private int failures;

    @Test
    void everyStepIsAllOrNothing() {
        try (IommufdFixture it = new IommufdFixture()) {
            long ioas = step(it, it::ioas);
            it.type1(ioas);
            long other = step(it, it::ioas);
            long memory = it.memory(1024);
            assertEquals(2 * MIB, step(it, () -> it.map(ioas, ALL, memory, 512 * PAGE, 2 * MIB)));
            IommuDevice one = it.newDevice();
            IommuDevice two = it.newDevice();
            long oneId = step(it, () -> it.context.bindDevice(one));
            long twoId = step(it, () -> it.context.bindDevice(two));
            assertTrue(step(it, () -> it.attach(oneId, ioas)) > 0);
            assertTrue(step(it, () -> it.attach(twoId, other)) > 0);
            assertEquals(
                    8 * MIB, step(it, () -> it.map(ioas, ALL, memory + 512 * PAGE, 512 * PAGE, 8 * MIB)));
            assertEquals(0, step(it, () -> it.copy(ioas, 2 * MIB, other, 32 * MIB, 512 * PAGE)));
            assertEquals(1024, it.pins());
            assertEquals(PAGE, step(it, () -> it.cut(2 * MIB + 77 * PAGE, PAGE)));
            assertEquals(1024, it.pins(), "the copy still has the page that was cut out");
            assertTrue(step(it, () -> it.attach(twoId, ioas)) > 0);
            assertEquals(1023, it.pins(), "nothing has it any more");
            it.unbind(oneId);
            it.unbind(twoId);
        }
        assertTrue(failures > 15, failures + " allocations were made to fail");
    }

    private long step(IommufdFixture it, LongSupplier work) {
        String before = state(it);
        long pins = it.pins();
        for (int n = 1; ; n++) {
            it.failNth(n);
            long answer = work.getAsLong();
            boolean failed = it.hasFailed();
            it.failNth(0);
            if (!failed) {
                assertTrue(answer >= 0, Errno.name(answer));
                return answer;
            }
            failures++;
            assertEquals(-Errno.ENOMEM, answer, "allocation " + n);
            assertEquals(before, state(it), "after allocation " + n + " failed");
            assertEquals(pins, it.pins(), "after allocation " + n + " failed");
        }
    }

    /** What is mapped, joined where a cut has left pieces side by side. */
    private static String state(IommufdFixture it) {
        StringBuilder text = new StringBuilder();
        for (int ioas : it.context.ioasIds()) {
            long end = -1;
            for (IoasArea area : it.context.areas(ioas)) {
                text.append(area.iova() == end ? "" : " " + ioas + ":" + Long.toHexString(area.iova()));
                end = area.last() + 1;
            }
            text.append(" end ").append(end);
            List<IommuDomain> domains = it.context.domains(ioas);
            domains.forEach(domain -> text.append(domain.extents()));
        }
        return text.append(it.context.objectCount()).toString();
    }
}
