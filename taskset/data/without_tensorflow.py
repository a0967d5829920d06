"""Lets tensorflow-datasets prepare data where TensorFlow is not installed.

tensorflow-datasets 4.9 reads and writes array_record files without TensorFlow, but its download
code and many of its builders open files with tf.io.gfile and encode images with tf.image. All its
modules share one lazy module object for `tensorflow`; resolving that to a small namespace is
enough, and no other library sees it, because `sys.modules` stays as it is. What builders then write
decodes to the same examples as what TensorFlow would have written.

It relies on private names, so the version is pinned below 4.10.
"""

import functools
import glob
import importlib.util
import io
import os
import types
from typing import Any

import numpy as np


@functools.cache
def install() -> None:
    """Installs the namespace, once per process; does nothing where TensorFlow is installed."""
    if importlib.util.find_spec("tensorflow") is not None:
        return
    from tensorflow_datasets.core.features import image_feature
    from tensorflow_datasets.core.utils import lazy_imports_utils

    lazy_module = lazy_imports_utils.tensorflow
    lazy_module.__dict__["_module"] = _namespace()  # the slot of its cached property
    image_feature._ImageEncoder._encode_image = _encode_image


def _namespace() -> types.SimpleNamespace:
    errors = ("NotFoundError", "PermissionDeniedError", "UnimplementedError", "AbortedError",
              "FailedPreconditionError", "ResourceExhaustedError", "OutOfRangeError",
              "InvalidArgumentError")  # fmt: skip
    return types.SimpleNamespace(
        __name__="tensorflow",
        __version__="2.99.0",
        io=types.SimpleNamespace(gfile=_gfile()),
        errors=types.SimpleNamespace(**{name: type(name, (Exception,), {}) for name in errors}),
        compat=types.SimpleNamespace(
            as_text=lambda text: text.decode() if isinstance(text, bytes) else str(text),
            as_bytes=lambda text: text.encode() if isinstance(text, str) else bytes(text),
        ),
    )


def _gfile() -> types.SimpleNamespace:
    from etils import epath

    return types.SimpleNamespace(
        GFile=lambda path, mode="r": epath.Path(path).open(mode),
        copy=lambda a, b, overwrite=False: epath.Path(a).copy(b, overwrite=overwrite),
        exists=lambda path: epath.Path(path).exists(),
        glob=lambda pattern: sorted(glob.glob(os.fspath(pattern))),
        isdir=lambda path: epath.Path(path).is_dir(),
        listdir=lambda path: [child.name for child in epath.Path(path).iterdir()],
        makedirs=lambda path: epath.Path(path).mkdir(parents=True, exist_ok=True),
        remove=lambda path: epath.Path(path).unlink(),
        rename=lambda a, b, overwrite=False: epath.Path(a).rename(b),
        walk=os.walk,
    )


def _encode_image(self: Any, np_image: np.ndarray) -> bytes:
    """The method of TFDS's image encoder that calls tf.image, by Pillow."""
    from PIL import Image
    from tensorflow_datasets.core.features import image_feature

    image_feature._validate_np_array(np_image, shape=self.shape, dtype=self.np_dtype)
    buffer = io.BytesIO()
    pixels = np_image[..., 0] if np_image.shape[-1] == 1 else np_image
    Image.fromarray(pixels).save(buffer, (self.encoding_format or "png").upper())
    return buffer.getvalue()
