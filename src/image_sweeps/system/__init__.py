"""Access to the operating system: files, locks, signals, processes and the console. Nothing in it trains."""
