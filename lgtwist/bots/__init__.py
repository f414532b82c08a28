"""The edge toward bots: one module for each way of serving one."""
