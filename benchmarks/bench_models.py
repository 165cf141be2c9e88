"""asv: gradients of the models as loops over elements, as time and as ratios to the primal and to the adjoint by hand.

The first size of each model; whole arrays, peers and all sizes are in gradients.py.
"""

import time

import ad

from .models import MODELS
from .timing import calls, interleaved


class Gradients:
    params = list(MODELS)
    param_names = ["model"]
    timeout = 300

    def setup(self, name):
        model = MODELS[name]
        self.arguments = model.arguments(*next(iter(model.sizes.values())))
        self.functions = {
            "primal": model.by_element,
            "by hand": next(iter(model.by_hand.values()))(*self.arguments),
            "gradient": ad.grad(model.by_element, wrt=tuple(model.wrt)),
        }
        for use in self.functions.values():
            use(*self.arguments)

    def ratio(self, base):
        """Of processor time, as all three have one thread: other work on the machine counts less."""
        candidates = {
            name: calls(self.functions[name], *self.arguments, number=5, clock=time.process_time)
            for name in (base, "gradient")
        }
        medians = interleaved(candidates, rounds=11)
        return medians["gradient"] / medians[base]

    def time_gradient(self, name):
        self.functions["gradient"](*self.arguments)

    def track_gradient_over_primal(self, name):
        return self.ratio("primal")

    track_gradient_over_primal.unit = "x primal"

    def track_gradient_over_by_hand(self, name):
        return self.ratio("by hand")

    track_gradient_over_by_hand.unit = "x by hand"
