"""Real numbers as integers, whose sums are exact and can be undone."""

import dataclasses
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from taskset.errors import InputError

Precision: TypeAlias = Literal["int64", "int32"]


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """How many bits there are, and how many of them lie behind the point."""

    bits: int
    of_params: int
    of_averages: tuple[int, ...]  # squares of gradients, the second of Adam, are small
    of_decays: int  # a decay is a multiple of 2^-of_decays; that many bits of averages are noise

    @property
    def signed(self) -> jnp.dtype:
        return jnp.dtype(f"int{self.bits}")

    @property
    def unsigned(self) -> jnp.dtype:
        return jnp.dtype(f"uint{self.bits}")

    @property
    def word(self) -> jnp.dtype:
        """What bits move to the store in: no smaller than a digit, so that one step spills one."""
        return jnp.dtype(f"uint{self.word_bits}")

    @property
    def word_bits(self) -> int:
        return self.bits // 4

    @property
    def limit(self) -> int:
        """Half of the largest integer: two of these add up without an overflow."""
        return 2 ** (self.bits - 2)

    def encode(self, x: jax.Array, fraction: int) -> jax.Array:
        """`x` in units of 2^-fraction, to the nearest; what is too large is cut at the limit."""
        wide = jnp.float64 if self.bits == 64 else jnp.float32
        scaled = jnp.round(x.astype(wide) * 2.0**fraction)
        bounded = jnp.clip(jnp.nan_to_num(scaled), -self.limit, self.limit)
        return bounded.astype(self.signed)

    def decode(self, x: jax.Array, fraction: int, dtype: jnp.dtype) -> jax.Array:
        wide = jnp.float64 if self.bits == 64 else jnp.float32
        return (x.astype(wide) * 2.0**-fraction).astype(dtype)

    def fits(self, x: jax.Array) -> jax.Array:
        """Whether all of `x` are within the limit, [] bool."""
        return jnp.all(jnp.abs(x) < self.limit)

    def round_decay(self, decay: jax.Array | float) -> jax.Array:
        """The nearest decay that is a multiple of 2^-of_decays, 0 and 1 excluded.

        Its derivative is 1.
        """
        decay = jnp.asarray(decay)
        whole = jnp.clip(jnp.round(decay * 2.0**self.of_decays), 1, 2**self.of_decays - 1)
        rounded = jax.lax.stop_gradient(whole * 2.0**-self.of_decays)
        return rounded + (decay - jax.lax.stop_gradient(decay))

    def check_decays(self, decays: np.ndarray) -> None:
        """Raises `InputError` unless they are between 0 and 1, and not too close to 1."""
        if not np.all((decays > 0) & (decays < 1)):
            raise InputError(
                f"decays are from {decays.min():g} to {decays.max():g}, and only those between 0 "
                "and 1 can be undone; change them, or use FullBackprop"
            )
        unit = 2.0**-self.of_decays
        rounded = np.clip(np.round(decays / unit), 1, 1 / unit - 1) * unit
        if np.max(np.abs(rounded - decays) / (1 - decays)) > 0.1:
            raise InputError(
                f"a decay is {decays.max():g}, and decays are multiples of 1/{1 / unit:g} here; "
                "use precision 'int64', or decays further from 1"
            )


FORMATS: dict[Precision, FixedPoint] = {
    "int64": FixedPoint(bits=64, of_params=44, of_averages=(44, 52), of_decays=16),
    "int32": FixedPoint(bits=32, of_params=26, of_averages=(28, 28), of_decays=8),
}
