// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.contract.fuzz.IommufdModel.Area;
import dev.alcove.sys.Linux;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Random calls on /dev/iommu. File symbols: the iommufds from 0, then memfds, an eventfd, fault queues. Object ids are
 * small numbers, as the kernel gives the lowest that is free. IOVAs lie on a grid of a few places, so that areas meet.
 */
final class IommufdDraws {
    static final long PAGE = Linux.PAGE_SIZE;

    /** File symbols, from here on. */
    static final int MEMFD = 8;

    static final int EVENTFD = 12;
    static final int QUEUE = 14;
    private static final int PLACES = 12;
    private static final long PLACE = 0x20000;
    private static final int BASE = 0x3b00;

    private final Draw draw;
    private final int iommufds;

    /** One number in so many is at or beyond some edge. */
    private final int odd;

    private final @Nullable IommufdModel[] models;

    /** The last that was drawn by {@link #mapped}. */
    private long iova;

    /** What comes before anything is drawn. */
    private final Deque<Op> prologue = new ArrayDeque<>();

    /**
     * @param iommufds how many there are
     * @param odd one number in so many is at or beyond some edge
     */
    IommufdDraws(SplittableRandom random, int iommufds, int odd) {
        this.draw = new Draw(random);
        this.iommufds = iommufds;
        this.odd = odd;
        this.models = new IommufdModel[iommufds];
        for (int i = 0; i < iommufds; i++) {
            prologue.add(open(i));
            prologue.add(ioasAlloc(i));
        }
        prologue.add(Op.of("memfd", MEMFD, 16 * PAGE));
        prologue.add(Op.of("user_map", 0, 32 * PAGE, 3, -1, 0));
        prologue.add(Op.of("user_map", 32, 4 * PAGE, 3, -1, 0));
        prologue.add(Op.of("user_map", 36, 4 * PAGE, 1, -1, 0));
        prologue.add(Op.of("user_map", 40, 16 * PAGE, 3, MEMFD, 0));
    }

    Draw draw() {
        return draw;
    }

    /** Adds to what comes before anything is drawn. */
    void first(Op op) {
        prologue.add(op);
    }

    /** Whether all that comes first has come. */
    boolean started() {
        return prologue.isEmpty();
    }

    /** All calls of the surface without a device. */
    Supplier<Op> all() {
        addFiles(1);
        addAreas(20);
        addObjects(3);
        return supplier(List.of());
    }

    /**
     * What has been added, behind the prologue; now and then with a struct of another size, or in a bad place.
     *
     * @param more calls with structs, besides those on iommufds
     */
    Supplier<Op> supplier(List<StructCall> more) {
        Map<String, StructCall> calls = Stream.concat(IommufdCalls.all().stream(), more.stream())
                .collect(Collectors.toMap(StructCall::name, Function.identity()));
        return () -> prologue.isEmpty() ? spoil(draw.get(), calls) : prologue.poll();
    }

    private Op spoil(Op op, Map<String, StructCall> calls) {
        StructCall call = calls.get(op.name());
        if (call == null || !draw.oneIn(25)) {
            return op;
        }
        List<Long> operands = new ArrayList<>(op.operands());
        switch ((int) draw.below(4)) {
            case 0 -> operands.set(1, draw.of(0, 3, 4, 7, 8, call.size() - 4, call.size() - 1, call.size() + 1, -1));
            case 1 -> operands.set(1, draw.of(call.size() + 8, PAGE, PAGE + 1, 2 * PAGE, 1 << 20));
            case 2 -> {
                operands.set(1, call.size() + draw.of(4, 8, 24));
                operands.set(2, draw.of(1, 4, 8, 9, 24, 25));
            }
            default -> operands.set(3, draw.of(-1, -2, -3, 4, 8, 12, call.size() - 1, call.size() - 8, call.size()));
        }
        return new Op(op.name(), operands);
    }

    private void addFiles(int weight) {
        draw.add(2 * weight, () -> open((int) draw.below(iommufds)))
                .add(weight, () -> close((int) draw.below(iommufds)))
                .add(weight, () -> Op.of("close", draw.of(MEMFD, MEMFD + 1, EVENTFD, QUEUE, QUEUE + 1, 30)))
                .add(weight, () -> dup((int) draw.below(iommufds), (int) draw.below(iommufds)))
                .add(weight, () -> Op.of("memfd", draw.of(MEMFD, MEMFD + 1), draw.of(0, 1, PAGE, 5 * PAGE + 1, 16 * PAGE)))
                .add(weight, () -> Op.of("eventfd", EVENTFD))
                .add(weight, () -> Op.of("poll", anyFile()))
                .add(weight, () -> Op.of("read", queue(), draw.of(0, 1, 8, 39, 40, 80)))
                .add(weight, () -> Op.of("write", queue(), draw.of(0, 1, 8, 16, 40)))
                .add(weight, () -> Op.of("mmap", iommufd(), draw.of(0, PAGE, PAGE + 1), draw.of(0, 1, 3, 5), draw.of(1, 2, 3), draw.of(0, 1, PAGE)))
                .add(2 * weight, this::wild);
    }

    /** What an address space is for. */
    void addAreas(int weight) {
        draw.add(weight, this::map)
                .add(weight / 2, this::mapFile)
                .add(weight, this::unmap)
                .add(weight / 2, this::copy)
                .add(weight / 3, this::ranges)
                .add(weight / 3, this::allow)
                .add(weight / 2, this::type1Map)
                .add(weight, this::type1Unmap)
                .add(weight / 5, () -> IommufdCalls.TYPE1_INFO.sized(iommufd(), draw.of(15, 16, 20, 24, 32, 40, 56, 64, 72, 120, 200), 0, 0, draw.of(0, -1)))
                .add(weight / 3, this::type1Value);
    }

    /** Objects, options, and what only a device can do. */
    void addObjects(int weight) {
        draw.add(4 * weight, () -> ioasAlloc(iommufd()))
                .add(2 * weight, this::destroy)
                .add(2 * weight, this::option)
                .add(3 * weight, this::vfioIoas)
                .add(weight, () -> IommufdCalls.CHANGE_PROCESS.op(iommufd(), rare(1, 0)))
                .add(weight, this::faultAlloc)
                .add(weight, this::hwptAlloc)
                .add(weight, () -> IommufdCalls.DIRTY_TRACKING.op(iommufd(), draw.of(0, 1, 2), id(), rare(1, 0)))
                .add(weight, this::dirtyBitmap)
                .add(weight, this::invalidate)
                .add(weight, this::virtual);
    }

    private Op open(int file) {
        models[file] = new IommufdModel();
        return Op.of("open", file);
    }

    private Op close(int file) {
        models[file] = null;
        return Op.of("close", file);
    }

    private Op dup(int file, int from) {
        models[file] = models[from];
        return Op.of("dup", file, from);
    }

    private Op ioasAlloc(long file) {
        IommufdModel model = model(file);
        if (model != null) {
            model.allocateIoas();
        }
        return IommufdCalls.IOAS_ALLOC.op(file, 0);
    }

    private Op faultAlloc() {
        long file = iommufd();
        IommufdModel model = model(file);
        if (model != null) {
            model.allocate();
        }
        return IommufdCalls.FAULT_ALLOC.op(file, rare(1, 0), draw.of(QUEUE, QUEUE + 1));
    }

    private Op destroy() {
        long file = iommufd();
        long id = draw.oneIn(3) ? ioas(file) : id();
        IommufdModel model = model(file);
        if (model != null) {
            model.destroy(id);
        }
        return IommufdCalls.DESTROY.op(file, id);
    }

    @Nullable IommufdModel model(long file) {
        return file < iommufds ? models[(int) file] : null;
    }

    /** An iommufd that is open, mostly. */
    long iommufd() {
        if (draw.oneIn(100)) {
            return draw.of(MEMFD, EVENTFD, QUEUE, 30);
        }
        long first = draw.oneIn(3) ? draw.below(iommufds) : 0;
        for (long i = 0; i < iommufds; i++) {
            long file = (first + i) % iommufds;
            if (models[(int) file] != null) {
                return file;
            }
        }
        return first;
    }

    /** An address space of an iommufd, mostly. */
    long ioas(long file) {
        IommufdModel model = model(file);
        return model == null || draw.oneIn(30) ? id() : model.ioas(draw);
    }

    /** A range that may be mapped. */
    Area area(long file) {
        IommufdModel model = model(file);
        return model == null ? new Area(0, 0, 1) : model.area(draw);
    }

    private long anyFile() {
        return draw.of(0, 1, 2, MEMFD, EVENTFD, QUEUE, 30);
    }

    private long queue() {
        return draw.oneIn(4) ? anyFile() : draw.of(QUEUE, QUEUE + 1);
    }

    /** The id of an object, perhaps. */
    long id() {
        return draw.oneIn(30) ? draw.of(0, 9, 1000, -1, 1L << 31) : 1 + draw.below(4);
    }

    long rare(long value, long usual) {
        return draw.oneIn(40) ? value : usual;
    }

    private long flags() {
        return draw.oneIn(30) ? draw.of(0, 1, 8, 15, -1) : draw.of(7, 7, 7, 5, 3, 6, 4, 2);
    }

    long iova() {
        if (draw.oneIn(odd)) {
            return draw.of(0, 1, -1, -2, -PAGE, 1L << 47, 1L << 48, (1L << 48) - PAGE, Long.MIN_VALUE, 0xfee0_0000L, 0xfedf_f000L);
        }
        long inside = draw.oneIn(odd / 4) ? draw.of(1, 0x800, PAGE, 2 * PAGE, 5 * PAGE, 0x10000, PLACE - PAGE) : 0;
        return (1 + draw.below(PLACES)) * PLACE + inside;
    }

    long length() {
        if (draw.oneIn(odd)) {
            return draw.of(0, 1, 0x7ff, PAGE + 1, -1, -2, -PAGE, -PAGE + 1, 1L << 47, Long.MAX_VALUE, Long.MIN_VALUE, 1L << 50);
        }
        return draw.of(PAGE, PAGE, 2 * PAGE, 3 * PAGE, 8 * PAGE, PLACE, PLACE, 2 * PLACE, PLACE - PAGE);
    }

    long user() {
        if (draw.oneIn(odd)) {
            return draw.oneIn(2) ? -1 - draw.below(UserPages.WILD_ADDRESSES) : draw.below(IommufdSession.USER_PAGES * PAGE);
        }
        return draw.below(IommufdSession.USER_PAGES) * PAGE;
    }

    private Op map() {
        long file = iommufd();
        long ioas = ioas(file);
        long flags = flags();
        return IommufdCalls.MAP.op(file, flags, ioas, rare(1, 0), user(), mapped(file, ioas), iova);
    }

    /** Draws where and how long, and keeps it in mind; the length. */
    private long mapped(long file, long ioas) {
        iova = iova();
        long length = length();
        IommufdModel model = model(file);
        if (model != null) {
            model.map(ioas, iova, length);
        }
        return length;
    }

    private Op mapFile() {
        long file = iommufd();
        long ioas = ioas(file);
        long start = draw.oneIn(10) ? draw.of(1, -1, -PAGE, Long.MAX_VALUE, 1L << 40) : draw.below(8) * PAGE;
        // No iommufd: one that maps itself keeps itself for ever.
        long memory = draw.oneIn(10) ? draw.of(EVENTFD, 99) : draw.of(MEMFD, MEMFD, MEMFD + 1);
        return IommufdCalls.MAP_FILE.op(file, flags(), ioas, memory, start, mapped(file, ioas), iova);
    }

    private Op unmap() {
        long file = iommufd();
        if (draw.oneIn(30)) {
            return IommufdCalls.UNMAP.op(file, ioas(file), 0, -1);
        }
        Area area = part(area(file));
        return IommufdCalls.UNMAP.op(file, area.ioas(), area.iova(), area.length());
    }

    /** A range itself, or one near it. */
    private Area part(Area area) {
        long page = area.length() >= 2 * PAGE ? PAGE : area.length() / 2;
        return switch ((int) draw.below(10)) {
            case 0 -> new Area(area.ioas(), area.iova() + page, area.length() - page);
            case 1 -> new Area(area.ioas(), area.iova(), area.length() - page);
            case 2 -> new Area(area.ioas(), area.iova() + page, page);
            case 3 -> new Area(area.ioas(), area.iova() - PLACE, area.length() + 2 * PLACE);
            case 4 -> new Area(area.ioas(), area.iova(), area.length() + draw.of(1, PAGE, PLACE));
            case 5 -> new Area(area.ioas(), iova(), length());
            default -> area;
        };
    }

    private Op copy() {
        long file = iommufd();
        Area from = part(area(file));
        long to = ioas(file);
        IommufdModel model = model(file);
        long at = iova();
        if (model != null) {
            model.map(to, at, from.length());
        }
        return IommufdCalls.COPY.op(file, flags(), to, from.ioas(), from.length(), at, from.iova());
    }

    private Op ranges() {
        long file = iommufd();
        return IommufdCalls.IOVA_RANGES.op(file, ioas(file), draw.of(0, 1, 2, 3, 8, -1), rare(1, 0), buffer());
    }

    private long buffer() {
        return draw.oneIn(15) ? draw.below(4) : StructCaller.GOOD_BUFFER;
    }

    private Op allow() {
        long[] values = new long[4 + IommufdCalls.ALLOW_IOVAS.words()];
        int used = 4 + 2 * (int) draw.below(4);
        long file = iommufd();
        values[0] = ioas(file);
        values[1] = draw.oneIn(12) ? draw.of(1, 5, -1) : (used - 4) / 2;
        values[2] = rare(1, 0);
        values[3] = buffer();
        for (int i = 4; i < used; i += 2) {
            long first = iova();
            values[i] = first;
            values[i + 1] = draw.oneIn(8) ? iova() : first + draw.of(PLACE, 2 * PLACE, 4 * PLACE, 1 << 22) - 1;
        }
        return IommufdCalls.ALLOW_IOVAS.op(file, values);
    }

    private Op type1Map() {
        long file = iommufd();
        long flags = draw.oneIn(10) ? draw.of(0, 4, 7, -1) : draw.of(3, 3, 1, 2);
        long length = mapped(file, ioas(file));
        return IommufdCalls.TYPE1_MAP.op(file, flags, user(), iova, length);
    }

    private Op type1Unmap() {
        long file = iommufd();
        if (draw.oneIn(30)) {
            return IommufdCalls.TYPE1_UNMAP.op(file, draw.of(2, 2, 2, 1, 3, 4), rare(PAGE, 0), rare(PAGE, 0));
        }
        Area area = part(area(file));
        return IommufdCalls.TYPE1_UNMAP.op(file, 0, area.iova(), area.length());
    }

    private Op type1Value() {
        return switch ((int) draw.below(3)) {
            case 0 -> Op.of("ioctl", iommufd(), 0x3b64, draw.of(0, 1));
            case 1 -> Op.of("ioctl", iommufd(), 0x3b65, draw.of(0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, -1));
            default -> Op.of("ioctl", iommufd(), 0x3b66, draw.of(0, 1, 1, 3, 2, 8, -1));
        };
    }

    private Op option() {
        long option = draw.oneIn(10) ? draw.of(2, -1) : draw.below(2);
        long op = draw.oneIn(10) ? draw.of(2, 0xffff) : draw.below(2);
        long file = iommufd();
        long object = option == 0 ? rare(1, 0) : ioas(file);
        return IommufdCalls.OPTION.op(file, option, op, rare(1, 0), object, draw.oneIn(10) ? draw.of(2, -1) : draw.below(2));
    }

    private Op vfioIoas() {
        long file = iommufd();
        return IommufdCalls.VFIO_IOAS.op(file, ioas(file), draw.oneIn(12) ? draw.of(2, 3, 0xffff) : draw.of(0, 1, 1, 1), rare(1, 0));
    }

    private Op hwptAlloc() {
        return IommufdCalls.HWPT_ALLOC.op(
                iommufd(), draw.of(0, 0, 1, 2, 4, 8, 16), id(), id(), rare(1, 0), draw.of(0, 0, 1, 2), draw.of(0, 0, 16),
                buffer(), id(), rare(1, 0));
    }

    private Op dirtyBitmap() {
        return IommufdCalls.DIRTY_BITMAP.op(
                iommufd(), id(), draw.of(0, 0, 1, 2), rare(1, 0), iova(), length(), draw.of(0, 1, PAGE, 2 * PAGE), buffer());
    }

    private Op invalidate() {
        return IommufdCalls.INVALIDATE.op(
                iommufd(), id(), draw.below(4), draw.of(0, 1), draw.of(0, 8, 16, PAGE, PAGE + 1), draw.of(0, 1, 2, 1 << 19, (1 << 19) + 1), rare(1, 0));
    }

    private Op virtual() {
        return switch ((int) draw.below(5)) {
            case 0 -> IommufdCalls.HW_INFO.op(iommufd(), draw.of(0, 0, 1, 2), id(), draw.of(0, 8, 64), buffer(), draw.of(0, 1), draw.of(0, 0, 1 << 8));
            case 1 -> IommufdCalls.VIOMMU_ALLOC.op(iommufd(), draw.of(0, 0, 1), draw.of(0, 1, 2), id(), id(), draw.of(0, 8), rare(1, 0), buffer());
            case 2 -> IommufdCalls.VDEVICE_ALLOC.op(iommufd(), id(), id(), draw.of(0, 1, 0x10000, 1L << 32));
            case 3 -> IommufdCalls.VEVENTQ_ALLOC.op(iommufd(), draw.of(0, 0, 1), id(), draw.of(0, 1), draw.of(0, 1, 8), rare(1, 0));
            default -> IommufdCalls.HW_QUEUE_ALLOC.op(iommufd(), draw.of(0, 0, 1), id(), draw.of(0, 1), draw.below(2), iova(), length());
        };
    }

    /** A request that is not one, or one with bits of another encoding. */
    private Op wild() {
        long request = draw.of(BASE + 0x60, BASE + 0x63, BASE + 0x67, BASE + 0x73, BASE + 0x7f, BASE + 0xa1, BASE + 0xff, 0x4b85, 0xc0003b85L, 0xc0283b85L, 0x40003b81L, 0, 0x3a81);
        return Op.of("wild", iommufd(), draw.of(0, 8, 64), 0, draw.of(0, 0, -1, 8), request);
    }
}
