"""The numerical side of derivatives of whole-array functions: what generated code calls.

    known        what the fusing of expressions knows about them
    compiled     how a helper reaches compiled code
    axes         any axis of any array as the middle axis of a 3-d one
    accumulate   add_to: what was broadcast forward is summed backward
    indexing     index arrays and masks
    reductions   sums, products, means, extremes, variances
    scans        running sums and products, differences
    moves        transpose, reshape, roll, flip, repeat, the parts of what was joined
    choices      clip, where, sort
    creation     full, linspace, arange
    linear       products of vectors and matrices, diagonals
    linalg       norms, inverses, systems of equations, determinants

A module lists its helpers and says which one is the rule of which function and argument.  `g` is the adjoint of a
result, `ans` the result.  A rule returns a contribution that broadcasts against the argument: `add_to` adds it up, or
`total` where the argument is a scalar.  Adjoints of complex numbers are not conjugated: dL = Re(sum(xb * dx)), so that
a holomorphic function has the same rule as a real one.
"""
