"""break, continue and return out of loops, one in the other."""

import math

import numpy as np
from cases import case, values


@case(values(5), 0.5)
@case(values(5), 9.0, name="never")
def break_out_of_for(a, limit):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * a[i]
        if s > limit:
            break
        s *= 1.5
    return s * a[i]


@case(values(6))
def continue_in_for(a):
    s = 1.0
    for i in range(len(a)):
        if a[i] < 0.0:
            continue
        s *= 1.0 + a[i]
        if i == 3:
            s += a[0]
            continue
        s = math.sin(s)
    return s


@case(values(6))
def break_and_continue(a):
    s = 0.3
    for x in a:
        if x > 1.0:
            break
        if x < -0.5:
            s += x
            continue
        s = s * x + 1.0
    return s * s


@case(2.0)
def break_out_of_while(x):
    y, n = x, 0
    while n < 50:
        y = 0.5 * (y + x / y)
        if abs(y * y - x) < 1e-12:
            break
        n += 1
    return y


@case(values(6))
def continue_in_while(a):
    i, s = -1, 0.5
    while i < len(a) - 1:
        i += 1
        if i % 3 == 1:
            continue
        s = s * a[i] + i
    return s


@case(values(6), 0.9, spill=(values(4000), 5.0))
@case(values(6), 5.0, name="to the end")
def return_out_of_for(a, limit):
    s = 1.0
    for i in range(len(a)):
        s = math.sin(s) + a[i] * a[i]
        if s > limit:
            return s * a[i]
    return s


@case(values(3, 4), 1.5)
@case(values(3, 4), 20.0, name="to the end")
@case(values(3, 4), -1.0, name="at once")
def return_out_of_nested(a, limit):
    s = 0.0
    for i in range(3):
        for j in range(4):
            s += a[i, j] ** 2
            if s > limit:
                return s * a[i, j]
        s *= 0.9
    return s


@case(values(3, 4), 0.9)
@case(values(3, 4), 0.1, name="soon")
def break_of_the_inner(a, limit):
    s = 1.0
    for i in range(3):
        t = 0.0
        for j in range(4):
            if a[i, j] > limit:
                break
            t += a[i, j] * s
        s = s + t * t
    return s


@case(values(3, 4), 0.9)
@case(-values(3, 4), 0.9, name="later")
def break_of_both(a, limit):
    s = 1.0
    found = False
    for i in range(3):
        for j in range(4):
            s = s * a[i, j] + 1.0
            if a[i, j] > limit:
                found = True
                break
        if found:
            break
        s = s * 0.5
    return s


@case(values(3, 4))
def continue_of_the_outer(a):
    s = 0.0
    for i in range(3):
        if a[i, 0] < -0.5:
            continue
        for j in range(4):
            if a[i, j] < 0.0:
                continue
            s += a[i, j] * (i + 1)
        s = math.sin(s)
    return s


@case(values(5), 0.9)
@case(values(5), 50.0, name="not found")
def for_else(a, limit):
    s = 1.0
    for x in a:
        s = s + x * x
        if x > limit:
            break
    else:
        s = s * s
    return s


@case(3.0)
@case(30.0, name="broken")
def while_else(x):
    n = 0
    while x > 1.0:
        x = x * 0.5
        n += 1
        if n > 3:
            break
    else:
        x = x * x * x
    return x * n


@case(values(4), values(4, start=2))
@case(values(4), values(4), name="to the end")
def return_out_of_zip(a, b):
    s = 0.2
    for x, y in zip(a, b):
        s += x * y
        if s < -0.5:
            return s * x
        s = math.tanh(s)
    return s * 3.0


@case(values(5))
@case(values(3), name="to the end")
def return_out_of_enumerate(a):
    s = 1.0
    for i, x in enumerate(a):
        s *= 1.0 + x * x
        if i == 3:
            return s
    return -s


@case(0.4, 5)
@case(0.4, 0, name="none")
def return_out_of_while(x, n):
    y = x
    while n > 0:
        y = math.sin(y) + x
        if y > 1.1:
            return y * n
        n -= 1
    return y * 2.0


@case(values(6), 0.75)
@case(values(6), 9.0, name="never", spill=(values(3000), 9.0))
def overwritten_before_break(a, limit):
    u = a.copy()
    s = 0.0
    for i in range(1, len(u)):
        u[i] = u[i] * u[i - 1] + 0.5
        if u[i] > limit:
            u[i] = u[i] ** 2
            break
        s += u[i]
        u[i] = math.sin(u[i])
    return s + u.sum()


@case(values(6))
def overwritten_before_continue(a):
    u = np.zeros(len(a))
    for i in range(len(a)):
        u[i] = a[i] * a[i]
        if a[i] < 0.0:
            u[i] *= 3.0
            continue
        u[i] += a[i - 1]
    return (u * a).sum()


@case(values(6))
@case(values(3), name="to the end")
def overwritten_before_return(a):
    for i in range(len(a)):
        a[i] = a[i] * 2.0 + i
        if a[i] > 5.0:
            a[0] = a[i] * a[i]
            return a[0] * a[1] + a.sum()
    return a.sum()


@case(values(4, 4), 0.35)
@case(values(4, 4), 9.0, name="never")
def three_deep(a, limit):
    s = 0.1
    for i in range(2):
        for j in range(2):
            k = 0
            while k < 4:
                s += a[i + j, k] ** 2 * 0.1
                k += 1
                if s > limit and k == 2:
                    return s * a[i, k]
                if k == 3 and j == 1:
                    break
            if i == 1:
                continue
            s *= 1.1
        s += 0.01 * a[i, i]
    return s


@case(values(5), 3)
def break_at_zero_trips(a, n):
    s = 1.0
    for i in range(n):
        for j in range(i):
            s = s * a[j] + a[i]
            if j >= 1:
                break
        for j in range(0):
            s = 0.0
            break
    return s


@case(values(8))
@case(np.array([0.3, -0.2, 0.4, -0.1, 0.5, -0.3, 0.2, -0.6]), name="to the end")
@case(np.array([0.3, -0.2, 0.4, -0.1, 0.5, -0.3, 0.2, 0.6]), name="last")
def return_from_a_branch_of_a_loop(a):
    s = 0.5
    for i in range(len(a)):
        if a[i] > 0.0:
            s = s * a[i] + 1.0
            if s > 2.2:
                return s * s
            elif i == 7:
                return s
        else:
            s = s - a[i]
            if i == 5:
                continue
            s = s * 0.9
    return s


@case(values(3), 4)
def bisection(a, n):
    low, high = 0.0, 4.0
    for _ in range(60):
        mid = 0.5 * (low + high)
        f = mid**3 + a[0] * mid - 3.0 - a[1]
        if high - low < 1e-3:
            break
        if f > 0.0:
            high = mid
        else:
            low = mid
    # One step of Newton's method makes the result depend on the inputs.
    return mid - (mid**3 + a[0] * mid - 3.0 - a[1]) / (3.0 * mid * mid + a[0])


@case(values(5))
def only_return_is_in_the_loop(a):
    s = 1.0
    i = 0
    while True:
        s = math.cos(s) + a[i]
        i += 1
        if i == len(a):
            return s * s


@case(0.7, 3)
@case(1.5, 3, name="late")
def break_in_the_else_of_an_inner_loop(x, n):
    for j in range(n):
        for i in range(n):
            x = x * 1.1
            if x > 3.0:
                break
        else:
            break
        x = x + 0.1
    else:
        x = x * 3.0
    return x * x


@case(0.7, 3)
@case(0.9, 3, name="late")
def continue_in_the_else_of_an_inner_loop(x, n):
    for j in range(n):
        for i in range(n):
            x = x * 1.1
            if x > 1.0:
                break
        else:
            continue
        x = x + 0.1
    return x * x


@case(0.7, 3)
@case(1.5, 3, name="late")
def loop_that_only_an_else_leaves(x, n):
    while True:
        for i in range(n):
            x = x * 1.1
            if x > 3.0:
                return x * x
        else:
            if x > 1.5:
                break
    return x


@case(0.7, 3)
@case(1.5, 3, name="broken")
def return_in_the_else_of_a_loop(x, n):
    for i in range(n):
        x = x * 1.1
        if x > 2.0:
            break
    else:
        return x * x
    x = x * 3.0
    return x * x * x


@case(0.7, 3)
@case(0.9, 3, name="on")
@case(1.9, 3, name="returned")
def decisions_in_the_else_of_a_loop(x, n):
    for j in range(n):
        for i in range(n):
            x = x * 1.1
            if x > 2.5:
                return x * 7.0
        else:
            if x > 1.3:
                break
            x = x + 0.1
        x = x * 1.3
    else:
        return x * 5.0
    return x * x * x


@case(0.7, 3)
def three_loops_with_else(x, n):
    for k in range(n):
        for j in range(n):
            for i in range(n):
                x = x * 1.1
                if x > 1.0:
                    break
            else:
                continue
            break
        else:
            x = x + 0.3
            continue
        x = x * 0.5
        break
    else:
        x = 7.0 * x
    return x * x


@case(0.7, 3)
@case(1.2, 3, name="late")
def else_of_a_loop_over_a_tuple(x, n):
    for j in range(n):
        for v in (x, 2.0, x * x):
            x = x + 0.1 * v
        else:
            if x > 2.0:
                break
            continue
        x = x * 1.1
    for v in (x, 1.0):
        x = x * v
    else:
        return x * x
    return x


@case(values(6), 1.3)
def else_of_a_loop_continues_the_outer_one(u, x):
    s = 0.0
    for i in range(3):
        j = i
        while j < 5:
            for k in range(j, 6, 2):
                if u[k] > 1.5:
                    break
                u[k] += u[j] * x * 0.1
                s += u[k]
            else:
                j += 1
                continue
            if s > 2.0:
                s *= 0.3
                break
            j += 2
        else:
            u[i] *= 0.5
        x = s * 0.2 + x * 0.5
    return s * x + np.sum(u)


@case(values(6), 1.3)
@case(values(6), 0.3, name="returns")
def else_of_a_loop_leaves_the_outer_one(u, x):
    s = x
    for i in range(4):
        for k in range(i, 5):
            if u[k] * s > 0.9:
                return s * u[k]
            if u[k] < -1.0:
                break
            s += 0.1 * u[k] * u[i]
        else:
            if i > 2:
                break
            u[i] = s
            continue
        u[k] *= x
        s = math.sin(s + u[k])
    else:
        s = s * x
    return s + np.sum(u * u)
