"""The Ray launcher: its options, the driver process, the engine that controls it, and the worker on a node."""
