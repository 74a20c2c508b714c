// SPDX-License-Identifier: Apache-2.0
// A device that was closed is free for the next owner, at once and every time, whatever another thread does meanwhile:
// what close(2) frees is free when it returns.
#include "client.h"
#include <pthread.h>

struct bind { uint32_t argsz, flags; int32_t iommufd; uint32_t out; };
#define BIND 0x3b76

static volatile int over;

static void *others(void *nothing)
{
    while (!over)
        CHECK(close(open_iommufd()) == 0);
    return nothing;
}

int main(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, others, NULL) == 0);
    for (int i = 0; i < 3000; i++) {
        struct bind bind = {.argsz = sizeof bind, .iommufd = open_iommufd()};
        int device = open("/dev/vfio/devices/vfio0", O_RDWR);
        CHECK(device >= 0);
        CHECK(ioctl(device, BIND, &bind) == 0);
        CHECK(close(device) == 0 && close(bind.iommufd) == 0);
    }
    over = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
