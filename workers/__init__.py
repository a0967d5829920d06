"""Where estimates run, and the `metaopt` command. The only package that knows Ray.

    learner ──Weights──► Pool ──► Worker.compute ──► GradientEstimator.estimate
            ◄─WorkerResult─┘

    worker.py        one estimator, its state, its compiled program
    wire.py          a message as one float32 vector
    host.py          a worker in a process of its own
    transport.py     how calls reach such workers: Processes in local.py, RayActors in ray_pool.py
    pool.py          what pools are;   remote_pool.py dispatches, and replaces what dies
    local.py         InProcessPool, ProcessPool
    ray_pool.py      RayPool;   ray_cluster.py starts Ray, before JAX is imported
    farm.py          pieces of work that do not depend on each other, by the same transports
    suite_run.py     such pieces: the units of an evaluation over a suite
    environment.py   threads, devices and compilation cache of a worker
    jobs.py          runs as jobs of a cluster elsewhere;   parcel.py packs what they take there
    checkup.py       what a machine needs to train

Nothing is imported here: Ray has to start, and a worker's environment to be set, before JAX is
imported.
"""
