"""The edge toward implementations: one module for each way of reaching one."""
