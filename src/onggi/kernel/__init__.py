"""The Linux kernel, one system call to a function; the only package that may say ctypes.

Every function raises OSError with errno and, where there is one, the path. No policy, no logging, no state.

    libc.py          how a system call is declared; numbers for x86-64 and arm64
    namespaces.py    clone, unshare, setns
    mounts.py        mount, pivot_root and the descriptor-based mount calls
    files.py         openat2, close_range, statfs, ioctl-free file calls
    processes.py     prctl, pidfd, prlimit, scheduling, identity, keyrings
    capabilities.py  the five sets
    terminals.py     pseudo-terminals and window sizes
    seccomp.py       seccomp(2)
    signals.py       signalfd
"""
