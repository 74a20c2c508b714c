// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys.trace;

import dev.alcove.bindings.iommufd.iommu_iova_range;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.vfio.vfio;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

import static dev.alcove.sys.trace.Role.ADDRESS;
import static dev.alcove.sys.trace.Role.DESCRIPTOR;
import static dev.alcove.sys.trace.Role.DESCRIPTORS;
import static dev.alcove.sys.trace.Role.DEVICE;
import static dev.alcove.sys.trace.Role.GUEST;
import static dev.alcove.sys.trace.Role.MACHINE;
import static dev.alcove.sys.trace.Role.OBJECT;
import static dev.alcove.sys.trace.Role.PLAIN;

/**
 * What the fields of structs stand for, where that is more than themselves: one table for recording (what a pointer
 * points to) and for replay (what is translated, what is not compared and why). What is not here is {@link Role#PLAIN}.
 * Structs go by the name of their ioctl, or of their system call.
 */
final class FieldRules {
    /** Stands for the answer. */
    static final String ANSWER = "answer";

    /** Stands for every field that has no rule of its own. */
    private static final String ALL = "*";

    /** Capabilities that say how memory, exits and interrupts work; all others are a matter of the machine. */
    private static final Set<Long> COMPARED_CAPABILITIES =
            Set.of(3L, 10L, 16L, 25L, 32L, 81L, 121L, 136L, 201L, 231L, 232L, 233L, 234L, 236L, 244L);

    private static final Rule ITSELF = new Rule(PLAIN, "");

    /**
     * What holds for a field.
     *
     * @param reason why it, or a part of it, is not compared; empty where it is
     * @param ignored bits that are not compared
     */
    record Rule(Role role, String reason, long ignored) {
        Rule(Role role, String reason) {
            this(role, reason, 0);
        }
    }

    /**
     * A field that points to an array, which is recorded as the field's name with a star.
     *
     * @param count the field with the number of elements; empty for one
     */
    record Pointer(String field, String count, MemoryLayout element) {
        private static final long MOST_BYTES = 1 << 20;

        /** How much it points to; 0 where that is more than a trace holds. */
        long bytes(Map<String, @Nullable Object> struct) {
            long elements = count.isEmpty() ? 1 : Values.number(struct.get(count), count);
            return elements > 0 && elements <= MOST_BYTES / element.byteSize() ? elements * element.byteSize() : 0;
        }

        /** What it points to: elements by field, or bytes. */
        Object read(MemorySegment memory) {
            return Objects.requireNonNull(StructTree.of(memory, array()).get(field));
        }

        /** Writes what {@link #read} has read into memory that is all zeros. */
        void write(@Nullable Object elements, MemorySegment memory) {
            Map<String, @Nullable Object> tree = new HashMap<>();
            tree.put(field, elements);
            StructTree.write(tree, memory, array());
        }

        private GroupLayout array() {
            return MemoryLayout.structLayout(MemoryLayout.sequenceLayout(0, element).withName(field));
        }
    }

    private final Map<String, Map<String, Rule>> rules = new HashMap<>();
    private final Map<String, List<Pointer>> pointers = new HashMap<>();

    FieldRules() {
        kvm();
        registers();
        iommufd();
        vfio();
        dmabuf();
        reason("fstat", MACHINE, "the file system's numbers", "stat.st_dev", "stat.st_ino", "stat.st_uid", "stat.st_gid",
                "stat.st_rdev", "stat.st_blksize");
        reason("fstat", MACHINE, "how much was touched, and when", "stat.st_blocks", "stat.st_atim",
                "stat.st_mtim", "stat.st_ctim");
        rule("poll", DESCRIPTOR, "pollfds.fd");
    }

    private void kvm() {
        rule("KVM_CREATE_VM", DESCRIPTOR, ANSWER);
        rule("KVM_CREATE_VCPU", DESCRIPTOR, ANSWER);
        rule("KVM_CREATE_GUEST_MEMFD", DESCRIPTOR, ANSWER);
        rule("KVM_GET_STATS_FD", DESCRIPTOR, ANSWER);
        rule("KVM_CREATE_DEVICE", DESCRIPTOR, "fd");
        rule("KVM_SET_USER_MEMORY_REGION", ADDRESS, "userspace_addr");
        rule("KVM_SET_USER_MEMORY_REGION2", ADDRESS, "userspace_addr");
        rule("KVM_SET_USER_MEMORY_REGION2", DESCRIPTOR, "guest_memfd");
        rule("KVM_GET_DIRTY_LOG", ADDRESS, "dirty_bitmap");
        rule("KVM_CLEAR_DIRTY_LOG", ADDRESS, "dirty_bitmap");
        rule("KVM_IRQFD", DESCRIPTOR, "fd", "resamplefd");
        rule("KVM_IOEVENTFD", DESCRIPTOR, "fd");
        rule("KVM_GET_DEVICE_ATTR", ADDRESS, "addr");
        rule("KVM_SET_DEVICE_ATTR", ADDRESS, "addr");
        rule("KVM_HAS_DEVICE_ATTR", ADDRESS, "addr");
        points("KVM_SET_DEVICE_ATTR", "addr", "", ValueLayout.JAVA_INT);
        rule("KVM_SET_DEVICE_ATTR", DESCRIPTOR, "*addr");
        rule("KVM_MEMORY_ENCRYPT_REG_REGION", ADDRESS, "addr");
        rule("KVM_MEMORY_ENCRYPT_UNREG_REGION", ADDRESS, "addr");
        machine("what the processor has", "KVM_GET_SUPPORTED_CPUID", "KVM_GET_EMULATED_CPUID",
                "KVM_GET_MSR_INDEX_LIST", "KVM_GET_MSR_FEATURE_INDEX_LIST", "KVM_GET_SUPPORTED_HV_CPUID",
                "KVM_X86_GET_MCE_CAP_SUPPORTED");
        machine("the machine's time", "KVM_GET_CLOCK", "KVM_GET_TSC_KHZ");
    }

    private void registers() {
        for (String name : List.of(
                "REGS", "SREGS", "SREGS2", "FPU", "MSRS", "LAPIC", "MP_STATE", "VCPU_EVENTS", "DEBUGREGS", "XSAVE",
                "XSAVE2", "XCRS", "ONE_REG", "IRQCHIP", "PIT", "PIT2")) {
            put("KVM_GET_" + name, ALL, new Rule(GUEST, "the guest's, which is not run again"));
        }
        String vendors = "VT-x and AMD-V hold types of segments in different ways after a reset";
        put("KVM_GET_SREGS", "cs.type", new Rule(GUEST, vendors, 1));
        put("KVM_GET_SREGS", "ss.type", new Rule(GUEST, vendors, 1));
        put("KVM_GET_SREGS", "tr.type", new Rule(GUEST, vendors, 8));
        put("KVM_TRANSLATE", ALL, new Rule(GUEST, "the guest's page tables, which are not made again"));
    }

    private void iommufd() {
        rule("IOMMU_DESTROY", OBJECT, "id");
        rule("IOMMU_IOAS_ALLOC", OBJECT, "out_ioas_id");
        for (String name : List.of("IOVA_RANGES", "ALLOW_IOVAS", "MAP", "MAP_FILE", "UNMAP", "NOIOMMU_GET_PA")) {
            rule("IOMMU_IOAS_" + name, OBJECT, "ioas_id");
        }
        rule("IOMMU_IOAS_IOVA_RANGES", ADDRESS, "allowed_iovas");
        reason("IOMMU_IOAS_IOVA_RANGES", MACHINE, "how wide the IOMMU is and what devices reserve", "num_iovas",
                "*allowed_iovas");
        points("IOMMU_IOAS_IOVA_RANGES", "allowed_iovas", "num_iovas", iommu_iova_range.layout());
        rule("IOMMU_IOAS_ALLOW_IOVAS", ADDRESS, "allowed_iovas");
        points("IOMMU_IOAS_ALLOW_IOVAS", "allowed_iovas", "num_iovas", iommu_iova_range.layout());
        rule("IOMMU_IOAS_MAP", ADDRESS, "user_va");
        rule("IOMMU_IOAS_MAP_FILE", DESCRIPTOR, "fd");
        rule("IOMMU_IOAS_COPY", OBJECT, "dst_ioas_id", "src_ioas_id");
        reason("IOMMU_IOAS_NOIOMMU_GET_PA", MACHINE, "physical addresses", "out_phys", "length");
        rule("IOMMU_OPTION", OBJECT, "object_id");
        rule("IOMMU_VFIO_IOAS", OBJECT, "ioas_id");
        rule("IOMMU_HWPT_ALLOC", OBJECT, "dev_id", "pt_id", "out_hwpt_id", "fault_id");
        rule("IOMMU_HWPT_ALLOC", ADDRESS, "data_uptr");
        points("IOMMU_HWPT_ALLOC", "data_uptr", "data_len", ValueLayout.JAVA_BYTE);
        machine("what the IOMMU is", "IOMMU_GET_HW_INFO");
        rule("IOMMU_GET_HW_INFO", OBJECT, "dev_id");
        rule("IOMMU_GET_HW_INFO", ADDRESS, "data_uptr");
        points("IOMMU_GET_HW_INFO", "data_uptr", "data_len", ValueLayout.JAVA_BYTE);
        rule("IOMMU_HWPT_SET_DIRTY_TRACKING", OBJECT, "hwpt_id");
        rule("IOMMU_HWPT_GET_DIRTY_BITMAP", OBJECT, "hwpt_id");
        rule("IOMMU_HWPT_GET_DIRTY_BITMAP", ADDRESS, "data");
        rule("IOMMU_HWPT_INVALIDATE", OBJECT, "hwpt_id");
        rule("IOMMU_HWPT_INVALIDATE", ADDRESS, "data_uptr");
        rule("IOMMU_FAULT_QUEUE_ALLOC", OBJECT, "out_fault_id");
        rule("IOMMU_FAULT_QUEUE_ALLOC", DESCRIPTOR, "out_fault_fd");
        rule("IOMMU_VIOMMU_ALLOC", OBJECT, "dev_id", "hwpt_id", "out_viommu_id");
        rule("IOMMU_VIOMMU_ALLOC", ADDRESS, "data_uptr");
        rule("IOMMU_VDEVICE_ALLOC", OBJECT, "viommu_id", "dev_id", "out_vdevice_id");
        rule("IOMMU_VEVENTQ_ALLOC", OBJECT, "viommu_id", "out_veventq_id");
        rule("IOMMU_VEVENTQ_ALLOC", DESCRIPTOR, "out_veventq_fd");
        rule("IOMMU_HW_QUEUE_ALLOC", OBJECT, "viommu_id", "out_hw_queue_id");
    }

    private void vfio() {
        rule("VFIO_IOMMU_MAP_DMA", ADDRESS, "vaddr");
        machine("what the IOMMU is", "VFIO_IOMMU_GET_INFO");
        rule("VFIO_GROUP_SET_CONTAINER", DESCRIPTORS, "arg");
        rule("VFIO_GROUP_GET_DEVICE_FD", DESCRIPTOR, ANSWER);
        rule("VFIO_DEVICE_BIND_IOMMUFD", DESCRIPTOR, "iommufd");
        rule("VFIO_DEVICE_BIND_IOMMUFD", OBJECT, "out_devid");
        rule("VFIO_DEVICE_BIND_IOMMUFD", ADDRESS, "token_uuid_ptr");
        rule("VFIO_DEVICE_ATTACH_IOMMUFD_PT", OBJECT, "pt_id");
        for (String name : List.of(
                "VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_REGION_INFO", "VFIO_DEVICE_GET_IRQ_INFO",
                "VFIO_DEVICE_FEATURE", "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO")) {
            put(name, ALL, new Rule(DEVICE, "what the device has"));
        }
        reason("VFIO_DEVICE_FEATURE", DEVICE, "what the device has", ANSWER);
        rule("VFIO_DEVICE_SET_IRQS", DESCRIPTORS, "data");
        rule("VFIO_DEVICE_PCI_HOT_RESET", DESCRIPTOR, "group_fds");
        rule("VFIO_DEVICE_IOEVENTFD", DESCRIPTOR, "fd");
    }

    private void dmabuf() {
        rule("UDMABUF_CREATE", DESCRIPTOR, ANSWER, "memfd");
        rule("UDMABUF_CREATE_LIST", DESCRIPTOR, ANSWER, "list.memfd");
        rule("DMA_BUF_IOCTL_EXPORT_SYNC_FILE", DESCRIPTOR, "fd");
        rule("DMA_BUF_IOCTL_IMPORT_SYNC_FILE", DESCRIPTOR, "fd");
    }

    private void rule(String ioctl, Role role, String... fields) {
        reason(ioctl, role, "", fields);
    }

    private void reason(String ioctl, Role role, String reason, String... fields) {
        for (String field : fields) {
            put(ioctl, field, new Rule(role, reason));
        }
    }

    private void machine(String reason, String... ioctls) {
        for (String ioctl : ioctls) {
            put(ioctl, ALL, new Rule(MACHINE, reason));
            put(ioctl, ANSWER, ioctl.contains("TSC_KHZ") ? new Rule(MACHINE, reason) : ITSELF);
        }
    }

    private void put(String ioctl, String field, Rule rule) {
        rules.computeIfAbsent(ioctl, name -> new HashMap<>()).put(field, rule);
    }

    private void points(String ioctl, String field, String count, MemoryLayout element) {
        pointers.computeIfAbsent(ioctl, name -> new ArrayList<>()).add(new Pointer(field, count, element));
    }

    /**
     * What holds for a field.
     *
     * @param path its name, behind those of the structs it is in: {@code ranges.base}
     * @param struct the whole argument, for what depends on a flag in it
     */
    Rule field(String ioctl, String path, Map<String, @Nullable Object> struct) {
        Map<String, Rule> fields = rules.getOrDefault(ioctl, Map.of());
        Rule own = fields.get(path);
        if (own != null && ioctl.equals("VFIO_DEVICE_SET_IRQS")) {
            long flags = struct.containsKey("flags") ? Values.number(struct.get("flags"), "flags") : 0;
            return (flags & vfio.VFIO_IRQ_SET_DATA_EVENTFD()) != 0 ? own : ITSELF;
        }
        if (own != null && ioctl.equals("KVM_SET_DEVICE_ATTR") && path.startsWith("*")) {
            boolean vfioFile = Values.same(struct.get("group"), (long) kvm.KVM_DEV_VFIO_FILE());
            return vfioFile ? own : ITSELF;
        }
        return own != null ? own : fields.getOrDefault(ALL, ITSELF);
    }

    /** What holds for the answer. */
    Rule answer(String ioctl, @Nullable Object argument) {
        if (ioctl.equals("KVM_CHECK_EXTENSION")
                && !(argument instanceof Long capability && COMPARED_CAPABILITIES.contains(capability))) {
            return new Rule(MACHINE, "a capability that this replay does not touch");
        }
        return rules.getOrDefault(ioctl, Map.of()).getOrDefault(ANSWER, ITSELF);
    }

    /** The fields that point to something the trace has to hold. */
    List<Pointer> pointers(String ioctl) {
        return pointers.getOrDefault(ioctl, List.of());
    }

    /** The rules of an ioctl's fields. */
    Map<String, Rule> fields(String ioctl) {
        return rules.getOrDefault(ioctl, Map.of());
    }
}
