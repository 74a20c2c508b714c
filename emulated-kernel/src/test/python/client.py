# SPDX-License-Identifier: Apache-2.0
"""A client in another language: an IOAS, and a virtual machine that prints a word."""
import ctypes
import fcntl
import mmap
import os
import struct


def address(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def call(fd, request, layout, *values):
    """An ioctl with a struct; what it says afterwards."""
    argument = bytearray(struct.pack(layout, *values))
    fcntl.ioctl(fd, request, argument)
    return struct.unpack(layout, argument)


iommufd = os.open("/dev/iommu", os.O_RDWR)
ioas = call(iommufd, 0x3B81, "<III", 12, 0, 0)[2]
buffer = mmap.mmap(-1, 1 << 20)
iova = call(iommufd, 0x3B85, "<IIIIQQQ", 40, 6, ioas, 0, address(buffer), 1 << 20, 0)[6]
assert call(iommufd, 0x3B86, "<IIQQ", 24, ioas, iova, 1 << 20)[3] == 1 << 20
try:
    call(iommufd, 0x3B85, "<IIIIQQQ", 40, 6, 4711, 0, address(buffer), 1 << 20, 0)
    raise AssertionError("an IOAS that does not exist")
except FileNotFoundError:
    pass

kvm = os.open("/dev/kvm", os.O_RDWR)
assert fcntl.ioctl(kvm, 0xAE00, 0) == 12
vm = fcntl.ioctl(kvm, 0xAE01, 0)
vcpu = fcntl.ioctl(vm, 0xAE41, 0)
run = mmap.mmap(vcpu, fcntl.ioctl(kvm, 0xAE04, 0))

ram = mmap.mmap(-1, 4096)
code = b"\xba\xf8\x03\xbe\x40\x10\xfc\xac\x84\xc0\x74\x03\xee\xeb\xf8\xf4"  # out of 0x1040 until a zero; hlt
ram[0 : len(code)] = code
ram[0x40:0x46] = b"hello\0"
fcntl.ioctl(vm, 0x4020AE46, struct.pack("<IIQQQ", 0, 0, 0x1000, 4096, address(ram)))
sregs = bytearray(312)
fcntl.ioctl(vcpu, 0x8138AE83, sregs)
struct.pack_into("<QIH", sregs, 0, 0, 0xFFFF, 0)
fcntl.ioctl(vcpu, 0x4138AE84, bytes(sregs))
fcntl.ioctl(vcpu, 0x4090AE82, struct.pack("<18Q", *([0] * 16), 0x1000, 2))

said = b""
while True:
    fcntl.ioctl(vcpu, 0xAE80, 0)
    reason = struct.unpack_from("<I", run, 8)[0]
    if reason != 2:
        break
    offset = struct.unpack_from("<Q", run, 40)[0]
    said += run[offset : offset + 1]
assert reason == 5, reason
assert said == b"hello", said
print(said.decode())
