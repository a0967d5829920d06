"""The Python client of the service (`metaopt serve`), and the models that both speak.

from metaopt.client import Client
runs = Client("http://127.0.0.1:8700").runs()
"""
