"""How a method is kept from what it is scored on: `mechanisms` chooses, `launch` starts a worker.

Levels (recorded in every result): L0 in process, L1 a process apart, L2 bubblewrap with seccomp
and limits, L3 gradient oracle, L4 micro-VM. There are three mechanisms, of which the strongest that
works is taken:

    bubblewrap   L2  own user, process, mount, network, IPC and host-name namespaces
    landlock     L1  file access and TCP restricted by the kernel (Landlock ABI 4), seccomp, limits
    subprocess   L1  survives a crash, limits watched, no security; only with --allow-weaker

In bubblewrap each run has namespaces of its own inside the worker's: its file systems, processes
and IPC are made for it and end with it. What root starts becomes the user `nobody`.

In the sandbox a worker sees the interpreter and its packages, the system's libraries, this
package, and two folders: `/in`, where the supervisor puts the files of one run, and `/out` (or
`/tmp`, see bubblewrap.scratch), a file system in memory for what the run writes. Data sets, labels,
records, the repository, home folders and other workers are not there. Data inside packages are
masked: scikit-learn's data sets, assay.data's texts, and what an installed Assay carries beside its
code. What remains: a method's source can hold data, which assay.detectors looks for.

    bubblewrap   command line of bwrap: what is mounted, what is masked
    namespaces   what one run has for itself inside a worker's sandbox
    privileges   user, capabilities and system calls that a run gives up
    landlock     the same rules for the kernel's Landlock, through ctypes
    seccomp      system calls that are denied
    limits       memory, disk, processes, time of a run
    self_check   what a child sees of its sandbox before it loads a plugin
    handover     what a run left: copied out, then cleared away
"""
