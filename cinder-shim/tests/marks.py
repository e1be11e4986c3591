"""Marks for the tests."""

import pytest

# For tests that run both with block devices and with Ceph images.
on_both = pytest.mark.parametrize("cloud", ["home", "away"], indirect=True)
