// SPDX-License-Identifier: Apache-2.0
package dev.alcove.vmm.device;

import dev.alcove.sys.BadInputException;
import dev.alcove.vfio.VfioConfigSpace;
import dev.alcove.vfio.VfioDevice;
import dev.alcove.vfio.VfioRegion;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A PCI function that a guest drives itself, through VFIO.
 *
 * <p>Configuration space is the device's own, except for what the VMM keeps: the BARs and the expansion ROM, whose
 * addresses are the guest's and not the host's; the MSI capability, with one vector; the interrupt pin, because there
 * is no level interrupt. MSI-X, I/O BARs and the ROM are hidden. Which bits are ours is one table of masks.
 *
 * <p>The object's monitor protects everything; the order is monitor, then the locks of routes and bus.
 */
public final class PassthroughDevice implements PciFunction, AutoCloseable {
    /** I/O decoding, memory decoding, bus mastering. */
    private static final int COMMAND_DECODING_AND_MASTER = 7;

    private static final int BARS = 6;
    private static final int BAR_IO = 1;
    private static final int BAR_TYPE_64 = 4;
    private static final int BAR_FLAGS = 0xf;
    private static final int ROM = 0x30;
    private static final int INTERRUPT = 0x3c;
    private static final int HEADER = 0x0c;
    private static final int MULTI_FUNCTION = 0x80_0000;
    private static final int FIRST_CAPABILITY = 0x40;
    private static final int STATUS_CAPABILITIES = 0x10;

    private static final int MSI_ENABLE = 1 << 16;
    private static final int MSI_64BIT = 1 << 23;
    private static final int MSI_WRITABLE_ADDRESS = 0xffff_fffc;

    private final VfioDevice device;
    private final VfioConfigSpace config;
    private final PassthroughMsi msi;
    /** What the VMM keeps, by 32-bit word; only the bits in {@link #ours} count. */
    private final int[] kept = new int[CONFIG_BYTES / 4];

    private final int[] ours = new int[CONFIG_BYTES / 4];
    private final @Nullable PassthroughBar[] bars = new PassthroughBar[BARS];
    private final Board board;
    /** What the BARs have of the window: where they were at first, wherever the guest has put them since. */
    private final List<Long> windows = new ArrayList<>();
    /** Offset of the MSI capability, 0 without one. */
    private int msiOffset;

    private PassthroughDevice(VfioDevice device, Board board) {
        this.device = device;
        this.board = board;
        this.config = new VfioConfigSpace(device);
        this.msi = new PassthroughMsi(device, board);
    }

    /**
     * Reads what the device has and gives its BARs addresses.
     *
     * @param device bound and attached; it stays the caller's
     */
    public static PassthroughDevice create(VfioDevice device, Board board) {
        PassthroughDevice created = new PassthroughDevice(device, board);
        try {
            created.quiet();
            created.keepHeader();
            created.keepCapabilities();
            created.createBars(board);
            return created;
        } catch (RuntimeException e) {
            created.close();
            throw e;
        }
    }

    /** vfio-pci hands the device over with memory decoding on; a guest expects it as firmware leaves it: off. */
    private void quiet() {
        int command = config.read(VfioConfigSpace.COMMAND, 2);
        config.write(VfioConfigSpace.COMMAND, 2, command & ~COMMAND_DECODING_AND_MASTER);
    }

    private void keepHeader() {
        keep(ROM, -1, 0);
        keep(HEADER, MULTI_FUNCTION, 0);
        keep(INTERRUPT, 0xffff, 0);
        for (int bar = 0; bar < BARS; bar++) {
            keep(VfioConfigSpace.BAR0 + 4 * bar, -1, 0);
        }
    }

    private void keep(int offset, int mask, int value) {
        int word = offset / 4;
        ours[word] |= mask;
        kept[word] = (kept[word] & ~mask) | (value & mask);
    }

    private void createBars(Board board) {
        for (int index = 0; index < BARS; index++) {
            int raw = config.read(VfioConfigSpace.BAR0 + 4 * index, 4);
            boolean wide = (raw & (BAR_IO | BAR_TYPE_64)) == BAR_TYPE_64;
            VfioRegion region = device.regionInfo(index);
            long size = region.size();
            if (size > 0 && (raw & BAR_IO) == 0) {
                if (Long.bitCount(size) != 1) {
                    throw new BadInputException(device + ": BAR " + index + " has " + size + " bytes");
                }
                bars[index] = new PassthroughBar(device, region, board);
                long address = board.window().allocate(size, wide && index < BARS - 1);
                windows.add(address);
                kept[bar(index)] = (int) address | (raw & BAR_FLAGS);
                if (wide && index < BARS - 1) {
                    kept[bar(index) + 1] = (int) (address >>> 32);
                }
            }
            if (wide) {
                index++; // the next register is the upper half
            }
        }
    }

    private static int bar(int index) {
        return VfioConfigSpace.BAR0 / 4 + index;
    }

    /** Takes MSI over and closes the chain around MSI-X. */
    private void keepCapabilities() {
        if ((config.read(VfioConfigSpace.STATUS, 2) & STATUS_CAPABILITIES) == 0) {
            return;
        }
        BitSet seen = new BitSet(CONFIG_BYTES);
        int pointer = VfioConfigSpace.CAPABILITIES; // where the offset of the current capability stands
        int at = config.read(pointer, 1) & ~3;
        while (at >= FIRST_CAPABILITY && !seen.get(at)) {
            seen.set(at);
            int id = config.read(at, 1);
            int next = config.read(at + 1, 1) & ~3;
            if (id == VfioConfigSpace.CAP_MSIX) {
                keep(pointer, 0xff << (8 * (pointer & 3)), next << (8 * (pointer & 3)));
            } else {
                if (id == VfioConfigSpace.CAP_MSI && at + 0x10 <= CONFIG_BYTES) {
                    keepMsi(at);
                }
                pointer = at + 1;
            }
            at = next;
        }
    }

    private void keepMsi(int at) {
        msiOffset = at;
        boolean wide = (config.read(at, 4) & MSI_64BIT) != 0;
        // One vector, no masking: of the control word only the width shows.
        keep(at, 0xffff_0000, wide ? MSI_64BIT : 0);
        keep(at + 4, -1, 0);
        keep(at + 8, -1, 0);
        if (wide) {
            keep(at + 12, -1, 0);
        }
    }

    @Override
    public synchronized int readConfig(int offset, int size) {
        int word = offset / 4;
        int shift = 8 * (offset & 3);
        int mask = ours[word] >>> shift;
        int value = kept[word] >>> shift;
        boolean whole = size == 4 ? mask == -1 : ~(mask | -1 << (8 * size)) == 0;
        return whole ? value : (config.read(offset, size) & ~mask) | (value & mask);
    }

    @Override
    public synchronized void writeConfig(int offset, int size, int value) {
        int word = offset & ~3;
        int shift = 8 * (offset & 3);
        int written = (size == 4 ? -1 : (1 << (8 * size)) - 1) << shift;
        int merged = (kept[word / 4] & ~written) | (value << shift & written);
        if (word >= VfioConfigSpace.BAR0 && word < VfioConfigSpace.BAR0 + 4 * BARS) {
            writeBar(word / 4 - bar(0), merged);
        } else if (msiOffset != 0 && word >= msiOffset && word - msiOffset < 16 && ours[word / 4] != 0) {
            writeMsi(word, merged);
        } else if (word == VfioConfigSpace.COMMAND) {
            writeCommand(offset, size, value);
        } else if (word == INTERRUPT) {
            kept[word / 4] = (kept[word / 4] & ~0xff) | (merged & 0xff); // the line is a note of the guest's to itself
        } else if (word != ROM) {
            config.write(offset, size, value);
        }
    }

    /** A register of a BAR takes only the bits above its size: this is how a guest learns the size. */
    private void writeBar(int index, int value) {
        int low = isUpperHalf(index) ? index - 1 : index;
        PassthroughBar bar = bars[low];
        if (bar == null) {
            return;
        }
        long sizeMask = -bar.size();
        kept[bar(index)] = low == index
                ? (value & (int) sizeMask) | (kept[bar(index)] & BAR_FLAGS)
                : value & (int) (sizeMask >>> 32);
        if (memoryEnabled()) {
            show(low, bar);
        }
    }

    private boolean isUpperHalf(int index) {
        return index > 0 && bars[index - 1] != null && isWide(index - 1);
    }

    private boolean isWide(int index) {
        return (kept[bar(index)] & BAR_TYPE_64) != 0 && index < BARS - 1;
    }

    private void show(int index, PassthroughBar bar) {
        long address = Integer.toUnsignedLong(kept[bar(index)] & ~BAR_FLAGS);
        if (isWide(index)) {
            address |= (long) kept[bar(index) + 1] << 32;
        }
        // An address of zero, or all ones while a guest looks for the size, is no place.
        if (address > 0 && address + bar.size() > 0 && (isWide(index) || address + bar.size() < 1L << 32)) {
            bar.show(address);
        } else {
            bar.hide();
        }
    }

    private boolean memoryEnabled() {
        return (config.read(VfioConfigSpace.COMMAND, 2) & VfioConfigSpace.COMMAND_MEMORY) != 0;
    }

    /** BARs show exactly while the device decodes memory: it must do so before they show and until they are gone. */
    private void writeCommand(int offset, int size, int value) {
        boolean command = offset == VfioConfigSpace.COMMAND;
        boolean enable = command && (value & VfioConfigSpace.COMMAND_MEMORY) != 0;
        boolean before = memoryEnabled();
        if (command && before && !enable) {
            hideBars();
        }
        config.write(offset, size, value);
        if (command && enable && !before) {
            for (int index = 0; index < BARS; index++) {
                PassthroughBar bar = bars[index];
                if (bar != null) {
                    show(index, bar);
                }
            }
        }
    }

    private void hideBars() {
        for (PassthroughBar bar : bars) {
            if (bar != null) {
                bar.hide();
            }
        }
    }

    private void writeMsi(int word, int value) {
        int at = word - msiOffset;
        int control = kept[msiOffset / 4];
        boolean wide = (control & MSI_64BIT) != 0;
        if (at == 0) {
            kept[word / 4] = (control & ~MSI_ENABLE) | (value & MSI_ENABLE);
        } else if (at == 4) {
            kept[word / 4] = value & MSI_WRITABLE_ADDRESS;
        } else {
            kept[word / 4] = at == (wide ? 12 : 8) ? value & 0xffff : value;
        }
        if ((kept[msiOffset / 4] & MSI_ENABLE) == 0) {
            msi.disable();
            return;
        }
        long address = Integer.toUnsignedLong(kept[msiOffset / 4 + 1]);
        if (wide) {
            address |= (long) kept[msiOffset / 4 + 2] << 32;
        }
        msi.enable(address, kept[msiOffset / 4 + (wide ? 3 : 2)]);
    }

    /** Takes the device out of the guest: no interrupt and no BAR is left. */
    @Override
    public synchronized void close() {
        msi.close();
        windows.forEach(board.window()::release);
        windows.clear();
        for (int index = 0; index < BARS; index++) {
            PassthroughBar bar = bars[index];
            if (bar != null) {
                bar.close();
                bars[index] = null;
            }
        }
    }
}
