"""Seccomp: the OCI profile language compiled to classic BPF, and Docker's default policy as data.

    compile(profile, arch=None) -> Filter          one program for all architectures of the profile
    default_profile(caps, arch, kernel_version)    the policy of a container with these capabilities

Not here: installing a filter (spawn/), choosing a profile for a container (engine/).
"""

from __future__ import annotations

from onggi.runtime.seccomp.compiler import Filter, compile
from onggi.runtime.seccomp.default import default_profile
from onggi.runtime.seccomp.words import machine_arch

__all__ = ["Filter", "compile", "default_profile", "machine_arch"]
