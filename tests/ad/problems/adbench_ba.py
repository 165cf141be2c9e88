"""Bundle adjustment as in the ADBench suite: weighted reprojection errors, and a term for each weight.

F. Srajer, Z. Kukelova and A. Fitzgibbon (2018), section 3.2 (see `adbench_gmm`).  A camera has 11 numbers: a rotation
vector, the center, focal length, principal point and two coefficients of radial distortion.  The value is the sum of
squares of all residuals.

The reference differentiates the rotation R(v) by the formula of G. Gallego and A. Yezzi, A compact formula for the
derivative of a 3-D rotation in exponential coordinates, J. Math. Imaging and Vision 51 (2015):
dR/dv_i = (v_i [v] + [v x (I - R) e_i]) R / |v|^2, with [v] the matrix of the cross product; at v = 0 it is [e_i].
"""

import math

import numpy as np
from numba import njit

from problems.case import case

RNG = np.random.default_rng(4)
OBSERVATIONS = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 0], [2, 3], [0, 3]])
CAMERAS = np.hstack(
    (
        0.3 * RNG.normal(size=(3, 3)),
        0.2 * RNG.normal(size=(3, 3)),
        RNG.uniform(1.5, 2.5, (3, 1)),
        0.1 * RNG.normal(size=(3, 2)),
        0.05 * RNG.normal(size=(3, 2)),
    )
)
POINTS = RNG.normal(size=(4, 3)) + np.array([0.0, 0.0, 5.0])
WEIGHTS = RNG.uniform(0.5, 1.5, 7)
FEATURES = 0.3 * RNG.normal(size=(7, 2))
STILL = CAMERAS.copy()
STILL[1, :3] = 0.0


def cross_matrix(v):
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def rotation_and_slopes(v):
    square = v @ v
    if square == 0.0:
        return np.eye(3), [cross_matrix(e) for e in np.eye(3)]
    angle, k = math.sqrt(square), cross_matrix(v)
    r = np.eye(3) + math.sin(angle) / angle * k + (1.0 - math.cos(angle)) / square * k @ k
    return r, [(v[i] * k + cross_matrix(np.cross(v, (np.eye(3) - r)[:, i]))) @ r / square for i in range(3)]


def ba_gradient(cams, points, weights, obs, feats):
    shapes = cams.shape, points.shape
    cams, points = cams.reshape(-1, 11), points.reshape(-1, 3)
    by_cams, by_points = np.zeros_like(cams), np.zeros_like(points)
    by_weights = -4.0 * weights * (1.0 - weights**2)
    for i, ((c, p), feat) in enumerate(zip(obs.reshape(-1, 2), feats.reshape(-1, 2))):
        cam, w = cams[c], weights[i]
        r, slopes = rotation_and_slopes(cam[:3])
        away = points[p] - cam[3:6]
        x, y, z = r @ away
        u = np.array([x / z, y / z])
        by_u = np.array([[1.0 / z, 0.0, -x / z**2], [0.0, 1.0 / z, -y / z**2]])
        square = u @ u
        stretch = 1.0 + cam[9] * square + cam[10] * square**2
        error = stretch * u * cam[6] + cam[7:9] - feat
        bar = 2.0 * w * w * error
        by_weights[i] += 2.0 * w * error @ error
        by_stretch = cam[6] * bar @ u
        by_cams[c, 6] += stretch * bar @ u
        by_cams[c, 7:9] += bar
        by_cams[c, 9:] += by_stretch * np.array([square, square**2])
        by_plane = stretch * cam[6] * bar + by_stretch * (cam[9] + 2.0 * cam[10] * square) * 2.0 * u
        by_seen = by_plane @ by_u
        by_cams[c, :3] += [by_seen @ slope @ away for slope in slopes]
        by_cams[c, 3:6] -= by_seen @ r
        by_points[p] += by_seen @ r
    return by_cams.reshape(shapes[0]), by_points.reshape(shapes[1]), by_weights


@case(
    CAMERAS.ravel(),
    POINTS.ravel(),
    WEIGHTS,
    OBSERVATIONS.ravel(),
    FEATURES.ravel(),
    wrt="cams points weights",
    exact=ba_gradient,
)
def bundle_adjustment_by_scalars(cams, points, weights, obs, feats):
    total = 0.0
    for i in range(len(weights)):
        c = 11 * obs[2 * i]
        p = 3 * obs[2 * i + 1]
        x0 = points[p] - cams[c + 3]
        x1 = points[p + 1] - cams[c + 4]
        x2 = points[p + 2] - cams[c + 5]
        square = cams[c] ** 2 + cams[c + 1] ** 2 + cams[c + 2] ** 2
        if square != 0.0:
            angle = math.sqrt(square)
            cosine = math.cos(angle)
            sine = math.sin(angle)
            w0 = cams[c] / angle
            w1 = cams[c + 1] / angle
            w2 = cams[c + 2] / angle
            t = (w0 * x0 + w1 * x1 + w2 * x2) * (1.0 - cosine)
            y0 = x0 * cosine + (w1 * x2 - w2 * x1) * sine + w0 * t
            y1 = x1 * cosine + (w2 * x0 - w0 * x2) * sine + w1 * t
            y2 = x2 * cosine + (w0 * x1 - w1 * x0) * sine + w2 * t
        else:
            y0 = x0 + cams[c + 1] * x2 - cams[c + 2] * x1
            y1 = x1 + cams[c + 2] * x0 - cams[c] * x2
            y2 = x2 + cams[c] * x1 - cams[c + 1] * x0
        u = y0 / y2
        v = y1 / y2
        radius = u * u + v * v
        stretch = 1.0 + cams[c + 9] * radius + cams[c + 10] * radius * radius
        e0 = weights[i] * (u * stretch * cams[c + 6] + cams[c + 7] - feats[2 * i])
        e1 = weights[i] * (v * stretch * cams[c + 6] + cams[c + 8] - feats[2 * i + 1])
        e2 = 1.0 - weights[i] * weights[i]
        total += e0 * e0 + e1 * e1 + e2 * e2
    return total


@njit
def cross(a, b, out):
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@njit
def rotate(rotation, point, rotated):
    square = rotation[0] * rotation[0] + rotation[1] * rotation[1] + rotation[2] * rotation[2]
    across = np.empty_like(point)
    if square != 0.0:
        angle = math.sqrt(square)
        axis = rotation / angle
        cross(axis, point, across)
        along = (axis[0] * point[0] + axis[1] * point[1] + axis[2] * point[2]) * (1.0 - math.cos(angle))
        for i in range(3):
            rotated[i] = point[i] * math.cos(angle) + across[i] * math.sin(angle) + axis[i] * along
    else:
        cross(rotation, point, across)
        for i in range(3):
            rotated[i] = point[i] + across[i]


@njit
def distort(coefficients, proj):
    square = proj[0] * proj[0] + proj[1] * proj[1]
    stretch = 1.0 + coefficients[0] * square + coefficients[1] * square * square
    proj[0] *= stretch
    proj[1] *= stretch


@njit
def project(cam, point, proj):
    seen = np.empty(3)
    rotate(cam[:3], point - cam[3:6], seen)
    proj[0] = seen[0] / seen[2]
    proj[1] = seen[1] / seen[2]
    distort(cam[9:], proj)
    proj *= cam[6]
    proj += cam[7:9]


@case(CAMERAS, POINTS, WEIGHTS, OBSERVATIONS, FEATURES, wrt="cams points weights", exact=ba_gradient)
@case(
    STILL,
    POINTS,
    WEIGHTS,
    OBSERVATIONS,
    FEATURES,
    wrt="cams points weights",
    exact=ba_gradient,
    name="a_camera_not_turned",
)
def bundle_adjustment(cams, points, weights, obs, feats):
    p = len(weights)
    errors, weight_errors = np.empty((p, 2)), np.empty(p)
    for i in range(p):
        proj = np.empty(2)
        project(cams[obs[i, 0]], points[obs[i, 1]], proj)
        errors[i] = weights[i] * (proj - feats[i])
    for i in range(p):
        weight_errors[i] = 1.0 - weights[i] * weights[i]
    return np.sum(errors**2) + np.sum(weight_errors**2)
