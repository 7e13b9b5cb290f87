//! A disk on which reading one file, and writing to it, takes as long as the test likes.
//!
//! Nobody but the system's administrator can make a disk slow. So this is a small library that is loaded into the program before
//! the C library, and holds its `read(2)`, `write(2)` and `fdatasync(2)`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hold(int fd) {
    const char *file = getenv("SLOW_FILE"), *flag = getenv("SLOW_WHILE");
    char link[64], path[4096];
    if (!file || !flag) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strcmp(path, file) != 0) return;
    while (access(flag, F_OK) == 0) usleep(2000);
}

ssize_t read(int fd, void *bytes, size_t length) {
    static ssize_t (*next)(int, void *, size_t);
    if (!next) next = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    hold(fd);
    return next(fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) next = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    hold(fd);
    return next(fd, bytes, length);
}

int fdatasync(int fd) {
    static int (*next)(int);
    if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    hold(fd);
    return next(fd);
}
"#;

/// The disk under one file.
pub struct SlowDisk {
    library: String,
    file: String,
    flag: PathBuf,
}

impl SlowDisk {
    /// As quick as it is, until it is told to hang.
    pub fn under(file: &Path) -> Self {
        let folder = file.parent().expect("a folder");
        // What the kernel calls the file is its path without symbolic links.
        let real = fs::canonicalize(folder).expect("a folder").join(file.file_name().expect("a name"));
        let (source, library) = (folder.join("slow_disk.c"), folder.join("slow_disk.so"));
        fs::write(&source, SOURCE).expect("a source file");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl").output();
        let built = built.unwrap_or_else(|error| panic!("no C compiler (cc): {error}; install gcc or clang"));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { library: library.display().to_string(), file: real.display().to_string(), flag: folder.join("slow_disk.hangs") }
    }

    /// The variables with which the program is to be started.
    pub fn environment(&self) -> [(&str, &str); 3] {
        [("LD_PRELOAD", &self.library), ("SLOW_FILE", &self.file), ("SLOW_WHILE", self.flag.to_str().expect("a printable path"))]
    }

    /// Whether everything that is read from the file or written to it hangs from now on.
    pub fn hang(&self, hangs: bool) {
        if hangs {
            fs::write(&self.flag, "").expect("a flag");
        } else {
            fs::remove_file(&self.flag).expect("no flag any more");
        }
    }
}
