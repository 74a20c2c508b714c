// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.GroupLayout;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

/** The bindings against sizes, offsets and numbers that a C compiler printed from the kernel's headers. */
class AbiTest {
    private static final String BINDINGS = "dev.alcove.bindings.";

    /** In the headers, but of other architectures, or of interfaces that current kernels do not have. */
    private static final Set<String> UNBOUND_STRUCTS = Set.of(
            "kvm_arm_device_addr",
            "kvm_config_tlb",
            "kvm_dirty_tlb",
            "kvm_mmu_op_flush_tlb",
            "kvm_mmu_op_header",
            "kvm_mmu_op_release_pt",
            "kvm_mmu_op_write_pte",
            "kvm_vfio_spapr_tce",
            "iommu_hw_info_arm_smmuv3",
            "iommu_hw_info_tegra241_cmdqv",
            "iommu_hwpt_arm_smmuv3",
            "iommu_vevent_arm_smmuv3",
            "iommu_vevent_tegra241_cmdqv",
            "iommu_viommu_arm_smmuv3_invalidate",
            "iommu_viommu_tegra241_cmdqv",
            "vfio_device_migration_info");

    /** Nested virtualisation, graphics and PowerPC: their structs are not bound. */
    private static final Set<String> UNBOUND_IOCTLS = Set.of(
            "KVM_DIRTY_TLB",
            "KVM_GET_NESTED_STATE",
            "KVM_SET_NESTED_STATE",
            "VFIO_DEVICE_QUERY_GFX_PLANE",
            "VFIO_DEVICE_GET_GFX_DMABUF");

    private static final Map<String, String> PACKAGES = Map.of(
            "linux/kvm.h", "kvm",
            "linux/iommufd.h", "iommufd",
            "linux/vfio.h", "vfio",
            "linux/dma-buf.h", "dmabuf",
            "linux/udmabuf.h", "dmabuf");

    private static List<String[]> rows(String name) throws IOException {
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(
                Objects.requireNonNull(AbiTest.class.getResourceAsStream(name), name), StandardCharsets.UTF_8))) {
            return reader.lines().skip(1).map(line -> line.split("\t", -1)).toList();
        }
    }

    private static Object call(Class<?> type, String method) throws ReflectiveOperationException {
        try {
            return type.getMethod(method).invoke(null);
        } catch (InvocationTargetException thrown) {
            throw new AssertionError(type + "." + method, thrown.getCause());
        }
    }

    @Test
    void everyStructHasTheSizeAndTheOffsetsOfTheHeaders() throws IOException {
        List<String> wrong = new ArrayList<>();
        Set<String> unbound = new TreeSet<>();
        int checked = 0;
        for (String[] row : rows("abi-layouts.tsv")) {
            String where = row[1] + "." + row[2];
            try {
                Class<?> type = Class.forName(BINDINGS + row[0] + "." + row[1]);
                long bound = row[2].equals("(sizeof)")
                        ? ((GroupLayout) call(type, "layout")).byteSize()
                        : (long) call(type, row[2] + "$offset");
                if (bound != Long.parseLong(row[3])) {
                    wrong.add(where + " is " + bound + ", in C " + row[3]);
                }
                checked++;
            } catch (ClassNotFoundException notBound) {
                unbound.add(row[1]);
            } catch (ReflectiveOperationException noAccessor) {
                wrong.add(where + ": " + noAccessor);
            }
        }
        assertEquals(List.of(), wrong);
        assertEquals(new TreeSet<>(UNBOUND_STRUCTS), unbound);
        assertTrue(checked > 900, "only " + checked + " rows");
    }

    @Test
    void everyIoctlHasTheNumberOfTheHeaders() throws IOException {
        List<String> wrong = new ArrayList<>();
        Set<String> unbound = new TreeSet<>();
        for (String[] row : rows("abi-ioctls.tsv")) {
            String bindings = Objects.requireNonNull(PACKAGES.get(row[0]), row[0]);
            try {
                Number bound = (Number) call(Class.forName(BINDINGS + bindings + "." + bindings), row[1]);
                if (bound.intValue() != (int) (long) Long.decode(row[2])) {
                    wrong.add(row[1] + " is 0x" + Integer.toHexString(bound.intValue()) + ", in C " + row[2]);
                }
            } catch (NoSuchMethodException notBound) {
                unbound.add(row[1]);
            } catch (ReflectiveOperationException noClass) {
                wrong.add(row[1] + ": " + noClass);
            }
        }
        assertEquals(List.of(), wrong);
        assertEquals(new TreeSet<>(UNBOUND_IOCTLS), unbound);
    }

    @Test
    void theTableOfIoctlsHasAllOfThem() throws IOException {
        Ioctls ioctls = new Ioctls();
        Set<String> names = ioctls.all().stream().map(Ioctls.Ioctl::name).collect(Collectors.toSet());
        Set<String> missing = new LinkedHashSet<>();
        for (String[] row : rows("abi-ioctls.tsv")) {
            if (!names.contains(row[1]) && !UNBOUND_IOCTLS.contains(row[1])) {
                missing.add(row[1]);
            }
        }
        assertEquals(Set.of(), missing);
        assertEquals(names.size(), ioctls.all().size(), "a name occurs twice");
    }

    @Test
    void aStructOfTheTableIsAsLongAsTheNumberSays() {
        for (Ioctls.Ioctl ioctl : new Ioctls().all()) {
            GroupLayout layout = ioctl.layout();
            int size = ioctl.request() >>> 16 & 0x3fff;
            if (layout != null && size != 0) {
                assertEquals(size, layout.byteSize(), ioctl.name());
            }
        }
    }

    @Test
    void theKindOfFileDecidesWhatANumberMeans() {
        Ioctls ioctls = new Ioctls();
        int request = dev.alcove.bindings.vfio.vfio.VFIO_IOMMU_MAP_DMA();
        assertEquals(
                "VFIO_IOMMU_MAP_DMA",
                ioctls.find(request, Ioctls.Target.VFIO_CONTAINER).orElseThrow().name());
        assertEquals(
                "VFIO_DEVICE_PCI_HOT_RESET",
                ioctls.find(request, Ioctls.Target.VFIO_DEVICE).orElseThrow().name());
        assertTrue(ioctls.find(0x12345678).isEmpty());
    }
}
