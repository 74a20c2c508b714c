// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import dev.alcove.sys.Linux;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Supplier;

/**
 * The kinds of ops that the two KVM surfaces are made of, with usual and borderline operands. Left out is what takes a
 * real kernel minutes or depends on the size of the machine: ranges of TiBs that are valid.
 */
final class KvmDraws implements Supplier<Op> {
    private static final long PAGE = Linux.PAGE_SIZE;
    private static final long PRIVATE = 8;
    private static final int MACHINES = 2;
    private static final int GMEMS = 4;
    private static final int SLOTS = 5;

    private final Draw draw;

    /** Ops that have to come next. */
    private final Deque<Op> queue = new ArrayDeque<>();

    /** The last memslot that was asked for, by machine and number. */
    private final Map<Long, long[]> regions = new HashMap<>();

    KvmDraws(SplittableRandom random) {
        draw = new Draw(random);
        for (long vm = MACHINES - 1; vm >= 0; vm--) {
            machine(vm, vm == 0 ? 1 : draw.below(2));
        }
        for (long file = 0; file < 3; file++) {
            queue.add(gmem(KvmSession.GMEM + file));
        }
        queue.add(KvmCall.MAP.op(0, 40 * PAGE, 3, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0));
    }

    KvmDraws add(int weight, Supplier<Op> kind) {
        draw.add(weight, kind);
        return this;
    }

    @Override
    public Op get() {
        Op next = queue.poll();
        return next != null ? next : draw.get();
    }

    private long vm() {
        return draw.oneIn(40) ? file() : draw.oneIn(3) ? 1 : 0;
    }

    private long vcpu() {
        return draw.oneIn(60) ? file() : KvmSession.VCPU + draw.of(0, 0, 0, 0, 1, 1, 1, 2);
    }

    private long gmemFile() {
        return draw.oneIn(40) ? file() : KvmSession.GMEM + draw.below(GMEMS);
    }

    /** A file of any kind. */
    private long file() {
        return draw.of(
                -1, 0, 1, KvmSession.VCPU, KvmSession.GMEM, KvmSession.SYSTEM, KvmSession.EVENT, KvmSession.MEMFD, 99);
    }

    /** A file whose mapping the kernel does not write to by itself. */
    private long mappable() {
        return draw.oneIn(10)
                ? draw.of(-1, 0, KvmSession.SYSTEM, KvmSession.EVENT)
                : KvmSession.GMEM + draw.below(GMEMS);
    }

    private long pages(long most) {
        return (1 + draw.below(most)) * PAGE;
    }

    /** The symbol of a user address. */
    private long user() {
        return draw.oneIn(40)
                ? draw.oneIn(2) ? -1 - draw.below(UserPages.WILD_ADDRESSES) : draw.below(40) * PAGE + draw.of(1, 0x800)
                : draw.below(48) * PAGE;
    }

    private long word() {
        return draw.below(KvmSession.PAGES) * PAGE + draw.of(0, 0, 0, 4, 8, 0x7fc, 0xff8, 0xffc);
    }

    private long slot() {
        return draw.oneIn(40)
                ? draw.of(31, 32763, 32764, 32767, 0x10000, 0x10001, 0x20000, 0x7fff0000, 0xffff_ffffL)
                : draw.below(SLOTS);
    }

    private long gpa() {
        return draw.oneIn(30)
                ? draw.of(1, 0x800, PAGE - 1, KvmGuests.CODE_GPA, 1L << 32, 1L << 52, Long.MAX_VALUE & -PAGE, Long.MIN_VALUE, -PAGE)
                : draw.below(44) * PAGE;
    }

    private long size() {
        return draw.oneIn(30)
                ? draw.of(0, 1, PAGE - 1, PAGE + 1, 1L << 43, (1L << 43) + PAGE, Long.MAX_VALUE & -PAGE, Long.MIN_VALUE, -PAGE)
                : pages(6);
    }

    /** A machine with a vCPU and two memslots. */
    private void machine(long vm, long type) {
        queue.addFirst(KvmCall.REGION1.op(vm, 1, 0, 8 * PAGE, 6 * PAGE, 8 * PAGE));
        queue.addFirst(KvmCall.REGION1.op(vm, 0, draw.below(2), 0, 8 * PAGE, 0));
        queue.addFirst(KvmCall.CREATE_VCPU.op(KvmSession.VCPU + vm, vm, 0));
        queue.addFirst(KvmCall.CREATE_VM.op(vm, type));
    }

    Op createVm() {
        if (draw.oneIn(8)) {
            return KvmCall.CREATE_VM.op(9, draw.of(-1, 6, 7, 31, 32, 1L << 31, 1L << 32));
        }
        machine(draw.below(MACHINES), draw.below(2));
        return get();
    }

    Op createVcpu() {
        long id = draw.oneIn(8) ? draw.of(-1, 1 << 20, 1L << 32, Integer.MAX_VALUE) : draw.below(4);
        return KvmCall.CREATE_VCPU.op(KvmSession.VCPU + (draw.oneIn(12) ? draw.below(2) : 2), vm(), id);
    }

    Op createGmem() {
        return gmem(KvmSession.GMEM + draw.below(GMEMS));
    }

    private Op gmem(long file) {
        long size = draw.oneIn(12)
                ? draw.of(0, 1, PAGE + 1, -PAGE, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 62)
                : pages(16);
        long flags = draw.oneIn(12) ? draw.of(4, 8, 1L << 32, Long.MIN_VALUE, -1) : draw.of(0, 0, 1, 2, 3, 3);
        return KvmCall.CREATE_GMEM.op(file, vm(), size, flags);
    }

    Op dup() {
        return draw.oneIn(6)
                ? KvmCall.DUP.op(KvmSession.GMEM + draw.below(GMEMS), file())
                : KvmCall.DUP.op(KvmSession.GMEM + draw.below(GMEMS), KvmSession.GMEM + draw.below(GMEMS));
    }

    Op close() {
        return KvmCall.CLOSE.op(draw.oneIn(6) ? draw.of(-1, 0, 1, 10, 11, 12, 99) : KvmSession.GMEM + draw.below(GMEMS));
    }

    Op closeTwice() {
        return KvmCall.CLOSE_TWICE.op(draw.oneIn(6) ? draw.of(-1, 12, 99) : KvmSession.GMEM + draw.below(GMEMS));
    }

    Op region() {
        long vm = vm();
        long slot = slot();
        long[] known = regions.get(vm << 32 | slot);
        if (known != null && draw.oneIn(3)) {
            return again(vm, slot, known.clone());
        }
        if (draw.oneIn(6)) {
            return region(vm, slot, new long[] {draw.of(0, 1, 2, 3), gpa(), 0, user(), -1, 0}, draw.oneIn(2));
        }
        long gpa = draw.oneIn(4) ? gpa() : (slot * 8 % 64 + draw.below(4)) * PAGE;
        long flags = draw.oneIn(20) ? draw.of(5, 6, 7, 8, 16, 1L << 31) : draw.of(0, 0, 1, 1, 2, 3);
        boolean withGmem = draw.oneIn(2);
        long offset = draw.oneIn(12)
                ? draw.of(1, PAGE - 1, 16 * PAGE, -PAGE, Long.MIN_VALUE, Long.MAX_VALUE & -PAGE)
                : draw.below(12) * PAGE;
        long[] fresh = {withGmem ? draw.oneIn(10) ? flags : 4 : flags, gpa, size(), user(), gmemFile(), offset};
        return region(vm, slot, fresh, withGmem || draw.oneIn(3));
    }

    /** The same slot with one thing changed: a flag, the place, or nothing that may change. */
    private Op again(long vm, long slot, long[] region) {
        switch ((int) draw.below(7)) {
            case 0, 1, 2 -> region[0] ^= 1;
            case 3 -> region[1] = draw.below(44) * PAGE;
            case 4 -> region[3] = user();
            case 5 -> region[2] = size();
            default -> region[0] ^= draw.of(0, 2, 4);
        }
        return region(vm, slot, region, (region[0] & 4) != 0 || draw.oneIn(3));
    }

    private Op region(long vm, long slot, long[] r, boolean second) {
        if (r[2] != 0) {
            regions.put(vm << 32 | slot, r);
        }
        return second
                ? KvmCall.REGION2.op(vm, slot, r[0], r[1], r[2], r[3], r[4], r[5])
                : KvmCall.REGION1.op(vm, slot, r[0], r[1], r[2], r[3]);
    }

    Op attributes() {
        long gpa = gpa();
        // A real kernel notes the attribute of every single page: no range that is both large and valid.
        long size = draw.oneIn(20) ? draw.of(0, 1, PAGE - 1, PAGE + 1, gpa == 0 ? 0 : -PAGE) : pages(12);
        long attributes = draw.oneIn(20) ? draw.of(1, 2, 4, 7, 15, 16, -1) : draw.of(0, PRIVATE);
        return KvmCall.ATTRIBUTES.op(vm(), gpa, size, attributes, draw.oneIn(40) ? draw.of(1, Long.MIN_VALUE) : 0);
    }

    Op preFault() {
        return KvmCall.PRE_FAULT.op(vcpu(), gpa(), draw.oneIn(20) ? size() : pages(4), draw.oneIn(40) ? 1 : 0);
    }

    Op dirtyLog() {
        return KvmCall.DIRTY_LOG.op(vm(), slot(), draw.oneIn(20) ? -1 - draw.below(UserPages.WILD_ADDRESSES) : 0);
    }

    Op clearDirtyLog() {
        long first = draw.oneIn(6) ? draw.of(1, 32, 63, 64, 128, -64, Long.MIN_VALUE) : 0;
        long count = draw.oneIn(6) ? draw.of(0, 1, 63, 64, 128, -1, 0xffff_ffc0L) : 1 + draw.below(8);
        return KvmCall.CLEAR_DIRTY_LOG.op(
                vm(), slot(), first, count, draw.of(-1, 0, 1, 0x55, 0xff), draw.oneIn(20) ? -1 - draw.below(UserPages.WILD_ADDRESSES) : 0);
    }

    Op enableCap() {
        return draw.oneIn(2)
                ? KvmCall.ENABLE_CAP.op(vm(), 168, draw.below(6), draw.oneIn(6) ? 1 : 0)
                : draw.oneIn(3)
                ? KvmCall.ENABLE_CAP.op(vm(), draw.of(192, 223, 225), draw.of(0, 1, 2048, 4096, 12288, 1 << 20, 1 << 21), draw.below(2))
                : KvmCall.ENABLE_CAP.op(vm(), draw.of(9999, 231, 232, 233, 234, 236, 244), draw.below(3), 0);
    }

    Op checkExtension() {
        return KvmCall.CHECK_EXTENSION.op(
                draw.oneIn(2) ? vm() : KvmSession.SYSTEM,
                draw.of(-1, 3, 10, 15, 16, 36, 55, 74, 81, 118, 162, 192, 200, 203, 223, 225, 166, 168, 231, 232, 233, 234, 235, 236, 244, 9999));
    }

    /** Good requests with pointers into nowhere, and requests that do not exist. */
    Op wildIoctl() {
        long request = draw.of(
                0x4020ae46, 0x40a0ae49, 0x4010ae42, 0xc018aec0L, 0xc040aed4L, 0x4020aed2, 0xc040aed5L, 0x4068aea3, 0x4040ae79, 0x4010ae67, 0x4010ae68, 0x4030ae7b, 0, 0xaeff, 0x5401, 0xae99);
        return KvmCall.WILD_IOCTL.op(file(), request, -1 - draw.below(UserPages.WILD_ADDRESSES));
    }

    Op guest() {
        long gpa = draw.oneIn(40) ? draw.of(0x5000_0000, 0xffff_fffcL, 0x4fff_fffeL) : draw.below(44) * PAGE;
        long code = draw.below(GuestCode.count());
        // In which order an instruction that reads and writes across two pages looks at them is the processor's own choice.
        boolean across = code < GuestCode.READ_AND_WRITE && draw.oneIn(12);
        long within = across ? draw.of(0xffd, 0xffe, 0xfff, 1, 3) : draw.of(0, 0, 0, 4, 8, 0x7fc, 0xff8, 0xffc);
        long from = draw.below(44) * PAGE + draw.of(0, 4, 0xff8);
        return KvmCall.GUEST.op(vcpu(), code, gpa + within, draw.below(1L << 32), from);
    }

    /** A length of zero is left out: on some processors such a one takes reads as well. */
    Op ioEventFd() {
        long length = draw.oneIn(20) ? draw.of(3, 5, 16, -1) : draw.of(1, 2, 4, 4, 8);
        long flags = draw.oneIn(20) ? draw.of(8, 32, 64) : draw.of(0, 0, 0, 1, 2, 4, 4, 5);
        long address = draw.oneIn(20) ? draw.of(-1, -4, Long.MIN_VALUE) : device();
        long file = draw.oneIn(20) ? file() : KvmSession.EVENT;
        return KvmCall.IOEVENTFD.op(vm(), address, length, flags, draw.below(3), file);
    }

    private long device() {
        return draw.below(44) * PAGE + draw.of(0, 0, 4, 8);
    }

    Op eventCount() {
        return KvmCall.EVENT_COUNT.op();
    }

    Op coalesce() {
        long size = draw.oneIn(10) ? draw.of(0, 1, -1, 1L << 31) : draw.of(4, 8, 64, PAGE, 2 * PAGE);
        return KvmCall.COALESCE.op(vm(), draw.oneIn(3) ? 0 : 1, device(), size, draw.oneIn(10) ? draw.of(1, 2, -1) : 0);
    }

    Op ring() {
        return KvmCall.RING.op(KvmSession.VCPU + draw.below(3));
    }

    Op resetRings() {
        return KvmCall.RESET_RINGS.op(vm());
    }

    Op map() {
        long page = draw.below(KvmSession.PAGES);
        if (draw.oneIn(3)) {
            long flags = Linux.MAP_ANONYMOUS | draw.of(Linux.MAP_PRIVATE, Linux.MAP_PRIVATE, Linux.MAP_SHARED);
            return KvmCall.MAP.op(page, pages(16), draw.of(3, 3, 3, 3, 1, 0), flags, -1, 0);
        }
        long length = draw.oneIn(12) ? draw.of(0, 1, PAGE - 1, PAGE + 1) : pages(12);
        long offset = draw.oneIn(12) ? draw.of(1, 0x800, -PAGE, Long.MIN_VALUE, 1L << 44) : draw.below(10) * PAGE;
        long flags = draw.oneIn(6) ? draw.of(0, 2, 3, 4) : Linux.MAP_SHARED;
        return KvmCall.MAP.op(page, length, draw.of(3, 3, 3, 1, 0, 5), flags, mappable(), offset);
    }

    /** Anonymous memory where slots look for it, so that there is some again. */
    Op remap() {
        return KvmCall.MAP.op(
                draw.below(36), pages(16), 3, Linux.MAP_PRIVATE | Linux.MAP_ANONYMOUS, -1, 0);
    }

    Op unmap() {
        return KvmCall.UNMAP.op(draw.below(KvmSession.PAGES), draw.below(6));
    }

    Op advise() {
        return KvmCall.ADVISE.op(draw.below(KvmSession.PAGES), draw.below(8), draw.of(-1, 0, 1, 2, 3, 4, 4, 4, 9, 22, 23, 4711));
    }

    Op read() {
        return KvmCall.READ.op(word());
    }

    Op write() {
        return KvmCall.WRITE.op(word(), draw.below(1L << 32));
    }

    Op fallocate() {
        long mode = draw.oneIn(4) ? draw.of(0, 1, 2, 8, 9, 0x10, 0x11, 0x13, 0x20, 0x40, 0x80, 0x80000000L) : draw.of(1, 3, 3);
        long offset = draw.oneIn(8)
                ? draw.of(1, -1, -PAGE, 16 * PAGE, 1L << 40, Long.MAX_VALUE, Long.MAX_VALUE & -PAGE)
                : draw.below(16) * PAGE;
        long length = draw.oneIn(8) ? draw.of(0, -1, 1, PAGE + 1, Long.MAX_VALUE, Long.MIN_VALUE) : pages(6);
        if (mode == 3 && draw.oneIn(12)) {
            length = draw.of(1L << 40, Long.MAX_VALUE & -PAGE);
        }
        long file = gmemFile();
        if (file == KvmSession.MEMFD && (mode & ~Linux.FALLOC_FL_KEEP_SIZE) == 0 && offset == 0 && length == Long.MAX_VALUE) {
            length = -1; // a memfd takes this length, page by page, until the machine is out of memory
        }
        return KvmCall.FALLOCATE.op(file, mode, offset, length);
    }

    /** The calls that a guest_memfd has or refuses like any file. */
    Op fileCall() {
        long file = draw.oneIn(8) ? file() : gmemFile();
        long offset = draw.of(-1, 0, 0, 1, PAGE, 16 * PAGE, Long.MAX_VALUE, Long.MIN_VALUE);
        long length = draw.of(0, 1, 8, 100, PAGE);
        return switch ((int) draw.below(9)) {
            case 0 -> KvmCall.TRUNCATE.op(
                    draw.oneIn(8) ? draw.of(-1, 0, KvmSession.SYSTEM, KvmSession.EVENT) : gmemFile(), draw.of(0, 1, PAGE, 8 * PAGE, -1));
            case 1, 2 -> KvmCall.SEEK.op(file, offset, draw.of(-1, 0, 1, 2, 3, 4, 5));
            case 3 -> KvmCall.FILE_READ.op(file, length, offset);
            case 4 -> KvmCall.FILE_WRITE.op(
                    draw.oneIn(8) ? draw.of(-1, 0, KvmSession.VCPU, KvmSession.SYSTEM) : gmemFile(), length, offset);
            case 5, 6 -> KvmCall.STAT.op(file);
            case 7 -> KvmCall.FCNTL.op(
                    file,
                    draw.of(Linux.F_GETFD, Linux.F_GETFL, Linux.F_GET_SEALS, Linux.F_ADD_SEALS, 4711),
                    draw.below(16));
            default -> KvmCall.POLL.op(file);
        };
    }
}
