"""The journal: what must not be lost, on disk, until every bot has it."""
