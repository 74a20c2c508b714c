// SPDX-License-Identifier: Apache-2.0
// What conversions cost an IOMMU: shares memory with a VFIO device in 2 MiB pieces, converts 1 % of its pages singly in
// random order to private and back, then everything to private in 2 MiB pieces. Prints a line for each phase:
// program, phase, microseconds, map ioctls, unmap ioctls.
//
// usage: conversions page|cut|costs  va|file  BDF  MiB  rounds
//   page   one map per 4 KiB page, one unmap per section, as QEMU does
//   cut    one map per extent; pieces come out through iommufd's compatibility interface
//   costs  what single unmaps cost: in the middle of an area, at its edge, and of a page that is an area of its own
//   va     memory by its address; file  by its memfd
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define PIECE (2ul << 20)
#define BASE (1ul << 32)

#define IOMMU_IOAS_ALLOC 0x3b81
#define IOMMU_IOAS_MAP 0x3b85
#define IOMMU_IOAS_UNMAP 0x3b86
#define IOMMU_VFIO_IOAS 0x3b88
#define IOMMU_IOAS_MAP_FILE 0x3b8f
#define VFIO_SET_IOMMU 0x3b66
#define VFIO_IOMMU_UNMAP_DMA 0x3b72
#define VFIO_BIND 0x3b76
#define VFIO_ATTACH 0x3b77
#define FIXED_READ_WRITE 7

static int iommu, device, memory_file, by_file;
static uint32_t ioas;
static char *memory;
static unsigned long maps, unmaps;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void map(unsigned long offset, unsigned long length)
{
	struct {
		uint32_t size, flags, ioas, other;
		uint64_t source, length, iova;
	} cmd = {40, FIXED_READ_WRITE, ioas, by_file ? memory_file : 0, by_file ? offset : (uintptr_t)memory + offset,
		 length, BASE + offset};

	maps++;
	if (ioctl(iommu, by_file ? IOMMU_IOAS_MAP_FILE : IOMMU_IOAS_MAP, &cmd))
		fail("map");
}

static void unmap(unsigned long offset, unsigned long length)
{
	struct {
		uint32_t size, ioas;
		uint64_t iova, length;
	} cmd = {24, ioas, BASE + offset, length};

	unmaps++;
	if (ioctl(iommu, IOMMU_IOAS_UNMAP, &cmd) || cmd.length != length)
		fail("unmap");
}

static void cut(unsigned long offset, unsigned long length)
{
	struct {
		uint32_t size, flags;
		uint64_t iova, length;
	} cmd = {24, 0, BASE + offset, length};

	unmaps++;
	if (ioctl(iommu, VFIO_IOMMU_UNMAP_DMA, &cmd) || cmd.length != length)
		fail("cut");
}

static void map_pages(unsigned long offset, unsigned long length)
{
	for (unsigned long done = 0; done < length; done += PAGE)
		map(offset + done, PAGE);
}

static int open_device(const char *address)
{
	char path[300];
	struct dirent *entry;
	DIR *directory;
	int fd = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", address);
	directory = opendir(path);
	if (!directory)
		fail(path);
	while (fd < 0 && (entry = readdir(directory)))
		if (entry->d_name[0] == 'v') {
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
			fd = open(path, O_RDWR);
			if (fd < 0)
				fail(path);
		}
	closedir(directory);
	return fd;
}

static void start(const char *address, int cuts)
{
	uint32_t alloc[3] = {12}, set[3] = {12}, bind[4] = {16}, attach[3] = {12};

	iommu = open("/dev/iommu", O_RDWR);
	if (iommu < 0 || ioctl(iommu, IOMMU_IOAS_ALLOC, alloc))
		fail("/dev/iommu");
	ioas = alloc[2];
	if (cuts) {
		set[1] = ioas;
		set[2] = 1;
		if (ioctl(iommu, IOMMU_VFIO_IOAS, set) || ioctl(iommu, VFIO_SET_IOMMU, 1))
			fail("VFIO_SET_IOMMU");
	}
	device = open_device(address);
	bind[2] = iommu;
	attach[2] = ioas;
	if (ioctl(device, VFIO_BIND, bind) || ioctl(device, VFIO_ATTACH, attach))
		fail("bind and attach");
}

static void end(void)
{
	close(device);
	close(iommu);
}

static void make_memory(unsigned long bytes)
{
	memory_file = memfd_create("conversions", MFD_CLOEXEC);
	if (memory_file < 0 || ftruncate(memory_file, bytes))
		fail("memfd");
	memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_file, 0);
	if (memory == MAP_FAILED)
		fail("mmap");
	memset(memory, 1, bytes);
}

static double report(const char *program, const char *phase, double since)
{
	double then = now();

	printf("%s %s %.0f %lu %lu\n", program, phase, then - since, maps, unmaps);
	fflush(stdout);
	maps = unmaps = 0;
	return now();
}

/* The same sequence as in ConversionPeers.java: different pages, in an order that looks random. */
static unsigned long page_of(unsigned long n, unsigned long pages)
{
	return n * 2654435761ul % pages;
}

static void conversions(const char *program, int cuts, unsigned long bytes)
{
	unsigned long pages = bytes / PAGE;
	double since = now();

	for (unsigned long offset = 0; offset < bytes; offset += PIECE)
		cuts ? map(offset, PIECE) : map_pages(offset, PIECE);
	since = report(program, "share", since);
	for (unsigned long n = 0; n < pages / 100; n++) {
		unsigned long offset = page_of(n, pages) * PAGE;

		cuts ? cut(offset, PAGE) : unmap(offset, PAGE);
		map(offset, PAGE);
	}
	since = report(program, "pages", since);
	for (unsigned long offset = 0; offset < bytes; offset += PIECE)
		cuts ? cut(offset, PIECE) : unmap(offset, PIECE);
	report(program, "private", since);
}

#define BATCH 50ul
#define SAMPLES (100 * BATCH)

static void cut_middle(unsigned long n) { cut((4 * n + 1) * PAGE, PAGE); }
static void cut_edge(unsigned long n) { cut((4 * n + 2) * PAGE, PAGE); }
static void map_page(unsigned long n) { map((4 * n + 1) * PAGE, PAGE); }
static void unmap_page(unsigned long n) { unmap((4 * n + 1) * PAGE, PAGE); }

static int ascending(const void *a, const void *b)
{
	return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

/* Microseconds of a call: median and best of many batches, because the machine has other things to do. */
static void cost(const char *what, void (*call)(unsigned long))
{
	double batch[SAMPLES / BATCH];

	for (unsigned long n = 0; n < SAMPLES; n++) {
		if (n % BATCH == 0)
			batch[n / BATCH] = now();
		call(n);
		if (n % BATCH == BATCH - 1)
			batch[n / BATCH] = (now() - batch[n / BATCH]) / BATCH;
	}
	qsort(batch, SAMPLES / BATCH, sizeof(*batch), ascending);
	printf("costs %s %.2f %.2f\n", what, batch[SAMPLES / BATCH / 2], batch[0]);
	fflush(stdout);
}

static void costs(void)
{
	map(0, 4 * SAMPLES * PAGE);
	cost("cut-middle", cut_middle);
	cost("cut-edge", cut_edge);
	cost("map-page", map_page);
	cost("cut-own-area", cut_middle);
	cost("map-page", map_page);
	cost("unmap-own-area", unmap_page);
}

int main(int argc, char **argv)
{
	unsigned long bytes = argc > 4 ? strtoul(argv[4], 0, 0) << 20 : 0;
	int rounds = argc > 5 ? atoi(argv[5]) : 1;
	int cuts;

	if (argc < 5 || bytes < (128ul << 20)) {
		fprintf(stderr, "usage: conversions page|cut|costs va|file BDF MiB [rounds]\n");
		return 2;
	}
	cuts = strcmp(argv[1], "page") != 0;
	by_file = strcmp(argv[2], "file") == 0;
	make_memory(bytes);
	while (rounds-- > 0) {
		start(argv[3], cuts);
		if (strcmp(argv[1], "costs") == 0)
			costs();
		else
			conversions(argv[1], cuts, bytes);
		end();
	}
	return 0;
}
