"""The sandbox's HTTP interface: control verbs, transcript and event stream (docs/sandbox.md)."""
