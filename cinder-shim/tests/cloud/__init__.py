"""Real Cinder services with all they need, on this machine and gone without a trace afterwards."""
