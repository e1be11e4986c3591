"""The path that `backup_driver` in cinder.conf names, for volumes of every kind.

Cinder's RBD volume driver looks at this very path: only if `backup.drivers.ceph` is in it, a volume in use
is handed over as it is, for the backup driver to take a snapshot of. Otherwise it is cloned into a temporary
volume first. Cinder keeps the path in each backup's record, so it must never change.
"""

from septet_cinder.driver import SeptetBackupDriver

__all__ = ["SeptetBackupDriver"]
