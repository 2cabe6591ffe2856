"""From samples to batches: crop parameters, readers and loaders."""
