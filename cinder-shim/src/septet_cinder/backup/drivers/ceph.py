"""The path that `backup_driver` in cinder.conf names, for volumes of every kind.

Cinder's RBD volume driver checks this path. Only if it contains `backup.drivers.ceph`, the backup driver gets a
volume in use itself and takes the snapshot. Otherwise Cinder first clones the volume into a temporary one. Cinder
stores the path in each backup's record, so it must never change.
"""

from septet_cinder.driver import SeptetBackupDriver

__all__ = ["SeptetBackupDriver"]
