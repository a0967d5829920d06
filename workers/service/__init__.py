"""`metaopt serve`: an HTTP service over a folder of runs, and its page.

    requests        server -> observed -> security -> app -> reads, stream, operations
                    backend: what these have to do with; problems: how they refuse
    what is there   files -> store -> ingest, the one thread that reads the run folders:
                    tail -> records -> history (curves), states (looks, liveness), summary
    what is known   fleet of known runs; hub: what changes, for streams; ranges: exact stretches;
                    index: the same on disk, which can be deleted; audit: who asked for what
    what is done    changes, offers -> control -> launches, then launcher: processes or ray_jobs
                    children: commands that have to end, as plans and archives (of exports)
    what needs JAX  questions -> desk, a process of its own: recipes, resolution -> overrides
                    (with field_help), explorer -> thumbnails

The models of what is sent are in `metaopt.client.models`.
"""
