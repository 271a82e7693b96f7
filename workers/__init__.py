"""What executes: the runtime of a worker process, the gate, the protocols, the sweep."""
