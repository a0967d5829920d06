"""Lets tensorflow-datasets prepare data where TensorFlow is not installed.

tensorflow-datasets 4.9 reads and writes array_record files without TensorFlow, but its download
code and many of its builders open files with tf.io.gfile and encode images with tf.image. All its
modules share one lazy module object for `tensorflow`; resolving that to a small namespace is
enough, and no other library sees it, because `sys.modules` stays as it is. What builders then write
decodes to the same examples as what TensorFlow would have written.

It relies on private names, so the version is pinned below 4.10.
"""

import contextlib
import functools
import glob
import importlib.util
import io
import math
import os
import sys
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


def adapt(builder: Any) -> None:
    """Replaces what the code of one builder leaves to TensorFlow; `install` comes first."""
    if builder.name in _REPLACED and importlib.util.find_spec("tensorflow") is None:
        name, function = _REPLACED[builder.name]
        setattr(sys.modules[type(builder).__module__], name, function)


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
            v1=types.SimpleNamespace(  # a session that is opened and closed, and runs nothing
                ConfigProto=lambda **fields: None,
                Session=lambda **fields: types.SimpleNamespace(close=lambda: None),
            ),
        ),
        Graph=lambda: types.SimpleNamespace(as_default=contextlib.nullcontext),
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


def _as_small_jpeg(
    fobj: Any,
    session: Any,
    filename: str,
    quality: int | None = None,
    target_pixels: int | None = None,
) -> io.BytesIO:
    """The function of sun397 that decodes and shrinks by OpenCV and TensorFlow, by Pillow."""
    from PIL import Image

    del session, filename
    image = Image.open(io.BytesIO(fobj.read())).convert("RGB")
    factor = math.sqrt((target_pixels or math.inf) / (image.width * image.height))
    if factor < 1:
        size = (round(image.width * factor), round(image.height * factor))
        image = image.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality or 95)  # 95: what OpenCV uses
    buffer.seek(0)
    return buffer


def _load_tif(path: str) -> np.ndarray:
    """The function of colorectal_histology that reads a file which it has closed."""
    from PIL import Image

    return np.asarray(Image.open(path))


_REPLACED = {
    "colorectal_histology": ("_load_tif", _load_tif),
    "sun397": ("_process_image_file", _as_small_jpeg),
}
