"""A Cinder backup driver that hands the work to the septet command line, and decides nothing itself."""
