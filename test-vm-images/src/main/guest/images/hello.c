/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"
#include "console.h"

ALCOVE_IMAGE(0, "prints one line");

bool image_main(void)
{
    print("Hello from a test VM\n");
    return true;
}
