// SPDX-License-Identifier: Apache-2.0
// Files of the emulated kernel's own trees: found, listed, read and written in all the ways there are.
#define _GNU_SOURCE
#include "client.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define TREE "/sys/kernel/alcove"

static void knobs(void) {
    char text[64] = "";
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%ld/knob", syscall(SYS_gettid));
    int knob = open(path, O_RDWR | O_CLOEXEC);
    CHECK(knob >= 0);
    CHECK(pread(knob, text, sizeof text, 0) > 0 && strncmp(text, "0\n", 2) == 0);
    CHECK(pwrite(knob, "17", 2, 0) == 2);
    CHECK(pwrite(knob, "x", 1, 0) < 0 && errno == EINVAL);
    memset(text, 0, sizeof text);
    CHECK(pread(knob, text, sizeof text, 0) == 3 && strcmp(text, "17\n") == 0);
    CHECK(close(knob) == 0);
    CHECK(open("/proc/self/task/1/knob", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(access(path, R_OK | W_OK) == 0);
}

static void *other(void *argument) {
    knobs();
    return argument;
}

static void tree(void) {
    char text[PATH_MAX] = "";
    struct stat stat_;
    int seen = 0;
    DIR *directory = opendir(TREE);
    CHECK(directory != NULL);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        seen += !strcmp(entry->d_name, "value") || !strcmp(entry->d_name, "link") || !strcmp(entry->d_name, "deep");
    CHECK(seen == 3);
    int value = openat(dirfd(directory), "deep/../value", O_RDONLY | O_CLOEXEC);
    CHECK(value >= 0);
    CHECK(read(value, text, sizeof text) == 6 && !strcmp(text, "value\n"));
    CHECK(read(value, text, sizeof text) == 0);
    CHECK(fstat(value, &stat_) == 0 && S_ISREG(stat_.st_mode) && (stat_.st_mode & 0777) == 0444);
    // A shell's redirection: the number is outside of the window.
    CHECK(dup2(value, 100) == 100 && lseek(100, 0, SEEK_SET) == 0);
    CHECK(read(100, text, sizeof text) == 6 && !memcmp(text, "value\n", 6));
    CHECK(fstatat(dirfd(directory), "deep", &stat_, 0) == 0 && S_ISDIR(stat_.st_mode));
    CHECK(closedir(directory) == 0);
    CHECK(open(TREE "/value", O_WRONLY) < 0 && errno == EACCES);
    CHECK(open(TREE "/nothing", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(open(TREE "/value/deeper", O_RDONLY) < 0 && errno == ENOTDIR);
    CHECK(stat(TREE "/link", &stat_) == 0 && S_ISREG(stat_.st_mode));
    CHECK(lstat(TREE "/link", &stat_) == 0 && S_ISLNK(stat_.st_mode));
    CHECK(readlink(TREE "/link", text, sizeof text) == 10 && !memcmp(text, "deep/value", 10));
    CHECK(realpath(TREE "/deep/../link", text) != NULL && !strcmp(text, TREE "/deep/value"));
    CHECK(access(TREE "/value", R_OK) == 0);
    CHECK(access(TREE "/nothing", F_OK) < 0 && errno == ENOENT);
    FILE *file = fopen(TREE "/link", "r");
    CHECK(file != NULL && fgets(text, sizeof text, file) && !strcmp(text, "deeper\n"));
    fclose(file);
    int written = open(TREE "/deep/written", O_WRONLY | O_TRUNC);
    CHECK(written >= 0 && write(written, "42", 2) == 2 && close(written) == 0);
    struct statx extended;
    CHECK(statx(AT_FDCWD, TREE "/deep/written", 0, STATX_BASIC_STATS, &extended) == 0 && S_ISREG(extended.stx_mode));
}

int main(void) {
    pthread_t thread;
    knobs();
    CHECK(pthread_create(&thread, NULL, other, NULL) == 0 && pthread_join(thread, NULL) == 0);
    tree();
    CHECK(access("/etc", F_OK) == 0);
    return 0;
}
