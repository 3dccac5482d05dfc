"""Support vector machines with a Gaussian kernel: `dl` against scikit-learn's SVC (libsvm) on 10,000 digits.

Cost, kernel and pictures are the same. SVC makes a machine for each pair of classes and stops at its own tolerance;
`dl` makes one for each class against the rest and takes a fixed number of passes. Both are judged by their errors on
5,000 pictures that neither saw. SVC computes on one core, and has a cache of 1 GB.
"""

import common

EPOCHS = 4


def main() -> None:
    """Print the seconds that each side takes to learn and to answer, and the errors it makes."""
    given = common.options(__doc__)
    import ours
    import torch
    from sklearn.svm import SVC

    torch.set_num_threads(given.threads)
    data, count = common.data_name(given.quick), 1000 if given.quick else 10_000
    held = ["data.source.valid=5000"] if data == "mnist" else []
    made = ours.setup(
        "svm", data, "batch=500", "model.net.room=60000", f"limit={count / 55_000 if held else 0.9}", *held
    )
    split, valid = made.train.data, made.splits.valid
    x, seen = (part.x.flatten(1).float().div(255) for part in (split, valid))
    mean, std = ours.facts(made)
    peer = SVC(C=made.config["model"]["cost"], gamma=2.0 / x.shape[1], cache_size=1000)
    state = {}

    def learn() -> None:
        state["engine"] = ours.fresh(made)
        ours.learn(state["engine"], made.train, EPOCHS * len(made.train))

    @torch.no_grad()
    def answer() -> None:
        model = state["engine"].model.eval()
        state["mine"] = torch.cat([model(part).argmax(1) for part in valid.x.float().div(255).split(500)])

    rows = []
    pairs = {
        "learning": (learn, lambda: peer.fit(((x - mean) / std).numpy(), split.y.numpy())),
        "answering": (
            answer,
            lambda: state.update(theirs=torch.from_numpy(peer.predict(((seen - mean) / std).numpy()))),
        ),
    }
    for what, sides in pairs.items():
        blocks = common.in_turn([lambda act=act: common.timed(act) for act in sides], 1 if given.quick else 3)
        rows.append(common.compare(f"{data}, {split.size:,} pictures: {what}", *blocks))
    errors = [100 * (state[side] != valid.y).float().mean().item() for side in ("mine", "theirs")]
    rows.append(["errors on the other pictures", *(f"{error:.2f} %" for error in errors), "", ""])
    common.show(rows, given)


if __name__ == "__main__":
    main()
