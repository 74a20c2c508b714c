// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.sys.AlcoveException;
import dev.alcove.sys.Linux;
import dev.alcove.sys.Syscalls;
import dev.alcove.vfio.PciAddress;
import dev.alcove.vfio.VfioDevices;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/** What a host offers to confidential VMs with assigned devices, and how to get what is missing. */
final class HostSurvey {
    private static final String SNP = "/sys/module/kvm_amd/parameters/sev_snp";
    private static final String TDX = "/sys/module/kvm_intel/parameters/tdx";
    private static final String HUGEPAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    private static final String MAPPINGS = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
    private static final long GUEST_TO_LOCK = 256L << 20;

    private final Syscalls syscalls;
    private final HostFiles files;
    private final List<Finding> findings = new ArrayList<>();

    private HostSurvey(Syscalls syscalls) {
        this.syscalls = syscalls;
        this.files = new HostFiles(syscalls);
    }

    static List<Finding> of(Syscalls syscalls) {
        HostSurvey survey = new HostSurvey(syscalls);
        survey.findings.add(Finding.info("linux", LinuxKernel.release(syscalls)));
        survey.findings.addAll(KvmSurvey.of(syscalls));
        survey.snp();
        survey.tdx();
        survey.iommu();
        survey.vfio();
        survey.limits();
        survey.java();
        return survey.findings;
    }

    private void snp() {
        if (!files.isOn(SNP)) {
            findings.add(Finding.missing(
                    "snp",
                    files.text(SNP).isPresent() ? "SEV-SNP is off in kvm_amd" : "no SEV-SNP (kvm_amd has no sev_snp)",
                    "an AMD EPYC 7003 or newer with SNP and SMEE on in the firmware, kernel 6.11 or newer, kvm_amd"
                            + " loaded with sev=1 sev_es=1 sev_snp=1"));
            return;
        }
        findings.add(files.obstacle("/dev/sev")
                .map(errno -> Finding.missing(
                        "snp", "SEV-SNP is on, but /dev/sev answers " + errno, "modprobe ccp; sudo setfacl -m"
                                + " u:$USER:rw /dev/sev"))
                .orElseGet(() -> Finding.ok("snp", "SEV-SNP is on, /dev/sev opens")));
    }

    private void tdx() {
        findings.add(
                files.isOn(TDX)
                        ? Finding.ok("tdx", "TDX is on in kvm_intel")
                        : Finding.missing(
                                "tdx",
                                files.text(TDX).isPresent() ? "TDX is off in kvm_intel" : "no TDX (kvm_intel has no tdx)",
                                "a Xeon with TDX on in the firmware, kernel 6.16 or newer with kvm_intel.tdx=1"));
    }

    private void iommu() {
        findings.add(files.obstacle("/dev/iommu")
                .map(errno -> Finding.missing(
                        "iommufd",
                        "/dev/iommu: " + errno,
                        errno.equals("EACCES")
                                ? "sudo setfacl -m u:$USER:rw /dev/iommu"
                                : "modprobe iommufd, on a kernel with CONFIG_IOMMUFD (6.2 or newer)"))
                .orElseGet(() -> Finding.ok("iommufd", "/dev/iommu opens")));
    }

    private void vfio() {
        List<VfioDevices.Entry> devices;
        try {
            devices = VfioDevices.list(syscalls);
        } catch (AlcoveException e) {
            findings.add(Finding.missing("vfio", String.valueOf(e.getMessage()), ""));
            return;
        }
        if (devices.isEmpty()) {
            findings.add(Finding.missing(
                    "vfio",
                    "no PCI device is bound to a VFIO driver",
                    "modprobe vfio-pci; driverctl set-override 0000:BB:DD.F vfio-pci, with the IOMMU on"
                            + " (intel_iommu=on or amd_iommu=on)"));
        }
        for (VfioDevices.Entry device : devices) {
            String what = String.format("%s %04x:%04x, group %s%s", device.address(), device.vendor(), device.device(),
                    device.group().isEmpty() ? "none" : device.group(), companions(device));
            String name = "vfio." + device.address();
            findings.add(
                    device.cdev().isEmpty()
                            ? Finding.missing(
                                    name, what + ", no character device", "a kernel with CONFIG_VFIO_DEVICE_CDEV (6.6)")
                            : Finding.ok(name, what + ", " + device.cdev()));
        }
    }

    private String companions(VfioDevices.Entry device) {
        if (device.group().isEmpty()) {
            return "";
        }
        List<PciAddress> others = VfioDevices.group(syscalls, device.group()).stream()
                .filter(address -> !address.equals(device.address()))
                .toList();
        return others.isEmpty()
                ? ""
                : " with " + others.stream().map(PciAddress::toString).collect(Collectors.joining(", "));
    }

    private void limits() {
        long memlock = files.softLimit(Linux.RLIMIT_MEMLOCK);
        boolean enough = memlock == Linux.RLIM_INFINITY || memlock >= GUEST_TO_LOCK;
        String shown = memlock == Linux.RLIM_INFINITY ? "unlimited" : (memlock >> 10) + " KiB";
        findings.add(
                enough
                        ? Finding.ok("memlock", shown)
                        : Finding.missing(
                                "memlock",
                                shown + ": an assigned device pins the guest's shared memory",
                                "ulimit -l " + (GUEST_TO_LOCK >> 10) + " for a guest of 256 MiB, or memlock in"
                                        + " /etc/security/limits.conf"));
        long open = files.softLimit(Linux.RLIMIT_NOFILE);
        findings.add(Finding.info("nofile", open == Linux.RLIM_INFINITY ? "unlimited" : Long.toString(open)));
        findings.add(Finding.info(
                "dma-entry-limit",
                files.text(MAPPINGS)
                        .map(limit -> limit + " mappings in a container of vfio_iommu_type1; " + MAPPINGS)
                        .orElse("vfio_iommu_type1 is not loaded; iommufd has no such limit")));
        findings.add(Finding.info(
                "hugepages", files.text(HUGEPAGES).map(n -> n + " of 2 MiB").orElse("none known of 2 MiB")));
    }

    private void java() {
        int feature = Runtime.version().feature();
        String what = System.getProperty("java.vendor") + " " + Runtime.version();
        findings.add(
                feature >= 25
                        ? Finding.ok("jdk", what)
                        : Finding.missing("jdk", what, "install a JDK 25, and set JAVA_HOME to it"));
    }
}
