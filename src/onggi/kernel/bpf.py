"""bpf(2) for one purpose: programs that decide which devices a v2 cgroup may use. Also the watch on its
files.

Source: bpf(2); linux/bpf.h, union bpf_attr; inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import os

from onggi.kernel.libc import encode, error, syscall

_PROG_LOAD = 5
_PROG_ATTACH = 8
_PROG_DETACH = 9
_PROG_GET_FD_BY_ID = 13
_PROG_QUERY = 16
_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_FLAG_ALLOW_MULTI = 2
_MAX_ATTACHED = 64

_bpf = syscall("bpf", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


class _Load(ctypes.Structure):
    _fields_ = [
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    ]


class _Attach(ctypes.Structure):
    _fields_ = [
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    ]


class _Query(ctypes.Structure):
    _fields_ = [
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
    ]


def _call(command: int, attributes: ctypes.Structure) -> int:
    return _bpf(command, ctypes.addressof(attributes), ctypes.sizeof(attributes))


def load_device_filter(program: bytes) -> int:
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program (array of struct bpf_insn); a descriptor, close-on-exec.

    Raises OSError: EPERM without CAP_BPF, EINVAL or EACCES where the verifier refuses it.
    """
    code = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(b"Apache")
    load = _Load(_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code), ctypes.addressof(license_))
    return _call(_PROG_LOAD, load)


def attach_device_filter(directory: str, program: bytes) -> None:
    """Let a program decide about the devices of a v2 cgroup, together with those that are attached
    already.
    """
    program_fd = load_device_filter(program)
    try:
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _call(_PROG_ATTACH, _Attach(directory_fd, program_fd, _ATTACH_CGROUP_DEVICE, _FLAG_ALLOW_MULTI))
        finally:
            os.close(directory_fd)
    except OSError as failure:
        raise OSError(failure.errno, failure.strerror, directory) from None
    finally:
        os.close(program_fd)


def replace_device_filter(directory: str, program: bytes) -> None:
    """Attach a new program, then take the old ones away: at no moment is everything allowed."""
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old = attached_device_filters(directory_fd)
        attach_device_filter(directory, program)
        for number in old:
            _detach(directory_fd, number)
    finally:
        os.close(directory_fd)


def attached_device_filters(directory_fd: int) -> list[int]:
    """Ids of the device programs attached to this very cgroup."""
    ids = (ctypes.c_uint32 * _MAX_ATTACHED)()
    query = _Query(directory_fd, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), _MAX_ATTACHED)
    _call(_PROG_QUERY, query)
    return list(ids[: query.prog_cnt])


def _detach(directory_fd: int, number: int) -> None:
    identity = _Attach(number)  # prog_id is the first word
    program_fd = _call(_PROG_GET_FD_BY_ID, identity)
    try:
        _call(_PROG_DETACH, _Attach(directory_fd, program_fd, _ATTACH_CGROUP_DEVICE, 0))
    except OSError as failure:
        if failure.errno != errno.ENOENT:
            raise  # ENOENT: someone else detached it
    finally:
        os.close(program_fd)


_libc = ctypes.CDLL(None, use_errno=True)
_IN_MODIFY = 0x2


def watch_modified(path: str) -> int:
    """An inotify descriptor, non-blocking, that is readable when `path` was modified: v2's *.events files."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise error("inotify_init1")
    if _libc.inotify_add_watch(fd, encode(path), _IN_MODIFY) < 0:
        failure = error(path)
        os.close(fd)
        raise failure
    return fd
