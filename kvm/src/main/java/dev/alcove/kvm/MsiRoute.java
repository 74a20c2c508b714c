// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kvm;

/**
 * A global system interrupt that becomes a message ({@code KVM_IRQ_ROUTING_MSI}).
 *
 * @param gsi the number that an irqfd names
 * @param address where the device would write the message
 * @param data what it would write
 */
public record MsiRoute(int gsi, long address, int data) {}
