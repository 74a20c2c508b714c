// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import dev.alcove.bindings.dmabuf.dma_buf_export_sync_file;
import dev.alcove.bindings.dmabuf.dma_buf_import_sync_file;
import dev.alcove.bindings.dmabuf.dma_buf_sync;
import dev.alcove.bindings.dmabuf.dmabuf;
import dev.alcove.bindings.dmabuf.udmabuf_create;
import dev.alcove.bindings.dmabuf.udmabuf_create_list;
import dev.alcove.bindings.iommufd.iommu_destroy;
import dev.alcove.bindings.iommufd.iommu_fault_alloc;
import dev.alcove.bindings.iommufd.iommu_hw_info;
import dev.alcove.bindings.iommufd.iommu_hw_queue_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_alloc;
import dev.alcove.bindings.iommufd.iommu_hwpt_get_dirty_bitmap;
import dev.alcove.bindings.iommufd.iommu_hwpt_invalidate;
import dev.alcove.bindings.iommufd.iommu_hwpt_set_dirty_tracking;
import dev.alcove.bindings.iommufd.iommu_ioas_alloc;
import dev.alcove.bindings.iommufd.iommu_ioas_allow_iovas;
import dev.alcove.bindings.iommufd.iommu_ioas_change_process;
import dev.alcove.bindings.iommufd.iommu_ioas_copy;
import dev.alcove.bindings.iommufd.iommu_ioas_iova_ranges;
import dev.alcove.bindings.iommufd.iommu_ioas_map;
import dev.alcove.bindings.iommufd.iommu_ioas_map_file;
import dev.alcove.bindings.iommufd.iommu_ioas_noiommu_get_pa;
import dev.alcove.bindings.iommufd.iommu_ioas_unmap;
import dev.alcove.bindings.iommufd.iommu_option;
import dev.alcove.bindings.iommufd.iommu_vdevice_alloc;
import dev.alcove.bindings.iommufd.iommu_veventq_alloc;
import dev.alcove.bindings.iommufd.iommu_vfio_ioas;
import dev.alcove.bindings.iommufd.iommu_viommu_alloc;
import dev.alcove.bindings.iommufd.iommufd;
import dev.alcove.bindings.kvm.kvm;
import dev.alcove.bindings.kvm.kvm_clear_dirty_log;
import dev.alcove.bindings.kvm.kvm_clock_data;
import dev.alcove.bindings.kvm.kvm_cpuid;
import dev.alcove.bindings.kvm.kvm_cpuid2;
import dev.alcove.bindings.kvm.kvm_create_device;
import dev.alcove.bindings.kvm.kvm_create_guest_memfd;
import dev.alcove.bindings.kvm.kvm_debugregs;
import dev.alcove.bindings.kvm.kvm_device_attr;
import dev.alcove.bindings.kvm.kvm_dirty_log;
import dev.alcove.bindings.kvm.kvm_enable_cap;
import dev.alcove.bindings.kvm.kvm_enc_region;
import dev.alcove.bindings.kvm.kvm_fpu;
import dev.alcove.bindings.kvm.kvm_guest_debug;
import dev.alcove.bindings.kvm.kvm_interrupt;
import dev.alcove.bindings.kvm.kvm_ioeventfd;
import dev.alcove.bindings.kvm.kvm_irq_level;
import dev.alcove.bindings.kvm.kvm_irq_routing;
import dev.alcove.bindings.kvm.kvm_irqchip;
import dev.alcove.bindings.kvm.kvm_irqfd;
import dev.alcove.bindings.kvm.kvm_lapic_state;
import dev.alcove.bindings.kvm.kvm_memory_attributes;
import dev.alcove.bindings.kvm.kvm_mp_state;
import dev.alcove.bindings.kvm.kvm_msi;
import dev.alcove.bindings.kvm.kvm_msr_filter;
import dev.alcove.bindings.kvm.kvm_msr_list;
import dev.alcove.bindings.kvm.kvm_msrs;
import dev.alcove.bindings.kvm.kvm_one_reg;
import dev.alcove.bindings.kvm.kvm_pit_config;
import dev.alcove.bindings.kvm.kvm_pit_state;
import dev.alcove.bindings.kvm.kvm_pit_state2;
import dev.alcove.bindings.kvm.kvm_pre_fault_memory;
import dev.alcove.bindings.kvm.kvm_reg_list;
import dev.alcove.bindings.kvm.kvm_regs;
import dev.alcove.bindings.kvm.kvm_signal_mask;
import dev.alcove.bindings.kvm.kvm_sregs;
import dev.alcove.bindings.kvm.kvm_tpr_access_ctl;
import dev.alcove.bindings.kvm.kvm_translation;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region;
import dev.alcove.bindings.kvm.kvm_userspace_memory_region2;
import dev.alcove.bindings.kvm.kvm_vapic_addr;
import dev.alcove.bindings.kvm.kvm_vcpu_events;
import dev.alcove.bindings.kvm.kvm_x86_mce;
import dev.alcove.bindings.kvm.kvm_xcrs;
import dev.alcove.bindings.kvm.kvm_xsave;
import dev.alcove.bindings.vfio.vfio;
import dev.alcove.bindings.vfio.vfio_device_attach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_device_bind_iommufd;
import dev.alcove.bindings.vfio.vfio_device_detach_iommufd_pt;
import dev.alcove.bindings.vfio.vfio_device_feature;
import dev.alcove.bindings.vfio.vfio_device_info;
import dev.alcove.bindings.vfio.vfio_device_ioeventfd;
import dev.alcove.bindings.vfio.vfio_group_status;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dirty_bitmap;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_map;
import dev.alcove.bindings.vfio.vfio_iommu_type1_dma_unmap;
import dev.alcove.bindings.vfio.vfio_iommu_type1_info;
import dev.alcove.bindings.vfio.vfio_irq_info;
import dev.alcove.bindings.vfio.vfio_irq_set;
import dev.alcove.bindings.vfio.vfio_pci_hot_reset;
import dev.alcove.bindings.vfio.vfio_pci_hot_reset_info;
import dev.alcove.bindings.vfio.vfio_precopy_info;
import dev.alcove.bindings.vfio.vfio_region_info;
import java.lang.foreign.GroupLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

import static dev.alcove.sys.Ioctls.Target.DMABUF;
import static dev.alcove.sys.Ioctls.Target.IOMMUFD;
import static dev.alcove.sys.Ioctls.Target.KVM;
import static dev.alcove.sys.Ioctls.Target.VFIO_CONTAINER;
import static dev.alcove.sys.Ioctls.Target.VFIO_DEVICE;
import static dev.alcove.sys.Ioctls.Target.VFIO_GROUP;

/**
 * The ioctls of the bound headers: number, name and struct. A number can have several meanings, which the kind of file
 * decides: VFIO uses the same ones for containers and devices.
 */
public final class Ioctls {
    /** The kind of file that takes an ioctl. */
    public enum Target {
        KVM,
        IOMMUFD,
        VFIO_CONTAINER,
        VFIO_GROUP,
        VFIO_DEVICE,
        DMABUF
    }

    /**
     * One ioctl.
     *
     * @param request the number
     * @param layout the struct that the argument points to; null for an integer, a plain word, or nothing
     */
    public record Ioctl(Target target, int request, String name, @Nullable GroupLayout layout) {}

    private final List<Ioctl> all = new ArrayList<>();
    private final Map<Integer, List<Ioctl>> byRequest = new HashMap<>();

    public Ioctls() {
        add(KVM, kvm.KVM_GET_API_VERSION(), "KVM_GET_API_VERSION");
        add(KVM, kvm.KVM_CREATE_VM(), "KVM_CREATE_VM");
        add(KVM, kvm.KVM_GET_MSR_INDEX_LIST(), "KVM_GET_MSR_INDEX_LIST", kvm_msr_list.layout());
        add(KVM, kvm.KVM_CHECK_EXTENSION(), "KVM_CHECK_EXTENSION");
        add(KVM, kvm.KVM_GET_VCPU_MMAP_SIZE(), "KVM_GET_VCPU_MMAP_SIZE");
        add(KVM, kvm.KVM_GET_SUPPORTED_CPUID(), "KVM_GET_SUPPORTED_CPUID", kvm_cpuid2.layout());
        add(KVM, kvm.KVM_GET_EMULATED_CPUID(), "KVM_GET_EMULATED_CPUID", kvm_cpuid2.layout());
        add(KVM, kvm.KVM_GET_MSR_FEATURE_INDEX_LIST(), "KVM_GET_MSR_FEATURE_INDEX_LIST", kvm_msr_list.layout());
        add(KVM, kvm.KVM_CREATE_VCPU(), "KVM_CREATE_VCPU");
        add(KVM, kvm.KVM_GET_DIRTY_LOG(), "KVM_GET_DIRTY_LOG", kvm_dirty_log.layout());
        add(KVM, kvm.KVM_SET_NR_MMU_PAGES(), "KVM_SET_NR_MMU_PAGES");
        add(KVM, kvm.KVM_GET_NR_MMU_PAGES(), "KVM_GET_NR_MMU_PAGES");
        add(KVM, kvm.KVM_SET_USER_MEMORY_REGION(), "KVM_SET_USER_MEMORY_REGION", kvm_userspace_memory_region.layout());
        add(KVM, kvm.KVM_SET_TSS_ADDR(), "KVM_SET_TSS_ADDR");
        add(KVM, kvm.KVM_SET_IDENTITY_MAP_ADDR(), "KVM_SET_IDENTITY_MAP_ADDR");
        add(KVM, kvm.KVM_SET_USER_MEMORY_REGION2(), "KVM_SET_USER_MEMORY_REGION2",
                kvm_userspace_memory_region2.layout());
        add(KVM, kvm.KVM_CREATE_IRQCHIP(), "KVM_CREATE_IRQCHIP");
        add(KVM, kvm.KVM_IRQ_LINE(), "KVM_IRQ_LINE", kvm_irq_level.layout());
        add(KVM, kvm.KVM_GET_IRQCHIP(), "KVM_GET_IRQCHIP", kvm_irqchip.layout());
        add(KVM, kvm.KVM_SET_IRQCHIP(), "KVM_SET_IRQCHIP", kvm_irqchip.layout());
        add(KVM, kvm.KVM_CREATE_PIT(), "KVM_CREATE_PIT");
        add(KVM, kvm.KVM_GET_PIT(), "KVM_GET_PIT", kvm_pit_state.layout());
        add(KVM, kvm.KVM_SET_PIT(), "KVM_SET_PIT", kvm_pit_state.layout());
        add(KVM, kvm.KVM_IRQ_LINE_STATUS(), "KVM_IRQ_LINE_STATUS", kvm_irq_level.layout());
        add(KVM, kvm.KVM_SET_GSI_ROUTING(), "KVM_SET_GSI_ROUTING", kvm_irq_routing.layout());
        add(KVM, kvm.KVM_REINJECT_CONTROL(), "KVM_REINJECT_CONTROL");
        add(KVM, kvm.KVM_IRQFD(), "KVM_IRQFD", kvm_irqfd.layout());
        add(KVM, kvm.KVM_CREATE_PIT2(), "KVM_CREATE_PIT2", kvm_pit_config.layout());
        add(KVM, kvm.KVM_SET_BOOT_CPU_ID(), "KVM_SET_BOOT_CPU_ID");
        add(KVM, kvm.KVM_IOEVENTFD(), "KVM_IOEVENTFD", kvm_ioeventfd.layout());
        add(KVM, kvm.KVM_SET_CLOCK(), "KVM_SET_CLOCK", kvm_clock_data.layout());
        add(KVM, kvm.KVM_GET_CLOCK(), "KVM_GET_CLOCK", kvm_clock_data.layout());
        add(KVM, kvm.KVM_GET_PIT2(), "KVM_GET_PIT2", kvm_pit_state2.layout());
        add(KVM, kvm.KVM_SET_PIT2(), "KVM_SET_PIT2", kvm_pit_state2.layout());
        add(KVM, kvm.KVM_SET_TSC_KHZ(), "KVM_SET_TSC_KHZ");
        add(KVM, kvm.KVM_GET_TSC_KHZ(), "KVM_GET_TSC_KHZ");
        add(KVM, kvm.KVM_SIGNAL_MSI(), "KVM_SIGNAL_MSI", kvm_msi.layout());
        add(KVM, kvm.KVM_SET_PMU_EVENT_FILTER(), "KVM_SET_PMU_EVENT_FILTER");
        add(KVM, kvm.KVM_CREATE_DEVICE(), "KVM_CREATE_DEVICE", kvm_create_device.layout());
        add(KVM, kvm.KVM_SET_DEVICE_ATTR(), "KVM_SET_DEVICE_ATTR", kvm_device_attr.layout());
        add(KVM, kvm.KVM_GET_DEVICE_ATTR(), "KVM_GET_DEVICE_ATTR", kvm_device_attr.layout());
        add(KVM, kvm.KVM_HAS_DEVICE_ATTR(), "KVM_HAS_DEVICE_ATTR", kvm_device_attr.layout());
        add(KVM, kvm.KVM_RUN(), "KVM_RUN");
        add(KVM, kvm.KVM_GET_REGS(), "KVM_GET_REGS", kvm_regs.layout());
        add(KVM, kvm.KVM_SET_REGS(), "KVM_SET_REGS", kvm_regs.layout());
        add(KVM, kvm.KVM_GET_SREGS(), "KVM_GET_SREGS", kvm_sregs.layout());
        add(KVM, kvm.KVM_SET_SREGS(), "KVM_SET_SREGS", kvm_sregs.layout());
        add(KVM, kvm.KVM_TRANSLATE(), "KVM_TRANSLATE", kvm_translation.layout());
        add(KVM, kvm.KVM_INTERRUPT(), "KVM_INTERRUPT", kvm_interrupt.layout());
        add(KVM, kvm.KVM_GET_MSRS(), "KVM_GET_MSRS", kvm_msrs.layout());
        add(KVM, kvm.KVM_SET_MSRS(), "KVM_SET_MSRS", kvm_msrs.layout());
        add(KVM, kvm.KVM_SET_CPUID(), "KVM_SET_CPUID", kvm_cpuid.layout());
        add(KVM, kvm.KVM_SET_SIGNAL_MASK(), "KVM_SET_SIGNAL_MASK", kvm_signal_mask.layout());
        add(KVM, kvm.KVM_GET_FPU(), "KVM_GET_FPU", kvm_fpu.layout());
        add(KVM, kvm.KVM_SET_FPU(), "KVM_SET_FPU", kvm_fpu.layout());
        add(KVM, kvm.KVM_GET_LAPIC(), "KVM_GET_LAPIC", kvm_lapic_state.layout());
        add(KVM, kvm.KVM_SET_LAPIC(), "KVM_SET_LAPIC", kvm_lapic_state.layout());
        add(KVM, kvm.KVM_SET_CPUID2(), "KVM_SET_CPUID2", kvm_cpuid2.layout());
        add(KVM, kvm.KVM_GET_CPUID2(), "KVM_GET_CPUID2", kvm_cpuid2.layout());
        add(KVM, kvm.KVM_TPR_ACCESS_REPORTING(), "KVM_TPR_ACCESS_REPORTING", kvm_tpr_access_ctl.layout());
        add(KVM, kvm.KVM_SET_VAPIC_ADDR(), "KVM_SET_VAPIC_ADDR", kvm_vapic_addr.layout());
        add(KVM, kvm.KVM_GET_MP_STATE(), "KVM_GET_MP_STATE", kvm_mp_state.layout());
        add(KVM, kvm.KVM_SET_MP_STATE(), "KVM_SET_MP_STATE", kvm_mp_state.layout());
        add(KVM, kvm.KVM_NMI(), "KVM_NMI");
        add(KVM, kvm.KVM_SET_GUEST_DEBUG(), "KVM_SET_GUEST_DEBUG", kvm_guest_debug.layout());
        add(KVM, kvm.KVM_X86_SETUP_MCE(), "KVM_X86_SETUP_MCE");
        add(KVM, kvm.KVM_X86_GET_MCE_CAP_SUPPORTED(), "KVM_X86_GET_MCE_CAP_SUPPORTED");
        add(KVM, kvm.KVM_X86_SET_MCE(), "KVM_X86_SET_MCE", kvm_x86_mce.layout());
        add(KVM, kvm.KVM_GET_VCPU_EVENTS(), "KVM_GET_VCPU_EVENTS", kvm_vcpu_events.layout());
        add(KVM, kvm.KVM_SET_VCPU_EVENTS(), "KVM_SET_VCPU_EVENTS", kvm_vcpu_events.layout());
        add(KVM, kvm.KVM_GET_DEBUGREGS(), "KVM_GET_DEBUGREGS", kvm_debugregs.layout());
        add(KVM, kvm.KVM_SET_DEBUGREGS(), "KVM_SET_DEBUGREGS", kvm_debugregs.layout());
        add(KVM, kvm.KVM_ENABLE_CAP(), "KVM_ENABLE_CAP", kvm_enable_cap.layout());
        add(KVM, kvm.KVM_GET_XSAVE(), "KVM_GET_XSAVE", kvm_xsave.layout());
        add(KVM, kvm.KVM_SET_XSAVE(), "KVM_SET_XSAVE", kvm_xsave.layout());
        add(KVM, kvm.KVM_GET_XCRS(), "KVM_GET_XCRS", kvm_xcrs.layout());
        add(KVM, kvm.KVM_SET_XCRS(), "KVM_SET_XCRS", kvm_xcrs.layout());
        add(KVM, kvm.KVM_GET_ONE_REG(), "KVM_GET_ONE_REG", kvm_one_reg.layout());
        add(KVM, kvm.KVM_SET_ONE_REG(), "KVM_SET_ONE_REG", kvm_one_reg.layout());
        add(KVM, kvm.KVM_KVMCLOCK_CTRL(), "KVM_KVMCLOCK_CTRL");
        add(KVM, kvm.KVM_GET_REG_LIST(), "KVM_GET_REG_LIST", kvm_reg_list.layout());
        add(KVM, kvm.KVM_SMI(), "KVM_SMI");
        add(KVM, kvm.KVM_MEMORY_ENCRYPT_OP(), "KVM_MEMORY_ENCRYPT_OP");
        add(KVM, kvm.KVM_MEMORY_ENCRYPT_REG_REGION(), "KVM_MEMORY_ENCRYPT_REG_REGION", kvm_enc_region.layout());
        add(KVM, kvm.KVM_MEMORY_ENCRYPT_UNREG_REGION(), "KVM_MEMORY_ENCRYPT_UNREG_REGION", kvm_enc_region.layout());
        add(KVM, kvm.KVM_HYPERV_EVENTFD(), "KVM_HYPERV_EVENTFD");
        add(KVM, kvm.KVM_CLEAR_DIRTY_LOG(), "KVM_CLEAR_DIRTY_LOG", kvm_clear_dirty_log.layout());
        add(KVM, kvm.KVM_GET_SUPPORTED_HV_CPUID(), "KVM_GET_SUPPORTED_HV_CPUID", kvm_cpuid2.layout());
        add(KVM, kvm.KVM_X86_SET_MSR_FILTER(), "KVM_X86_SET_MSR_FILTER", kvm_msr_filter.layout());
        add(KVM, kvm.KVM_RESET_DIRTY_RINGS(), "KVM_RESET_DIRTY_RINGS");
        add(KVM, kvm.KVM_GET_SREGS2(), "KVM_GET_SREGS2");
        add(KVM, kvm.KVM_SET_SREGS2(), "KVM_SET_SREGS2");
        add(KVM, kvm.KVM_GET_STATS_FD(), "KVM_GET_STATS_FD");
        add(KVM, kvm.KVM_GET_XSAVE2(), "KVM_GET_XSAVE2", kvm_xsave.layout());
        add(KVM, kvm.KVM_SET_MEMORY_ATTRIBUTES(), "KVM_SET_MEMORY_ATTRIBUTES", kvm_memory_attributes.layout());
        add(KVM, kvm.KVM_CREATE_GUEST_MEMFD(), "KVM_CREATE_GUEST_MEMFD", kvm_create_guest_memfd.layout());
        add(KVM, kvm.KVM_PRE_FAULT_MEMORY(), "KVM_PRE_FAULT_MEMORY", kvm_pre_fault_memory.layout());
        add(IOMMUFD, iommufd.IOMMU_DESTROY(), "IOMMU_DESTROY", iommu_destroy.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_ALLOC(), "IOMMU_IOAS_ALLOC", iommu_ioas_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_IOVA_RANGES(), "IOMMU_IOAS_IOVA_RANGES", iommu_ioas_iova_ranges.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_ALLOW_IOVAS(), "IOMMU_IOAS_ALLOW_IOVAS", iommu_ioas_allow_iovas.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_MAP(), "IOMMU_IOAS_MAP", iommu_ioas_map.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_NOIOMMU_GET_PA(), "IOMMU_IOAS_NOIOMMU_GET_PA",
                iommu_ioas_noiommu_get_pa.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_MAP_FILE(), "IOMMU_IOAS_MAP_FILE", iommu_ioas_map_file.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_COPY(), "IOMMU_IOAS_COPY", iommu_ioas_copy.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_UNMAP(), "IOMMU_IOAS_UNMAP", iommu_ioas_unmap.layout());
        add(IOMMUFD, iommufd.IOMMU_OPTION(), "IOMMU_OPTION", iommu_option.layout());
        add(IOMMUFD, iommufd.IOMMU_VFIO_IOAS(), "IOMMU_VFIO_IOAS", iommu_vfio_ioas.layout());
        add(IOMMUFD, iommufd.IOMMU_HWPT_ALLOC(), "IOMMU_HWPT_ALLOC", iommu_hwpt_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_GET_HW_INFO(), "IOMMU_GET_HW_INFO", iommu_hw_info.layout());
        add(IOMMUFD, iommufd.IOMMU_HWPT_SET_DIRTY_TRACKING(), "IOMMU_HWPT_SET_DIRTY_TRACKING",
                iommu_hwpt_set_dirty_tracking.layout());
        add(IOMMUFD, iommufd.IOMMU_HWPT_GET_DIRTY_BITMAP(), "IOMMU_HWPT_GET_DIRTY_BITMAP",
                iommu_hwpt_get_dirty_bitmap.layout());
        add(IOMMUFD, iommufd.IOMMU_HWPT_INVALIDATE(), "IOMMU_HWPT_INVALIDATE", iommu_hwpt_invalidate.layout());
        add(IOMMUFD, iommufd.IOMMU_FAULT_QUEUE_ALLOC(), "IOMMU_FAULT_QUEUE_ALLOC", iommu_fault_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_VIOMMU_ALLOC(), "IOMMU_VIOMMU_ALLOC", iommu_viommu_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_VDEVICE_ALLOC(), "IOMMU_VDEVICE_ALLOC", iommu_vdevice_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_VEVENTQ_ALLOC(), "IOMMU_VEVENTQ_ALLOC", iommu_veventq_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_HW_QUEUE_ALLOC(), "IOMMU_HW_QUEUE_ALLOC", iommu_hw_queue_alloc.layout());
        add(IOMMUFD, iommufd.IOMMU_IOAS_CHANGE_PROCESS(), "IOMMU_IOAS_CHANGE_PROCESS",
                iommu_ioas_change_process.layout());
        add(VFIO_CONTAINER, vfio.VFIO_GET_API_VERSION(), "VFIO_GET_API_VERSION");
        add(VFIO_CONTAINER, vfio.VFIO_CHECK_EXTENSION(), "VFIO_CHECK_EXTENSION");
        add(VFIO_CONTAINER, vfio.VFIO_SET_IOMMU(), "VFIO_SET_IOMMU");
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_GET_INFO(), "VFIO_IOMMU_GET_INFO", vfio_iommu_type1_info.layout());
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_MAP_DMA(), "VFIO_IOMMU_MAP_DMA", vfio_iommu_type1_dma_map.layout());
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_UNMAP_DMA(), "VFIO_IOMMU_UNMAP_DMA", vfio_iommu_type1_dma_unmap.layout());
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_ENABLE(), "VFIO_IOMMU_ENABLE");
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_DISABLE(), "VFIO_IOMMU_DISABLE");
        add(VFIO_CONTAINER, vfio.VFIO_IOMMU_DIRTY_PAGES(), "VFIO_IOMMU_DIRTY_PAGES",
                vfio_iommu_type1_dirty_bitmap.layout());
        add(VFIO_GROUP, vfio.VFIO_GROUP_GET_STATUS(), "VFIO_GROUP_GET_STATUS", vfio_group_status.layout());
        add(VFIO_GROUP, vfio.VFIO_GROUP_SET_CONTAINER(), "VFIO_GROUP_SET_CONTAINER");
        add(VFIO_GROUP, vfio.VFIO_GROUP_UNSET_CONTAINER(), "VFIO_GROUP_UNSET_CONTAINER");
        add(VFIO_GROUP, vfio.VFIO_GROUP_GET_DEVICE_FD(), "VFIO_GROUP_GET_DEVICE_FD");
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_GET_INFO(), "VFIO_DEVICE_GET_INFO", vfio_device_info.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_GET_REGION_INFO(), "VFIO_DEVICE_GET_REGION_INFO", vfio_region_info.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_GET_IRQ_INFO(), "VFIO_DEVICE_GET_IRQ_INFO", vfio_irq_info.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_SET_IRQS(), "VFIO_DEVICE_SET_IRQS", vfio_irq_set.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_RESET(), "VFIO_DEVICE_RESET");
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO(), "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
                vfio_pci_hot_reset_info.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_PCI_HOT_RESET(), "VFIO_DEVICE_PCI_HOT_RESET", vfio_pci_hot_reset.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_IOEVENTFD(), "VFIO_DEVICE_IOEVENTFD", vfio_device_ioeventfd.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_FEATURE(), "VFIO_DEVICE_FEATURE", vfio_device_feature.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_BIND_IOMMUFD(), "VFIO_DEVICE_BIND_IOMMUFD",
                vfio_device_bind_iommufd.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT(), "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
                vfio_device_attach_iommufd_pt.layout());
        add(VFIO_DEVICE, vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT(), "VFIO_DEVICE_DETACH_IOMMUFD_PT",
                vfio_device_detach_iommufd_pt.layout());
        add(VFIO_DEVICE, vfio.VFIO_MIG_GET_PRECOPY_INFO(), "VFIO_MIG_GET_PRECOPY_INFO", vfio_precopy_info.layout());
        add(DMABUF, dmabuf.DMA_BUF_IOCTL_SYNC(), "DMA_BUF_IOCTL_SYNC", dma_buf_sync.layout());
        add(DMABUF, dmabuf.DMA_BUF_SET_NAME(), "DMA_BUF_SET_NAME");
        add(DMABUF, dmabuf.DMA_BUF_SET_NAME_A(), "DMA_BUF_SET_NAME_A");
        add(DMABUF, dmabuf.DMA_BUF_SET_NAME_B(), "DMA_BUF_SET_NAME_B");
        add(DMABUF, dmabuf.DMA_BUF_IOCTL_EXPORT_SYNC_FILE(), "DMA_BUF_IOCTL_EXPORT_SYNC_FILE",
                dma_buf_export_sync_file.layout());
        add(DMABUF, dmabuf.DMA_BUF_IOCTL_IMPORT_SYNC_FILE(), "DMA_BUF_IOCTL_IMPORT_SYNC_FILE",
                dma_buf_import_sync_file.layout());
        add(DMABUF, dmabuf.UDMABUF_CREATE(), "UDMABUF_CREATE", udmabuf_create.layout());
        add(DMABUF, dmabuf.UDMABUF_CREATE_LIST(), "UDMABUF_CREATE_LIST", udmabuf_create_list.layout());
    }

    private void add(Target target, long request, String name) {
        add(target, request, name, null);
    }

    private void add(Target target, long request, String name, @Nullable GroupLayout layout) {
        Ioctl ioctl = new Ioctl(target, (int) request, name, layout);
        all.add(ioctl);
        byRequest.computeIfAbsent(ioctl.request, number -> new ArrayList<>(1)).add(ioctl);
    }

    /** All of them. */
    public List<Ioctl> all() {
        return List.copyOf(all);
    }

    /** What a number means; several where the kind of file decides, none for a number that is not bound. */
    public List<Ioctl> find(int request) {
        return byRequest.getOrDefault(request, List.of());
    }

    /**
     * What a number means for a kind of file.
     *
     * @param preferred the kind where it is known; any other meaning will do as well
     */
    public Optional<Ioctl> find(int request, Target preferred) {
        List<Ioctl> candidates = find(request);
        for (Ioctl candidate : candidates) {
            if (candidate.target == preferred) {
                return Optional.of(candidate);
            }
        }
        return candidates.stream().findFirst();
    }
}
