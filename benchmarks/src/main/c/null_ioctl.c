// SPDX-License-Identifier: Apache-2.0
// The same loop as NullIoctlBenchmark in C: nanoseconds per ioctl that does next to nothing.
// usage: null_ioctl kvm|eventfd  [seconds per round] [rounds]
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>

#define KVM_CHECK_EXTENSION 0xae03
#define KVM_CAP_USER_MEMORY 3
#define TCGETS 0x5401
#define BATCH 1000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

int main(int argc, char **argv)
{
	int kvm = argc > 1 && strcmp(argv[1], "kvm") == 0;
	double seconds = argc > 2 ? atof(argv[2]) : 1;
	int rounds = argc > 3 ? atoi(argv[3]) : 5;
	int fd = kvm ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : eventfd(0, EFD_CLOEXEC);
	char argument[64] = {0};

	if (fd < 0) {
		perror(kvm ? "/dev/kvm" : "eventfd");
		return 1;
	}
	for (int round = 0; round < rounds; round++) {
		double start = now(), end;
		long calls = 0;

		do {
			for (int i = 0; i < BATCH; i++) {
				int answer = kvm ? ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY)
						 : ioctl(fd, TCGETS, argument);

				if (kvm ? answer <= 0 : answer != -1 || errno != ENOTTY) {
					fprintf(stderr, "ioctl answers %d\n", answer);
					return 1;
				}
			}
			calls += BATCH;
			end = now();
		} while (end - start < seconds * 1e9);
		printf("%.1f\n", (end - start) / calls);
	}
	return 0;
}
