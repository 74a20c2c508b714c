// SPDX-License-Identifier: Apache-2.0
package dev.alcove.explore;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** Draws a {@link Storm} from a seed. */
final class Draw {
    /** Keeps the draws of programs apart from those of the schedule, which start from the same seed. */
    private static final long PROGRAMS = 0x5701_2e5L;

    private static final int LEAST_OPS = 2;
    private static final int MORE_OPS = 5;
    private static final int MOST_DMAS = 10;
    private static final int MOST_FAILING = 60;
    /** Where the page numbers of a request end that goes beyond the machine's memory. */
    private static final int BEYOND = 80;

    private final SplittableRandom random;
    private final Layout layout;
    /** Half of what concerns everybody goes here, so that threads meet. */
    private final int[] hotRun;

    private int numbers;

    private Draw(long seed, int cpus) {
        random = new SplittableRandom(seed ^ PROGRAMS);
        layout = new Layout(cpus);
        hotRun = random(layout.commonRuns());
    }

    /**
     * The case of a seed.
     *
     * @param cpus from 1; 0 to draw 2 to 4
     * @param failing whether something fails
     */
    static Storm storm(long seed, int cpus, boolean failing) {
        int count = cpus > 0 ? cpus : 2 + new SplittableRandom(~seed).nextInt(3);
        return new Draw(seed, count).storm(seed, failing);
    }

    private Storm storm(long seed, boolean failing) {
        List<Program> vcpus = new ArrayList<>();
        for (int cpu = 0; cpu < layout.cpus(); cpu++) {
            List<Op> ops = new ArrayList<>();
            int count = LEAST_OPS + random.nextInt(MORE_OPS);
            for (int i = 0; i < count; i++) {
                guest(cpu, ops);
            }
            vcpus.add(new Program("vcpu" + cpu, ops));
        }
        List<Op> plugs = new ArrayList<>();
        if (random.nextInt(3) == 0) {
            plugs.add(new Op.Plug(next(), 1));
            if (random.nextInt(4) != 0) {
                plugs.add(new Op.Unplug(next(), 1));
            }
        }
        List<Op> dmas = new ArrayList<>();
        for (int i = random.nextInt(MOST_DMAS); i > 0; i--) {
            dmas.add(dma(plugs.isEmpty() ? 1 : 2));
        }
        Storm.@Nullable Fault fault = failing
                ? new Storm.Fault(
                        1 + random.nextInt(MOST_FAILING) * random.nextInt(MOST_FAILING) / MOST_FAILING,
                        random.nextInt(3) != 0,
                        -1)
                : null;
        return new Storm(
                seed,
                layout,
                random.nextInt(4) == 0 ? "page" : "cut",
                privateAtStart(),
                vcpus,
                new Program("device", dmas),
                new Program("plug", plugs),
                fault,
                null);
    }

    private int next() {
        return numbers++;
    }

    /** All, none or some of what may be converted. */
    private long privateAtStart() {
        int density = random.nextInt(4);
        long bits = 0;
        for (int page = 0; page < layout.pages(); page++) {
            boolean may = layout.isCommon(page) || layout.isOwn(page);
            if (may && (density == 3 || (density > 0 && random.nextInt(3) < density))) {
                bits |= 1L << page;
            }
        }
        return bits;
    }

    private void guest(int cpu, List<Op> ops) {
        int[] own = layout.own(cpu);
        int ownPage = own[0] + random.nextInt(own[1]);
        switch (random.nextInt(10)) {
            case 0, 1, 2, 3 -> ops.add(convertCommon());
            case 4, 5 -> {
                int pages = 1 + random.nextInt(own[1]);
                int first = own[0] + random.nextInt(own[1] - pages + 1);
                ops.add(new Op.Convert(next(), first, pages, random.nextBoolean()));
                ops.add(new Op.Load(next(), first));
            }
            case 6 -> {
                int page = random.nextBoolean() ? ownPage : common();
                ops.add(new Op.Touch(next(), page, random.nextBoolean()));
                ops.add(new Op.Store(next(), page, value()));
            }
            case 7 -> {
                ops.add(new Op.Store(next(), ownPage, value()));
                ops.add(new Op.Load(next(), ownPage));
            }
            case 8 -> ops.add(random.nextInt(3) == 0 ? new Op.Load(next(), still()) : new Op.Store(next(), common(), value()));
            default -> ops.add(random.nextInt(4) == 0
                    ? new Op.Convert(next(), BEYOND - 1 - random.nextInt(2), 1 + random.nextInt(3), random.nextBoolean())
                    : new Op.Load(next(), common()));
        }
    }

    private Op convertCommon() {
        int[] run = commonRun();
        int pages = 1 + random.nextInt(run[1]);
        return new Op.Convert(next(), run[0] + random.nextInt(run[1] - pages + 1), pages, random.nextBoolean());
    }

    private Op dma(int devices) {
        boolean write = random.nextInt(3) == 0;
        int page = !write && random.nextInt(3) == 0 ? still() : common();
        return new Op.Dma(next(), random.nextInt(devices), page, write);
    }

    private int[] commonRun() {
        return random.nextBoolean() ? hotRun : random(layout.commonRuns());
    }

    private int common() {
        int[] run = commonRun();
        return run[0] + random.nextInt(run[1]);
    }

    private int still() {
        return random(layout.still());
    }

    /** Never zero, which is what a fresh page holds. */
    private int value() {
        return random.nextInt() | 1;
    }

    private <T> T random(List<T> list) {
        return list.get(random.nextInt(list.size()));
    }
}
