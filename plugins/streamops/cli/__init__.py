"""The `streamops` command: one verb a module, registered by `main`."""
