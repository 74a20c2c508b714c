// SPDX-License-Identifier: Apache-2.0
package dev.alcove.cli;

import dev.alcove.discard.GpaRange;
import dev.alcove.memory.MemoryConfig.NumaNode;
import dev.alcove.memory.RamBackend;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

class CommandLineTest {
    private final StringWriter errors = new StringWriter();

    private int run(String... arguments) {
        return Alcove.execute(arguments, new PrintWriter(errors, true));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "run hello --memory 0",
                "run hello --memory -1M",
                "run hello --memory 4097",
                "run hello --memory 1000000T",
                "run hello --memory 99999999999999999999G",
                "run hello --memory 512T",
                "run hello --memory 64K",
                "run hello --memory lots",
                "run hello --memory backend=memfd",
                "run hello --memory 64M,backend=disk",
                "run hello --memory 64M,size=64M",
                "run hello --memory 64M,hugepages",
                "run hello --memory 64M,hugepages=yes",
                "run hello --memory 64M,hugepage_size=2M",
                "run hello --memory 64M,hugepages=on,hugepage_size=4M",
                "run hello --memory 65M,hugepages=on",
                "run hello --memory 64M,backend=file",
                "run hello --memory 64M,backend=ram,file=/tmp/x",
                "run hello --memory 64M,speed=9",
                "run hello --memory 64M --numa node,mem=32M",
                "run hello --memory 64M --numa mem=64M",
                "run hello --memory 64M --numa node,cpus=0",
                "run hello --memory 64M --numa node,mem=64M,cpus=1",
                "run hello --memory 64M --numa node,mem=64M,cpus=1-0",
                "run hello --memory 64M --cpus 2 --numa node,mem=32M,cpus=0 --numa node,mem=32M,cpus=0-1",
                "run hello --strategy both",
                "run hello --strategy in-place --memory 64M,backend=ram",
                "run hello --cpus 0",
                "run hello --cpus 255",
                "run hello --cpus x",
                "run hello --timeout 0s",
                "run hello --timeout forever",
                "run hello --seed -1",
                "run hello --seed x",
                "run hello --kernel windows",
                "run hello --coco tdx",
                "run hello --iommu-map split",
                "run hello --deny-conversion 0x1000000",
                "run hello --deny-conversion 0x1000000+",
                "run hello --deny-conversion 0x1000000+0",
                "run hello --deny-conversion 0x1000800+4K",
                "run hello --deny-conversion 0x1000000+5000",
                "run hello --deny-conversion 16M-32M",
                "run hello --deny-conversion 0xfffffffffffff000+4K",
                "run hello --deny-conversion 0xffffffffff000+2M",
                "run hello --deny-conversion some+more",
                "run hello --deny-conversion 0xfg+4K",
                "run hello --memory 64M --deny-conversion 64M+4K",
                "run hello --device gpu",
                "run hello --device vfio-pci,host=00:00",
                "run hello --no-such-option",
                "run no-such-image",
                "run /",
                "run",
                "frobnicate",
                ""
            })
    void badUsageIsStatus2AndAMessage(String line) {
        int status = run(line.isEmpty() ? new String[0] : (line + (line.contains("--kernel") || !line.startsWith(
                "run hello") ? "" : " --kernel emulated")).split(" "));
        assertEquals(2, status, errors.toString());
        assertTrue(errors.toString().contains("alcove: "), errors.toString());
        assertFalse(errors.toString().contains("\tat "), errors.toString());
    }

    @Test
    void aMissingDeviceIsStatus3() {
        assertEquals(3, run("run", "hello", "--kernel", "emulated", "--device", "vfio-pci,host=0000:ff:1f.7"));
        assertTrue(errors.toString().contains("no PCI device 0000:ff:1f.7"), errors.toString());
    }

    @Test
    void hostileFilesAreStatus2(@TempDir Path directory) throws IOException {
        Path empty = Files.createFile(directory.resolve("empty.elf"));
        assertEquals(2, run("run", empty.toString()));
        Path text = Files.writeString(directory.resolve("text.elf"), "#!/bin/sh\n".repeat(100));
        assertEquals(2, run("run", text.toString()));
        assertTrue(errors.toString().contains("no ELF magic"), errors.toString());
    }

    @Test
    void anUnwritableReportIsStatus2BeforeAnythingRuns() {
        assertEquals(2, run("run", "hello", "--kernel", "emulated", "--report", "/proc/none/report.json"));
        assertTrue(errors.toString().contains("cannot be written"), errors.toString());
    }

    @ParameterizedTest
    @CsvSource({"1,1", "4096,4096", "64K,65536", "256M,268435456", "1g,1073741824", "2GiB,2147483648", "1T,1099511627776"})
    void sizes(String text, long bytes) {
        assertEquals(bytes, MemorySize.parse(text).bytes());
    }

    @ParameterizedTest
    @ValueSource(strings = {"dma --check", "convert --check", "storm --cpus 2 --seed 5 --check", "abuse"})
    void memoryThatIsConvertedInPlaceIsAProposalOfTheEmulatedKernel(String image) {
        String line = "run " + image + " --kernel emulated --strategy in-place --memory 64M --device edu";
        assertEquals(0, run(line.split(" ")), errors.toString());
        assertTrue(errors.toString().contains("is a proposal"), errors.toString());
    }

    /** The images notice: without the word on their command line they want empty pages. */
    @Test
    void anImageIsToldThatMemoryIsConvertedInPlace() {
        assertEquals(
                1, run("run", "convert", "--kernel", "emulated", "--memory", "64M", "--append", "keep=1"), errors.toString());
    }

    @ParameterizedTest
    @CsvSource({
        "0x1000000+2M, 0x1000000, 0x200000", "16M+4096, 0x1000000, 0x1000", "0+4K, 0, 0x1000", "0X0+1T, 0, 0x10000000000",
        "0xffffffffff000+4K, 0xffffffffff000, 0x1000"
    })
    void ranges(String text, String start, String size) {
        assertEquals(
                GpaRange.of(Long.decode(start), Long.decode(size)),
                GpaRangeOption.parse(text).range());
    }

    @Test
    void aGuestMayNotConvertWhatIsDenied() {
        String line = "run convert --kernel emulated --memory 64M --deny-conversion 32M+4K";
        assertEquals(0, run(line.split(" ")), errors.toString());
        assertEquals(1, run((line + " --deny-conversion 0x1001000+8K").split(" ")), errors.toString());
        assertTrue(errors.toString().contains("[0x1001000, 0x1003000) is not to be converted"), errors.toString());
    }

    @Test
    void memoryInTheTermsOfQemuAndCloudHypervisor() {
        assertEquals(RamBackend.memfd(), MemoryOption.parse("256M").backend());
        MemoryOption huge = MemoryOption.parse("size=4G,backend=memfd,hugepages=on,hugepage_size=1G,prealloc=on");
        assertEquals(4L << 30, huge.size().bytes());
        assertEquals(
                new RamBackend(RamBackend.Kind.MEMFD, null, RamBackend.HUGE_1G, true, true), huge.backend());
        assertEquals(
                new RamBackend(RamBackend.Kind.FILE, "/a", 0, false, false),
                MemoryOption.parse("1G,file=/a,shared=off").backend());
        assertFalse(MemoryOption.parse("1G,backend=ram").backend().shared());
        assertEquals(
                new NumaNode(List.of(0, 1, 4), 2L << 30),
                NumaOption.parse("node,mem=2G,cpus=0-1:4").node());
    }

    @ParameterizedTest
    @CsvSource({"5,5000", "60s,60000", "250ms,250", "2m,120000", "1h,3600000"})
    void times(String text, long millis) {
        assertEquals(millis, TimeSpan.parse(text).duration().toMillis());
    }

    @ParameterizedTest
    @ValueSource(strings = {"--help", "--version", "run --help", "doctor --help", "images", "generate-completion"})
    void helpIsStatus0(String line) {
        assertEquals(0, run(line.split(" ")), errors.toString());
    }

    @Test
    void doctorNamesARemedyForWhatIsMissing() {
        assertEquals(0, run("doctor"));
        assertEquals(0, run("doctor", "--json"));
        for (Finding finding : HostSurvey.of(new dev.alcove.sys.HostSyscalls())) {
            assertFalse(finding.detail().isEmpty(), finding.name());
            if (finding.state() == Finding.State.missing) {
                assertFalse(finding.remedy().isEmpty(), finding.name());
            }
        }
    }
}
