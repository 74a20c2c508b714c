// SPDX-License-Identifier: Apache-2.0
package dev.alcove.contract.fuzz;

import java.util.ArrayList;
import java.util.List;

/**
 * A recording as small as it can be compared: after every {@value #BLOCK} ops, and at the end, a hash in 64 bits of all
 * ops and answers so far. Two recordings with the same hashes are the same; where they are not, the first hash that
 * differs tells in which block.
 */
public record Digest(Header header, List<Long> hashes) {
    /** Ops between two hashes. */
    public static final int BLOCK = 100;

    public Digest {
        hashes = List.copyOf(hashes);
    }

    /** How many hashes a sequence has. */
    static long hashesOf(long ops) {
        return Math.ceilDiv(ops, BLOCK);
    }

    /** Mixes a value into a hash: each bit of both has a part in the outcome, and so has the order. */
    static long mix(long hash, long value) {
        long mixed = (hash ^ value) * 0x9e37_79b9_7f4a_7c15L;
        return (mixed ^ mixed >>> 29) + 0x2545_f491_4f6c_dd1dL;
    }

    /** Takes the steps of a recording, one after another. */
    public static final class Builder {
        private final Header header;
        private final List<Long> hashes = new ArrayList<>();
        private long hash;
        private long count;

        public Builder(Header header) {
            this.header = header;
        }

        /** The next step. */
        public void add(Op op, Answer answer) {
            List<Long> operands = op.operands();
            hash = mix(mix(hash, op.name().hashCode()), operands.size());
            for (int i = 0; i < operands.size(); i++) {
                hash = mix(hash, operands.get(i));
            }
            for (int i = 0; i < answer.size(); i++) {
                hash = mix(mix(hash, answer.name(i).hashCode()), answer.value(i));
            }
            if (++count % BLOCK == 0) {
                hashes.add(hash);
            }
        }

        /** The digest of all steps so far. */
        public Digest build() {
            List<Long> all = new ArrayList<>(hashes);
            if (count % BLOCK != 0) {
                all.add(hash);
            }
            return new Digest(header, all);
        }
    }

    /** Index of the first op of the first block that differs, or -1 when both are the same. */
    public long difference(Digest other) {
        for (int i = 0; i < Math.min(hashes.size(), other.hashes.size()); i++) {
            if (!hashes.get(i).equals(other.hashes.get(i))) {
                return (long) i * BLOCK;
            }
        }
        return -1;
    }
}
