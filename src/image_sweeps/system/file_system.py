"""The kind of file system that a folder is on."""

from pathlib import Path

import psutil

OF_NETWORKS = frozenset(
    (
        *("afs", "beegfs", "ceph", "cifs", "coda", "fhgfs", "glusterfs", "gpfs", "lustre", "moosefs", "nfs", "nfs3"),
        *("nfs4", "orangefs", "panfs", "pvfs2", "s3fs", "smb2", "smb3", "smbfs", "sshfs", "webdav", "wekafs"),
    )
)
"""The kinds of file systems that several machines can mount at the same time, by their names in mount(8)."""


def network_file_system(path: Path) -> str | None:
    """Return the kind of the network file system that `path` is on, or would be on; None if it is on a disk."""
    real = path.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}  # the last one counts
    kind = next((mounts[folder] for folder in (real, *real.parents) if folder in mounts), "")
    kind = kind.lower().removeprefix("fuse.")
    return kind if kind in OF_NETWORKS else None
