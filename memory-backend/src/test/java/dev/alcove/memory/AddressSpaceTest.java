// SPDX-License-Identifier: Apache-2.0
package dev.alcove.memory;

import dev.alcove.discard.GpaRange;
import dev.alcove.kernel.EmulatedKernel;
import dev.alcove.kernel.EmulatedProcess;
import dev.alcove.kernel.KernelProfile;
import dev.alcove.kernel.kvm.VmView;
import dev.alcove.kvm.GuestMemfd;
import dev.alcove.kvm.Kvm;
import dev.alcove.kvm.Memslot;
import dev.alcove.kvm.Vm;
import dev.alcove.memory.FlatView.FlatRange;
import dev.alcove.sys.BadInputException;
import dev.alcove.sys.Errno;
import dev.alcove.sys.HostSyscalls;
import dev.alcove.sys.Linux;
import dev.alcove.sys.MissingFeatureException;
import dev.alcove.sys.SyscallException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** Regions become memslots: planned, applied as a difference, taken back when one is refused. */
class AddressSpaceTest {
    private static final long PAGE = 4096;
    private static final int PAGES = 64;

    private final EmulatedKernel kernel = new EmulatedKernel(KernelProfile.linux7_2(), new HostSyscalls());
    private final EmulatedProcess process = kernel.process();
    private final Kvm kvm = Kvm.open(process);
    private final Vm vm = kvm.createVm(0);
    private final AddressSpace space = new AddressSpace(vm);
    private final long memory = process.mmap(
            0, 2 * PAGES * PAGE, Linux.PROT_READ | Linux.PROT_WRITE, Linux.MAP_SHARED | Linux.MAP_ANONYMOUS, -1, 0);

    @AfterEach
    void nothingIsLeft() {
        vm.close();
        kvm.close();
        process.close();
        assertEquals(List.of(), kernel.leaks());
        kernel.close();
    }

    private static GpaRange pages(long first, long count) {
        return GpaRange.of(first * PAGE, count * PAGE);
    }

    private MemoryRegion ram(long first, long count, long at) {
        return MemoryRegion.ram("ram", pages(first, count), MemoryRegion.Ram.of(memory + at * PAGE));
    }

    private MemoryRegion bar(long first, long count, long at) {
        return MemoryRegion.device("bar", pages(first, count), memory + at * PAGE);
    }

    private List<VmView.Slot> shown() {
        return kernel.kvm().machines().getFirst().slots();
    }

    private void expectShown() {
        List<VmView.Slot> expected = space.slots().stream()
                .map(s -> new VmView.Slot(
                        s.slot(), s.gpa(), s.size(), s.flags(), s.hva(), s.gmemFd() < 0 ? -1 : s.gmemOffset()))
                .sorted((a, b) -> Long.compare(a.gpa(), b.gpa()))
                .toList();
        assertEquals(expected, shown());
        assertEquals(
                FlatView.of(space.regions()).ranges(),
                space.slots().stream()
                        .map(FlatRange::of)
                        .sorted((a, b) -> Long.compare(a.gpa(), b.gpa()))
                        .toList());
    }

    @Test
    void aMoveIsOneCall() {
        space.add(ram(0, 8, 0));
        MemoryRegion bar = bar(16, 4, 8);
        space.add(bar);
        long before = space.ioctls();
        space.change(List.of(bar), List.of(bar.at(pages(18, 4)))); // overlaps its old place
        assertEquals(before + 1, space.ioctls());
        expectShown();
    }

    @Test
    void barsThatChangePlacesNeedOneMoreThanTwo() {
        MemoryRegion first = bar(16, 4, 0);
        MemoryRegion second = bar(20, 4, 4);
        space.change(List.of(), List.of(first, second));
        long before = space.ioctls();
        space.change(List.of(first, second), List.of(first.at(pages(20, 4)), second.at(pages(16, 4))));
        assertEquals(before + 3, space.ioctls()); // delete, move, create
        expectShown();
        // In a row each makes room for the next.
        MemoryRegion third = bar(24, 4, 8);
        space.add(third);
        before = space.ioctls();
        space.change(
                List.of(first.at(pages(20, 4)), second.at(pages(16, 4)), third),
                List.of(first.at(pages(24, 4)), second.at(pages(20, 4)), third.at(pages(28, 4))));
        assertEquals(before + 3, space.ioctls());
        expectShown();
    }

    @Test
    void aDirtyLogChangesFlagsOnly() {
        MemoryRegion plain = ram(0, 8, 0);
        MemoryRegion logged =
                MemoryRegion.ram("ram", pages(0, 8), new MemoryRegion.Ram(memory, true, null, 0));
        space.add(plain);
        long before = space.ioctls();
        space.change(List.of(plain), List.of(logged));
        assertEquals(before + 1, space.ioctls());
        assertEquals(1, shown().getFirst().flags());
        space.change(List.of(logged), List.of(plain));
        assertEquals(before + 2, space.ioctls());
        expectShown();
    }

    @Test
    void ramStaysWhereABarLies() {
        space.add(ram(0, 8, 0));
        space.add(bar(6, 4, 8));
        assertEquals(
                List.of(new FlatRange(0, 8 * PAGE, memory, 0, -1, 0), new FlatRange(
                        8 * PAGE, 2 * PAGE, memory + 10 * PAGE, 0, -1, 0)),
                space.slots().stream().map(FlatRange::of).toList());
        expectShown();
    }

    @Test
    void romsHolesAndAliases() {
        MemoryRegion low = ram(0, 16, 0);
        MemoryRegion hole = new MemoryRegion("vga", pages(4, 2), 2, new MemoryRegion.Hole());
        MemoryRegion rom = new MemoryRegion("rom", pages(8, 2), 2, new MemoryRegion.Rom(memory + 32 * PAGE));
        MemoryRegion again = new MemoryRegion("alias", pages(32, 4), 0, new MemoryRegion.Alias(low, 3 * PAGE));
        space.change(List.of(), List.of(low, hole, rom, again));
        assertEquals(
                List.of(
                        new FlatRange(0, 4 * PAGE, memory, 0, -1, 0),
                        new FlatRange(6 * PAGE, 2 * PAGE, memory + 6 * PAGE, 0, -1, 0),
                        new FlatRange(8 * PAGE, 2 * PAGE, memory + 32 * PAGE, 2, -1, 0),
                        new FlatRange(10 * PAGE, 6 * PAGE, memory + 10 * PAGE, 0, -1, 0),
                        new FlatRange(32 * PAGE, 4 * PAGE, memory + 3 * PAGE, 0, -1, 0)),
                FlatView.of(space.regions()).ranges());
        expectShown();
        long before = space.ioctls();
        space.remove(hole);
        assertEquals(before + 3, space.ioctls()); // the two parts go, the whole comes up to the ROM
        expectShown();
        assertThrows(
                BadInputException.class,
                () -> new MemoryRegion("alias", pages(0, 4), 0, new MemoryRegion.Alias(low, 13 * PAGE)));
        assertThrows(
                BadInputException.class,
                () -> new MemoryRegion("odd", GpaRange.of(1, PAGE), 0, new MemoryRegion.Hole()));
    }

    @Test
    void whatIsRefusedHalfWayIsTakenBack() {
        MemoryRegion first = ram(0, 8, 0);
        MemoryRegion second = bar(16, 4, 8);
        space.change(List.of(), List.of(first, second));
        List<VmView.Slot> before = shown();
        MemoryRegion beyond = MemoryRegion.device("far", GpaRange.of(1L << 50, PAGE), memory + 40 * PAGE);
        SyscallException refused = assertThrows(
                SyscallException.class,
                () -> space.change(List.of(first, second), List.of(second.at(pages(0, 4)), beyond)));
        assertEquals(Errno.EINVAL, refused.errno());
        assertEquals(0, refused.getSuppressed().length);
        assertEquals(before, shown());
        expectShown();
        space.remove(second);
        assertEquals(1, shown().size());
    }

    @Test
    void slotsWithAGuestMemfdAreMadeAgain() {
        try (Vm confidential = kvm.createVm(1);
                GuestMemfd gmem = confidential.createGuestMemfd(16 * PAGE, 0)) {
            AddressSpace own = new AddressSpace(confidential);
            MemoryRegion block =
                    MemoryRegion.ram("ram", pages(0, 16), new MemoryRegion.Ram(memory, false, gmem, 0));
            MemoryRegion hole = new MemoryRegion("hole", pages(4, 1), 2, new MemoryRegion.Hole());
            own.add(block);
            own.add(hole);
            List<VmView.Slot> slots = kernel.kvm().machines().getLast().slots();
            assertEquals(2, slots.size());
            assertEquals(5 * PAGE, slots.getLast().gmemOffset());
            own.change(List.of(hole, block), List.of());
            assertEquals(List.of(), kernel.kvm().machines().getLast().slots());
        }
        assertThrows(BadInputException.class, () -> {
            try (GuestMemfd gmem = vm.createGuestMemfd(PAGE, 0)) {
                new MemoryRegion.Ram(memory, true, gmem, 0);
            }
        });
    }

    @Test
    void thereAreNoMoreSlotsThanKvmHas() {
        assertEquals(32764, space.limit());
        MemoryRegion wide = MemoryRegion.ram("ram", GpaRange.of(0, 1L << 30), MemoryRegion.Ram.of(memory));
        List<MemoryRegion> regions = new ArrayList<>();
        for (int i = 0; i < 32764; i++) {
            regions.add(new MemoryRegion("hole", pages(2L * i + 1, 1), 2, new MemoryRegion.Hole()));
        }
        regions.add(wide);
        MissingFeatureException refused =
                assertThrows(MissingFeatureException.class, () -> space.change(List.of(), regions));
        assertTrue(refused.toString().contains("needs 32765 memslots"), refused.toString());
        assertEquals(0, space.ioctls());
        assertEquals(List.of(), space.regions());
    }

    @Test
    void aRegionLargerThanASlotGetsSeveral() {
        GpaRange huge = GpaRange.of(0, (8L << 40) + PAGE);
        FlatView view =
                FlatView.of(List.of(MemoryRegion.ram("ram", huge, MemoryRegion.Ram.of(1L << 40))));
        assertEquals(3, view.ranges().size());
        assertEquals(new FlatRange(8L << 40, PAGE, 9L << 40, 0, -1, 0), view.ranges().getLast());
    }

    /** What the guest sees of a page: which byte of memory, and whether it may write; null for nothing. */
    private record Seen(long hva, boolean readOnly) {}

    private static @Nullable Seen oracle(List<MemoryRegion> regions, long gpa) {
        MemoryRegion best = null;
        for (MemoryRegion region : regions) {
            boolean there = gpa >= region.range().start().value() && gpa < region.range().end();
            if (there && (best == null || region.priority() > best.priority())) {
                best = region;
            }
        }
        return best == null ? null : seen(best, gpa - best.range().start().value());
    }

    private static @Nullable Seen seen(MemoryRegion region, long offset) {
        return switch (region.content()) {
            case MemoryRegion.Ram ram -> new Seen(ram.hva() + offset, false);
            case MemoryRegion.Rom rom -> new Seen(rom.hva() + offset, true);
            case MemoryRegion.Hole _ -> null;
            case MemoryRegion.Alias alias -> seen(alias.target(), alias.offset() + offset);
        };
    }

    private MemoryRegion random(Random random, List<MemoryRegion> others) {
        long first = random.nextInt(PAGES - 16);
        long count = 1L + random.nextInt(15);
        int priority = random.nextInt(4);
        long at = memory + random.nextInt(PAGES) * PAGE;
        MemoryRegion.Content content = switch (random.nextInt(others.isEmpty() ? 3 : 5)) {
            case 0 -> new MemoryRegion.Hole();
            case 1 -> new MemoryRegion.Rom(at);
            case 2 -> new MemoryRegion.Ram(at, true, null, 0);
            case 3 -> {
                MemoryRegion target = others.get(random.nextInt(others.size()));
                long size = target.range().size() / PAGE;
                count = 1L + random.nextInt((int) size);
                yield new MemoryRegion.Alias(target, random.nextInt((int) (size - count) + 1) * PAGE);
            }
            default -> MemoryRegion.Ram.of(at);
        };
        return new MemoryRegion("r", pages(first, count), priority, content);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void whatIsPlannedIsWhatTheGuestSees(long seed) {
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            List<MemoryRegion> present = space.regions();
            List<MemoryRegion> removed = present.stream()
                    .filter(region -> random.nextInt(present.size() > 6 ? 2 : 5) == 0)
                    .toList();
            List<MemoryRegion> added = new ArrayList<>();
            for (MemoryRegion region : removed) {
                if (random.nextBoolean()) {
                    added.add(region.at(pages(random.nextInt(PAGES - 16), region.range().size() / PAGE)));
                }
            }
            for (int i = random.nextInt(3); i > 0; i--) {
                added.add(random(random, present));
            }
            long limit = space.ioctls() + worst(present, removed, added);
            space.change(removed, added);
            assertTrue(space.ioctls() <= limit, "seed " + seed + " round " + round);
            expectShown();
            TreeMap<Long, VmView.Slot> byAddress = new TreeMap<>();
            shown().forEach(slot -> byAddress.put(slot.gpa(), slot));
            for (long gpa = 0; gpa < PAGES * PAGE; gpa += PAGE) {
                var slot = byAddress.floorEntry(gpa);
                Seen seen = slot == null || gpa >= slot.getKey() + slot.getValue().size()
                        ? null
                        : new Seen(
                                slot.getValue().hva() + gpa - slot.getKey(), (slot.getValue().flags() & 2) != 0);
                assertEquals(oracle(space.regions(), gpa), seen, "seed " + seed + " round " + round + " page " + gpa);
            }
        }
    }

    /** Deleting every slot and making the new ones: what a change may never cost more than. */
    private long worst(List<MemoryRegion> present, List<MemoryRegion> removed, List<MemoryRegion> added) {
        List<MemoryRegion> next = new ArrayList<>(present);
        removed.forEach(next::remove);
        next.addAll(added);
        List<FlatRange> after = FlatView.of(next).ranges();
        List<Memslot> before = space.slots();
        long same = before.stream().filter(slot -> after.contains(FlatRange.of(slot))).count();
        return before.size() + after.size() - 2 * same;
    }
}
