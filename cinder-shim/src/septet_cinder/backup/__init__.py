"""Nothing but a part of the driver's path: see drivers/ceph.py."""
