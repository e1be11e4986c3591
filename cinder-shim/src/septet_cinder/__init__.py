"""A Cinder backup driver that runs the septet command line and decides nothing itself."""
