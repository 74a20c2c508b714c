// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel;

import java.util.EnumSet;
import java.util.Set;

/**
 * Every difference between the Linux releases that can be emulated, in one place.
 *
 * @param release as {@code uname -r} prints it
 * @param guestMemfdMmap whether guest_memfd knows the flags MMAP and INIT_SHARED (6.18)
 * @param anonymousNoExec whether files without a path (anon_inode, guest_memfd) cannot be mapped with PROT_EXEC (6.16)
 * @param guestMemfdBindingOverflows whether the range check of a binding takes a sum for negative (6.18; mended in 7.2,
 *     and in what Debian makes of 6.12)
 * @param guestMemfdConflictInvalid whether a conflict of bindings is EINVAL instead of EEXIST (before 7.2)
 * @param ioasMapFile whether IOMMU_IOAS_MAP_FILE exists (6.13)
 * @param changeProcess whether IOMMU_IOAS_CHANGE_PROCESS exists (6.14)
 * @param shmemLargeFolios whether a write to a memfd goes in steps of 2 MiB and not of a page, so that one across a
 *     sealed end fails as a whole (a kernel with transparent huge pages: the 6.18 that was measured has none)
 * @param vfioDmaBuf whether VFIO exports dma-bufs and iommufd imports them (6.19)
 * @param proposals what is in no release and was asked for
 */
public record KernelProfile(
        String release,
        boolean guestMemfdMmap,
        boolean anonymousNoExec,
        boolean guestMemfdBindingOverflows,
        boolean guestMemfdConflictInvalid,
        boolean ioasMapFile,
        boolean changeProcess,
        boolean shmemLargeFolios,
        boolean vfioDmaBuf,
        Set<Proposal> proposals) {
    /** One without proposals. */
    private KernelProfile(
            String release,
            boolean guestMemfdMmap,
            boolean anonymousNoExec,
            boolean guestMemfdBindingOverflows,
            boolean guestMemfdConflictInvalid,
            boolean ioasMapFile,
            boolean changeProcess,
            boolean shmemLargeFolios,
            boolean vfioDmaBuf) {
        this(
                release,
                guestMemfdMmap,
                anonymousNoExec,
                guestMemfdBindingOverflows,
                guestMemfdConflictInvalid,
                ioasMapFile,
                changeProcess,
                shmemLargeFolios,
                vfioDmaBuf,
                Set.of());
    }

    public KernelProfile {
        proposals = Set.copyOf(proposals);
    }

    /** The same release with a proposal. */
    public KernelProfile with(Proposal proposal) {
        Set<Proposal> more = EnumSet.of(proposal);
        more.addAll(proposals);
        return new KernelProfile(
                release,
                guestMemfdMmap,
                anonymousNoExec,
                guestMemfdBindingOverflows,
                guestMemfdConflictInvalid,
                ioasMapFile,
                changeProcess,
                shmemLargeFolios,
                vfioDmaBuf,
                more);
    }

    /** Whether a proposal was asked for. */
    public boolean has(Proposal proposal) {
        return proposals.contains(proposal);
    }

    /** Whether the release is at least {@code major.minor}. */
    public boolean atLeast(int major, int minor) {
        int dot = release.indexOf('.');
        int ownMajor = Integer.parseInt(release, 0, dot, 10);
        int ownMinor = Integer.parseInt(release, dot + 1, release.indexOf('.', dot + 1), 10);
        return ownMajor != major ? ownMajor > major : ownMinor >= minor;
    }

    /** Debian 12's backport kernel. */
    public static KernelProfile linux6_12() {
        return new KernelProfile("6.12.0-alcove", false, false, false, true, false, false, true, false);
    }

    /** The long-term release that first mapped guest_memfd. */
    public static KernelProfile linux6_18() {
        return new KernelProfile("6.18.0-alcove", true, true, true, true, true, true, false, false);
    }

    /** The newest release; the default. */
    public static KernelProfile linux7_2() {
        return new KernelProfile("7.2.0-alcove", true, true, false, false, true, true, true, true);
    }
}
