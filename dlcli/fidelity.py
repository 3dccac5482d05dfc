"""How far samples are from real examples, measured on features of any net, or on the numbers themselves.

    Frechet     |m - m'|^2 + tr(S + S' - 2 (S S')^1/2)                            Heusel et al. 2017 (arXiv:1706.08500)
    MMD^2       mean k(x, x') + mean k(y, y') - 2 mean k(x, y), no example with itself      Gretton et al. 2012, JMLR 13
    KID         MMD^2 of k(x, y) = (x.y / D + 1)^3                              Binkowski et al. 2018 (arXiv:1801.01401)
    precision   share of the samples inside the ball of some real example
    recall      share of the real examples inside the ball of some sample  Kynkaanniemi et al. 2019 (arXiv:1904.06991)
    density     mean number of real balls that a sample lies in, over k
    coverage    share of the real balls that hold a sample                          Naeem et al. 2020 (arXiv:2002.09797)

x real (N, D), y samples (M, D); m mean (D,), S covariance (D, D); a ball reaches to the k-th nearest other one of its
set. The unbiased MMD^2 may be a little below zero. The Frechet distance is biased upwards, the more the fewer the
examples: compare values of as many examples only.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Kernel = Callable[[Tensor, Tensor], Tensor]  # (N, D), (M, D) -> (N, M)

AT_ONCE = 1000  # rows of a table of distances that memory holds at one time
OF_FEATURES = 100  # the same for features: malloc gives larger tables back to the system, to fetch them anew
WIDTHS = 1000  # examples whose distances give the width of a kernel
NEIGHBOURS = 5
REACH = 3.0  # standard deviations within which a point belongs to a mode (Srivastava et al. 2017, arXiv:1705.07761)


def frechet(x: Tensor, y: Tensor) -> float:
    """Return the Frechet distance of the normal distributions with mean and covariance of (N, D) and (M, D)."""
    x, y = x.double(), y.double()
    apart = (x.mean(0) - y.mean(0)).square().sum()
    if max(len(x), len(y)) < x.shape[1]:  # S = a'a, so that the same singular values are those of the smaller a b'
        a, b = ((side - side.mean(0)) / (len(side) - 1) ** 0.5 for side in (x, y))
        cross = torch.linalg.svdvals(a @ b.T).sum()
        return (apart + a.square().sum() + b.square().sum() - 2 * cross).clamp(min=0).item()
    first, second = torch.cov(x.T).reshape(x.shape[1], -1), torch.cov(y.T).reshape(x.shape[1], -1)
    # the eigenvalues of S S' are the squared singular values of S^1/2 S'^1/2, which is stable where S is singular
    cross = torch.linalg.svdvals(root(first) @ root(second)).sum()
    return (apart + first.trace() + second.trace() - 2 * cross).clamp(min=0).item()


def root(matrix: Tensor) -> Tensor:
    """Return the square root of a symmetric matrix without negative eigenvalues, (D, D)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def squared_mmd(x: Tensor, y: Tensor, kernel: Kernel) -> float:
    """Return the unbiased squared maximum mean discrepancy of (N, D) and (M, D)."""
    x, y = x.double(), y.double()
    return (within(x, kernel) + within(y, kernel) - 2 * total(x, y, kernel) / (len(x) * len(y))).item()


def within(x: Tensor, kernel: Kernel) -> Tensor:
    """Return the mean of the kernel over all pairs of two different examples."""
    alone = torch.stack([kernel(part, part).diagonal().sum() for part in x.split(OF_FEATURES)]).sum()
    return (total(x, x, kernel) - alone) / (len(x) * (len(x) - 1))


def total(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Return the sum of the kernel over all pairs of (N, D) and (M, D)."""
    return torch.stack([kernel(part, y).sum() for part in x.split(OF_FEATURES)]).sum()


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel of the KID."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def gaussian(width: float) -> Kernel:
    """Return the kernel exp(-|x - y|^2 / 2 width^2)."""
    return lambda x, y: torch.cdist(x, y).square_().div_(-2 * width**2).exp_()


def median_distance(x: Tensor) -> float:
    """Return the median distance of two examples: the usual width of a Gaussian kernel; 1 if all are the same."""
    return torch.pdist(x[:: -(-len(x) // WIDTHS)].double()).median().item() or 1.0


def neighbourhoods(x: Tensor, y: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """Return precision, recall, density and coverage of samples y (M, D), given real examples x (N, D)."""
    x, y = x.double(), y.double()
    around, hits = radii(x, k), []
    covered, recalled = (torch.zeros(len(x), dtype=torch.bool, device=x.device) for _ in range(2))
    for part, radius in zip(y.split(OF_FEATURES), radii(y, k).split(OF_FEATURES), strict=True):
        away = torch.cdist(part, x)  # (rows, N)
        inside = away < around
        hits.append(inside.sum(1))
        covered |= inside.any(0)
        recalled |= (away < radius[:, None]).any(0)
    lain = torch.cat(hits).double()
    return {
        "precision": (lain > 0).double().mean().item(),
        "recall": recalled.double().mean().item(),
        "density": lain.mean().item() / k,
        "coverage": covered.double().mean().item(),
    }


def radii(x: Tensor, k: int) -> Tensor:
    """Return the distance from each example to its k-th nearest other one, (N, D) -> (N,)."""
    k = min(k, len(x) - 1)
    tables = (torch.cdist(part, x).topk(k + 1, largest=False).values for part in x.split(OF_FEATURES))
    return torch.cat([distances[:, k] for distances in tables])  # itself is the first


def separability(x: Tensor, y: Tensor) -> float:
    """Return how well a critic trained afresh tells samples from real examples: 0.5 if it cannot, 1 if it always does.

    Logistic regression learns from every second example; its accuracy on the others counts, both kinds alike.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    learned, asked = (torch.cat([x[start::2], y[start::2]]).double().numpy() for start in (0, 1))
    kinds = [torch.cat([torch.ones(len(x[s::2])), torch.zeros(len(y[s::2]))]).long().numpy() for s in (0, 1)]
    critic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    return float(balanced_accuracy_score(kinds[1], critic.fit(learned, kinds[0]).predict(asked)))


def nearest(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return distance and row of the nearest of `others` (M, D) for each of x (N, D), (N,) each."""
    found = [torch.cdist(part, others).min(1) for part in x.split(AT_ONCE)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def pairs(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield first row and distances to those from it on, infinite but for later ones: every pair once, (rows, N')."""
    for first, part in zip(range(0, len(x), AT_ONCE), x.split(AT_ONCE), strict=True):
        away = torch.cdist(part, x[first:])
        yield first, away.masked_fill_(torch.ones_like(away, dtype=torch.bool).tril_(), torch.inf)


def closest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` closest pairs of (N, D), the closest first: distances (count,) and rows (count, 2)."""
    found = []
    for first, away in pairs(x):
        best = away.flatten().topk(min(count, away.numel()), largest=False)
        rows = torch.stack([best.indices // away.shape[1], best.indices % away.shape[1]], 1) + first
        found.append((best.values, rows))
    distances, rows = torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])
    order = distances.argsort()[: min(count, len(x) * (len(x) - 1) // 2)]
    return distances[order], rows[order]


def collisions(x: Tensor, limit: float) -> int:
    """Return how many pairs of (N, D) are closer than `limit`: the birthdays of Arora & Zhang (2017, arXiv:1706.08224).

    Were each of S examples as likely as any other, one pair in S would be the same example twice.
    """
    return sum(int((away < limit).sum()) for _, away in pairs(x))


def modes(points: Tensor, centres: Tensor, spread: float) -> dict[str, float]:
    """Return how many modes points (N, D) cover, and the share of good points; centres (K, D).

    A point is good if it lies within three standard deviations of a centre; a mode is covered if it has a good point.
    """
    away, place = nearest(points.double(), centres.double())
    good = away <= REACH * spread
    return {"modes": float(len(place[good].unique())), "good": good.double().mean().item()}


def imbalance(kinds: Tensor, others: Tensor, count: int) -> float:
    """Return the share of examples that would have to change class for the shares to agree, in [0, 1]."""
    return (shares(kinds, count) - shares(others, count)).abs().sum().item() / 2


def shares(kinds: Tensor, count: int) -> Tensor:
    """Return the share of each class, (N,) -> (count,)."""
    return torch.bincount(kinds, minlength=count).double() / len(kinds)
