// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.iommufd;

import dev.alcove.kernel.iommu.IommuDevice;
import dev.alcove.kernel.iommu.IommuDomain;
import dev.alcove.sys.Errno;
import dev.alcove.sys.Linux;
import dev.alcove.sys.UserMappings;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static dev.alcove.kernel.iommufd.IommufdFixture.ALL;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Which pages are pinned, how often, and when they are let go. */
final class PinningTest {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long MIB = 1 << 20;

    private final IommufdFixture it = new IommufdFixture();
    private final IommuDevice first = it.newDevice();
    private final IommuDevice second = it.newDevice();
    private final long firstId = it.context.bindDevice(first);
    private final long secondId = it.context.bindDevice(second);

    @AfterEach
    void stop() {
        it.unbind(firstId);
        it.unbind(secondId);
        it.close();
    }

    private int attach(long device, long pt) {
        return (int) it.context.attach(device, 0, (int) pt);
    }

    @Test
    void withoutADomainNothingIsPinned() {
        long ioas = it.ioas();
        assertEquals(0x10000, it.map(ioas, ALL, 0xdead_0000_0000L, 16 * PAGE, 0x10000), "any address will do");
        assertEquals(0, it.pins());
        assertEquals(-Errno.EFAULT, it.context.attach(firstId, 0, (int) ioas));
        assertEquals(0, it.pins());
        assertEquals(16 * PAGE, it.unmap(ioas, 0, -1));
        assertTrue(attach(firstId, ioas) > 0);
    }

    @Test
    void aPageIsPinnedOnceHoweverManyDomainsHaveIt() {
        long ioas = it.ioas();
        long other = it.ioas();
        long memory = it.memory(64);
        assertEquals(MIB, it.map(ioas, ALL, memory, 64 * PAGE, MIB));
        assertTrue(attach(firstId, ioas) > 0);
        assertEquals(64, it.pins());
        assertEquals(0, it.copy(ioas, MIB + 16 * PAGE, other, 2 * MIB, 32 * PAGE));
        assertEquals(0, it.copy(ioas, MIB, ioas, 3 * MIB, 64 * PAGE));
        assertEquals(64, it.pins());
        assertTrue(attach(secondId, other) > 0);
        assertEquals(64, it.pins());
        IommuDomain one = it.context.domains((int) ioas).getFirst();
        IommuDomain two = it.context.domains((int) other).getFirst();
        for (int page = 0; page < 32; page++) {
            assertEquals(one.frame(MIB + (16 + page) * PAGE), two.frame(2 * MIB + page * PAGE));
        }
        assertEquals(64 * PAGE, it.unmap(ioas, MIB, 64 * PAGE));
        assertEquals(64, it.pins(), "the second area of the address space still has all of it");
        assertEquals(64 * PAGE, it.unmap(ioas, 3 * MIB, 64 * PAGE));
        assertEquals(32, it.pins(), "the copy still has its slice");
        assertEquals(it.kernel.memory().pins(two.frame(2 * MIB)), 1);
        assertEquals(32 * PAGE, it.unmap(other, 0, -1));
        assertEquals(0, it.pins());
    }

    @Test
    void theStorageMovesWhenItsDomainGoes() {
        long ioas = it.ioas();
        long memory = it.memory(8);
        assertEquals(MIB, it.map(ioas, ALL, memory, 8 * PAGE, MIB));
        int hwpt = attach(firstId, ioas);
        long manual = it.context.attach(secondId, 0, (int) ioas);
        assertEquals(hwpt, manual, "the automatic page table is shared");
        assertEquals(1, it.context.domains((int) ioas).size());
        it.context.detach(firstId, 0);
        assertEquals(8, it.pins());
        assertTrue(second.dma().write(MIB, MemorySegment.ofArray(new byte[] {9})));
        it.context.detach(secondId, 0);
        assertEquals(0, it.pins());
        assertFalse(second.dma().write(MIB, MemorySegment.ofArray(new byte[] {8})));
        assertEquals(9, UserMappings.segment(memory, PAGE).get(ValueLayout.JAVA_BYTE, 0));
        assertEquals(-Errno.ENOENT, it.destroy(hwpt), "it went with its last device");
    }

    @Test
    void dmaReachesTheVeryMemoryOfTheProcess() {
        long ioas = it.ioas();
        long memory = it.memory(4);
        assertTrue(attach(firstId, ioas) > 0);
        assertEquals(0x5000, it.map(ioas, ALL, memory + PAGE, 2 * PAGE, 0x5000));
        UserMappings.segment(memory, 4 * PAGE).set(ValueLayout.JAVA_LONG, PAGE + 16, 0x1122334455667788L);
        MemorySegment buffer = MemorySegment.ofArray(new long[1]);
        assertTrue(first.dma().read(0x5010, buffer));
        assertEquals(0x1122334455667788L, buffer.get(ValueLayout.JAVA_LONG, 0));
        assertTrue(first.dma().write(0x6ff8, buffer));
        assertEquals(
                0x1122334455667788L, UserMappings.segment(memory, 4 * PAGE).get(ValueLayout.JAVA_LONG, 3 * PAGE - 8));
        assertFalse(first.dma().write(0x7000, buffer));
        assertEquals(2 * PAGE, it.unmap(ioas, 0x5000, 2 * PAGE));
        assertFalse(first.dma().read(0x5010, buffer));
        assertEquals(0, buffer.get(ValueLayout.JAVA_LONG, 0));
    }

    @Test
    void pinsOutliveTheMapping() {
        long ioas = it.ioas();
        assertTrue(attach(firstId, ioas) > 0);
        long memory = it.memory(4);
        assertEquals(MIB, it.map(ioas, ALL, memory, 4 * PAGE, MIB));
        assertEquals(0, it.process.munmap(memory, 4 * PAGE));
        assertEquals(4, it.pins());
        assertTrue(first.dma().write(MIB, MemorySegment.ofArray(new byte[64])));
        assertEquals(4 * PAGE, it.unmap(ioas, MIB, 4 * PAGE));
        assertEquals(0, it.pins());
    }

    @Test
    void aCutKeepsEveryOtherPageMappedAndPinned() {
        long ioas = it.ioas();
        it.type1(ioas);
        assertTrue(attach(firstId, ioas) > 0);
        long memory = it.memory(1024);
        assertEquals(2 * MIB, it.map(ioas, ALL, memory, 1024 * PAGE, 2 * MIB));
        IommuDomain domain = it.context.domains((int) ioas).getFirst();
        assertEquals(PAGE, domain.entrySize(2 * MIB), "large entries are off");
        assertEquals(PAGE, it.cut(2 * MIB + 500 * PAGE, PAGE));
        assertEquals(1023, it.pins());
        assertEquals(2, it.context.areas((int) ioas).size());
        assertEquals(-1, domain.frame(2 * MIB + 500 * PAGE));
        assertTrue(domain.frame(2 * MIB + 499 * PAGE) >= 0);
        assertEquals(0, it.copy(ioas, 2 * MIB, ioas, 64 * MIB, 500 * PAGE));
        assertEquals(1023, it.pins());
        assertEquals(500 * PAGE, it.unmap(ioas, 2 * MIB, 500 * PAGE));
        assertEquals(1023, it.pins());
        assertEquals(2 * MIB + 500 * PAGE, it.map(ioas, ALL, memory + 500 * PAGE, PAGE, 2 * MIB + 500 * PAGE));
        assertEquals(1024, it.pins());
        assertEquals((500 + 1 + 523) * PAGE, it.unmap(ioas, 0, -1));
        assertEquals(0, it.pins());
    }

    @Test
    void contiguousFramesGetLargeEntriesUnlessSwitchedOff() {
        long ioas = it.ioas();
        assertTrue(attach(firstId, ioas) > 0);
        int file = it.process.memfdCreate("huge", Linux.MFD_CLOEXEC);
        assertEquals(0, it.process.ftruncate(file, 8 * MIB));
        assertEquals(16 * MIB, it.mapFile(ioas, file, 0, 8 * MIB, 16 * MIB));
        IommuDomain domain = it.context.domains((int) ioas).getFirst();
        long frame = domain.frame(16 * MIB);
        if ((frame & 511) == 0) {
            assertEquals(2 * MIB, domain.entrySize(16 * MIB));
        }
        assertEquals(2048, it.pins());
        assertEquals(-Errno.ENOENT, it.unmap(ioas, 16 * MIB, PAGE));
        assertEquals(8 * MIB, it.unmap(ioas, 16 * MIB, 8 * MIB));
        assertEquals(0, it.process.close(file));
        assertEquals(0, it.pins());
    }

    @Test
    void aPunchedPageStaysWithItsPin() {
        long ioas = it.ioas();
        assertTrue(attach(firstId, ioas) > 0);
        int file = it.process.memfdCreate("punched", Linux.MFD_CLOEXEC);
        assertEquals(0, it.process.ftruncate(file, 4 * PAGE));
        assertEquals(MIB, it.mapFile(ioas, file, 0, 4 * PAGE, MIB));
        assertTrue(first.dma().write(MIB, MemorySegment.ofArray(new byte[] {1})));
        int punch = Linux.FALLOC_FL_PUNCH_HOLE | Linux.FALLOC_FL_KEEP_SIZE;
        assertEquals(0, it.process.fallocate(file, punch, 0, PAGE));
        assertTrue(first.dma().write(MIB + 1, MemorySegment.ofArray(new byte[] {2})));
        MemorySegment back = MemorySegment.ofArray(new byte[2]);
        assertEquals(2, it.process.pread(file, back, 0));
        assertEquals(0, back.get(ValueLayout.JAVA_SHORT_UNALIGNED, 0), "the file has another page now");
        assertEquals(4 * PAGE, it.unmap(ioas, 0, -1));
        assertEquals(0, it.process.close(file));
    }

    @Test
    void aReplaceFailsWithNothingChanged() {
        long ioas = it.ioas();
        long bad = it.ioas();
        long memory = it.memory(4);
        assertEquals(MIB, it.map(ioas, ALL, memory, 4 * PAGE, MIB));
        assertEquals(MIB, it.map(bad, ALL, 0x7000_0000_0000L, 4 * PAGE, MIB));
        int hwpt = attach(firstId, ioas);
        assertEquals(-Errno.EFAULT, it.context.replace(firstId, 0, (int) bad));
        assertEquals(4, it.pins());
        assertEquals(-Errno.EBUSY, it.context.attach(firstId, 0, (int) ioas));
        assertEquals(hwpt, it.context.replace(firstId, 0, (int) ioas));
        assertTrue(first.dma().write(MIB, MemorySegment.ofArray(new byte[1])));
        assertEquals(4 * PAGE, it.unmap(bad, 0, -1));
        long window = 0xfee0_0000L;
        assertEquals(window, it.map(bad, ALL, memory, 4 * PAGE, window));
        assertEquals(-Errno.EADDRINUSE, it.context.replace(firstId, 0, (int) bad));
        assertTrue(first.dma().write(MIB, MemorySegment.ofArray(new byte[1])));
        assertEquals(4 * PAGE, it.unmap(bad, 0, -1));
        assertTrue(it.context.replace(firstId, 0, (int) bad) > 0);
        assertFalse(first.dma().write(MIB, MemorySegment.ofArray(new byte[1])));
        assertEquals(0, it.pins());
        assertEquals(window, it.map(ioas, ALL, memory, 4 * PAGE, window), "its window is free again");
    }

    @Test
    void aGroupHasOnePageTableAndOneOwner() {
        IommuDevice sibling = first.group().addDevice(0x999);
        long siblingId = it.context.bindDevice(sibling);
        assertTrue(siblingId > 0);
        long ioas = it.ioas();
        long other = it.ioas();
        int hwpt = attach(firstId, ioas);
        assertEquals(-Errno.EINVAL, it.context.attach(siblingId, 0, (int) other));
        assertEquals(hwpt, attach(siblingId, ioas));
        long moved = it.context.replace(firstId, 0, (int) other);
        assertTrue(moved > 0);
        assertEquals(moved, it.context.replace(siblingId, 0, (int) other), "a replace takes the whole group along");
        int fd = it.process.open("/dev/iommu", Linux.O_RDWR, 0);
        IommufdContext rival = it.kernel.iommufd().contexts().getLast();
        assertEquals(-Errno.EPERM, rival.bindDevice(sibling));
        assertEquals(0, it.process.close(fd));
        assertEquals(-Errno.EBUSY, it.destroy(firstId));
        assertEquals(-Errno.EBUSY, it.destroy(other));
        it.unbind(siblingId);
        assertEquals(-Errno.ENOENT, it.destroy(siblingId));
    }

    @Test
    void theContextOutlivesItsDescriptorWhileADeviceIsBound() {
        long ioas = it.ioas();
        long memory = it.memory(4);
        assertEquals(MIB, it.map(ioas, ALL, memory, 4 * PAGE, MIB));
        assertTrue(attach(firstId, ioas) > 0);
        assertEquals(0, it.process.close(it.fd));
        assertTrue(first.dma().write(MIB, MemorySegment.ofArray(new byte[1])));
        assertEquals(4, it.pins());
    }
}
