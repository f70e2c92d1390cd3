"""Ray: options, the process that talks to it, the engine that talks to that, and what happens on a node."""
