// SPDX-License-Identifier: Apache-2.0
// A file lives as long as a descriptor of it, in whatever process: dup, fork, exec, SCM_RIGHTS, sudden death.
#include "client.h"

static void send_fd(int socket, int fd)
{
    char control[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK(sendmsg(socket, &message, 0) == 1);
}

static int receive_fd(int socket)
{
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK(recvmsg(socket, &message, 0) == 1);
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void succeeds(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        new_ioas(atoi(arguments[1])); // executed, with a descriptor passed on
        return 0;
    }
    int fd = open_iommufd();
    struct stat own, other;
    CHECK(fstat(fd, &own) == 0);

    int copy = dup(fd);
    CHECK(close(fd) == 0);
    uint32_t ioas = new_ioas(copy);
    CHECK(fcntl(copy, F_SETFD, 0) == 0);
    CHECK(dup2(copy, fd) == fd && close(copy) == 0);

    // A child shares the objects; so does a program that it executes.
    struct destroy destroy = {.size = sizeof destroy, .id = ioas};
    pid_t child = fork();
    if (child == 0)
        _exit(ioctl(fd, DESTROY, &destroy) != 0);
    succeeds(child);
    FAILS(ioctl(fd, DESTROY, &destroy), ENOENT);
    child = fork();
    if (child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        execl("/proc/self/exe", "lifetime", number, (char *)NULL);
        _exit(1);
    }
    succeeds(child);

    // A descriptor in a message, whose sender is gone.
    int sockets[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    child = fork();
    if (child == 0) {
        int mine = open_iommufd();
        uint32_t id = new_ioas(mine);
        CHECK(write(sockets[1], &id, sizeof id) == sizeof id);
        send_fd(sockets[1], mine);
        _exit(0);
    }
    CHECK(read(sockets[0], &destroy.id, sizeof destroy.id) == sizeof destroy.id);
    succeeds(child);
    int received = receive_fd(sockets[0]);
    CHECK(ioctl(received, DESTROY, &destroy) == 0);
    CHECK(close(received) == 0);

    // Many children with the same files, some of which die on the way.
    pid_t children[200];
    for (int i = 0; i < 200; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            destroy.id = new_ioas(fd);
            if (i % 4 == 0)
                raise(SIGKILL);
            if (i % 4 == 1)
                open_iommufd();
            _exit(ioctl(fd, DESTROY, &destroy) != 0);
        }
    }
    for (int i = 0; i < 200; i++) {
        int status;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK(i % 4 == 0 ? WIFSIGNALED(status) : status == 0);
    }

    // A fresh file is another one.
    int second = open_iommufd();
    CHECK(fstat(second, &other) == 0);
    destroy.id = new_ioas(fd);
    FAILS(ioctl(second, DESTROY, &destroy), ENOENT);
    CHECK(own.st_mode == other.st_mode);
    return 0;
}
