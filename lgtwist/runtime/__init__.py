"""What every room needs of the process: turns of the reactor, tasks, log lines."""
