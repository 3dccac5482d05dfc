"""Classes found without labels: k-means on the inputs, on principal components and on codes.

    NMI = 2 I(cluster; class) / (H(cluster) + H(class))         0: nothing in common, 1: the same
    ARI = (RI - E RI) / (max RI - E RI)                         0: by chance, 1: the same (Hubert & Arabie 1985)
    purity = share of the examples that are of the commonest class of their cluster

As many clusters as the sample has classes, the best of ten starts.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlcli.figures import Row, sheet
from dlcli.seeing.codes.scene import FEW, Codes, pictures

STARTS = 10


class Found(NamedTuple):
    """What k-means found."""

    cluster: Tensor  # (N,)
    centres: Tensor  # (K, D)


def group(points: Tensor, count: int) -> Found:
    """Return the clusters of points (N, D)."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        fitted = KMeans(count, n_init=STARTS, random_state=0).fit(points.numpy())
    return Found(torch.from_numpy(fitted.labels_).long(), torch.from_numpy(fitted.cluster_centers_).float())


def agreement(cluster: Tensor, y: Tensor) -> dict[str, float]:
    """Return how well clusters agree with classes, (N,) each."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(y.numpy(), cluster.numpy())  # (classes, clusters)
    return {
        "NMI": float(normalized_mutual_info_score(y.numpy(), cluster.numpy())),
        "ARI": float(adjusted_rand_score(y.numpy(), cluster.numpy())),
        "purity": float(table.max(0).sum() / table.sum()),
    }


def draw(codes: Codes) -> dict[str, Any]:
    """Draw members of the clusters of codes, and tell how the clusters of each kind agree with the classes."""
    spaces = {"pixels" if codes.x.ndim == 4 else "inputs": codes.x.flatten(1)}
    if codes.principal is not None:
        spaces[f"{codes.z.shape[1]} principal components"] = codes.project(codes.x)
    spaces["codes"] = codes.z
    found = {name: group(points, len(codes.y.unique())) for name, points in spaces.items()}
    table = {name: agreement(groups.cluster, codes.y) for name, groups in found.items()}
    if pictures(codes) is not None:
        return {"k-means": table}
    return {"clusters": members(codes, found["codes"]), "k-means": table}


def members(codes: Codes, found: Found) -> Any:
    """Draw what the centre of each cluster stands for, and some of its members by chance."""
    centres = codes.decode(found.centres)
    rows: list[Row] = []
    for cluster, centre in enumerate(centres[: 2 * FEW]):
        inside = (found.cluster == cluster).nonzero().flatten()
        some = inside[torch.randperm(len(inside))[: FEW - 1]]
        if not len(inside):  # fewer different codes than clusters
            continue
        kind = int(codes.y[inside].mode().values)
        share = (codes.y[inside] == kind).double().mean().item()
        words = ["centre", *[""] * len(some)] if not rows else []
        label = f"{codes.names[kind]}: {100 * share:.0f} % of {len(inside)}"
        rows.append(Row(torch.cat([centre[None], codes.x[some]]), label=label, captions=words))
    return sheet("clusters of codes by k-means", rows)
