"""An optional manager for cinder-backup: it accepts no work before the driver has been checked.

Cinder's own manager starts the check and accepts work at once. Until the check has ended it refuses every request,
and every deletion that a restart interrupted: the backup ends in error. This is hardly noticeable with drivers that
check nothing. Septet's check, a small backup and restore, takes a second or two, or as long as the storage is
unavailable. With this manager requests wait in their queue meanwhile.
"""

from typing import Any

from cinder.backup import manager


class BackupManager(manager.BackupManager):
    """Cinder's manager, but it waits for the driver's check."""

    def setup_backup_backend(self, ctxt: Any) -> None:
        """Returns when the driver works. If the driver raises, the service does not start."""
        self.service(context=ctxt).check_for_setup_error()
        self.is_initialized = True
