// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.IommufdModel.Area;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/**
 * Random calls on an edu device and on the iommufds that it is bound to. A transfer takes 100 ms of QEMU's clock, so
 * there are few; binding and attaching take milliseconds of a real kernel's.
 */
final class VfioDraws {
    /** Symbols of eventfds, {@link #EVENTS} of them. */
    static final int EVENT = 40;

    static final int EVENTS = 4;

    /** Of these the kernel signals the first two, and acts on the others: one that did both would never rest. */
    static final int UNMASK = EVENT + 2;

    private static final int KICK = EVENT + 3;
    private static final int DEVICE = 20;
    private static final int DMA_BUF = 30;
    private static final long PAGE = IommufdDraws.PAGE;
    static final int CONFIG = 7;

    private final Draw draw;
    private final IommufdDraws iommufd;

    /** Which device files may be open. */
    private final boolean[] open = new boolean[2];

    /** The device file that may be bound, -1 when none is; and to what, under which id. */
    private int bound = -1;

    private long boundTo;
    private long boundId;

    VfioDraws(SplittableRandom random) {
        this.iommufd = new IommufdDraws(random, 2, 100);
        this.draw = iommufd.draw();
        for (int i = 0; i < EVENTS; i++) {
            iommufd.first(Op.of("eventfd", EVENT + i));
        }
        iommufd.first(Op.of("user_map", 56, 8 * PAGE, 3, -1, 0));
        for (int page = 0; page < IommufdSession.USER_PAGES; page += 8) {
            iommufd.first(Op.of("fill", page, 8, 0x0101_0101 + page));
        }
    }

    /** All calls of the surface. */
    Supplier<Op> all() {
        iommufd.addAreas(60);
        iommufd.addObjects(2);
        addDevice();
        addRegisters();
        addInterrupts();
        addMemory();
        Supplier<Op> supplier = iommufd.supplier(VfioCalls.all());
        return () -> iommufd.started() && bound < 0 && draw.oneIn(2) ? bind() : supplier.get();
    }

    private void addDevice() {
        draw.add(5, this::open)
                .add(3, this::close)
                .add(6, this::bind)
                .add(40, this::attach)
                .add(12, () -> VfioCalls.DETACH.sized(device(), draw.of(8, 8, 8, 12), 0, 0, draw.oneIn(8) ? draw.of(1, 2) : 0, draw.of(0, 0, 7)))
                .add(15, this::hwptAlloc)
                .add(4, () -> IommufdCalls.DESTROY.op(boundTo, boundId))
                .add(6, () -> IommufdCalls.HW_INFO.op(boundTo, draw.of(0, 0, 0, 1, 2), id(), 0, StructCaller.NO_BUFFER, draw.of(0, 0, 1, 2), draw.of(0, 0, 1 << 8)))
                .add(3, () -> VfioCalls.INFO.sized(device(), draw.of(15, 16, 20, 24, 32), 0, 0, 0, 0, 0))
                .add(6, () -> VfioCalls.REGION.op(device(), draw.below(11)))
                .add(4, () -> VfioCalls.IRQ.op(device(), draw.below(7)))
                .add(2, () -> VfioCalls.HOT_RESET_INFO.op(device(), 0, 0))
                .add(2, () -> VfioCalls.HOT_RESET.op(device(), draw.of(0, 0, 1), 0))
                .add(2, () -> Op.of("ioctl", device(), draw.of(0x3b64, 0x3b65, 0x3b6f, 0x3b6f, 0x3b73, 0x3b79, 0x3bff), 0))
                .add(10, this::feature)
                .add(8, this::dmaBuf)
                .add(2, () -> Op.of("close", draw.of(DMA_BUF, DMA_BUF + 1)))
                .add(2, () -> Op.of("poll", device()))
                .add(5, () -> Op.of("mmap", device(), draw.of(PAGE, 2 * PAGE, 1 << 20, (1 << 20) + PAGE), draw.of(1, 3), draw.of(1, 1, 2),
                        draw.of(0, 0, PAGE, 0xff000, 1 << 20, 1L << 40, 7L << 40, 9L << 40)));
    }

    private Op open() {
        int file = DEVICE + (int) draw.below(2);
        forget(file);
        open[file - DEVICE] = true;
        return Op.of("open_device", file);
    }

    private Op close() {
        int file = DEVICE + (int) draw.below(2);
        forget(file);
        open[file - DEVICE] = false;
        return Op.of("close", file);
    }

    private void forget(int file) {
        if (bound == file) {
            bound = -1;
            IommufdModel model = iommufd.model(boundTo);
            if (model != null) {
                model.destroy(boundId);
            }
        }
    }

    /** A device file, mostly one that is bound. */
    private long device() {
        return bound < 0 || draw.oneIn(40) ? draw.of(DEVICE, DEVICE + 1, DEVICE, DEVICE + 1, EVENT) : bound;
    }

    private Op bind() {
        int file = DEVICE + (int) draw.below(2);
        if (!open[file - DEVICE]) {
            file = 2 * DEVICE + 1 - file;
        }
        if (!open[file - DEVICE]) {
            return open();
        }
        long to = iommufd.iommufd();
        long flags = draw.oneIn(12) ? draw.of(1, 2) : 0;
        IommufdModel model = iommufd.model(to);
        if (bound < 0 && model != null && flags == 0) {
            bound = file;
            boundTo = to;
            boundId = model.allocate();
        }
        return VfioCalls.BIND.sized(file, draw.of(16, 16, 20, 24), 0, 0, flags, to, draw.below(4));
    }

    private Op attach() {
        boolean pasid = draw.oneIn(12);
        long pt = draw.oneIn(4) ? id() : iommufd.ioas(boundTo);
        return VfioCalls.ATTACH.sized(
                device(), pasid ? draw.of(12, 16) : 12, 0, 0, pasid ? draw.of(1, 1, 2) : 0, pt, pasid ? draw.of(0, 0, 1, 7, -1) : 0);
    }

    private long id() {
        return draw.oneIn(4) ? boundId : 1 + draw.below(8);
    }

    private Op hwptAlloc() {
        IommufdModel model = iommufd.model(boundTo);
        long flags = draw.oneIn(4) ? draw.of(1, 2, 4, 8, 16) : 0;
        if (model != null && flags == 0) {
            model.allocate();
        }
        long device = draw.oneIn(10) ? id() : boundId;
        long pt = draw.oneIn(10) ? id() : iommufd.ioas(boundTo);
        return IommufdCalls.HWPT_ALLOC.op(
                boundTo, flags, device, pt, iommufd.rare(1, 0), iommufd.rare(1, 0), iommufd.rare(16, 0), StructCaller.NO_BUFFER, 0, 0);
    }

    private Op feature() {
        long feature = draw.oneIn(3) ? draw.below(16) : draw.of(3, 4, 5);
        long operation = draw.oneIn(3) ? draw.below(16) : 2;
        if (feature == 11 && (operation & 5) == 1) {
            // That one makes a file: see dma_buf.
            operation = 5;
        }
        return VfioCalls.FEATURE.sized(
                device(), draw.of(7, 8, 15, 16, 24), 0, 0, feature | operation << 16, draw.of(EVENT, EVENT + 1, DEVICE, 99), draw.of(0, 0, 1));
    }

    private Op dmaBuf() {
        return Op.of(
                "dma_buf", device(), DMA_BUF + draw.below(2), draw.oneIn(4) ? draw.of(1, 6, 7, 9) : 0, draw.of(0, 2, 1, 0x80000),
                iommufd.rare(1, 0), draw.of(0, 0, PAGE, 0xff000, 0x800, 1 << 20, -PAGE), draw.of(PAGE, PAGE, 2 * PAGE, 1 << 20, 0, 0x800));
    }

    private void addRegisters() {
        draw.add(50, () -> Op.of("region_read", device(), CONFIG, draw.below(258), draw.of(1, 2, 4, 8, 3)))
                .add(40, this::configWrite)
                .add(10, () -> Op.of("region_write", device(), CONFIG, EduRegisters.COMMAND, 2, draw.oneIn(3) ? draw.of(0, 0x406, 0x402, 7) : 6))
                .add(40, () -> Op.of("region_read", device(), 0, register(), draw.of(4, 4, 4, 8, 8, 1, 2, 3)))
                .add(40, this::registerWrite)
                .add(5, () -> Op.of("region_read", device(), draw.below(11), draw.of(0, 0x100, 0xfffff, 1 << 20, -1), draw.of(0, 1, 4, 8)))
                .add(3, () -> Op.of("region_write", device(), 1 + draw.below(6), draw.of(0, 0x100), draw.of(0, 4), 0))
                .add(3, () -> Op.of("factorial", device(), draw.below(20)));
    }

    private long register() {
        return draw.oneIn(6)
                ? draw.of(1, 2, 0x0c, 0x28, 0x7c, 0x84, 0x9c, 0xa0, 0x1000, 0xffffc, 0xffffe)
                : draw.of(0, 4, 8, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98);
    }

    /** Registers that start nothing: no factorial, no transfer, no interrupt. */
    private Op registerWrite() {
        long at = draw.oneIn(6) ? draw.of(1, 2, 0x0c, 0x28, 0x7c, 0x9c, 0xa0, 0x1000) : draw.of(0, 4, 0x20, 0x24, 0x64, 0x80, 0x88, 0x90);
        long bytes = at >= 0x80 && at < 0x98 ? draw.of(4, 8) : draw.of(4, 4, 4, 1, 2);
        // No interrupt at the end of a factorial either: nothing tells when it is there.
        return Op.of("region_write", device(), 0, at, bytes, at == 0x20 ? draw.of(0, 1) : draw.of(0, 1, 0x80, 0x81, -1, 0x1234_5678_9abc_def0L));
    }

    private Op configWrite() {
        long at = draw.oneIn(3) ? draw.below(256) : draw.of(4, 5, 6, 0x0c, 0x10, 0x11, 0x14, 0x30, 0x34, 0x3c, 0x3d, 0x40, 0x42, 0x43, 0x44, 0x4c, 0x4e, 0x50);
        return Op.of("region_write", device(), CONFIG, at, draw.of(1, 2, 4, 4, 8, 3), draw.of(0, -1, 0x5555_5555_5555_5555L, 0xa5a5_0081_0006L, 6));
    }

    private void addInterrupts() {
        draw.add(20, () -> Op.of("raise", device(), draw.of(1, 2, 0x100, 1, 0)))
                .add(15, () -> Op.of("region_write", device(), 0, EduRegisters.ACKNOWLEDGE, 4, -1))
                .add(10, () -> Op.of("events"))
                .add(10, () -> Op.of("pin_event", device(), draw.oneIn(12) ? IommufdDraws.MEMFD : EVENT + draw.below(2)))
                .add(14, () -> VfioCalls.IRQ_EVENT.op(device(), 0x24, 1, 0, 1, draw.oneIn(10) ? 99 : EVENT + draw.below(2)))
                .add(6, () -> VfioCalls.IRQ_EVENT.op(device(), 0x24, draw.of(4, 3, 2), 0, 1, event()))
                .add(10, () -> VfioCalls.IRQ_EVENT.op(device(), draw.of(0x0c, 0x14, 0x14, 0x14), 0, 0, 1, draw.oneIn(8) ? 99 : UNMASK))
                .add(30, this::irqValue)
                .add(10, () -> Op.of("signal", EVENT + draw.below(EVENTS)))
                .add(15, this::ioeventfd)
                .add(1, () -> Op.of("eventfd", EVENT + draw.below(EVENTS)));
    }

    private long event() {
        return draw.oneIn(12) ? draw.of(99, DEVICE, IommufdDraws.MEMFD) : EVENT + draw.below(2);
    }

    private Op irqValue() {
        long data = draw.oneIn(12) ? draw.of(3, 4, 0, 6) : draw.of(1, 1, 2);
        long action = draw.oneIn(12) ? draw.of(0, 0x18, 0x38, 0x40) : draw.of(8, 0x10, 0x10, 0x20);
        long count = draw.oneIn(4) ? draw.of(0, 0, 2, -1) : 1;
        if (data == 4) {
            // Not an eventfd: a number that is no descriptor.
            return VfioCalls.IRQ_VALUE.op(device(), action | data, draw.of(1, 4), 0, count, draw.of(-1, -2));
        }
        return VfioCalls.IRQ_VALUE.op(
                device(), action | data, draw.oneIn(8) ? draw.below(6) : draw.of(0, 0, 1, 4), iommufd.rare(1, 0), count, draw.of(0, 1, 1));
    }

    private Op ioeventfd() {
        long flags = draw.oneIn(8) ? draw.of(0, 3, 8, 16) : draw.of(4, 4, 2, 1);
        long offset = draw.oneIn(8) ? draw.of(2, 0x81, 1 << 20, 1L << 40, 7L << 40, 9L << 40) : draw.of(4, 0x80, 0x88);
        return VfioCalls.IOEVENTFD.op(device(), flags, offset, draw.of(0, 1, 0x55, 0x1_0000_0005L), draw.oneIn(3) ? 99 : KICK);
    }

    private void addMemory() {
        draw.add(7, () -> Op.of("user_unmap", draw.below(IommufdSession.USER_PAGES), 1 + draw.below(3)))
                .add(10, this::userMap)
                .add(8, () -> Op.of("user_advise", draw.below(40), 1 + draw.below(3), 4))
                .add(10, () -> Op.of("user_write", draw.below(IommufdSession.USER_PAGES * 8) * VfioSession.STEP, draw.below(1 << 20)))
                .add(5, () -> Op.of("user_read", draw.below(IommufdSession.USER_PAGES * 8) * VfioSession.STEP))
                .add(3, this::transfer);
    }

    private Op userMap() {
        long page = draw.below(IommufdSession.USER_PAGES - 4);
        long length = (1 + draw.below(4)) * PAGE;
        return draw.oneIn(4)
                ? Op.of("user_map", page, length, 3, IommufdDraws.MEMFD, draw.below(12) * PAGE)
                : Op.of("user_map", page, length, draw.of(3, 3, 3, 1, 0), -1, 0);
    }

    /** To or from somewhere in what is mapped, mostly. */
    private Op transfer() {
        Area area = iommufd.area(boundTo);
        long iova = draw.oneIn(5) ? iommufd.iova() : (area.iova() & -VfioSession.STEP) + draw.below(8) * VfioSession.STEP;
        long bytes = draw.of(64, 512, 1024, 2048);
        long command = draw.oneIn(10) ? draw.of(2, 0) : 6;
        return Op.of("transfer", device(), command, draw.of(0, 2, 2, 6, 4), iova, draw.below(4) * VfioSession.STEP, bytes);
    }
}
