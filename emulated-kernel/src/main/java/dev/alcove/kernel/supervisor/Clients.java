// SPDX-License-Identifier: Apache-2.0
package dev.alcove.kernel.supervisor;

import dev.alcove.kernel.fault.FaultInjection;
import dev.alcove.kernel.mm.LockedMemory;
import dev.alcove.kernel.mm.PhysicalMemory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The threads and processes of the program that have made calls. Guarded by the monitor. */
final class Clients {
    private final Host host;
    private final Listener listener;
    private final Placeholders placeholders;
    private final PhysicalMemory memory;
    private final FaultInjection faults;
    private final Filter filter;
    private final ClientFiles files;
    private final ForeignFiles foreign;
    private final Map<Integer, Client> threads = new HashMap<>();
    private final Map<Integer, ClientProcess> processes = new HashMap<>();
    private final Map<Integer, LockedMemory> users = new HashMap<>();
    /** Processes that have called execve since their image was looked at. */
    private final Set<Integer> executing = new HashSet<>();

    Clients(
            Host host,
            Listener listener,
            Placeholders placeholders,
            PhysicalMemory memory,
            FaultInjection faults,
            Filter filter) {
        this.host = host;
        this.listener = listener;
        this.placeholders = placeholders;
        this.memory = memory;
        this.faults = faults;
        this.filter = filter;
        files = new ClientFiles(host, memory);
        foreign = new ForeignFiles(host, memory, files);
    }

    /** The thread of a number that waits for an answer; null when it has gone meanwhile. */
    synchronized @Nullable Client of(int tid) {
        Client known = threads.get(tid);
        if (known != null && known.alive() && !replaced(known.process())) {
            return known;
        }
        if (known != null) {
            threads.remove(tid);
            known.close();
        }
        int directory = host.openAt(Host.AT_FDCWD, "/proc/" + tid, Host.O_PATH);
        ClientProcess process = directory < 0 ? null : process(directory);
        if (process == null) {
            host.close(directory);
            return null;
        }
        Client client = new Client(host, listener, placeholders, process, faults, tid, directory);
        threads.put(tid, client);
        return client;
    }

    /** Whether a process executes another program by now. */
    @SuppressWarnings("ReferenceEquality") // a number is used again; the process behind it is meant
    private boolean replaced(ClientProcess process) {
        if (executing.contains(process.pid())) {
            executing.remove(process.pid());
            if (!process.image().equals(ClientProcess.image(host, process.directory()))) {
                forget(process);
            }
        }
        return !process.equals(processes.get(process.pid()));
    }

    private void forget(ClientProcess process) {
        if (processes.remove(process.pid(), process)) {
            process.memory().exit();
            host.close(process.directory());
        }
    }

    private @Nullable ClientProcess process(int threadDirectory) {
        String status = host.readText(threadDirectory, "status");
        if (status == null) {
            return null;
        }
        int pid = field(status, "Tgid:");
        ClientProcess known = processes.get(pid);
        if (known != null && !replaced(known) && host.identify(known.directory(), "exe") != null) {
            return known;
        }
        if (known != null) {
            forget(known);
        }
        int directory = host.openAt(Host.AT_FDCWD, "/proc/" + pid, Host.O_PATH);
        String image = directory < 0 ? null : ClientProcess.image(host, directory);
        if (image == null) {
            host.close(directory);
            return null;
        }
        LockedMemory locked = users.computeIfAbsent(field(status, "Uid:"), uid -> new LockedMemory());
        ClientProcess process = new ClientProcess(
                pid,
                directory,
                image,
                new ClientMemory(host, memory, placeholders, files, pid, directory),
                locked,
                foreign,
                new ClientProcess.Window(host, filter.windowStart(), filter.windowEnd()));
        processes.put(pid, process);
        return process;
    }

    /** The first number of a line of /proc/PID/status. */
    static int field(String status, String name) {
        int at = status.indexOf("\n" + name);
        int start = at + name.length() + 2;
        int end = start;
        while (at >= 0 && end < status.length() && Character.isDigit(status.charAt(end))) {
            end++;
        }
        return at < 0 || end == start ? -1 : Integer.parseInt(status, start, end, 10);
    }

    /** The process of a number, if it has made calls; null otherwise. */
    synchronized @Nullable ClientProcess process(String pid) {
        return processes.values().stream()
                .filter(process -> pid.equals(Integer.toString(process.pid())))
                .findFirst()
                .orElse(null);
    }

    /** A thread is about to execute another program, perhaps in vain. */
    synchronized void executes(int tid) {
        Client known = threads.get(tid);
        if (known != null) {
            executing.add(known.process().pid());
        }
    }

    /**
     * The thread of a number, for a call that changes its mappings; null when the emulated kernel has no interest in
     * them, which is found out without asking the host for the most part.
     */
    synchronized @Nullable Client whoseMemoryMatters(int tid) {
        boolean none = processes.values().stream().noneMatch(process -> process.memory().matters());
        if (none) {
            return null;
        }
        Client known = threads.get(tid);
        if (known != null && !known.mm().matters() && !executing.contains(known.process().pid())) {
            return null;
        }
        Client client = of(tid);
        return client != null && client.mm().matters() ? client : null;
    }

    /** Forgets threads and processes that have ended. */
    synchronized void sweep() {
        List<Client> ended = new ArrayList<>();
        for (Client client : threads.values()) {
            if (!client.alive()) {
                ended.add(client);
            }
        }
        ended.forEach(client -> {
            threads.remove(client.tid());
            client.close();
        });
        List.copyOf(processes.values()).stream()
                .filter(process -> host.identify(process.directory(), "exe") == null)
                .forEach(this::forget);
    }

    /** Forgets all of them. */
    synchronized void close() {
        threads.values().forEach(Client::close);
        threads.clear();
        List.copyOf(processes.values()).forEach(this::forget);
    }
}
