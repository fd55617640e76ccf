"""Fitted estimators of scikit-learn as JSON, for `tern convert FILE.json`.

    from tern.scikit import write
    write(RandomForestClassifier(16).fit(x, y), "forest.json")

Run as a program it reads a pickle, which you must trust: python3 python/tern/scikit.py model.pkl model.json
"""
import json
import sys

import numpy as np

LINEAR = ["coef_", "intercept_"]
ATTRIBUTES = {
    "LogisticRegression": LINEAR,
    "LinearSVC": LINEAR,
    "SVC": ["kernel", "_gamma", "support_vectors_", "n_support_", "dual_coef_", "intercept_"],
    "GaussianNB": ["theta_", "var_", "class_prior_"],
    "GaussianMixture": ["covariance_type", "weights_", "means_", "precisions_cholesky_"],
    "KNeighborsClassifier": ["n_neighbors", "weights", "effective_metric_", "_fit_X", "_y"],
    "KMeans": ["cluster_centers_"],
    "DecisionTreeClassifier": [],
    "RandomForestClassifier": [],
    "ExtraTreesClassifier": [],
}
TREE = ["feature", "threshold", "children_left", "children_right"]


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _tree(estimator):
    tree = estimator.tree_
    if tree.value.shape[1] != 1:
        raise ValueError(f"the tree has {tree.value.shape[1]} outputs; Tern reads trees of one")
    arrays = {name: _plain(getattr(tree, name)) for name in TREE}
    arrays["value"] = tree.value[:, 0].tolist()
    return {"tree_": arrays}


def document(estimator):
    """A dictionary with the class of the estimator and the attributes that Tern reads."""
    kind = type(estimator).__name__
    if kind not in ATTRIBUTES:
        raise ValueError(f"{kind} is none of {', '.join(ATTRIBUTES)}")
    out = {"estimator": kind, "n_features_in_": int(estimator.n_features_in_)}
    if hasattr(estimator, "classes_"):
        out["classes_"] = _plain(estimator.classes_)
    for name in ATTRIBUTES[kind]:
        out[name] = _plain(getattr(estimator, name))
    if kind == "DecisionTreeClassifier":
        out.update(_tree(estimator))
    elif not ATTRIBUTES[kind]:
        out["estimators_"] = [_tree(e) for e in estimator.estimators_]
    return out


def write(estimator, path):
    """Write the JSON; numbers keep every bit."""
    with open(path, "w") as f:
        json.dump(document(estimator), f, allow_nan=False)
        f.write("\n")


if __name__ == "__main__":
    import pickle

    with open(sys.argv[1], "rb") as f:
        write(pickle.load(f), sys.argv[2])
