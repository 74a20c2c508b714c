// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

/**
 * Something that a kernel did otherwise than the recorded one.
 *
 * @param line of the trace, from 1
 * @param call such as {@code ioctl IOMMU_IOAS_MAP}
 * @param file what it was about: {@code /dev/iommu}; empty when nothing was open
 * @param field of the struct or buffer; {@code answer} for the call's answer
 * @param recorded what the trace says
 * @param replayed what the kernel did now
 */
public record Difference(long line, String call, String file, String field, String recorded, String replayed) {
    @Override
    public String toString() {
        return "line " + line + ": " + call + (file.isEmpty() ? "" : " of " + file) + ": " + field + ": recorded "
                + recorded + ", replayed " + replayed;
    }
}
