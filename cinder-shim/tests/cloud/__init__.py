"""Real Cinder services and the servers they need, on this machine. Everything is removed afterwards."""
