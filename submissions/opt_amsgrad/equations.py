"""OPT-AMSGrad: Wang, Li, Karimi and Li (ACML 2021), Algorithm 2, with the guess of Algorithm 3.

eps is added to sqrt(vhat); the paper begins with v = eps. The guess is that of Scieur et al.
(2016), regularised minimal polynomial extrapolation, with weights on the r latest gradients;
lambda is in units of norm(U^T U), as in their code.
"""

import numpy as np


def steps(problem, w, h):
    """Yield the weights after each step."""
    sizes = np.cumsum([part.size for part in w])[:-1]

    def parts(x):
        return [p.reshape(old.shape) for p, old in zip(np.split(x, sizes), w)]

    x = np.concatenate([part.ravel() for part in w])
    anchor = x.copy()
    theta = v = vhat = np.zeros_like(x)
    seen = []
    while True:
        g = np.concatenate([part.ravel() for part in problem.gradient(parts(x))])
        g = g + h.weight_decay * x
        before, theta = theta, h.beta1 * theta + (1 - h.beta1) * g
        v = h.beta2 * v + (1 - h.beta2) * g**2
        vhat = np.maximum(vhat, v)
        scale = np.sqrt(vhat) + h.eps
        anchor = anchor - h.lr * theta / scale
        seen = [*seen, g][-(h.r + 1) :]
        m = guess(seen, h.lam)
        x = anchor - h.lr * (h.beta1 * before + (1 - h.beta1) * m) / scale
        yield parts(x)


def guess(seen, lam):
    """The extrapolated gradient."""
    if len(seen) == 1:
        return seen[0]
    u = np.diff(seen, axis=0).T
    products = u.T @ u
    z = np.linalg.solve(
        products / np.linalg.norm(products, 2) + lam * np.eye(len(products)), np.ones(len(products))
    )
    return sum(share * g for share, g in zip(z / z.sum(), seen[1:]))
