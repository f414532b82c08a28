"""The web console: its pages, its interface ``/console/api/``, and its event stream (docs/console-api.md)."""
