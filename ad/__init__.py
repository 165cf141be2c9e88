"""Reverse-mode automatic differentiation of numerical Python, by transforming source.

`grad` reads the source of a function, generates its adjoint as readable Python and compiles it with Numba; what the
reverse sweep needs of the forward sweep goes on a `tape`.
"""

from ad import checkpoint
from ad.checkpoint import checkpointed_sweep
from ad.checkpointed import checkpointed
from ad.custom import custom_vjp, stop_gradient
from ad.errors import ADError, ADTypeError, ADValueError, NotFiniteWarning, UnsupportedSyntax
from ad.options import options
from ad.rerun import remat
from ad.rules import defvjp
from ad.testing import check_grads
from ad.transforms import Gradient, grad, value_and_grad

__all__ = [
    "ADError",
    "ADTypeError",
    "ADValueError",
    "Gradient",
    "NotFiniteWarning",
    "UnsupportedSyntax",
    "check_grads",
    "checkpoint",
    "checkpointed",
    "checkpointed_sweep",
    "custom_vjp",
    "defvjp",
    "grad",
    "options",
    "remat",
    "stop_gradient",
    "value_and_grad",
]
