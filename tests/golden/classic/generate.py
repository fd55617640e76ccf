#!/usr/bin/env python3
"""Fitted estimators of scikit-learn on iris as JSON, what they compute for its rows, and digits as data of the proof.

Needs scikit-learn: python3 -m venv /tmp/sk && /tmp/sk/bin/pip install scikit-learn && /tmp/sk/bin/python generate.py
"""
import importlib.util
import os
import sys
import warnings

import numpy as np
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from write import array, save  # noqa: E402

# The module alone: the package loads the library.
spec = importlib.util.spec_from_file_location("scikit", os.path.join(here, "../../../python/tern/scikit.py"))
scikit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scikit)
warnings.simplefilter("ignore")

iris = datasets.load_iris()
x, y = iris.data.astype("f4"), iris.target
names = iris.target_names[y]
expected = {"x": x, "y": y}


def case(name, estimator, target, compute, data=x):
    estimator.fit(data, target) if target is not None else estimator.fit(data)
    scikit.write(estimator, os.path.join(here, name + ".json"))
    expected[name] = compute(estimator, data)


def votes(e, data):
    """Pairs i < j one after the other; a positive decision is for i, of two classes for the second."""
    d, k, p = e.decision_function(data), len(e.classes_), 0
    if k == 2:
        return np.stack([d <= 0, d > 0], 1).astype("f4")
    out = np.zeros((len(data), k), "f4")
    for i in range(k):
        for j in range(i + 1, k):
            out[:, i] += d[:, p] > 0
            out[:, j] += d[:, p] <= 0
            p += 1
    return out


def decision(e, data):
    d = e.decision_function(data)
    return np.stack([0 * d, d], 1) if d.ndim == 1 else d


case("logistic", LogisticRegression(), y, decision)
case("logistic-texts", LogisticRegression(), names, decision)
case("logistic-binary", LogisticRegression(), (y == 1).astype(int), decision)
case("linear-svc", LinearSVC(), y, decision)
case("svc", SVC(gamma=0.5, decision_function_shape="ovo"), y, votes)
case("svc-binary", SVC(gamma=0.5), (y == 1).astype(int), votes)
case("bayes", GaussianNB(), y, lambda e, d: e.predict_joint_log_proba(d))
for kind in ["full", "tied", "diag", "spherical"]:
    case("mixture-" + kind, GaussianMixture(3, covariance_type=kind, random_state=0), None,
         lambda e, d: e._estimate_weighted_log_prob(d))
case("neighbours", KNeighborsClassifier(5), y, lambda e, d: e.predict_proba(d) * 5)
case("means", KMeans(3, n_init=3, random_state=0), None, lambda e, d: -e.transform(d) ** 2)
case("tree", DecisionTreeClassifier(random_state=0, max_depth=4), y, lambda e, d: e.predict_proba(d))
case("forest", RandomForestClassifier(5, max_depth=4, random_state=0), y, lambda e, d: e.predict_proba(d) * 5)
case("extra-trees", ExtraTreesClassifier(3, max_depth=3, random_state=0), y, lambda e, d: e.predict_proba(d) * 3)
save(os.path.join(here, "expected.safetensors"), {k: array(v) for k, v in expected.items()}, {})

with open(os.path.join(here, "iris.csv"), "w") as f:
    f.write("sepal_length,sepal_width,petal_length,petal_width,class\n")
    for row, label in zip(x, y):
        f.write(",".join(f"{v:.1f}" for v in row) + f",{label}\n")

digits = datasets.load_digits()
pixels, labels = digits.data.astype("i2"), digits.target.astype("i4")
np.savez_compressed(os.path.join(here, "digits.npz"), x_train=pixels[:1297], y_train=labels[:1297],
                    x_test=pixels[1297:], y_test=labels[1297:])
