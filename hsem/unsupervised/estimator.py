"""scikit-learn's contract for estimators, by hand: the package does not need scikit-learn."""

from __future__ import annotations

from inspect import signature
from typing import Any, Self


class NotFitted(AttributeError, RuntimeError):
    """Too few samples yet; an AttributeError, so that `hasattr(pca, "components_")` is False."""


class Estimator:
    """What `sklearn.base.clone`, pipelines and searches over settings ask of an estimator.

    The settings are the arguments of the constructor, kept under their names.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor was given."""
        return {name: getattr(self, name) for name in signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change settings; what was learned with others is forgotten.

        Raises
        ------
        ValueError
            If there is no such setting, or the constructor would refuse it. Nothing changes then.
        """
        before = self.get_params()
        unknown = sorted(set(params) - set(before))
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no setting {unknown}; it has {', '.join(before)}"
            )
        if (wanted := before | params) != before:
            vars(self).update(vars(type(self)(**wanted)))
        return self

    def __sklearn_tags__(self) -> Any:
        """What pipelines ask; only scikit-learn calls this, so it is there."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(None, TargetTags(required=False), TransformerTags())
