"""Which file system a file is on: SQLite needs locks that network file systems don't keep."""

from pathlib import Path

from jobs.errors import ConfigurationError

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of network file system that `path` is on; None if local or not known.

    `mounts` is a table in the format of Linux's `/proc/self/mounts`, by default that one.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
        except OSError:  # not Linux
            return None
    resolved = path.resolve()
    nearest, kind_of_nearest = Path("/"), ""
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        folder = Path(point.replace("\\040", " "))
        # Later lines lie over earlier ones.
        if resolved.is_relative_to(folder) and len(folder.parts) >= len(nearest.parts):
            nearest, kind_of_nearest = folder, kind
    return kind_of_nearest if kind_of_nearest in NETWORK_FILE_SYSTEMS else None


def require_locks(database_url: str) -> None:
    """Return if a database of this SQLAlchemy address is no file, or one whose locks hold.

    Raises:
        ConfigurationError: it is SQLite on a network file system, where two writers destroy it.
    """
    scheme, _, rest = database_url.partition(":///")
    if not scheme.startswith("sqlite"):
        return
    file = Path(rest.partition("?")[0])
    if (kind := network_file_system(file)) is not None:
        raise ConfigurationError(
            f"{file} is on a network file system ({kind}), where SQLite's locks don't hold; "
            "move TIDEMILL_HOME, or use PostgreSQL"
        )
