"""Vision networks on what a JPEG holds before it becomes pixels."""
