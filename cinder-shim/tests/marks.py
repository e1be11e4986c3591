"""The tests' own marks."""

import pytest

# For what is worth its time with block devices and with images of Ceph.
on_both = pytest.mark.parametrize("cloud", ["home", "away"], indirect=True)
