"""Derivatives that share nothing with `ad`: the undecorated Python function run on dual numbers, and differences."""

from reference.compare import agree, assert_near
from reference.differences import difference_gradient
from reference.leaves import active
from reference.run import dual_gradient

__all__ = ["active", "agree", "assert_near", "difference_gradient", "dual_gradient"]
