// SPDX-License-Identifier: Apache-2.0
package dev.alcove.sys;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jnr.posix.CmsgHdr;
import jnr.posix.MsgHdr;
import jnr.posix.POSIX;
import jnr.posix.POSIXFactory;
import jnr.posix.RLimit;

/**
 * The parts of POSIX that jnr-posix is good at: limits, ids, passing of file descriptors, error texts. They concern the
 * host's process, whatever kernel is behind {@link Syscalls}. The first instance loads the library, about 100 ms: make
 * one where it is needed, not at start-up.
 */
public final class PosixProcess {
    private static final int AF_UNIX = 1;
    private static final int SOCK_STREAM = 1;
    private static final int SOCK_CLOEXEC = 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_CMSG_CLOEXEC = 0x40000000;
    private static final byte PAYLOAD = 'F';

    private final POSIX posix = POSIXFactory.getNativePOSIX();

    /**
     * A resource limit; {@link Linux#RLIM_INFINITY} stands for none.
     *
     * @param soft what holds now
     * @param hard how far an ordinary process may raise it
     */
    public record Limit(long soft, long hard) {}

    /**
     * getrlimit(2).
     *
     * @param resource such as {@link Linux#RLIMIT_MEMLOCK}
     */
    public Limit limit(int resource) {
        RLimit limit = posix.getrlimit(resource);
        return new Limit(limit.rlimCur(), limit.rlimMax());
    }

    /** setrlimit(2); EPERM to raise the hard limit without CAP_SYS_RESOURCE, EINVAL soft above hard. */
    public void setLimit(int resource, Limit limit) {
        if (posix.setrlimit(resource, limit.soft, limit.hard) != 0) {
            throw new SyscallException("setrlimit", "resource " + resource + " to " + limit, posix.errno());
        }
    }

    /** getuid(2): the real user. */
    public int uid() {
        return posix.getuid();
    }

    /** geteuid(2): the user whose rights count. */
    public int euid() {
        return posix.geteuid();
    }

    /** getgid(2): the real group. */
    public int gid() {
        return posix.getgid();
    }

    /** getegid(2): the group whose rights count. */
    public int egid() {
        return posix.getegid();
    }

    /** strerror(3) of a positive errno. */
    public String strerror(int errno) {
        return posix.strerror(errno);
    }

    /** socketpair(2) of connected unix stream sockets, close-on-exec: two descriptors, which the caller closes. */
    public int[] socketpair() {
        int[] fds = new int[2];
        if (posix.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
            throw new SyscallException("socketpair", "", posix.errno());
        }
        return fds;
    }

    /**
     * Sends an open file through a unix socket (sendmsg(2) with SCM_RIGHTS). The sender's descriptor stays open.
     *
     * @param socket a unix socket
     * @param fd the file
     */
    public void sendFd(int socket, int fd) {
        MsgHdr message = message(PAYLOAD);
        CmsgHdr control = message.allocateControl(Integer.BYTES);
        control.setLevel(SOL_SOCKET);
        control.setType(SCM_RIGHTS);
        ByteBuffer data = ByteBuffer.allocateDirect(Integer.BYTES).order(ByteOrder.nativeOrder());
        data.putInt(0, fd);
        control.setData(data);
        if (posix.sendmsg(socket, message, 0) < 0) {
            throw new SyscallException("sendmsg", "descriptor " + fd + " on socket " + socket, posix.errno());
        }
    }

    /**
     * Receives an open file from a unix socket (recvmsg(2) with SCM_RIGHTS); waits for it.
     *
     * @return a new descriptor, close-on-exec, which the caller closes
     * @throws BadInputException the peer closed the socket or sent something else
     */
    public int receiveFd(int socket) {
        MsgHdr message = message((byte) 0);
        message.allocateControl(Integer.BYTES);
        int length = posix.recvmsg(socket, message, MSG_CMSG_CLOEXEC);
        if (length < 0) {
            throw new SyscallException("recvmsg", "socket " + socket, posix.errno());
        }
        if (length > 0 && message.getControlLen() > 0) {
            CmsgHdr control = message.getControls()[0];
            if (control.getLevel() == SOL_SOCKET && control.getType() == SCM_RIGHTS) {
                return control.getData().order(ByteOrder.nativeOrder()).getInt(0);
            }
        }
        throw new BadInputException("socket " + socket + " brought no file descriptor");
    }

    /** A message needs a byte of its own: a stream carries no control data without. */
    private MsgHdr message(byte payload) {
        ByteBuffer data = ByteBuffer.allocateDirect(1);
        data.put(0, payload);
        MsgHdr message = posix.allocateMsgHdr();
        message.setIov(new ByteBuffer[] {data});
        return message;
    }
}
