"""An optional manager for cinder-backup: it takes no work before the driver has been checked.

Cinder's own begins the check, and takes up work at once. What comes before the check is over, be it a request or
a deletion that a restart has interrupted, it refuses: the backup ends in error. That hardly shows with drivers
that check nothing. Septet's check, a small backup and restore, takes a second or two, and as long as the storage
is away. With this manager requests wait in their queue meanwhile.
"""

from typing import Any

from cinder.backup import manager


class BackupManager(manager.BackupManager):
    """Cinder's manager, but patient."""

    def setup_backup_backend(self, ctxt: Any) -> None:
        """Comes back when the driver works; what the driver raises keeps the service from starting."""
        self.service(context=ctxt).check_for_setup_error()
        self.is_initialized = True
