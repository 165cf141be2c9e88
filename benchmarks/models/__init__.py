"""Models whose gradients are compared, one a file."""

from . import burgers, lstm, lynx_hare, mixture, nbody, shallow_water
from .model import Model

MODELS: dict[str, Model] = {
    module.MODEL.name: module.MODEL for module in (burgers, shallow_water, nbody, mixture, lstm, lynx_hare)
}
