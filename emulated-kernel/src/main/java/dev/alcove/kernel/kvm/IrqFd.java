// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.kvm;

import dev.alcove.kernel.file.EventFile;

/** An eventfd whose signals become an interrupt (KVM_IRQFD). It does not hold a reference to a descriptor, but to the file. */
final class IrqFd implements Runnable {
    final EventFile file;
    final int gsi;
    private final Irqchip irqchip;

    /** @param file whose reference has been taken for this object */
    IrqFd(Irqchip irqchip, EventFile file, int gsi) {
        this.irqchip = irqchip;
        this.file = file;
        this.gsi = gsi;
    }

    /** A signal that came earlier counts as well. */
    void start() {
        file.listen(this);
        run();
    }

    void stop() {
        file.unlisten(this);
        file.put();
    }

    @Override
    public void run() {
        if (file.consume() != 0) {
            irqchip.raise(gsi);
        }
    }
}
