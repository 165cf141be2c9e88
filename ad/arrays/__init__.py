"""The numerical side of derivatives of whole-array functions: what generated code calls.

    compiled     how a helper reaches compiled code
    axes         any axis of any array as the middle axis of a 3-d one
    accumulate   add_to: what was broadcast forward is summed backward
    indexing     index arrays and masks
    reductions   sums, products, means, extremes and variances over axes

A module lists its helpers and says which one is the rule of which function and argument.  `g` is the adjoint of a
result, `ans` the result.  A rule returns a contribution that broadcasts against the argument, for `add_to`, or for
`total` where the argument is a scalar.  Rules are holomorphic: for complex numbers nothing is conjugated, so that
dL = Re(sum(xb * dx)).
"""
