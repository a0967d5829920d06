"""`metaopt serve`: the runs in a folder, seen and controlled over HTTP."""
