"""The Python client of the service (`metaopt serve`), and the models that both speak.

    from metaopt.client import Client
    client = Client("http://127.0.0.1:8700")
    run = client.start(recipe="digits", overrides={"seed": 1})
    for message in client.follow([run.id]):
        print(message.event, message.data)

    models        what is sent                connection    one request, its errors and its retries
    client        one method a request        streams       server-sent events

Importing it imports no JAX.
"""

from metaopt.client.client import Client as Client
from metaopt.client.connection import ServiceError as ServiceError
