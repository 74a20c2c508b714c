// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.SplittableRandom;
import java.util.function.Supplier;

/**
 * Random calls on a group, on two containers and an iommufd that it can have, and on files of its device. What the kernel
 * holds is not followed: most sequences get their IOMMU back by {@code ready} soon after they have lost it.
 */
final class ContainerDraws {
    private static final long PAGE = IommufdDraws.PAGE;
    private static final int CONTAINER = 50;
    private static final int CONTAINERS = 2;
    private static final int GROUP = 60;
    private static final int DEVICE = 64;
    private static final int DEVICES = 3;
    private static final int CDEV = 70;
    private static final int IOMMUFD = 0;

    private final Draw draw;
    private final IommufdDraws iommufd;

    ContainerDraws(SplittableRandom random) {
        this.iommufd = new IommufdDraws(random, 1, 60);
        this.draw = iommufd.draw();
        for (int i = 0; i < CONTAINERS; i++) {
            iommufd.first(Op.of("open_container", CONTAINER + i));
        }
        iommufd.first(Op.of("ready", GROUP, CONTAINER, 3));
    }

    /** All calls of the surface. */
    Supplier<Op> all() {
        addFiles();
        addMappings();
        // Not SET_CONTAINER, 0x3b68: a struct's size would be taken for a descriptor.
        draw.add(10, () -> Op.of("user_unmap", draw.below(IommufdSession.USER_PAGES), 1 + draw.below(3)))
                .add(14, this::userMap)
                .add(20, () -> Op.of("locked"))
                .add(4, () -> Op.of("wild", draw.oneIn(2) ? container() : GROUP, draw.of(0, 8, 64), 0, draw.of(0, -1), 0x3b69 + draw.below(19)));
        return iommufd.supplier(ContainerCalls.all());
    }

    private void addFiles() {
        draw.add(12, () -> Op.of("ready", GROUP, container(), draw.of(1, 3, 3)))
                .add(3, () -> Op.of("open_container", CONTAINER + draw.below(CONTAINERS)))
                .add(2, () -> Op.of("close", CONTAINER + draw.below(CONTAINERS)))
                .add(4, () -> Op.of("open_group", draw.oneIn(3) ? GROUP + 1 : GROUP))
                .add(3, () -> Op.of("close", draw.oneIn(3) ? GROUP + 1 : GROUP))
                .add(8, () -> Op.of("set_container", GROUP, draw.oneIn(4) ? draw.of(99, IommufdDraws.MEMFD, GROUP) : holder()))
                .add(4, () -> Op.of("ioctl", GROUP, ContainerCalls.UNSET_CONTAINER, 0))
                .add(6, () -> ContainerCalls.STATUS.sized(group(), draw.of(8, 8, 8, 7), 0, 0, draw.of(0, -1)))
                .add(10, () -> Op.of("device_fd", group(), device(), draw.oneIn(5) ? draw.below(5) : 0))
                .add(8, () -> Op.of("close", device()))
                .add(3, () -> Op.of("open_device", CDEV))
                .add(3, () -> Op.of("close", CDEV))
                .add(6, () -> VfioCalls.BIND.sized(draw.oneIn(4) ? device() : CDEV, draw.of(16, 16, 15), 0, 0, 0, draw.oneIn(6) ? 99 : IOMMUFD, 0))
                .add(3, () -> VfioCalls.ATTACH.sized(draw.oneIn(2) ? device() : CDEV, 12, 0, 0, 0, 1 + draw.below(3), 0))
                .add(2, () -> VfioCalls.DETACH.sized(draw.oneIn(2) ? device() : CDEV, 8, 0, 0, 0, 0))
                .add(4, () -> VfioCalls.INFO.sized(draw.oneIn(4) ? CDEV : device(), 16, 0, 0, 0, 0, 0))
                .add(2, () -> VfioCalls.HOT_RESET_INFO.op(device(), 0, 0))
                .add(2, () -> VfioCalls.HOT_RESET.op(device(), draw.of(0, 0, 1), draw.of(0, 0, 1)))
                .add(6, () -> Op.of("ioctl", container(), ContainerCalls.SET_IOMMU, draw.of(0, 1, 2, 3, 3, 7, 8, 1L << 32 | 1)))
                .add(6, () -> Op.of("ioctl", container(), ContainerCalls.CHECK_EXTENSION, draw.oneIn(6) ? draw.of(-1, 1L << 32 | 1, 77) : draw.below(12)))
                .add(2, () -> Op.of("ioctl", draw.oneIn(2) ? container() : group(), draw.of(0x3b64, 0x3b73, 0x3b76, 0x3bff), 0))
                .add(2, () -> IommufdCalls.VFIO_IOAS.op(IOMMUFD, 1 + draw.below(2), draw.of(0, 1, 2), 0))
                .add(2, () -> IommufdCalls.DESTROY.op(IOMMUFD, 1 + draw.below(3)));
    }

    private void addMappings() {
        draw.add(130, this::map)
                .add(70, this::unmap)
                .add(10, () -> IommufdCalls.TYPE1_UNMAP.op(container(), 2, iommufd.rare(PAGE, 0), iommufd.rare(PAGE, 0)))
                .add(14, () -> IommufdCalls.TYPE1_UNMAP.op(container(), draw.of(4, 4, 6), 0, 0))
                .add(14, () -> IommufdCalls.TYPE1_UNMAP.op(container(), 4, iommufd.iova(), iommufd.length()))
                .add(12, () -> IommufdCalls.TYPE1_INFO.sized(container(), draw.of(15, 16, 20, 24, 120, 143, 144, 200), 0, 0, draw.of(0, -1)))
                .add(12, () -> ContainerCalls.DIRTY.sized(container(), 8, 0, 0, draw.oneIn(4) ? draw.of(0, 2, 2, 3, 5, 8) : 1, 0, 0, 0, 0, 0))
                .add(24, () -> ContainerCalls.DIRTY.op(container(), 4, range(), span(), page(), room(), buffer()))
                .add(14, () -> ContainerCalls.UNMAP_DIRTY.op(container(), draw.oneIn(6) ? draw.of(3, 5) : 1, iommufd.iova(), span(), page(), room(), buffer()));
    }

    private long container() {
        return draw.oneIn(30) ? draw.of(99, IOMMUFD, GROUP) : draw.oneIn(5) ? CONTAINER + 1 : CONTAINER;
    }

    /** What a group can have. */
    private long holder() {
        return draw.oneIn(3) ? IOMMUFD : container();
    }

    private long group() {
        return draw.oneIn(20) ? draw.of(99, CONTAINER, GROUP + 1) : GROUP;
    }

    private long device() {
        return DEVICE + draw.below(DEVICES);
    }

    private Op map() {
        long flags = draw.oneIn(12) ? draw.of(0, 4, 4, 4, 7, 8) : draw.of(3, 3, 1, 2);
        return IommufdCalls.TYPE1_MAP.op(container(), flags, iommufd.user(), iommufd.iova(), iommufd.length());
    }

    private Op unmap() {
        return IommufdCalls.TYPE1_UNMAP.op(container(), draw.oneIn(30) ? 8 : 0, range(), span());
    }

    private long range() {
        return draw.oneIn(3) ? iommufd.iova() - draw.of(PAGE, 0x10000, 0) : iommufd.iova();
    }

    private long span() {
        return draw.oneIn(3) ? iommufd.length() + draw.of(0x40000, 0x100000) : iommufd.length();
    }

    private long page() {
        return draw.oneIn(15) ? draw.of(0, 1, 2 * PAGE, -1) : PAGE;
    }

    private long room() {
        return draw.oneIn(10) ? draw.of(0, 7, 8, 16, 1 << 28, (1 << 28) + 1, -1) : draw.of(64, 128, 256);
    }

    private long buffer() {
        return draw.oneIn(12) ? draw.below(4) : StructCaller.GOOD_BUFFER;
    }

    private Op userMap() {
        long page = draw.below(IommufdSession.USER_PAGES - 4);
        long length = (1 + draw.below(4)) * PAGE;
        return draw.oneIn(4)
                ? Op.of("user_map", page, length, 3, IommufdDraws.MEMFD, draw.below(12) * PAGE)
                : Op.of("user_map", page, length, draw.of(3, 3, 3, 1, 0), -1, 0);
    }
}
