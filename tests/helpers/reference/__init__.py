"""Derivatives that share nothing with `ad`: the undecorated Python function run on dual numbers, and differences."""

from reference.compare import SINGLE, agree, assert_near
from reference.differences import difference_gradient
from reference.leaves import active, fresh
from reference.run import dual_gradient

__all__ = ["SINGLE", "active", "agree", "assert_near", "difference_gradient", "dual_gradient", "fresh"]
