"""What is asked of the operating system: files, locks, signals, processes, the console. Nothing of it trains."""
