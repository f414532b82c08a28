"""What every room needs of the process: when to write, tasks, log lines."""
