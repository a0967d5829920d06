"""The sub-commands of `metaopt`: frozen dataclasses, whose `run` returns an exit status."""
