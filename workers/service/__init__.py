"""`metaopt serve`: an HTTP service over a folder of runs, and its page.

    settings      what it was told        server     uvicorn around it
    app           all parts together      backend    what requests have to do with
    security      who may ask             problems   every refusal as application/problem+json
    store         the run folders: the truth, and where alone paths are made
    reads         requests that change nothing

The models of what is sent are in `metaopt.client.models`. Nothing here imports JAX.
"""
