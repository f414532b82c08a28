"""How tables and values of a configuration file are read."""
