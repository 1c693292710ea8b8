"""Become another program that dies with whoever started it.

Run as a script by `services.runtime.process`, with the standard library alone, so that it
costs a few milliseconds: `launch.py PARENT_PID SIGNAL ACCOUNT -- program arguments`. It asks the
kernel for `SIGNAL` when the parent's thread ends (prctl(2), PR_SET_PDEATHSIG), leaves root
for ACCOUNT (`-` to stay) and executes the program under the same process id.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def leave_root(account: str) -> None:
    """Become `account`, keeping on Linux only the right to pass through closed folders.

    The checkout or the data often stands in a folder only root may enter. Opening it to
    everybody would be worse than one capability.
    """
    import pwd

    entry = pwd.getpwnam(account)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if libc is not None:
        bit = 1 << CAP_DAC_OVERRIDE
        header = _Header(CAPABILITY_VERSION_3, 0)
        data = (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))
        if libc.capset(ctypes.byref(header), ctypes.byref(data)) == 0:
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def die_with_parent(parent: int, signal_number: int) -> None:
    """Ask for a signal at the parent's end; leaves at once if it is gone already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def main(arguments: list[str]) -> None:
    """Do what the module says; returns only by replacing the process or by an error."""
    parent, signal_number, account, _, *command = arguments
    if account != "-":
        leave_root(account)
    # After the change of user: the kernel forgets the wish at one.
    die_with_parent(int(parent), int(signal_number))
    os.execv(command[0], command)  # noqa: S606  (the command is ours, no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
